#!/usr/bin/env python3
"""PyTorch (cuBLAS, cuDNN) on the list of a real GPU, and hornito's figures of the same card beside it.

    compare_gpu.py measure --json FILE [--seconds N] [--small] [--device cuda|cpu]
    compare_gpu.py bars FOLDER [--json FILE]

measure: the rows of `hornito bench ops --list gpu`, of `bench step --model gpt2` and of `bench models
--only llama-1b` under the same names: CUDA's events after a warm-up, at least ten repeats, TF32 off. Ends
with code 77 and one line where there is no PyTorch or no CUDA. --device cpu and --small try the script out.

bars: reads what tests/gpu.sh left in FOLDER (bench-peaks, bench-ops, bench-step-gpt2, bench-llama and
bench-torch.json), pairs the rows, and prints each bar of a real GPU with its value, its limit, and whether
it is met; "not measured" says what is missing. --json: all of it in one file.
"""
import argparse
import contextlib
import json
import pathlib
import statistics
import sys
import time


def find_torch(device):
    try:
        import torch
    except ImportError:
        print("compare_gpu.py: no CUDA: PyTorch is not installed")
        sys.exit(77)
    if device == "cuda" and not torch.cuda.is_available():
        print("compare_gpu.py: no CUDA: PyTorch", torch.__version__, "finds no device")
        sys.exit(77)
    torch.backends.cuda.matmul.allow_tf32 = torch.backends.cudnn.allow_tf32 = False
    return torch


class Bench:
    """What the rows are made of: PyTorch, a device, its two types, sizes."""

    def __init__(self, torch, device, small):
        self.torch, self.device, self.small = torch, device, small
        # PyTorch multiplies no f16 on processors
        self.types = {"f32": torch.float32, "f16": torch.float16 if device == "cuda" else torch.bfloat16}

    def draw(self, *shape, dtype=None, scale=1.0):
        return (self.torch.rand(*shape, device=self.device) * 2 * scale - scale).to(dtype or self.torch.float32)

    def wait(self):
        if self.device == "cuda":
            self.torch.cuda.synchronize()

    def once(self, run):
        """Milliseconds: by the card's own clock where it is one."""
        if self.device != "cuda":
            begin = time.perf_counter()
            run()
            return (time.perf_counter() - begin) * 1e3
        begin, done = (self.torch.cuda.Event(enable_timing=True) for _ in range(2))
        begin.record()
        run()
        done.record()
        self.torch.cuda.synchronize()
        return begin.elapsed_time(done)

    def measure(self, run, seconds):
        """Of each repeat: at least ten, then until `seconds` are used."""
        for _ in range(3 if self.small else 20):
            run()
        self.wait()
        times, end = [], time.monotonic() + seconds
        while len(times) < 10 or (time.monotonic() < end and len(times) < 200):
            times.append(self.once(run))
        return times


def products(b):
    n = 256 if b.small else 4096
    for name, dtype in b.types.items():
        x, y = b.draw(n, n, dtype=dtype), b.draw(n, n, dtype=dtype)
        shape = f"{n}x{n} {n}x{n}"
        yield f"matmul {name}", shape, lambda x=x, y=y: x @ y
        yield f"matmul {name} dx", shape, lambda x=x, y=y: x @ y.t()
        yield f"matmul {name} dw", shape, lambda x=x, y=y: x.t() @ y


def vectors(b):
    k = 256 if b.small else 4096
    for name, n in (("f32", k), ("f16", 2 * k)):
        w, x = b.draw(n, k, dtype=b.types[name]), b.draw(1, k, dtype=b.types[name])
        yield f"matmul {name}", f"1x{k} {k}x{n}", lambda w=w, x=x: x @ w.t()


