#!/usr/bin/env python3
"""Makes tests/data/quants.inc: what the package `gguf` makes of seeded blocks, which
tests/test_quant.c holds the library to. By hand, with gguf 0.19.0 and numpy 2.4.6:

    python tests/oracle/quants.py > tests/data/quants.inc

A row: the type, FNV-1a (64 bits) of all values, and the first eight as bits. Rows of READ have
blocks of random bytes dequantised, rows of WRITE have numbers quantised (the bytes of the first
block then stand for values).
"""
import numpy as np
from gguf import quants
from gguf.constants import GGML_QUANT_SIZES, GGMLQuantizationType as T

N_BLOCKS = 1000
HALVES = {  # where a block's 16-bit floats stand
    T.Q8_0: [0], T.Q4_0: [0], T.Q4_1: [0, 2], T.Q5_0: [0], T.Q5_1: [0, 2],
    T.Q4_K: [0, 2], T.Q5_K: [0, 2], T.Q6_K: [208],
}


def random_words(n, seed):
    out, x = np.empty(n, dtype=np.uint32), seed
    for i in range(n):
        x = (x * 1664525 + 1013904223) & 0xFFFFFFFF
        out[i] = x
    return out


def fnv(data):
    h = 0xCBF29CE484222325
    for b in data:
        h = ((h ^ b) * 0x100000001B3) & 0xFFFFFFFFFFFFFFFF
    return h


def blocks(t):
    size = GGML_QUANT_SIZES[t][1]
    b = (random_words(N_BLOCKS * size, int(t) + 1) >> 24).astype(np.uint8).reshape(N_BLOCKS, size)
    for at in HALVES[t]:
        b[:, at + 1] &= 0xBF  # neither infinite nor NaN, below 2
    return b


def numbers():
    """Blocks in turn: uniform; full of ties, for a step of 1 in each type; zeros; tiny."""
    w = random_words(N_BLOCKS * 32, 99).astype(np.int64).reshape(N_BLOCKS, 32)
    x = ((w - 2**31) >> 8).astype(np.float32) * np.float32(2.0**-23)
    half = ((w >> 16) % 30).astype(np.float32) * np.float32(0.5)
    for i in range(1, N_BLOCKS, 4):
        x[i] = half[i] - (8 if i // 4 % 3 == 0 else 0)
        x[i, 5] = -8 if i // 4 % 3 == 0 else 127 if i // 4 % 3 == 1 else 15
    x[2::4] = 0
    x[3::4] *= np.float32(2.0**-100)
    return x


def row(t, data):
    first = np.frombuffer(data[:32], dtype=np.uint32)
    words = ", ".join(f"0x{v:08x}" for v in first[: len(data[:32]) // 4])
    print(f"    {{ HN_{t.name}, UINT64_C(0x{fnv(data):016x}), {{ {words} }} }},")


print("// Made by tests/oracle/quants.py.")
print("static const quant_row READ[] = {")
for t in HALVES:
    row(t, quants.dequantize(blocks(t), t).astype("<f4").tobytes())
print("};\nstatic const quant_row WRITE[] = {")
for t in (T.Q8_0, T.Q4_0, T.Q4_1):
    row(t, quants.quantize(numbers(), t).tobytes())
print("};")
