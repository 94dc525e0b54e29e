#!/usr/bin/python3
"""A training step of hornito's cpu device beside PyTorch's, in turn, in one run.

    compare_torch.py HORNITO [--rounds N] [--repeats N] [--threads N] [--json FILE]

Each round runs both, the other one first each time: hornito measures its steps and exports weights and
batches, PyTorch repeats them. All losses must agree within 1e-3. Prints both medians and their ratio
(above 1: hornito is faster). PyTorch runs with OpenBLAS of the OpenMP kind (Debian's
libopenblas0-openmp), which suits it best; the script fails where another was loaded.
"""
import argparse
import json
import os
import pathlib
import statistics
import subprocess
import sys
import tempfile

OPENMP = "/usr/lib/{}-linux-gnu/openblas-openmp"


def run_hornito(args, folder):
    out = f"{folder}/step.json"
    subprocess.run(
        [args.hornito, "bench", "step", "--only-first", "--device", "cpu", "--threads", str(args.threads),
         "--repeats", str(args.repeats), "--warmup", str(args.warmup), "--export", f"{folder}/step.safetensors",
         "--json", out], check=True, stdout=subprocess.DEVNULL)
    result = json.loads(pathlib.Path(out).read_text())
    return [ms / 1e3 for ms in result["variants"][0]["times_ms"]], result


def run_torch(args, folder):
    blas = OPENMP.format(os.uname().machine)
    env = dict(os.environ, OMP_NUM_THREADS=str(args.threads), LD_LIBRARY_PATH=blas)
    done = subprocess.run(
        ["/usr/bin/python3", str(pathlib.Path(__file__).parent / "torch_step.py"), f"{folder}/step.safetensors",
         "--threads", str(args.threads), "--warmup", str(args.warmup)], check=True, env=env, stdout=subprocess.PIPE)
    result = json.loads(done.stdout)
    if not any("openblas-openmp" in path for path in result["blas"]):
        sys.exit(f"compare_torch.py: PyTorch loaded {result['blas']}; install libopenblas0-openmp")
    worst = max(abs(a - b) / abs(b) for a, b in zip(result["hornito_losses"], result["losses"]))
    if not worst <= 1e-3:
        sys.exit(f"compare_torch.py: losses differ by {worst:.2g} (relative), 1e-3 is allowed")
    return result["seconds"], result, worst


def main():
    args = argparse.ArgumentParser()
    args.add_argument("hornito")
    args.add_argument("--rounds", type=int, default=4)
    args.add_argument("--repeats", type=int, default=10)
    args.add_argument("--warmup", type=int, default=3)
    args.add_argument("--threads", type=int, default=2)
    args.add_argument("--json")
    args = args.parse_args()

    ours, theirs, worst, rounds = [], [], 0.0, []
    with tempfile.TemporaryDirectory() as folder:
        run_hornito(args, folder)  # makes what PyTorch reads; the same bytes each time
        for i in range(args.rounds):
            results = {}
            for who in ("hornito", "torch") if i % 2 else ("torch", "hornito"):
                if who == "hornito":
                    seconds, head = run_hornito(args, folder)
                else:
                    seconds, torch_head, error = run_torch(args, folder)
                    worst = max(worst, error)
                results[who] = statistics.median(seconds)
                (ours if who == "hornito" else theirs).extend(seconds)
            rounds.append(results["torch"] / results["hornito"])
            print(f"round {i + 1}: hornito {results['hornito'] * 1e3:.1f} ms, PyTorch {results['torch'] * 1e3:.1f} ms, "
                  f"ratio {rounds[-1]:.3f}", flush=True)
    ratio = statistics.median(theirs) / statistics.median(ours)
    print(f"hornito {statistics.median(ours) * 1e3:.1f} ms, PyTorch {torch_head['torch']} "
          f"{statistics.median(theirs) * 1e3:.1f} ms, {len(ours)} steps each, {args.threads} threads; "
          f"ratio of medians {ratio:.3f}; losses within {worst:.2g}")
    if args.json:
        pathlib.Path(args.json).write_text(json.dumps({
            "hornito_seconds": ours, "torch_seconds": theirs, "ratio_of_medians": ratio, "ratio_of_rounds": rounds,
            "loss_difference": worst, "threads": args.threads, "device": head["device"], "build": head["build"],
            "model": head["model"], "torch": torch_head["torch"], "torch_blas": torch_head["blas"],
        }, indent=2) + "\n")


if __name__ == "__main__":
    main()
