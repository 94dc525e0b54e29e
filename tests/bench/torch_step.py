#!/usr/bin/python3
"""The training steps of `hornito bench step --export FILE`, made by PyTorch.

    torch_step.py FILE [--threads N] [--warmup N] [--memory third|three]

The same model from the same weights on the same batches: GPT-2's layout, no dropout, AdamW with decay
on matrices only. Prints JSON: seconds of each step after the warm-up, losses of all steps, hornito's
losses of the file, which BLAS was loaded, and with --memory the most bytes of tensors in the third step. Written plainly, as people write such models in
PyTorch 1.13, which has no fused attention for processors.
"""
import argparse
import contextlib
import gc
import json
import math
import struct
import time

import numpy as np
import torch
import torch.nn.functional as F


def read_safetensors(path):
    with open(path, "rb") as f:
        (n,) = struct.unpack("<Q", f.read(8))
        head = json.loads(f.read(n))
        data = f.read()
    types = {"F32": np.float32, "I32": np.int32}
    out = {}
    for name, t in head.items():
        if name != "__metadata__":
            begin, end = t["data_offsets"]
            out[name] = np.frombuffer(data[begin:end], types[t["dtype"]]).reshape(t["shape"])
    return out


class Model(torch.nn.Module):
    def __init__(self, weights, head_size):
        super().__init__()
        self.head_size = head_size
        self.layers = 1 + max(int(name.split(".")[1]) for name in weights if name.startswith("h."))
        self.w = torch.nn.ParameterDict(
            {name.replace(".", "/"): torch.nn.Parameter(torch.tensor(x)) for name, x in weights.items()}
        )

    def p(self, name):
        return self.w[name.replace(".", "/")]

    def linear(self, stem, x):
        w = self.p(stem + ".weight")  # [in, out]
        return torch.addmm(self.p(stem + ".bias"), x.reshape(-1, w.shape[0]), w).view(*x.shape[:-1], -1)

    def norm(self, stem, x):
        return F.layer_norm(x, x.shape[-1:], self.p(stem + ".weight"), self.p(stem + ".bias"), 1e-5)

    def attention(self, stem, x, mask):
        b, t, d = x.shape
        heads = [y.view(b, t, -1, self.head_size).transpose(1, 2) for y in self.linear(stem + ".c_attn", x).split(d, 2)]
        q, k, v = heads
        scores = (q @ k.transpose(-2, -1)) * (1 / math.sqrt(self.head_size))
        y = F.softmax(scores.masked_fill(mask, float("-inf")), dim=-1) @ v
        return self.linear(stem + ".c_proj", y.transpose(1, 2).reshape(b, t, d))

    def forward(self, ids, targets):
        t = ids.shape[1]
        mask = torch.ones(t, t, dtype=torch.bool).triu(1)
        x = F.embedding(ids, self.p("wte.weight")) + self.p("wpe.weight")[:t]
        for i in range(self.layers):
            h = f"h.{i}."
            x = x + self.attention(h + "attn", self.norm(h + "ln_1", x), mask)
            y = F.gelu(self.linear(h + "mlp.c_fc", self.norm(h + "ln_2", x)))
            x = x + self.linear(h + "mlp.c_proj", y)
        logits = self.norm("ln_f", x) @ self.p("wte.weight").t()
        return F.cross_entropy(logits.view(-1, logits.shape[-1]), targets.reshape(-1))


def tensor_bytes():
    """Bytes of all tensors that are alive, storages counted once."""
    gc.collect()
    return sum({t.storage().data_ptr(): t.storage().nbytes() for t in gc.get_objects() if isinstance(t, torch.Tensor)}.values())


def peak_of(profile):
    """The largest running sum of what was taken and given back, from the mark "third" on if there is one."""
    live, peak = 0, 0
    events = profile.profiler.kineto_results.events()
    begin = max((e.start_us() for e in events if e.name() == "third"), default=0)
    for e in sorted((e for e in events if e.name() == "[memory]"), key=lambda e: e.start_us()):
        live += e.nbytes()
        if e.start_us() >= begin:
            peak = max(peak, live)
    return peak


def main():
    args = argparse.ArgumentParser()
    args.add_argument("file")
    args.add_argument("--threads", type=int, default=2)
    args.add_argument("--warmup", type=int, default=2)
    args.add_argument("--foreach", action="store_true", help="AdamW over lists of tensors")
    args.add_argument("--memory", choices=["third", "three"], help="profile the third step, or all until its end: the "
                      "first does not see that gradients of the second are freed")
    args = args.parse_args()
    torch.set_num_threads(args.threads)

    tensors = read_safetensors(args.file)
    ids, targets, theirs = (tensors.pop("bench." + name) for name in ("ids", "targets", "losses"))
    head_size = int(tensors.pop("bench.head_size")[0])
    model = Model(tensors, head_size)
    groups = [
        {"params": [p for p in model.parameters() if p.dim() >= 2], "weight_decay": 0.01},
        {"params": [p for p in model.parameters() if p.dim() < 2], "weight_decay": 0.0},
    ]
    optimizer = torch.optim.AdamW(groups, lr=1e-3, betas=(0.9, 0.999), eps=1e-8, foreach=args.foreach)

    seconds, losses = [], []
    memory = {}

    def step(i):
        loss = model(torch.tensor(ids[i]).long(), torch.tensor(targets[i]).long())
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        optimizer.step()
        losses.append(loss.item())

    for i in range(len(ids)):
        began = time.perf_counter()
        if args.memory and i == (2 if args.memory == "third" else 0):
            before = tensor_bytes()
            profile = torch.profiler.profile(activities=[torch.profiler.ProfilerActivity.CPU], profile_memory=True)
            profile.start()
        with torch.profiler.record_function("third") if i == 2 else contextlib.nullcontext():
            step(i)
        if args.memory and i == 2:
            profile.stop()
            memory = {"profiled": args.memory, "live_before_bytes": before, "peak_bytes": before + peak_of(profile)}
        seconds.append(time.perf_counter() - began)
    with open("/proc/self/maps") as f:
        blas = sorted({line.split()[-1] for line in f if "blas" in line.split()[-1]})
    print(json.dumps({
        "torch": torch.__version__, "threads": torch.get_num_threads(), "blas": blas,
        "parameters": sum(p.numel() for p in model.parameters()),
        "memory": memory, "seconds": seconds[args.warmup:], "losses": losses, "hornito_losses": [float(x) for x in theirs],
    }))


if __name__ == "__main__":
    main()
