#!/usr/bin/env python3
"""hornito on a Vulkan device beside ggml, ncnn and meganeura on the same, in turn, in one run.

    compare_vulkan.py HORNITO [--only CASE,...] [--rounds N] [--seconds S] [--json FILE]
    compare_vulkan.py --install ggml,ncnn,meganeura [--pythons 3.11,3.13]

Each round runs every side of a case, each a process of its own, in another order each time; figures are medians of wall
time over all rounds, operands on the device. Every side's result is checked, ours by `hornito bench` itself against
its f64 reference, the others' against numpy; a side whose result is off by more than is allowed has no figure. A peer
that is missing is said by name, as is how to install it. FILE is added to, case by case, where it is of the same device
and driver: cases can be measured by a call each. The driver is the one that VK_ICD_FILENAMES names.
"""
import argparse
import datetime
import json
import os
import pathlib
import shutil
import statistics
import subprocess
import sys
import tempfile

HERE = pathlib.Path(__file__).resolve().parent
PYTHON = f"{sys.version_info.major}.{sys.version_info.minor}"
PACKAGES = {"ggml": "@node-llama-cpp/linux-x64-vulkan@3.22.1", "ncnn": "ncnn==1.0.20261020", "numpy": "numpy==2.3.5",
            "meganeura": "meganeura =0.3.0"}
GGML = "ggml/node_modules/@node-llama-cpp/linux-x64-vulkan/bins/linux-x64-vulkan"
MEGANEURA = "meganeura/target/debug/peer_meganeura"
ROWS = "1024x4096"
GGML_F32 = {f"GGML_VK_DISABLE_{what}": "1" for what in ("F16", "COOPMAT", "COOPMAT2")}
OURS = {  # case: operator and shape as `hornito bench ops` has them, times it is run
    "product 512x512x512": ("matmul 512x512 512x512", 20), "product 1024x1024x1024": ("matmul 1024x1024 1024x1024", 10),
    "product 2048x2048x2048": ("matmul 2048x2048 2048x2048", 10),
    "product 4096x512x1536": ("matmul 4096x512 512x1536", 10),
    **{op: (f"{op} {ROWS}", 20) for op in ("softmax", "rms_norm", "layer_norm", "gelu", "add")},
    "attention": ("attention 1 x 1024, 8 heads of 64", 10),
}
# What a result may be off by, of its root mean square: in f32; where a side goes through f16 (products come to 1e-3,
# ggml's flash attention to 5e-2, as its averages are small beside its operands).
EXACT, HALF = 1e-4, 1e-1

# ---- installing ------------------------------------------------------------------------------


def install(peers, names, pythons):
    """Pinned packages, below `peers` only. A Python other than this one (a root's) gets a folder of its own."""
    for name in names:
        if name == "ggml":
            subprocess.run(["npm", "install", "--prefix", peers / "ggml", "--no-save", "--no-audit", "--no-fund",
                            "--ignore-scripts", PACKAGES["ggml"]], check=True)
        elif name == "ncnn":
            for version in pythons:
                subprocess.run([sys.executable, "-m", "pip", "install", "-q", "--target", peers / f"python{version}",
                                "--python-version", version, "--only-binary=:all:", "--no-deps", PACKAGES["ncnn"],
                                PACKAGES["numpy"]], check=True)
        elif name == "meganeura":
            shutil.copytree(HERE / "peer_meganeura", peers / "meganeura", dirs_exist_ok=True)
            subprocess.run(["cargo", "build", "--manifest-path", peers / "meganeura/Cargo.toml"], check=True)
        else:
            sys.exit(f"compare_vulkan.py: no peer {name}; ggml, ncnn and meganeura are known")


# ---- one run of a side -----------------------------------------------------------------------


def output_of(command, env):
    """Its JSON, or the last thing it said where it fails."""
    done = subprocess.run([str(c) for c in command], env={**os.environ, **env}, stdout=subprocess.PIPE,
                          stderr=subprocess.PIPE, text=True)
    if done.returncode:
        lines = (done.stderr.strip() or done.stdout.strip()).splitlines()
        return None, lines[-1] if lines else f"status {done.returncode}"
    return json.loads(done.stdout[done.stdout.index("{"):]), None


