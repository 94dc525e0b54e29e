#!/usr/bin/env python3
"""hornito's cpu device beside CTranslate2, llama.cpp, PyTorch and OpenBLAS, in turn, in one run.

    compare_peers.py BUILD [--only ops,product,whisper,smollm2] [--rounds N] [--threads N] [--json FILE]

Each round runs every side of a part, each a process of its own, in another order each time; figures are
medians over all rounds. Prints a line a figure with its bar and whether it is met. What the sides made is
compared: tokens must be equal. A peer that is missing is said by name. BUILD holds `bench_peers`
(ninja bench_peers). CTranslate2 and llama-cpp-python are installed below --peers, in the versions named
here; PyTorch is Debian's, with OpenBLAS of the OpenMP kind. The training step: compare_torch.py.
"""
import argparse
import datetime
import json
import os
import pathlib
import statistics
import subprocess
import sys
import time

HERE = pathlib.Path(__file__).resolve()
REFERENCE = HERE.parent.parent / "data/reference"
MODELS = pathlib.Path(os.environ.get("HORNITO_MODELS", pathlib.Path.home() / ".cache/hornito/models"))
PACKAGES = {"ctranslate2": "ctranslate2==4.8.5", "llama": "llama-cpp-python==0.3.36"}
SHAPES = ["512x512x512", "1024x1024x1024", "2048x2048x2048", "4096x512x1536"]
PROMPT, MADE = 512, 128

# ---- the peers, each in a process of its own -------------------------------------------------


def timed(run, repeats, warmup):
    for _ in range(warmup):
        run()
    ms = []
    for _ in range(repeats):
        began = time.perf_counter()
        run()
        ms.append((time.perf_counter() - began) * 1e3)
    return ms


def peer_torch(threads, repeats):
    import torch
    import torch.nn.functional as F

    torch.set_num_threads(threads)
    x, w, b = torch.rand(1024, 4096) * 4 - 2, torch.rand(4096), torch.rand(4096)

    def rms_norm():
        return x * torch.rsqrt((x * x).mean(-1, keepdim=True) + 1e-5) * w

    with torch.no_grad():
        out = {
            "softmax": timed(lambda: F.softmax(x, -1), repeats, 5),
            "layer_norm": timed(lambda: F.layer_norm(x, (4096,), w, b), repeats, 5),
            "rms_norm": timed(rms_norm, repeats, 5),
            "gelu": timed(lambda: F.gelu(x), repeats, 5),
        }
    return {**out, "version": torch.__version__}


def peer_whisper(threads, repeats, compute, mel, prompt):
    import ctranslate2
    import numpy as np

    model = ctranslate2.models.Whisper(str(MODELS / "whisper-base"), device="cpu", compute_type=compute,
                                       inter_threads=1, intra_threads=threads)
    features = ctranslate2.StorageView.from_array(np.load(mel).reshape(1, 80, 3000).astype(np.float32))
    made = []

    def transcribe():
        r = model.generate(features, [prompt], beam_size=1, max_length=200, sampling_temperature=0)
        made[:] = r[0].sequences_ids[0]

    return {"encoder": timed(lambda: model.encode(features), repeats, 1), "encoder + tokens": timed(transcribe, repeats, 1),
            "tokens": made, "version": ctranslate2.__version__}