def attentions(b):
    batch, t, heads = (1, 64, 12) if b.small else (4, 1024, 12)
    fn = b.torch.nn.functional.scaled_dot_product_attention
    for name, dtype in b.types.items():
        q, k, v = (b.draw(batch, heads, t, 64, dtype=dtype).requires_grad_() for _ in range(3))
        dy = b.draw(batch, heads, t, 64, dtype=dtype)

        def forward(q=q, k=k, v=v):
            with b.torch.no_grad():
                fn(q, k, v, is_causal=True)

        def both(q=q, k=k, v=v, dy=dy):
            b.torch.autograd.grad(fn(q, k, v, is_causal=True), (q, k, v), dy)
        shape = f"{batch} x {t}, {heads} heads of 64"
        yield f"attention causal {name}", shape, forward
        yield f"attention causal {name} both ways", shape, both


def rows(b):
    fn, r = b.torch.nn.functional, 64 if b.small else 8192
    x, y, w, bias = b.draw(r, 4096), b.draw(r, 4096), b.draw(4096), b.draw(4096)
    yield "softmax", f"{r}x4096", lambda: fn.softmax(x, -1)
    if hasattr(fn, "rms_norm"):
        yield "rms_norm", f"{r}x4096", lambda: fn.rms_norm(x, (4096,), w, 1e-5)
    yield "layer_norm", f"{r}x4096", lambda: fn.layer_norm(x, (4096,), w, bias, 1e-5)
    yield "gelu", f"{r}x4096", lambda: fn.gelu(x)
    yield "add", f"{r}x4096", lambda: x + y


def make_gpt2(torch, d=768, layers=12, heads=12, vocab=50304, t=1024):
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
            return x + self.down(nn.functional.gelu(self.up(self.n2(x))))

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
            return nn.functional.cross_entropy(logits.flatten(0, 1).float(), want.flatten())
    return Model()


def steps(b):
    """A training step as `bench step --model gpt2` makes it: clipped, AdamW, in 16 bits with a scaled loss."""
    torch, (vocab, layers, batch, t) = b.torch, (4096, 2, 1, 64) if b.small else (50304, 12, 4, 1024)
    for name in b.types:
        half = name == "f16"
        torch.manual_seed(1)
        model = make_gpt2(torch, layers=layers, vocab=vocab, t=t).to(b.device)
        fused = {"fused": True} if b.device == "cuda" else {}
        optimizer = torch.optim.AdamW(model.parameters(), lr=1e-4, **fused)
        make_scaler = getattr(torch.amp, "GradScaler", None) or torch.cuda.amp.GradScaler
        scaler = make_scaler(enabled=half and b.device == "cuda")
        ids = torch.randint(0, vocab, (batch, t), device=b.device)

        def step(model=model, optimizer=optimizer, scaler=scaler, half=half, name=name, ids=ids):
            optimizer.zero_grad(set_to_none=True)
            with torch.autocast(b.device, b.types[name]) if half else contextlib.nullcontext():
                loss = model(ids, ids.roll(-1, 1))
            scaler.scale(loss).backward()
            scaler.unscale_(optimizer)
            torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
            scaler.step(optimizer)
            scaler.update()
        yield "gpt2 step", name, step