def run_ours(a, case):
    op, repeats = OURS[case]
    got, failed = output_of([a.hornito, "bench", "ops", "--op", op, "--device", "vulkan", "-n", repeats, "--warmup", 2,
                             "--json", "-"], {})
    if failed:
        return None, failed
    (row,) = got["ops"]
    return {"version": got["build"]["version"], "device": got["device"]["name"], "driver": got["device"]["driver"],
            "times_ms": row["wall"]["times_ms"], "error": row["error"], "device_ms": row["device_ms"],
            "flop": row.get("flop"), "bytes": row["bytes"], "peaks": got["peaks"]}, None


def run_meganeura(a, case, *form):
    binary = a.peers / MEGANEURA
    if not binary.exists():
        return None, missing("meganeura")
    import numpy as np

    import vulkan_cases as cases

    op, *size = case.split()
    size = size[0].split("x") if size else [cases.HEADS, cases.LENGTH, cases.WIDTH] if op == "attention" else \
        [cases.ROWS, cases.COLS, 0]
    given = cases.inputs(case)
    with tempfile.TemporaryDirectory() as folder:
        for i, x in enumerate(given):
            (x.transpose(1, 0, 2) if op == "attention" else x).tofile(f"{folder}/{i}")
        got, failed = output_of([binary, op, *size, a.seconds, folder, *form], {})
        if failed:
            return None, failed
        made = np.fromfile(f"{folder}/y", np.float32)
    if op == "attention":
        made = made.reshape(cases.LENGTH, cases.HEADS, cases.WIDTH).transpose(1, 0, 2)
    return {**got, "version": PACKAGES["meganeura"].split("=")[1], "error": cases.error(case, given, made)}, None


def missing(name):
    return f"not installed: compare_vulkan.py --install {name}"


def run_ggml(a, case, env, *form):
    if not (a.peers / GGML).exists():
        return None, missing("ggml")
    return output_of([sys.executable, HERE / "peer_ggml.py", a.peers / GGML, case, a.seconds, *form],
                     {"GGML_VK_VISIBLE_DEVICES": "0", "GGML_NO_BACKTRACE": "1", **env})


def run_ncnn(a, case):
    if not (a.peers / f"python{PYTHON}/ncnn").exists():
        return None, missing(f"ncnn --pythons {PYTHON}")
    return output_of([sys.executable, HERE / "peer_ncnn.py", case, a.seconds], {})


def sides_of(case):
    """What runs a case, by name: the call, and what its result may be off by."""
    through_half = case.startswith(("product", "attention"))
    sides = {"hornito": (run_ours, EXACT)}
    sides["ggml"] = (lambda a, c: run_ggml(a, c, {}), HALF if through_half else EXACT)
    if through_half:
        sides["ggml f32"] = (lambda a, c: run_ggml(a, c, GGML_F32), EXACT)
    if case == "attention":
        sides["ggml flash"] = (lambda a, c: run_ggml(a, c, {}, "flash"), HALF)
    sides["ncnn"] = (run_ncnn, EXACT)
    sides["meganeura"] = (run_meganeura, HALF if through_half else EXACT)
    if through_half:
        sides["meganeura f32"] = (lambda a, c: run_meganeura(a, c, "f32"), EXACT)
    return sides


# ---- all of them -----------------------------------------------------------------------------


def measure(a, case):
    """What every side came to: {name: {times_ms, error, ...} or {missing}}."""
    sides, got = sides_of(case), {}
    names = [s for s in sides if s not in a.without]
    for i in range(a.rounds):
        for name in names[i % len(names):] + names[: i % len(names)]:
            if "missing" in got.get(name, {}):
                continue
            call, allowed = sides[name]
            one, failed = call(a, case)
            if not failed and not one["error"] <= allowed:
                failed = f"wrong: off by {one['error']:.2g} of the root mean square, {allowed} is allowed"
            if failed:
                got[name] = {"missing": failed}
            elif name in got:
                got[name]["times_ms"] += one["times_ms"]
            else:
                got[name] = {**one, "allowed": allowed}
    for side in got.values():
        if "times_ms" in side:
            side["median_ms"] = statistics.median(side["times_ms"])
    return got


