#!/usr/bin/env python3
"""Makes tests/data/whisper_base_grad.json: the loss of Whisper base on the reference clip with its
transcript as targets, the norm of every gradient, and 64 elements of ten of them, in float64. By
hand, with Debian's PyTorch 1.13:

    hornito convert whisper-base DIR
    /usr/bin/python3 tests/oracle/whisper_grad.py DIR

The model is written out here (Radford et al. 2022, arXiv 2212.04356), not taken from a package.
"""
import json
import os
import struct
import sys

import numpy as np
import torch
import torch.nn.functional as F

HERE = os.path.dirname(os.path.abspath(__file__))
DATA = os.path.join(HERE, "../data")
PROMPT, END = [50258, 50259, 50359, 50363], 50257
ENCODER, DECODER = "model.encoder.layers.", "model.decoder.layers."
TEN = ["model.encoder.conv1.weight", "model.encoder.conv2.bias", "model.encoder.embed_positions.weight",
       ENCODER + "0.self_attn.q_proj.weight", ENCODER + "5.fc2.weight", "model.encoder.layer_norm.weight",
       "model.decoder.embed_tokens.weight", DECODER + "0.encoder_attn.k_proj.weight",
       DECODER + "3.self_attn.v_proj.bias", DECODER + "5.encoder_attn.out_proj.weight"]


def load(folder):
    with open(os.path.join(folder, "model.safetensors"), "rb") as f:
        (n,) = struct.unpack("<Q", f.read(8))
        head = json.loads(f.read(n))
        data = f.read()
    types = {"F32": "<f4", "F16": "<f2"}
    weights = {}
    for name, t in head.items():
        if name != "__metadata__":
            lo, hi = t["data_offsets"]
            a = np.frombuffer(data[lo:hi], types[t["dtype"]]).reshape(t["shape"]).astype(np.float64)
            weights[name] = torch.from_numpy(a).requires_grad_()
    return weights


class Model:
    def __init__(self, weights, heads):
        self.w, self.heads = weights, heads

    def linear(self, name, x):
        return F.linear(x, self.w[name + ".weight"], self.w.get(name + ".bias"))

    def norm(self, name, x):
        return F.layer_norm(x, x.shape[-1:], self.w[name + ".weight"], self.w[name + ".bias"], 1e-5)

    def attention(self, name, x, keys, causal):
        def split(y):
            return y.view(y.shape[0], self.heads, -1).transpose(0, 1)

        q, k, v = (split(self.linear(f"{name}.{p}_proj", y)) for p, y in (("q", x), ("k", keys), ("v", keys)))
        s = q @ k.transpose(1, 2) / q.shape[-1] ** 0.5
        if causal:
            s = s + torch.full(s.shape[1:], -torch.inf, dtype=s.dtype).triu(1)
        y = (s.softmax(-1) @ v).transpose(0, 1).reshape(x.shape)
        return self.linear(name + ".out_proj", y)

    def layers(self, side, x, audio=None):
        i = 0
        while f"model.{side}.layers.{i}.fc1.weight" in self.w:
            at = f"model.{side}.layers.{i}."
            y = self.norm(at + "self_attn_layer_norm", x)
            x = x + self.attention(at + "self_attn", y, y, audio is not None)
            if audio is not None:
                y = self.norm(at + "encoder_attn_layer_norm", x)
                x = x + self.attention(at + "encoder_attn", y, audio, False)
            y = F.gelu(self.linear(at + "fc1", self.norm(at + "final_layer_norm", x)))
            x = x + self.linear(at + "fc2", y)
            i += 1
        return self.norm(f"model.{side}.layer_norm", x)

    def conv(self, name, x, stride):
        w, b = self.w[name + ".weight"], self.w[name + ".bias"]
        return F.gelu(F.conv1d(x, w, b, stride=stride, padding=1))

    def loss(self, mel, ids, targets):
        x = self.conv("model.encoder.conv2", self.conv("model.encoder.conv1", mel[None], 1), 2)[0].T
        audio = self.layers("encoder", x + self.w["model.encoder.embed_positions.weight"])
        words = self.w["model.decoder.embed_tokens.weight"]
        x = words[ids] + self.w["model.decoder.embed_positions.weight"][:len(ids)]
        logits = self.layers("decoder", x, audio) @ words.T
        return F.cross_entropy(logits, targets, ignore_index=-1)


def spread(g):
    """64 elements at equal distances."""
    flat = g.flatten()
    return flat[torch.arange(64) * flat.numel() // 64].tolist()


def main():
    weights = load(sys.argv[1])
    reference = os.path.join(DATA, "reference")
    mel = torch.from_numpy(np.load(os.path.join(reference, "logmel_80x3000.npy")).astype(np.float64))
    with open(os.path.join(reference, "whisper-base/transcripts_tok.json")) as f:
        text = json.load(f)["package_lowercase"][1]
    ids = PROMPT + text
    targets = [-1] * 3 + text + [END]
    loss = Model(weights, 8).loss(mel, torch.tensor(ids), torch.tensor(targets))
    loss.backward()
    out = {"ids": ids, "targets": targets, "loss": loss.item(),
           "norms": {k: w.grad.norm().item() for k, w in sorted(weights.items())},
           "elements": {k: spread(weights[k].grad) for k in TEN}}
    with open(os.path.join(DATA, "whisper_base_grad.json"), "w") as f:
        json.dump(out, f, indent=1)
        f.write("\n")


main()
