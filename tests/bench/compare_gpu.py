#!/usr/bin/env python3
"""PyTorch on CUDA for the list of a real GPU, and hornito's figures of the same card beside it.

    compare_gpu.py [--bench BENCH-OPS.json ...] [--seconds N] [--json FILE]

Measures, with CUDA's events after a warm-up, medians of at least ten repeats: f32 products (TF32 off)
and f16 products at 4096^3 with both backward forms, a matrix-vector product of 64 MiB, attention
forward, forward and backward, and the training step of a GPT-2 shape of 124M parameters (T 1024) in
f32 and under autocast to f16. --bench: files of `hornito bench ops --json` and `hornito bench step
--json` from the same card, which are copied into the result. Prints a line each and writes JSON.
Where there is no PyTorch or no CUDA it says so in one line and ends with code 77.
"""
import argparse
import json
import pathlib
import statistics
import sys
import time


def find_torch():
    try:
        import torch
    except ImportError:
        print("compare_gpu.py: no CUDA: PyTorch is not installed")
        sys.exit(77)
    if not torch.cuda.is_available():
        print("compare_gpu.py: no CUDA: PyTorch", torch.__version__, "finds no device")
        sys.exit(77)
    return torch


def measure(torch, run, seconds):
    """Milliseconds of each repeat: at least ten, then until `seconds` are used."""
    for _ in range(3):
        run()
    torch.cuda.synchronize()
    times, end = [], time.monotonic() + seconds
    while len(times) < 10 or (time.monotonic() < end and len(times) < 200):
        begin, done = torch.cuda.Event(enable_timing=True), torch.cuda.Event(enable_timing=True)
        begin.record()
        run()
        done.record()
        torch.cuda.synchronize()
        times.append(begin.elapsed_time(done))
    return times


def products(torch):
    for dtype, name in ((torch.float32, "f32"), (torch.float16, "f16")):
        for n in (1024, 2048, 4096):
            a = torch.randn(n, n, device="cuda", dtype=dtype)
            b = torch.randn(n, n, device="cuda", dtype=dtype)
            flop = 2 * n ** 3
            yield f"matmul {name} {n}^3", lambda a=a, b=b: a @ b, flop, None
            yield f"matmul {name} {n}^3 dx", lambda a=a, b=b: a @ b.t(), flop, None
            yield f"matmul {name} {n}^3 dw", lambda a=a, b=b: a.t() @ b, flop, None
    w = torch.randn(4096, 4096, device="cuda")
    x = torch.randn(1, 4096, device="cuda")
    yield "matmul f32 1x4096 4096x4096", lambda: x @ w.t(), None, w.numel() * 4


def attentions(torch):
    for dtype, name in ((torch.float32, "f32"), (torch.float16, "f16")):
        q, k, v = (torch.randn(4, 12, 1024, 64, device="cuda", dtype=dtype, requires_grad=True) for _ in range(3))
        flop = 4 * 4 * 12 * 1024 * 1024 * 64
        fn = torch.nn.functional.scaled_dot_product_attention

        def both(q=q, k=k, v=v):
            fn(q, k, v, is_causal=True).sum().backward()

        def forward(q=q, k=k, v=v):
            with torch.no_grad():
                fn(q, k, v, is_causal=True)
        yield f"attention {name} 4x1024, 12 heads of 64, causal", forward, flop, None
        yield f"attention {name}, both ways", both, None, None


def make_model(torch, d=768, layers=12, heads=12, vocab=50304, t=1024):
    nn = torch.nn

    class Block(nn.Module):
        def __init__(self):
            super().__init__()
            self.n1, self.n2 = nn.LayerNorm(d), nn.LayerNorm(d)
            self.qkv, self.out = nn.Linear(d, 3 * d), nn.Linear(d, d)
            self.up, self.down = nn.Linear(d, 4 * d), nn.Linear(4 * d, d)

        def forward(self, x):
            q, k, v = (u.view(*x.shape[:2], heads, d // heads).transpose(1, 2)
                       for u in self.qkv(self.n1(x)).chunk(3, -1))
            y = nn.functional.scaled_dot_product_attention(q, k, v, is_causal=True)
            x = x + self.out(y.transpose(1, 2).reshape(x.shape))
            return x + self.down(nn.functional.gelu(self.up(self.n2(x)), approximate="tanh"))

    class Model(nn.Module):
        def __init__(self):
            super().__init__()
            self.tokens, self.places = nn.Embedding(vocab, d), nn.Embedding(t, d)
            self.blocks, self.norm = nn.ModuleList(Block() for _ in range(layers)), nn.LayerNorm(d)

        def forward(self, ids, want):
            x = self.tokens(ids) + self.places.weight
            for block in self.blocks:
                x = block(x)
            logits = self.norm(x) @ self.tokens.weight.t()
            return nn.functional.cross_entropy(logits.flatten(0, 1), want.flatten())
    return Model().cuda()


def steps(torch):
    for half in (False, True):
        torch.manual_seed(1)
        model = make_model(torch)
        optimizer = torch.optim.AdamW(model.parameters(), lr=1e-4)
        scaler = torch.cuda.amp.GradScaler(enabled=half)
        ids = torch.randint(0, 50304, (4, 1024), device="cuda")

        def step(model=model, optimizer=optimizer, scaler=scaler, ids=ids, half=half):
            optimizer.zero_grad(set_to_none=True)
            with torch.autocast("cuda", torch.float16, enabled=half):
                loss = model(ids, ids.roll(-1, 1))
            scaler.scale(loss).backward()
            scaler.unscale_(optimizer)
            torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
            scaler.step(optimizer)
            scaler.update()
        n = sum(p.numel() for p in model.parameters())
        flop = (6 * n + 12 * 12 * 768 * 1024) * ids.numel()
        yield f"training step, GPT-2 124M, 4x1024, {'f16' if half else 'f32'}", step, flop, None


def main():
    args = argparse.ArgumentParser()
    args.add_argument("--bench", nargs="*", default=[])
    args.add_argument("--seconds", type=float, default=3)
    args.add_argument("--json")
    args = args.parse_args()
    torch = find_torch()
    torch.backends.cuda.matmul.allow_tf32 = torch.backends.cudnn.allow_tf32 = False
    rows = []
    for part in (products, attentions, steps):
        for name, run, flop, bytes_read in part(torch):
            times = measure(torch, run, args.seconds)
            ms = statistics.median(times)
            row = {"name": name, "median_ms": ms, "times_ms": times}
            if flop:
                row["tflops"] = flop / ms * 1e-9
            if bytes_read:
                row["gb_per_s"] = bytes_read / ms * 1e-6
            rate = f"{row['tflops']:8.1f} TFLOP/s" if flop else f"{row['gb_per_s']:8.0f} GB/s" if bytes_read else ""
            print(f"{name:48} {ms:10.3f} ms {rate}", flush=True)
            rows.append(row)
    if args.json:
        ours = {pathlib.Path(path).name: json.loads(pathlib.Path(path).read_text()) for path in args.bench}
        pathlib.Path(args.json).write_text(json.dumps(
            {"device": torch.cuda.get_device_name(), "torch": torch.__version__, "cuda": torch.version.cuda,
             "tf32": False, "rows": rows, "hornito": ours}, indent=1) + "\n")


if __name__ == "__main__":
    main()
