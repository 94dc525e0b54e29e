#!/usr/bin/python3
"""The whole-model oracle: losses of 100 AdamW steps of small language models in PyTorch f32.

Run by hand with Debian's PyTorch (python3-torch 1.13.1): /usr/bin/python3 tests/oracle/train_lm.py
It writes tests/data/oracle_{gpt2,llama,qwen2}.json, which tests/test_train.c compares with. Weights and
batches come from a hash of their index (mix below, the same in test_train.c), so none is stored.
"""
import json, math, os, sys
import numpy as np
import torch
import torch.nn.functional as F

D, HEADS, KV, T, B, V, LAYERS, FFN, STEPS = 64, 2, 1, 64, 2, 512, 4, 256, 100
LR, BETAS, EPS, DECAY, CLIP = 1e-3, (0.9, 0.95), 1e-8, 0.1, 1.0


def mix(x):
    """A 32-bit hash (murmur3's finalizer) of an array of indices."""
    x = np.asarray(x, dtype=np.uint64)
    x = (x ^ (x >> np.uint64(16))) * np.uint64(0x85EBCA6B) & np.uint64(0xFFFFFFFF)
    x = (x ^ (x >> np.uint64(13))) * np.uint64(0xC2B2AE35) & np.uint64(0xFFFFFFFF)
    return x ^ (x >> np.uint64(16))


def weight(index, shape, scale):
    """Tensor number `index`: uniform in [-scale, scale)."""
    n = int(np.prod(shape))
    u = mix(np.arange(n, dtype=np.uint64) + np.uint64(index << 20)).astype(np.float64) / 2**32
    w = torch.tensor(((2 * u - 1) * scale).astype(np.float32).reshape(shape))
    return w.requires_grad_(True)


def tokens(step):
    """[B, T + 1] tokens of a step: spans of a text of period 1021, so that there is something to learn."""
    i = step * 331 + np.arange(B)[:, None] * 5003 + np.arange(T + 1)[None, :]
    return torch.tensor((mix(i % 1021 + 77777) % V).astype(np.int64))


class Model:
    def __init__(self, family):
        self.family, self.p = family, []
        gpt2 = family == "gpt2"
        self.wte = self.new(V, D)
        if gpt2:
            self.wpe = self.new(T, D)
        self.blocks = [self.block(gpt2) for _ in range(LAYERS)]
        self.final = self.norm(gpt2)

    def new(self, *shape):
        self.p.append(weight(len(self.p), shape, 0.08))
        return self.p[-1]

    def ones(self):
        self.p.append(torch.ones(D, requires_grad=True))
        return self.p[-1]

    def zeros(self, n):
        self.p.append(torch.zeros(n, requires_grad=True))
        return self.p[-1]

    def norm(self, gpt2):
        return (self.ones(), self.zeros(D)) if gpt2 else (self.ones(),)

    def linear(self, gpt2, n_in, n_out, bias=False):
        w = (self.new(n_in, n_out) if gpt2 else self.new(n_out, n_in),)
        return w + (self.zeros(n_out),) if gpt2 or bias else w

    def block(self, gpt2):
        kv = D // HEADS * KV
        b = {"n1": self.norm(gpt2)}
        if gpt2:
            b["qkv"] = self.linear(True, D, 3 * D)
        else:
            b["q"], b["k"], b["v"] = (self.linear(False, D, n, self.family == "qwen2") for n in (D, kv, kv))
        b["o"] = self.linear(gpt2, D, D)
        b["n2"] = self.norm(gpt2)
        if not gpt2:
            b["gate"] = self.linear(False, D, FFN)
        b["up"] = self.linear(gpt2, D, FFN)
        b["down"] = self.linear(gpt2, FFN, D)
        return b

    def apply_linear(self, x, w):
        y = x @ (w[0] if self.family == "gpt2" else w[0].T)
        return y + w[1] if len(w) == 2 else y

    def apply_norm(self, x, w):
        if len(w) == 2:
            return F.layer_norm(x, (D,), w[0], w[1], 1e-5)
        return x * torch.rsqrt((x * x).mean(-1, keepdim=True) + 1e-5) * w[0]

    def rope(self, x):  # [B, T, H, d]: pairs (i, i + d / 2)
        d = x.shape[-1]
        angle = torch.arange(T, dtype=torch.float64)[:, None] * 10000.0 ** (-torch.arange(0, d, 2, dtype=torch.float64) / d)
        c, s = angle.cos().float()[None, :, None], angle.sin().float()[None, :, None]
        a, b = x[..., : d // 2], x[..., d // 2 :]
        return torch.cat([a * c - b * s, b * c + a * s], -1)

    def attend(self, q, k, v):
        k, v = (t.repeat_interleave(q.shape[2] // t.shape[2], 2) for t in (k, v))
        s = torch.einsum("bihd,bjhd->bhij", q, k) / math.sqrt(q.shape[-1])
        s = s.masked_fill(torch.triu(torch.ones(T, T, dtype=torch.bool), 1), -math.inf)
        return torch.einsum("bhij,bjhd->bihd", s.softmax(-1), v).reshape(B, T, D)

    def loss(self, batch):
        gpt2 = self.family == "gpt2"
        x = self.wte[batch[:, :-1]] + (self.wpe if gpt2 else 0)
        for b in self.blocks:
            y = self.apply_norm(x, b["n1"])
            if gpt2:
                q, k, v = (t.reshape(B, T, HEADS, -1) for t in self.apply_linear(y, b["qkv"]).split(D, -1))
            else:
                q, k, v = (self.apply_linear(y, b[n]).reshape(B, T, -1, D // HEADS) for n in "qkv")
                q, k = self.rope(q), self.rope(k)
            x = x + self.apply_linear(self.attend(q, k, v), b["o"])
            y = self.apply_norm(x, b["n2"])
            h = self.apply_linear(y, b["up"])
            h = F.gelu(h) if gpt2 else F.silu(self.apply_linear(y, b["gate"])) * h
            x = x + self.apply_linear(h, b["down"])
        logits = self.apply_norm(x, self.final) @ self.wte.T
        return F.cross_entropy(logits.reshape(-1, V), batch[:, 1:].reshape(-1))


def run(family):
    m = Model(family)
    groups = [{"params": [p for p in m.p if p.dim() >= 2], "weight_decay": DECAY},
              {"params": [p for p in m.p if p.dim() < 2], "weight_decay": 0.0}]
    opt = torch.optim.AdamW(groups, lr=LR, betas=BETAS, eps=EPS)
    losses = []
    for step in range(STEPS):
        loss = m.loss(tokens(step))
        opt.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(m.p, CLIP)
        opt.step()
        losses.append(loss.item())
    return losses


if __name__ == "__main__":
    data = os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "data")
    os.makedirs(data, exist_ok=True)
    for family in ("gpt2", "llama", "qwen2"):
        losses = run(family)
        print(family, losses[0], losses[-1], file=sys.stderr)
        with open(os.path.join(data, f"oracle_{family}.json"), "w") as f:
            json.dump({"torch": torch.__version__, "losses": losses}, f, indent=0)
            f.write("\n")
