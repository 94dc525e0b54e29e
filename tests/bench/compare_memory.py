#!/usr/bin/python3
"""Peak tensor bytes of a training step of hornito's beside PyTorch's.

    compare_memory.py HORNITO [--json FILE] [bench options, such as --device vulkan]

Ours: the plan's bytes (activations, gradients, batch) plus weights and moments, of each variant that
`hornito bench step` measures in one run. PyTorch's: the running sum of its profiler over the third
step plus the bytes alive before it; and, as that does not see that the gradients of the second step
are freed in the third, the same with all three steps profiled, which is the smaller number. The
ratios are to the smaller. The losses of both must agree within 1e-3 where hornito computes in f32.
"""
import argparse
import json
import os
import pathlib
import subprocess
import sys
import tempfile

MIB = 1 << 20


def run_torch(folder, how):
    env = dict(os.environ, OMP_NUM_THREADS="2")
    step = pathlib.Path(__file__).parent / "torch_step.py"
    done = subprocess.run(["/usr/bin/python3", str(step), f"{folder}/step.safetensors", "--memory", how], check=True,
                          env=env, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
    result = json.loads(done.stdout)
    worst = max(abs(a - b) / abs(b) for a, b in zip(result["hornito_losses"], result["losses"]))
    if not worst <= 1e-3:
        sys.exit(f"compare_memory.py: losses differ by {worst:.2g} (relative), 1e-3 is allowed")
    return result


def main():
    args = argparse.ArgumentParser()
    args.add_argument("hornito")
    args.add_argument("--json")
    args, rest = args.parse_known_args()
    with tempfile.TemporaryDirectory() as folder:
        subprocess.run([args.hornito, "bench", "step", "--only-first", "--recompute", "blocks", *rest, "--export",
                        f"{folder}/step.safetensors", "--json", f"{folder}/step.json"], check=True,
                       stdout=subprocess.DEVNULL)
        ours = json.loads(pathlib.Path(f"{folder}/step.json").read_text())
        third, three = run_torch(folder, "third"), run_torch(folder, "three")
    peak = three["memory"]["peak_bytes"]
    print(f"PyTorch {third['torch']}: {third['memory']['peak_bytes'] / MIB:.1f} MiB by the third step alone, "
          f"{peak / MIB:.1f} MiB with all three profiled")
    rows = []
    for v in ours["variants"]:
        ours_bytes = v["block_bytes"] + v["io_bytes"] + v["weight_bytes"]
        rows.append({"name": v["name"], "bytes": ours_bytes, "ratio_to_torch": ours_bytes / peak,
                     "time_ratio": v["ratio_to_first"], "plan_bytes": v["block_bytes"] + v["io_bytes"],
                     "weight_bytes": v["weight_bytes"], "median_ms": v["wall"]["median_ms"]})
        print(f"{v['name']:24} {ours_bytes / MIB:.1f} MiB, {ours_bytes / peak:.3f} of PyTorch's; "
              f"time {v['ratio_to_first']:.3f} of the first")
    if args.json:
        pathlib.Path(args.json).write_text(json.dumps({
            "variants": rows, "torch": third["torch"], "torch_third_step": third["memory"],
            "torch_three_steps": three["memory"], "device": ours["device"], "build": ours["build"],
            "model": ours["model"], "loss_differences": ours["loss_differences"],
        }, indent=2) + "\n")


if __name__ == "__main__":
    main()