def check_device(got):
    """All that ran, ran on one device."""
    names = {s["device"] for s in got.values() if "device" in s}
    if len(names) > 1:
        sys.exit(f"compare_vulkan.py: the sides ran on different devices: {', '.join(sorted(names))}")


def say(case, got):
    ours = got.get("hornito", {}).get("median_ms")
    for name, side in got.items():
        if "missing" in side:
            print(f"{case:24} {name:14} not measured: {side['missing']}", flush=True)
            continue
        ms, flop = side["median_ms"], got.get("hornito", {}).get("flop")
        rate = f"{flop / ms * 1e-6:7.1f} GFLOP/s" if flop else " " * 15
        ratio = f"{ms / ours:7.2f} x ours" if ours and name != "hornito" else ""
        side["ratio_to_hornito"] = ms / ours if ours else None
        print(f"{case:24} {name:14} {ms:10.2f} ms {rate} off by {side['error']:.1e} {ratio}", flush=True)


def save(a, rows, ours):
    """Adds the rows to the file, or begins it again where it is of another device or driver."""
    path = pathlib.Path(a.json)
    head = {"device": ours["device"], "driver": ours["driver"]}
    before = json.loads(path.read_text()) if path.exists() else {}
    kept = before.get("cases", {}) if all(before.get(k) == v for k, v in head.items()) else {}
    commit = subprocess.run(["git", "-C", HERE, "rev-parse", "HEAD"], stdout=subprocess.PIPE,
                            stderr=subprocess.DEVNULL, text=True).stdout if shutil.which("git") else ""
    now = datetime.datetime.now(datetime.timezone.utc).isoformat(timespec="seconds")
    for row in rows.values():
        row.update(commit=commit.strip() or None, time=now)
    lines = pathlib.Path("/proc/cpuinfo").read_text().splitlines()
    path.write_text(json.dumps({
        "command": "compare_vulkan.py", **head, "packages": PACKAGES, "processors": os.cpu_count(),
        "processor": next((line.split(": ")[1] for line in lines if line.startswith("model name")), None),
        "cases": {**kept, **rows}}, indent=1) + "\n")


def main():
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("hornito", nargs="?", help="the command")
    p.add_argument("--only", default=",".join(OURS), help="cases, with commas between: " + ", ".join(OURS))
    p.add_argument("--without", default="", help="sides to leave out, with commas between")
    p.add_argument("--rounds", type=int, default=2)
    p.add_argument("--seconds", type=float, default=2, help="for a peer in a round; at least two runs are made")
    p.add_argument("--peers", type=pathlib.Path, default="/tmp/hornito-peers", help="where peers are installed")
    p.add_argument("--install", metavar="PEERS", help="install these, pinned, and nothing else")
    p.add_argument("--pythons", default=PYTHON, help="versions of Python to install ncnn for")
    p.add_argument("--json", metavar="FILE")
    a = p.parse_args()
    if a.install:
        return install(a.peers, a.install.split(","), a.pythons.split(","))
    unknown = [c for c in a.only.split(",") if c not in OURS]
    if unknown or not a.hornito:
        p.error(f"no case {unknown[0]}" if unknown else "HORNITO is wanted")
    a.without = [s for s in a.without.split(",") if s]
    unknown = set(a.without) - set(sides_of("attention"))
    if unknown:
        p.error(f"no side {min(unknown)}; there are {', '.join(sides_of('attention'))}")
    sys.path.insert(0, str(a.peers / f"python{PYTHON}"))
    os.environ["PYTHONPATH"] = str(a.peers / f"python{PYTHON}")
    os.environ["PYTHONDONTWRITEBYTECODE"] = "1"
    sys.dont_write_bytecode = True
    for case in a.only.split(","):
        got = measure(a, case)
        check_device(got)
        say(case, got)
        if a.json and "device" in got.get("hornito", {}):
            save(a, {case: {"sides": got}}, got["hornito"])


if __name__ == "__main__":
    main()
