#!/usr/bin/python3
"""Gradients of the real SmolLM2-135M-Instruct in PyTorch f64, which tests/test_real_grad.c compares with.

Run by hand with Debian's PyTorch (python3-torch 1.13.1) and the PyPI package gguf 0.17.1, which unpacks the file's
blocks:
    PYTHONPATH=FOLDER-OF-GGUF /usr/bin/python3 tests/oracle/smollm2_grad.py MODEL.gguf \
        tests/data/reference/smollm2-135m/prompts.json
It writes tests/data/smollm2_grad.json: 65 tokens of the reference prompts, the mean loss of the last 64 of them, and
of ten tensors the gradient's norm and 32 values spread over it, under Hugging Face's names and order of rows.
"""
import json, math, os, sys
import numpy as np
import torch
import torch.nn.functional as F
from gguf import GGUFReader
from gguf.quants import dequantize

LAYERS, WIDTH, HEADS, KV, HEAD, EPS, BASE, LENGTH = 30, 576, 9, 3, 64, 1e-5, 100000.0, 64
NAMES = {"attn_norm": "input_layernorm", "attn_q": "self_attn.q_proj", "attn_k": "self_attn.k_proj",
         "attn_v": "self_attn.v_proj", "attn_output": "self_attn.o_proj", "ffn_norm": "post_attention_layernorm",
         "ffn_gate": "mlp.gate_proj", "ffn_up": "mlp.up_proj", "ffn_down": "mlp.down_proj"}
KEPT = ["model.embed_tokens.weight", "model.norm.weight", "model.layers.0.input_layernorm.weight",
        "model.layers.0.self_attn.q_proj.weight", "model.layers.3.self_attn.k_proj.weight",
        "model.layers.8.self_attn.v_proj.weight", "model.layers.13.self_attn.o_proj.weight",
        "model.layers.18.mlp.gate_proj.weight", "model.layers.23.mlp.up_proj.weight",
        "model.layers.29.mlp.down_proj.weight"]


def load(path):
    """Weights under Hugging Face's names; rows 2i and 2i + 1 of a q or k head become i and i + 32."""
    w = {}
    for t in GGUFReader(path).tensors:
        x = dequantize(t.data, t.tensor_type).astype(np.float64)
        part = t.name.split(".")
        if part[0] == "blk":
            name = f"model.layers.{part[1]}.{NAMES[part[2]]}.weight"
            if part[2] in ("attn_q", "attn_k"):
                x = x.reshape(-1, HEAD // 2, 2, x.shape[1]).transpose(0, 2, 1, 3).reshape(x.shape)
        else:
            name = {"token_embd": "model.embed_tokens.weight", "output_norm": "model.norm.weight"}[part[0]]
        w[name] = torch.tensor(x).requires_grad_(name in KEPT)
    return w


def norm(x, w):
    return x * torch.rsqrt((x * x).mean(-1, keepdim=True) + EPS) * w


def rope(x):  # [T, H, d]: pairs (i, i + d / 2)
    i = torch.arange(0, HEAD, 2, dtype=torch.float64)
    angle = torch.arange(x.shape[0], dtype=torch.float64)[:, None] * BASE ** (-i / HEAD)
    c, s = angle.cos()[:, None], angle.sin()[:, None]
    a, b = x[..., : HEAD // 2], x[..., HEAD // 2 :]
    return torch.cat([a * c - b * s, b * c + a * s], -1)


def loss_of(w, ids):
    x = w["model.embed_tokens.weight"][ids[:-1]]
    t = x.shape[0]
    late = torch.triu(torch.ones(t, t, dtype=torch.bool), 1)
    for i in range(LAYERS):
        p = lambda name: w[f"model.layers.{i}.{name}.weight"]
        y = norm(x, p("input_layernorm"))
        q, k, v = (y @ p(f"self_attn.{n}_proj").T for n in "qkv")
        q, k, v = rope(q.reshape(t, HEADS, HEAD)), rope(k.reshape(t, KV, HEAD)), v.reshape(t, KV, HEAD)
        k, v = (z.repeat_interleave(HEADS // KV, 1) for z in (k, v))
        s = (torch.einsum("ihd,jhd->hij", q, k) / math.sqrt(HEAD)).masked_fill(late, -math.inf)
        x = x + torch.einsum("hij,jhd->ihd", s.softmax(-1), v).reshape(t, WIDTH) @ p("self_attn.o_proj").T
        y = norm(x, p("post_attention_layernorm"))
        x = x + (F.silu(y @ p("mlp.gate_proj").T) * (y @ p("mlp.up_proj").T)) @ p("mlp.down_proj").T
    logits = norm(x, w["model.norm.weight"]) @ w["model.embed_tokens.weight"].T
    return F.cross_entropy(logits, ids[1:])


def describe(g):
    flat = g.reshape(-1)
    at = [int(k * (flat.numel() - 1) // 31) for k in range(32)]
    return {"shape": list(g.shape), "norm": float(flat.norm()), "at": at, "values": [float(flat[k]) for k in at]}


if __name__ == "__main__":
    with open(sys.argv[2]) as f:
        prompts = json.load(f)["prompts"].values()
    ids = [i for p in prompts for i in p["ids"] + p["greedy48_f64"]][: LENGTH + 1]
    w = load(sys.argv[1])
    loss = loss_of(w, torch.tensor(ids))
    loss.backward()
    out = {"torch": torch.__version__, "ids": ids, "loss": loss.item(),
           "gradients": {n: describe(w[n].grad) for n in KEPT}}
    path = os.path.join(os.path.dirname(os.path.abspath(__file__)), "../data/smollm2_grad.json")
    with open(path, "w") as f:
        json.dump(out, f, indent=0)
        f.write("\n")
    print(loss.item(), {n: round(d["norm"], 5) for n, d in out["gradients"].items()}, file=sys.stderr)
