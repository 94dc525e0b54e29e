#!/usr/bin/env python3
"""One case of compare_vulkan.py by ncnn's Vulkan layers, with 16- and 8-bit storage and arithmetic off.

    peer_ncnn.py CASE SECONDS

ncnn's Python interface runs whole nets, from and to host memory. So a layer's time is that of a net with it (four of
it in a chain, where result and operand are alike) less that of the same net without it, run in turn; the larger of two
packings' times is left out, as is settled by a run of each.
"""
import json
import sys
import time

import ncnn
import numpy as np

import vulkan_cases as cases

OFF = ["use_fp16_packed", "use_fp16_storage", "use_fp16_arithmetic", "use_bf16_packed", "use_bf16_storage",
       "use_int8_packed", "use_int8_storage", "use_int8_arithmetic"]
CHAIN = 4
LAYERS = {"softmax": "Softmax", "rms_norm": "RMSNorm", "layer_norm": "LayerNorm", "gelu": "GELU", "add": "BinaryOp",
          "product": "Gemm", "attention": "SDPA"}
ROW_PARAMS = {"softmax": "0=1 1=1", "gelu": "0=1", "rms_norm": f"0={cases.COLS} 1={cases.EPS} 2=0",
              "layer_norm": f"0={cases.COLS} 1={cases.EPS} 2=0"}


class Net:
    def __init__(self, lines, packing, weights=b""):
        self.net = ncnn.Net()
        self.net.opt.use_vulkan_compute = True
        self.net.opt.use_packing_layout = packing
        for name in OFF:
            setattr(self.net.opt, name, False)
        blobs = {b for line in lines for b in line.split()[4:4 + sum(map(int, line.split()[2:4]))]}
        text = "\n".join(["7767517", f"{len(lines)} {len(blobs)}", *lines, ""])
        if self.net.load_param_mem(text):
            sys.exit(f"ncnn does not take {lines[-1]}")
        self.net.load_model_mem(weights or bytes(4))

    def run(self, given):
        """Milliseconds, and what comes out."""
        e = self.net.create_extractor()
        for i, a in enumerate(given):
            e.input(f"x{i}", ncnn.Mat(a))
        began = time.perf_counter()
        status, made = e.extract("y")
        ms = (time.perf_counter() - began) * 1e3
        if status:
            sys.exit(f"ncnn: status {status} of a net")
        return ms, made


def chain(op, n):
    """A net of n such layers, each of what the one before it made; with 0 only what goes there and back."""
    if op == "add":
        lines = [f"Split s 1 {n + 1} x0 " + " ".join(f"c{i}" for i in range(n + 1))]
        lines += [f"BinaryOp l{i} 2 1 {f'z{i}' if i else 'c0'} c{i + 1} z{i + 1} 0=0" for i in range(n)]
    else:
        lines = [f"{LAYERS[op]} l{i} 1 1 {f'z{i}' if i else 'x0'} z{i + 1} {ROW_PARAMS[op]}" for i in range(n)]
    if not n:
        return ["Input x 0 1 x0", "Noop l 1 1 x0 y"]
    return ["Input x 0 1 x0", *[line.replace(f" z{n} ", " y ") for line in lines]]


def nets(case, given, packing):
    """The net with layers of a case, how many those are, one with a single one, one with none, and what goes in."""
    op = case.split()[0]
    if op == "product":
        k, n = given[1].shape
        gemm = f"Gemm l 1 1 x0 y 3=1 5=1 6=1 7=0 8={n} 9={k} 10=-1"
        one = Net(["Input x 0 1 x0", gemm], packing, bytes(4) + np.ascontiguousarray(given[1].T).tobytes())
        return one, 1, one, Net(chain(op, 0), packing), given[:1]
    if op == "attention":
        one = Net([f"Input i{i} 0 1 x{i}" for i in range(3)] + ["SDPA l 3 1 x0 x1 x2 y"], packing)
        return one, 1, one, Net(chain(op, 0), packing), given
    return Net(chain(op, CHAIN), packing), CHAIN, Net(chain(op, 1), packing), Net(chain(op, 0), packing), given[:1]


def main():
    case, seconds = sys.argv[1], float(sys.argv[2])
    op, given = case.split()[0], cases.inputs(case)
    if op == "add":
        given = [given[0]] * 2
    if not ncnn.create_layer(LAYERS[op]).support_vulkan:
        sys.exit(f"ncnn has no {LAYERS[op]} for Vulkan")
    each = {}
    for packing in (True, False):
        many, n, one, none, put = nets(case, given, packing)
        worst = cases.error(case, given, np.array(one.run(put)[1]))
        many.run(put), none.run(put[:1])
        each[packing] = [many.run(put)[0], worst, many, n, none, put]
    packing = min(each, key=lambda p: each[p][0])
    _, worst, many, n, none, put = each[packing]
    ms, end = [], time.perf_counter() + seconds
    while len(ms) < 2 or (len(ms) < 30 and time.perf_counter() < end):
        ms.append((many.run(put)[0] - none.run(put[:1])[0]) / n)
    print(json.dumps({"version": ncnn.__version__, "device": ncnn.get_gpu_info(0).device_name(), "times_ms": ms,
                      "error": worst, "packing": packing}))


if __name__ == "__main__":
    main()