class Llama:
    """One token of the model of `bench models --only llama-1b` in f16: drawn weights, products of one input
    joined, everything written in place so that it can be a CUDA graph."""

    def __init__(self, b, d=2048, heads=32, kv=8, ffn=8192, t=64):
        self.b, self.d, self.heads, self.kv, self.ffn = b, d, heads, kv, ffn
        half, layers, vocab = b.types["f16"], 2 if b.small else 16, 4096 if b.small else 128256
        self.table = b.draw(vocab, d, dtype=half, scale=0.02)
        self.layers = [[b.draw(*s, dtype=half, scale=0.02) for s in
                        ((d + 2 * kv * 64, d), (d, d), (2 * ffn, d), (d, ffn))] for _ in range(layers)]
        self.caches = [b.draw(2, kv, t, 64, dtype=half) for _ in range(layers)]
        self.one, self.id = b.torch.ones(d, device=b.device, dtype=half), b.torch.zeros(1, device=b.device).long()
        angle = 500000.0 ** (-b.torch.arange(32, device=b.device) / 32)
        self.cos, self.sin = angle.cos().to(half), angle.sin().to(half)
        self.weights = sum(w.numel() for layer in self.layers for w in layer) + self.table.numel()

    def norm(self, x):
        return x * (x.float().pow(2).mean(-1, keepdim=True) + 1e-5).rsqrt().to(x.dtype) * self.one

    def turn(self, x):
        even, odd = x[..., :32], x[..., 32:]
        return self.b.torch.cat((even * self.cos - odd * self.sin, odd * self.cos + even * self.sin), -1)

    def step(self):
        torch, fn, at = self.b.torch, self.b.torch.nn.functional, 32
        x = self.table[self.id]
        for (qkv, out, up, down), cache in zip(self.layers, self.caches):
            q, k, v = (self.norm(x) @ qkv.t()).split((self.d, self.kv * 64, self.kv * 64), -1)
            cache[0, :, at], cache[1, :, at] = self.turn(k.view(self.kv, 64)), v.view(self.kv, 64)
            keys, values = (u[None, :, : at + 1].repeat_interleave(self.heads // self.kv, 1) for u in cache)
            y = fn.scaled_dot_product_attention(self.turn(q.view(1, self.heads, 1, 64)), keys, values)
            x = x + y.view(1, self.d) @ out.t()
            gate, inner = (self.norm(x) @ up.t()).chunk(2, -1)
            x = x + (fn.silu(gate) * inner) @ down.t()
        self.logits = self.norm(x) @ self.table.t()
        return self.logits


def decode(b):
    model = Llama(b)
    run = model.step
    with b.torch.no_grad():
        for _ in range(3):
            model.step()
        if b.device == "cuda":
            graph = b.torch.cuda.CUDAGraph()
            with b.torch.cuda.graph(graph):
                model.step()
            run = graph.replay

        def token():
            with b.torch.no_grad():
                run()
                return model.logits.float().cpu()
        yield "llama-1b f16 decode", "", token


def measure(args):
    torch = find_torch(args.device)
    b, out = Bench(torch, args.device, args.small), []
    for part in (products, vectors, attentions, rows, steps, decode):
        for name, shape, run in part(b):
            times = b.measure(run, args.seconds)
            print(f"{name:34} {shape:24} {statistics.median(times):10.3f} ms", flush=True)
            out.append({"op": name, "shape": shape, "median_ms": statistics.median(times), "times_ms": times})
    device = torch.cuda.get_device_name() if args.device == "cuda" else "cpu"
    pathlib.Path(args.json).write_text(json.dumps(
        {"command": "compare_gpu.py measure", "card": device, "torch": torch.__version__,
         "cuda": torch.version.cuda, "tf32": False, "small": args.small, "rows": out}, indent=1) + "\n")


# ---- bars ------------------------------------------------------------------------------------------------


class Results:
    """What was measured; a figure that is not there is None."""

    def __init__(self, folder):
        def read(name):
            path = pathlib.Path(folder) / name
            return json.loads(path.read_text()) if path.exists() and path.stat().st_size else {}
        # arithmetic and copy of the same run as the operators
        self.peaks = {**read("bench-peaks.json").get("peaks", {}), **read("bench-ops.json").get("peaks", {})}
        self.ops = read("bench-ops.json").get("ops", [])
        self.steps = {v["precision"]: v["wall"]["median_ms"] for v in read("bench-step-gpt2.json").get("variants", [])}
        self.models = {m["name"]: m for m in read("bench-llama.json").get("models", [])}
        self.torch = {(r["op"], r["shape"]): r["median_ms"] for r in read("bench-torch.json").get("rows", [])}
        self.device = read("bench-ops.json").get("device", {})
        self.torch_head = {k: v for k, v in read("bench-torch.json").items() if k != "rows"}

    def rate(self, peak):
        return self.peaks.get(peak, {}).get("rate")

    def row(self, op, vector=False):
        """An operator's row; the products of a vector are those of one row."""
        for r in self.ops:
            if r["op"] == op and "wall" in r and (not op.startswith("matmul") or vector == r["shape"].startswith("1x")):
                return r
        return {}

    @staticmethod
    def ms(row):
        """By the card's own clock where it has one, as PyTorch is measured."""
        if "wall" not in row:
            return None
        return row["device_ms"] if isinstance(row["device_ms"], float) else row["wall"]["median_ms"]

    def torch_by_ours(self, row):
        return ratio(self.torch.get((row.get("op"), row.get("shape"))), self.ms(row))


def ratio(a, b):
    return a / b if a and b else None


def all_bars(r):
    """(what, value, bar, aim) of each bar of a real GPU."""
    yield "f32 product, of the f32 FMA peak", ratio(r.row("matmul f32").get("gflop_per_s"), r.rate("fma_f32")), 0.70, None
    yield "f16 product, of the vendor's rate", r.torch_by_ours(r.row("matmul f16")), 0.40, 0.60
    for op in ("matmul f32 dx", "matmul f32 dw", "matmul f16 dx", "matmul f16 dw"):
        yield f"{op}, of the forward rate", r.row(op).get("of_forward"), 0.80, None
    for t in ("f32", "f16"):
        for way in ("", " both ways"):
            op = f"attention causal {t}{way}"
            yield (f"{op}, of the {t} product's rate",
                   ratio(r.row(op).get("gflop_per_s"), r.row(f"matmul {t}").get("gflop_per_s")), 0.50, None)
    for t, bar in (("f32", 0.80), ("f16", 0.45)):
        yield f"GPT-2 124M step in {t}, of PyTorch's speed", ratio(r.torch.get(("gpt2 step", t)), r.steps.get(t)), bar, None
    for t in ("f32", "f16", "q8_0", "q4_1"):
        yield (f"vector times 64 MiB or more of {t}, of the copy rate",
               ratio(r.row(f"matmul {t}", vector=True).get("gb_per_s"), r.rate("copy")), 0.70, None)
    for t in ("f16", "q8_0", "q4_1"):
        yield (f"a token of 1 B in {t}, of the copy rate",
               ratio(r.models.get(f"llama-1b {t} decode", {}).get("gb_per_s"), r.rate("copy")), 0.35, None)


def bars(args):
    r, rows = Results(args.folder), []
    for what, value, bar, aim in all_bars(r):
        said = "not measured" if value is None else "met" if value >= bar else "MISSED"
        if value is not None and aim:
            said += ", aim met" if value >= aim else f", aim {aim:.2f}"
        rows.append({"bar": what, "value": value, "at_least": bar, "aim": aim, "verdict": said})
        print(f"{what:62} {'-' if value is None else format(value, '.2f'):>6}  bar {bar:.2f}  {said}")
    beside = [{"op": o["op"], "shape": o["shape"], "hornito_ms": r.ms(o),
               "torch_ms": r.torch.get((o["op"], o["shape"])), "torch_by_hornito": r.torch_by_ours(o)}
              for o in r.ops if "wall" in o]
    token = r.models.get("llama-1b f16 decode", {}).get("wall", {}).get("median_ms")
    beside.append({"op": "llama-1b f16 decode", "hornito_ms": token, "torch_ms": r.torch.get(("llama-1b f16 decode", "")),
                   "torch_by_hornito": ratio(r.torch.get(("llama-1b f16 decode", "")), token)})
    if args.json:
        pathlib.Path(args.json).write_text(json.dumps(
            {"command": "compare_gpu.py bars", "card": r.device, "torch": r.torch_head,
             "peaks": {k: v.get("rate") for k, v in r.peaks.items()}, "bars": rows, "beside": beside}, indent=1) + "\n")


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parts = parser.add_subparsers(required=True)
    one = parts.add_parser("measure")
    one.add_argument("--json", required=True)
    one.add_argument("--seconds", type=float, default=1)
    one.add_argument("--small", action="store_true")
    one.add_argument("--device", choices=("cuda", "cpu"), default="cuda")
    one.set_defaults(run=measure)
    two = parts.add_parser("bars")
    two.add_argument("folder")
    two.add_argument("--json")
    two.set_defaults(run=bars)
    args = parser.parse_args()
    args.run(args)


if __name__ == "__main__":
    main()
