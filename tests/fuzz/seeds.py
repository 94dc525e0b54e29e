#!/usr/bin/env python3
"""Makes the corpus that is not found by fuzzing: good files, and torn, overlapping, oversized and
hostile ones. By hand: python3 tests/fuzz/seeds.py"""
import json
import os
import shutil
import struct

HERE = os.path.dirname(os.path.abspath(__file__))
DATA = os.path.join(HERE, "../data")


def put(what, name, data):
    os.makedirs(f"{HERE}/corpus/{what}", exist_ok=True)
    with open(f"{HERE}/corpus/{what}/{name}", "wb") as f:
        f.write(data if isinstance(data, bytes) else data.encode())


def copy(what, name):
    os.makedirs(f"{HERE}/corpus/{what}", exist_ok=True)
    shutil.copyfile(f"{DATA}/{name}", f"{HERE}/corpus/{what}/{name}")


def st(header, data=b"", length=None):
    h = header if isinstance(header, bytes) else json.dumps(header).encode()
    return struct.pack("<Q", len(h) if length is None else length) + h + data


def t(dtype, shape, a, b):
    return {"dtype": dtype, "shape": shape, "data_offsets": [a, b]}


copy("safetensors", "small.safetensors")
put("safetensors", "overlap", st({"a": t("U8", [4], 0, 4), "b": t("U8", [4], 2, 6)}, b"123456"))
put("safetensors", "hole", st({"a": t("U8", [2], 0, 2), "b": t("U8", [2], 4, 6)}, b"123456"))
put("safetensors", "torn", st({"a": t("F32", [2], 0, 8)}, b"1234"))
put("safetensors", "oversized", st({"a": t("F32", [2**40, 2**40], 0, 8)}, b"12345678"))
put("safetensors", "wraps", st({"a": t("F32", [2**62 + 2], 0, 8)}, b"12345678"))
put("safetensors", "negative", st({"a": t("F32", [-2], 8, 0)}, b"12345678"))
put("safetensors", "huge-offset", st({"a": t("U8", [2**63 - 1], 0, 2**63 - 1)}, b"1"))
put("safetensors", "length-max", st({}, length=2**64 - 1))
put("safetensors", "length-wraps", st({}, length=2**64 - 8))
put("safetensors", "twice", st(b'{"a":{"dtype":"U8","shape":[],"data_offsets":[0,1]},"a":{"dtype":"U8","shape":[],"data_offsets":[0,1]}}', b"1"))
put("safetensors", "half-bytes", st({"a": t("F4", [4], 0, 2), "b": t("F4", [1, 1], 2, 2)}, b"12"))
put("safetensors", "zero-dim", st({"a": t("F64", [0, 2**62, 2**62], 0, 0), "b": t("I64", [1], 0, 8)}, b"12345678"))
for name in ("f4", "f2_v2", "f8_v3", "i8", "i4_scalar", "b1", "u1_empty", "fortran", "big"):
    copy("npy", name + ".npy")
put("npy", "length", b"\x93NUMPY\x02\x00\xff\xff\xff\xff{}")
put("npy", "wraps", b"\x93NUMPY\x01\x00\x4f\x00{'descr': '<f8', 'fortran_order': False, 'shape': (4294967296, 4294967296), } ")
copy("onnx", "small.onnx")
put("onnx", "length", b"\x3a\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01")
put("onnx", "dims", b"\x3a\x1b\x2a\x19\x0a\x0a" + b"\xff" * 9 + b"\x01\x10\x01\x42\x01a\x4a\x04abcd")
put("onnx", "group", b"\x3b\x3c")
put("onnx", "two-datas", b"\x3a\x10\x2a\x0e\x08\x01\x10\x01\x42\x01a\x25abcd\x28\x01")
put("json", "config", json.dumps({"hidden_size": 64, "eps": 1e-5, "tie": True, "name": "x", "sub": {"a": [1, 2]}, "n": None}))
put("json", "deep", "[" * 70)
put("json", "deep-ok", "[" * 60 + "]" * 60)
put("json", "twice", '{"a":1,"a":2}')
put("json", "torn", '{"a":[1,2,{"b":"\\ud83d')
put("json", "big-number", '{"a":123456789012345678901234567890,"b":1e999}')
copy("tokenizer", "bpe.json")
small = json.load(open(f"{DATA}/bpe.json"))
small["added_tokens"] = []
small["model"]["merges"] = small["model"]["merges"][:4]
small["model"]["vocab"] = {k: v for k, v in small["model"]["vocab"].items() if v < 260}
put("tokenizer", "small", json.dumps(small, ensure_ascii=False, separators=(",", ":")))


def variant(name, **change):
    v = json.loads(json.dumps(small))
    for k, x in change.items():
        v[k] = x
    put("tokenizer", name, json.dumps(v, ensure_ascii=False, separators=(",", ":")))


def added(i, text, **how):
    return {"id": i, "content": text, "single_word": False, "lstrip": False, "rstrip": False, "normalized": False,
            "special": True, **how}


def split(regex, **how):
    return {"type": "Sequence", "pretokenizers": [
        {"type": "Split", "pattern": {"Regex": regex}, "behavior": "Isolated", "invert": False, **how},
        {"type": "ByteLevel", "add_prefix_space": True, "use_regex": False}]}


variant("added", normalizer={"type": "NFC"}, added_tokens=[
    added(260, "<s>", lstrip=True, rstrip=True), added(261, "é", normalized=True, special=False),
    added(262, "cat", single_word=True), added(263, "ca", normalized=True, single_word=True)])
variant("split", pre_tokenizer=split(r"(?i:'s|'t)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s+(?!\S)|\s+"))
variant("removed", pre_tokenizer=split(r"\d+|", behavior="Removed", invert=True))
variant("backtracks", pre_tokenizer=split("(a|aa)+$|(.+)+z"))
variant("lookbehind", pre_tokenizer=split("(?<=a)b|(?>x+)y|a{0,1000}"))
variant("big-id", added_tokens=[added(2**31, "x")])
vocab = {k: v for k, v in small["model"]["vocab"].items()}
pair = json.dumps(vocab, ensure_ascii=False, separators=(",", ":"))
put("pair", "good", pair + "\n--\n#version: 0.2\n" + "\n".join(small["model"]["merges"]) + "\n")
put("pair", "torn", pair + "\n--\n#version: 0.2\nt")
put("pair", "ids", '{"a":16777215,"b":4294967296}\n--\na b\n')
put("pair", "negative", '{"a":-1}\n--\na b\n')
put("encode", "text", "the cat and <s> the  hat\r\n 'S 123 été e\u0301 한국 🙂\u00a0\u180e\u2003")
put("encode", "bytes", bytes(range(256)))
put("encode", "marks", "a" + "\u0323\u0301\u0334" * 40 + "\U00010f84\u0323\U00011935\U00011930")
put("encode", "torn", "the cat é".encode()[:-1] + b"\xf0\x9f\x99" + b"\xed\xa0\x80")
ck = {"format": "hornito-checkpoint", "version": 1, "step": 3, "serial": 1,
      "files": [{"name": "model.safetensors", "bytes": 12, "hash": "0123456789abcdef"}], "hash": "0" * 16}
put("checkpoint", "good-but-hash", json.dumps(ck))
put("checkpoint", "path", json.dumps({**ck, "files": [{"name": "../x", "bytes": 1, "hash": "0" * 16}]}))
put("checkpoint", "negative", json.dumps({**ck, "step": -1}))
put("checkpoint", "max", json.dumps({**ck, "serial": 2**63 - 1}))
put("checkpoint", "version", json.dumps({**ck, "version": 2}))
