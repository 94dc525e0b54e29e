"""What Vulkan runtimes are compared by: inputs, what numpy makes of them in f64, and how runs are timed.

A case is named `product 512x512x512` (M, K and N), `softmax`, `rms_norm`, `layer_norm`, `gelu`, `add` (each of 1024
rows of 4096) or `attention` (8 heads, 1024 positions, 64 wide). Everything a peer is given and makes is f32.
"""
import math
import time

import numpy as np

ROWS, COLS = 1024, 4096
HEADS, LENGTH, WIDTH = 8, 1024, 64
EPS = 1e-5


def inputs(case):
    """The arrays that a case starts from."""
    rng = np.random.default_rng(17)
    op, *size = case.split()
    if op == "product":
        m, k, n = map(int, size[0].split("x"))
        shapes = [(m, k), (k, n)]
    elif op == "attention":
        shapes = [(HEADS, LENGTH, WIDTH)] * 3
    else:
        shapes = [(ROWS, COLS)] * (2 if op == "add" else 1)
    return [rng.uniform(-2, 2, s).astype(np.float32) for s in shapes]


def softmax(x):
    e = np.exp(x - x.max(-1, keepdims=True))
    return e / e.sum(-1, keepdims=True)


def wanted(case, given):
    """What a case comes to. GELU is the form with tanh, which every peer has."""
    x, *more = [a.astype(np.float64) for a in given]
    op = case.split()[0]
    if op == "product":
        return x @ more[0]
    if op == "attention":
        return softmax(x @ more[0].transpose(0, 2, 1) / math.sqrt(WIDTH)) @ more[1]
    if op == "softmax":
        return softmax(x)
    if op == "rms_norm":
        return x / np.sqrt((x * x).mean(-1, keepdims=True) + EPS)
    if op == "layer_norm":
        return (x - x.mean(-1, keepdims=True)) / np.sqrt(x.var(-1, keepdims=True) + EPS)
    if op == "gelu":
        return x * (1 + np.tanh(math.sqrt(2 / math.pi) * (x + 0.044715 * x**3))) / 2
    return x + more[0]


def error(case, given, made):
    """The largest difference, as a part of the root mean square of what is wanted."""
    want = wanted(case, given)
    return float(np.abs(made.reshape(want.shape) - want).max() / np.sqrt((want * want).mean()))


def timed(run, seconds, least=2, most=30):
    """Milliseconds of each run, for about that long. The first run, which compiles, does not count."""
    run()
    ms, end = [], time.perf_counter() + seconds
    while len(ms) < least or (len(ms) < most and time.perf_counter() < end):
        began = time.perf_counter()
        run()
        ms.append((time.perf_counter() - began) * 1e3)
    return ms