def peer_llama(threads, repeats, path):
    import llama_cpp

    m = llama_cpp.Llama(path, n_ctx=1024, n_batch=PROMPT, n_ubatch=PROMPT, n_threads=threads, n_threads_batch=threads,
                        verbose=False)

    def feed(ids, made):
        """Milliseconds of these ids in an empty context, and of each of the next."""
        m.reset()
        began = time.perf_counter()
        m.eval(ids)
        put = time.perf_counter()
        for _ in range(made - 1):
            m.eval([m.sample(temp=0)])
        return (put - began) * 1e3, (time.perf_counter() - put) * 1e3 / (made - 1)

    out = {"prompt": [], "a token": [], "a token after the prompt": []}
    for i in range(-1, repeats):
        put, after = feed([1000 + (k * 7919 + i) % 40000 for k in range(PROMPT)], MADE // 4)
        _, token = feed([1000 + i], MADE)
        if i >= 0:
            out["prompt"].append(put), out["a token"].append(token), out["a token after the prompt"].append(after)
    return {**out, "version": llama_cpp.__version__}


# ---- running ---------------------------------------------------------------------------------


def install(a, name):
    """The Python of a peer's virtual environment, made where it is not there yet."""
    folder = pathlib.Path(a.peers) / name
    if not (folder / "bin/python").exists():
        print(f"installing {PACKAGES[name]} below {folder}", file=sys.stderr)
        subprocess.run([sys.executable, "-m", "venv", folder], check=True)
        subprocess.run([folder / "bin/pip", "install", "-q", PACKAGES[name], "numpy"], check=True)
    return folder / "bin/python"


def peer(python, name, *arguments, **more):
    return [python, HERE, "--peer", name, *arguments], more


def run_side(command, more, missing, side):
    """What one side printed, or None where it does not run here: then `missing` says why."""
    if side in missing:
        return None
    env = dict(os.environ, **more)
    done = subprocess.run([str(c) for c in command], env=env, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    if done.returncode:
        missing[side] = (done.stderr.strip().splitlines() or [f"status {done.returncode}"])[-1]
        print(f"{side} is missing: {missing[side]}", flush=True)
        return None
    return json.loads(done.stdout)


def measure(a, sides, missing):
    """Medians of every list of times of every side over all rounds."""
    times, rest, names = {s: {} for s in sides}, {s: {} for s in sides}, list(sides)
    for i in range(a.rounds):
        for side in names[i % len(names):] + names[: i % len(names)]:
            command, more = sides[side]
            for key, value in (run_side(command, more, missing, side) or {}).items():
                if isinstance(value, list) and key != "tokens":
                    times[side].setdefault(key, []).extend(value)
                else:
                    rest[side][key] = value
    median = {s: {k: statistics.median(v) for k, v in t.items()} for s, t in times.items()}
    return median, rest, {s: {k: sorted(v) for k, v in t.items()} for s, t in times.items()}


class Report:
    def __init__(self):
        self.rows = []

    def row(self, what, ours, peer_name, theirs, most):
        """Both in milliseconds; ours is to be at most `most` times theirs."""
        if ours is None or theirs is None:
            print(f"{what:44} not measured beside {peer_name}")
            self.rows.append({"what": what, "peer": peer_name, "missing": True})
            return
        ratio = ours / theirs
        self.rows.append({"what": what, "peer": peer_name, "hornito_ms": ours, "peer_ms": theirs, "ratio": ratio,
                          "bar": most, "met": None if most is None else ratio <= most})
        verdict = "" if most is None else f"  at most {most:<5} {'met' if ratio <= most else 'MISSED'}"
        print(f"{what:44} {ours:9.3f} ms  {peer_name:24} {theirs:9.3f} ms  ratio {ratio:.3f}{verdict}", flush=True)


def part_ops(a, report, missing):
    torch, more = peer("/usr/bin/python3", "torch", a.threads, a.repeats, OMP_NUM_THREADS=str(a.threads),
                       LD_LIBRARY_PATH=f"/usr/lib/{os.uname().machine}-linux-gnu/openblas-openmp")
    m, rest, raw = measure(a, {"hornito": ([a.build / "bench_peers", "ops", a.threads, a.repeats], {}),
                               "PyTorch": (torch, more)}, missing)
    for op in ("softmax", "rms_norm", "layer_norm", "gelu"):
        report.row(f"{op} 1024x4096", m["hornito"].get(op), "PyTorch", m["PyTorch"].get(op), None if op == "gelu" else 1)
    report.row("gelu 1024x4096", m["hornito"].get("gelu"), "ggml on such a machine", 5.4, 1)
    return rest, raw


def part_product(a, report, missing):
    sides = {side: ([a.build / "bench_peers", part, a.threads, a.repeats], {})
             for side, part in (("hornito", "product"), ("OpenBLAS", "openblas"))}
    m, rest, raw = measure(a, sides, missing)
    m = {**m["hornito"], **m["OpenBLAS"]}
    for s in SHAPES:
        report.row(f"product {s}", m.get(f"hornito product {s}"), "OpenBLAS product", m.get(f"OpenBLAS product {s}"), None)
        report.row(f"product + bias + GELU {s}", m.get(f"hornito product + bias + GELU {s}"), "OpenBLAS product",
                   m.get(f"OpenBLAS product {s}"), 1.05)
    return rest, raw


def part_whisper(a, report, missing):
    mel, want = REFERENCE / "logmel_80x3000.npy", json.loads((REFERENCE / "whisper-base/decode.json").read_text())
    prompt = [50258, 50259, 50359, 50363]
    sides = {"hornito": ([a.build / "bench_peers", "whisper", a.threads, 5, MODELS / "whisper-base", mel, *prompt], {})}
    for compute in ("float32", "int8"):
        sides[f"CTranslate2 {compute}"] = peer(install(a, "ctranslate2"), "whisper", a.threads, 5, compute, mel, *prompt)
    m, rest, raw = measure(a, sides, missing)
    for side, r in rest.items():
        if r and r["tokens"] != want["greedy_no_timestamps"]:
            sys.exit(f"compare_peers.py: {side} made {r['tokens']}, {want['greedy_no_timestamps']} are wanted")
    f32, int8 = m["CTranslate2 float32"], m["CTranslate2 int8"]
    for key, peer_name, theirs, most in (
            ("encoder", "CTranslate2 float32", f32, 0.9), ("encoder", "CTranslate2 int8", int8, None),
            ("encoder + tokens", "CTranslate2 float32", f32, None), ("encoder + tokens", "CTranslate2 int8", int8, 1)):
        report.row(f"Whisper base, {key.replace('tokens', '27 tokens')}", m["hornito"].get(key), peer_name,
                   theirs.get(key), most)
    return rest, raw


def part_smollm2(a, report, missing):
    path = MODELS / "smollm2-135m"
    sides = {f"hornito {t}": ([a.build / "bench_peers", "lm", a.threads, 3, path, PROMPT, MADE, t], {})
             for t in ("f32", "i8")}
    sides["llama.cpp"] = peer(install(a, "llama"), "llama", a.threads, 3, next(path.glob("*Q4_1.gguf")))
    m, rest, raw = measure(a, sides, missing)
    for key in ("prompt", "a token", "a token after the prompt"):
        for t in ("f32", "i8"):
            name = f"prompt of {PROMPT}" if key == "prompt" else key
            report.row(f"SmolLM2 Q4_1, {name}, {t} activations", m[f"hornito {t}"].get(key), "llama.cpp",
                       m["llama.cpp"].get(key), 1)
    return rest, raw


PARTS = {"ops": part_ops, "product": part_product, "whisper": part_whisper, "smollm2": part_smollm2}


def processor():
    lines = pathlib.Path("/proc/cpuinfo").read_text().splitlines()
    return next((line.split(": ")[1] for line in lines if line.startswith("model name")), "unknown")


def main():
    if sys.argv[1:2] == ["--peer"]:
        name, threads, repeats, *rest = sys.argv[2:]
        threads, repeats = int(threads), int(repeats)
        if name == "torch":
            out = peer_torch(threads, repeats)
        elif name == "whisper":
            out = peer_whisper(threads, repeats, rest[0], rest[1], [int(i) for i in rest[2:]])
        else:
            out = peer_llama(threads, repeats, rest[0])
        print(json.dumps(out))
        return
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("build", type=pathlib.Path, help="the build's folder `tests`")
    p.add_argument("--only", default=",".join(PARTS), help="parts, with commas between")
    p.add_argument("--rounds", type=int, default=3)
    p.add_argument("--repeats", type=int, default=30, help="of an operator or product in a round")
    p.add_argument("--threads", type=int, default=2)
    p.add_argument("--peers", default="/tmp/hornito-peers", help="where peers are installed")
    p.add_argument("--json")
    a = p.parse_args()
    report, missing, parts = Report(), {}, {}
    for name in a.only.split(","):
        rest, raw = PARTS[name](a, report, missing)
        parts[name] = {"sides": rest, "times_ms": raw}
    if a.json:
        commit = subprocess.run(["git", "-C", HERE.parent, "rev-parse", "HEAD"], stdout=subprocess.PIPE, text=True).stdout
        pathlib.Path(a.json).write_text(json.dumps({
            "command": "compare_peers.py " + " ".join(sys.argv[1:]), "commit": commit.strip(), "processor": processor(),
            "threads": a.threads, "rounds": a.rounds, "time": datetime.datetime.now(datetime.timezone.utc).isoformat(),
            "packages": PACKAGES, "missing": missing, "rows": report.rows, "parts": parts}) + "\n")


if __name__ == "__main__":
    main()
