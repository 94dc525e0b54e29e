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
put("json", "wide", '{"a":1000000000000000019884624838656,"b":[-18446744073709551616,"\\"99999999999999999999"]}')
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
variant("template", added_tokens=[added(260, "<s>")], post_processor={"type": "Sequence", "processors": [
    {"type": "ByteLevel", "trim_offsets": False}, {"type": "TemplateProcessing", "single": [
        {"SpecialToken": {"id": "<s>", "type_id": 0}}, {"Sequence": {"id": "A", "type_id": 0}}], "pair": [],
        "special_tokens": {"<s>": {"id": "<s>", "ids": [260, 0], "tokens": ["<s>"]}}}]})
variant("template-id", post_processor={"type": "TemplateProcessing", "single": [{"SpecialToken": {"id": "x", "type_id": 0}}],
                                       "pair": [], "special_tokens": {"x": {"ids": [2**63 - 1]}}})


def spm(name, vocab=None, merges=("a b", "▁ ab"), fallback=True, model=(), decoders=(), **parts):
    """A tokenizer over characters, small enough to be cut at every byte."""
    vocab = vocab or {x: i for i, x in enumerate(["<unk>", "<s>", "▁", "a", "b", "ab", "▁ab", "<0x0A>", "<0xFF>"])}
    steps = [{"type": "Replace", "pattern": {"String": "▁"}, "content": " "}, *decoders]
    steps += [{"type": "ByteFallback"}] * fallback + [{"type": "Fuse"}]
    put("tokenizer", "spm-" + name, json.dumps({
        "version": "1.0", "added_tokens": [added(1, "<s>")], "normalizer": {"type": "Prepend", "prepend": "▁"},
        "pre_tokenizer": None, "post_processor": None, "decoder": {"type": "Sequence", "decoders": steps},
        "model": {"type": "BPE", "unk_token": "<unk>", "fuse_unk": True, "byte_fallback": bool(fallback),
                  "vocab": vocab, "merges": list(merges), **dict(model)}, **parts}, ensure_ascii=False, separators=(",", ":")))


REPLACE = {"type": "Replace", "pattern": {"String": " "}, "content": "▁"}
spm("good", normalizer={"type": "Sequence", "normalizers": [{"type": "Prepend", "prepend": "▁"}, REPLACE]},
    decoders=[{"type": "Strip", "content": " ", "start": 1, "stop": 0}])
spm("unknown", fallback=False)
spm("metaspace", normalizer=None, pre_tokenizer={"type": "Metaspace", "replacement": "▁", "prepend_scheme": "first", "split": True})
spm("whole", model={"ignore_merges": True}.items())
spm("grows", normalizer={"type": "Sequence", "normalizers": [{"type": "Replace", "pattern": {"String": "a"}, "content": "a" * 60}] * 8})
spm("vanishes", normalizer={"type": "Replace", "pattern": {"String": "<s>"}, "content": ""}, added_tokens=[added(1, "<s>", normalized=True)])
spm("cyclic", {x: i for i, x in enumerate(["<unk>", "<s>", "a", "b", "ab", "ba", "aba", "bab", "abab"])},
    ["ab a", "a b", "b a", "a ba", "b ab", "ba b", "ab ab", "a b", "aba b"])
spm("cyclic-empty", {"": 0, "<s>": 1, "<unk>": 2, "a": 3}, [["", "a"], ["a", ""], ["", ""]])
spm("space", {"<unk>": 0, "<s>": 1, " ": 2, "a": 3, "a ": 4}, [["a", " "]])
spm("nul", {"<unk>": 0, "<s>": 1, "a": 3})
for name, text in (("nul-key", b"a\\u0000b"), ("bad-utf8", b"a\xff"), ("half-pair", b"\\ud83d")):
    put("tokenizer", "spm-" + name, open(f"{HERE}/corpus/tokenizer/spm-nul", "rb").read().replace(b'"a":3', b'"' + text + b'":3'))
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

# ---- GGUF ------------------------------------------------------------------------------------
U32, F32, BOOL, STRING, ARRAY = 4, 6, 7, 8, 9


def g_str(s):
    s = s if isinstance(s, bytes) else s.encode()
    return struct.pack("<Q", len(s)) + s


def g_value(t, v):
    if t == STRING:
        return g_str(v)
    if t == ARRAY:
        return struct.pack("<IQ", v[0], len(v[1])) + b"".join(g_value(v[0], x) for x in v[1])
    return struct.pack({U32: "<I", F32: "<f", BOOL: "<B", 5: "<i", 10: "<Q", 12: "<d"}[t], v)


def g_kv(key, t, v):
    return g_str(key) + struct.pack("<I", t) + g_value(t, v)


def g_tensor(name, dims, t, offset):
    return g_str(name) + struct.pack("<I", len(dims)) + struct.pack(f"<{len(dims)}Q", *dims) + struct.pack("<IQ", t, offset)


def gguf(kvs, tensors, data=b"", version=3, n_tensors=None, n_kvs=None, align=32):
    head = b"GGUF" + struct.pack("<IQQ", version, len(tensors) if n_tensors is None else n_tensors,
                                 len(kvs) if n_kvs is None else n_kvs) + b"".join(kvs) + b"".join(tensors)
    return head + b"\0" * (-len(head) % align) + data


def g_model(arch, extra=(), drop=(), ffn=32, **how):
    """A model of one layer of width 32, 4 heads and 2 key-value heads, 8 tokens."""
    a = [("general.architecture", STRING, arch), ("general.license", STRING, "mit"), (f"{arch}.block_count", U32, 1),
         (f"{arch}.context_length", U32, 16), (f"{arch}.embedding_length", U32, 32), (f"{arch}.feed_forward_length", U32, ffn),
         (f"{arch}.attention.head_count", U32, 4), (f"{arch}.attention.layer_norm_epsilon" if arch == "gpt2" else
                                                    f"{arch}.attention.layer_norm_rms_epsilon", F32, 1e-5)]
    if arch != "gpt2":
        a += [(f"{arch}.attention.head_count_kv", U32, 2), (f"{arch}.rope.freq_base", F32, 10000.0)]
    a += [("tokenizer.ggml.model", STRING, "gpt2"), ("tokenizer.ggml.pre", STRING, "gpt-2"),
          ("tokenizer.ggml.tokens", ARRAY, (STRING, list("abcdefg") + ["<s>"])),
          ("tokenizer.ggml.token_type", ARRAY, (5, [1] * 7 + [3])), ("tokenizer.ggml.merges", ARRAY, (STRING, ["a b"])),
          ("tokenizer.ggml.bos_token_id", U32, 7), ("tokenizer.ggml.eos_token_id", U32, 7),
          ("tokenizer.ggml.add_bos_token", BOOL, 1), ("tokenizer.chat_template", STRING, "{{ x }}")]
    names = {"token_embd.weight": (32, 8), "output_norm.weight": (32,), "blk.0.attn_norm.weight": (32,),
             "blk.0.ffn_norm.weight": (32,), "blk.0.ffn_up.weight": (32, ffn), "blk.0.ffn_down.weight": (ffn, 32),
             "blk.0.attn_output.weight": (32, 32)}
    if arch == "gpt2":
        names.update({"position_embd.weight": (32, 16), "blk.0.attn_qkv.weight": (32, 96), "blk.0.attn_qkv.bias": (96,)})
        names.update({f"blk.0.{x}.bias": (32,) for x in ("attn_norm", "attn_output", "ffn_norm", "ffn_down")})
        names.update({"output_norm.bias": (32,), "blk.0.ffn_up.bias": (ffn,)})
    else:
        names.update({"blk.0.ffn_gate.weight": (32, ffn), "blk.0.attn_q.weight": (32, 32), "blk.0.attn_k.weight": (32, 16),
                      "blk.0.attn_v.weight": (32, 16)})
    if arch == "qwen2":
        names.update({"blk.0.attn_q.bias": (32,), "blk.0.attn_k.bias": (16,), "blk.0.attn_v.bias": (16,)})
    tensors, data = [], b""
    for i, (name, dims) in enumerate(names.items()):
        t = 8 if len(dims) == 2 and i % 2 else 0
        n = dims[0] * (dims[1] if len(dims) == 2 else 1)
        size = n // 32 * 34 if t else 4 * n
        tensors.append(g_tensor(name, dims, t, len(data)))
        data += bytes(j % 61 for j in range(size))
        data += b"\0" * (-len(data) % how.get("align", 32))
    kvs = [g_kv(*x) for x in a if x[0] not in drop] + [g_kv(*x) for x in extra]
    return gguf(kvs, tensors, data, **how)


for arch in ("llama", "qwen2", "gpt2", "phi3"):
    put("gguf", arch, g_model(arch))
put("gguf", "version2", g_model("llama", version=2))
put("gguf", "version1", g_model("llama", version=1))
put("gguf", "big-endian", b"GGUF\0\0\0\3" + b"\0" * 16)
put("gguf", "counts", gguf([], [], n_tensors=2**64 - 1, n_kvs=2**64 - 1))
put("gguf", "counts-near", gguf([], [], b"\0" * 100, n_tensors=4, n_kvs=6))
put("gguf", "string-length", b"GGUF" + struct.pack("<IQQQ", 3, 0, 1, 2**64 - 1) + b"\0" * 20)
put("gguf", "array-count", gguf([g_str("a") + struct.pack("<IIQ", ARRAY, 12, 2**61)], []))
put("gguf", "array-type", gguf([g_str("a") + struct.pack("<IIQ", ARRAY, 13, 1)], [], b"\0" * 64))
put("gguf", "nested", gguf([g_kv("a", ARRAY, (ARRAY, [(ARRAY, [(U32, [1, 2]), (STRING, ["x"])])]))], []))
put("gguf", "deep", gguf([g_str("a") + struct.pack("<I", ARRAY) + struct.pack("<IQ", ARRAY, 1) * 20], []))
put("gguf", "value-type", gguf([g_str("a") + struct.pack("<I", 13)], [], b"\0" * 64))
put("gguf", "key-nul", gguf([g_kv(b"a\0b", U32, 1)], []))
put("gguf", "key-utf8", gguf([g_kv(b"a\xff", U32, 1)], []))
put("gguf", "key-twice", gguf([g_kv("a", U32, 1), g_kv("a", U32, 2)], []))
put("gguf", "bool", gguf([g_kv("a", BOOL, 2)], []))
put("gguf", "strings", gguf([g_kv("a", STRING, b"\0\xff\xfe\n"), g_kv("b", ARRAY, (STRING, [b"\0", b"\xc3", b""]))], []))
put("gguf", "ints", gguf([g_kv("a", 10, 2**64 - 1), g_kv("b", 5, -1), g_kv("c", ARRAY, (10, [1, 2**63])), g_kv("d", 12, 1e300)], []))
put("gguf", "template", g_model("llama", extra=[], drop=("tokenizer.chat_template",)))
put("gguf", "template-nul", g_model("llama", extra=[("tokenizer.chat_template", STRING, b"a\0b")], drop=("tokenizer.chat_template",)))
put("gguf", "template-utf8", g_model("llama", extra=[("tokenizer.chat_template", STRING, b"\xff")], drop=("tokenizer.chat_template",)))
put("gguf", "alignment", g_model("llama", extra=[("general.alignment", U32, 64)], align=64))
put("gguf", "alignment-0", g_model("llama", extra=[("general.alignment", U32, 0)]))
put("gguf", "alignment-odd", g_model("llama", extra=[("general.alignment", U32, 48)]))
put("gguf", "experts", g_model("llama", extra=[("llama.expert_count", U32, 8)]))
put("gguf", "heads-0", g_model("llama", extra=[("llama.attention.head_count", U32, 0)], drop=("llama.attention.head_count",)))
put("gguf", "heads-list", g_model("llama", extra=[("llama.attention.head_count", ARRAY, (U32, [4]))], drop=("llama.attention.head_count",)))
put("gguf", "heads-5", g_model("llama", extra=[("llama.attention.head_count", U32, 5)], drop=("llama.attention.head_count",)))
put("gguf", "scaling", g_model("llama", extra=[("llama.rope.scaling.type", STRING, "yarn"), ("llama.rope.scaling.factor", F32, 4.0),
                                               ("llama.rope.scaling.original_context_length", U32, 8)]))
put("gguf", "bos", g_model("llama", extra=[("tokenizer.ggml.eot_token_id", U32, 3), ("tokenizer.ggml.padding_token_id", U32, 8)]))
put("gguf", "f16-eps", g_model("llama", extra=[("llama.attention.key_length", U32, 16), ("llama.vocab_size", U32, 8)]))
put("gguf", "overlap", gguf([], [g_tensor("a", (8,), 0, 0), g_tensor("b", (16,), 0, 0)], b"\0" * 64))
put("gguf", "unaligned", gguf([], [g_tensor("a", (8,), 0, 4)], b"\0" * 64))
put("gguf", "offset", gguf([], [g_tensor("a", (8,), 0, 2**64 - 32)], b"\0" * 64))
put("gguf", "dims", gguf([], [g_tensor("a", (2**33, 2**33), 0, 0)], b"\0" * 64))
put("gguf", "dim-negative", gguf([], [g_tensor("a", (2**64 - 1,), 0, 0)], b"\0" * 64))
put("gguf", "rank", gguf([], [g_tensor("a", (1, 1, 1, 1, 1), 0, 0)], b"\0" * 64))
put("gguf", "half-block", gguf([], [g_tensor("a", (16,), 2, 0)], b"\0" * 64))
put("gguf", "scalar-block", gguf([], [g_tensor("a", (), 2, 0)], b"\0" * 64))
put("gguf", "tensor-type", gguf([], [g_tensor("a", (32,), 77, 0)], b"\0" * 64))
put("gguf", "iq2", gguf([], [g_tensor("a", (256,), 16, 0)], b"\0" * 128))
put("gguf", "zero-dim", gguf([], [g_tensor("a", (0, 4), 0, 0), g_tensor("b", (4,), 26, 0), g_tensor("c", (2,), 28, 32)], b"\0" * 64))
put("gguf", "all-types", gguf([], [g_tensor(f"t{t}", (256,), t, 2048 * i) for i, t in enumerate((0, 1, 2, 3, 6, 7, 8, 12, 13, 14, 24, 25, 26, 27, 30))],
                              bytes(range(256)) * 120))

# ---- CTranslate2 -----------------------------------------------------------------------------


def c_str(s, end=b"\0"):
    s = (s if isinstance(s, bytes) else s.encode()) + end
    return struct.pack("<H", len(s)) + s


def c_var(name, dims, t, data, n_bytes=None):
    return c_str(name) + struct.pack("<B", len(dims)) + struct.pack(f"<{len(dims)}I", *dims) + \
        struct.pack("<BI", t, len(data) if n_bytes is None else n_bytes) + data


def ct2(variables, aliases=(), version=6, spec="WhisperSpec", revision=3, n=None, n_aliases=None):
    return struct.pack("<I", version) + c_str(spec) + struct.pack("<II", revision, len(variables) if n is None else n) + \
        b"".join(variables) + struct.pack("<I", len(aliases) if n_aliases is None else n_aliases) + \
        b"".join(c_str(a) + c_str(b) for a, b in aliases)


def whisper(d=4, extra=(), f=0, skip=(), key_bias=0):
    """One layer each, width d, two mel bins, six tokens; numbers are small f32 (f 0) or f16 (4)."""
    v = []

    def add(name, *dims, zero=None):
        n = 1
        for x in dims:
            n *= x
        numbers = [0.0 if zero and zero[0] <= i < zero[1] else (i % 7) / 4 for i in range(n)]
        if zero and key_bias:
            numbers[zero[0]] = 1.0
        if name not in skip:
            v.append(c_var(name, dims, f, struct.pack(f"<{n}{'e' if f else 'f'}", *numbers)))

    def norm(name):
        add(name + "/gamma", d)
        add(name + "/beta", d)

    def linear(name, o, i, zero=None):
        add(name + "/weight", o, i)
        add(name + "/bias", o, zero=zero)

    def layer(side):
        p = f"{side}/layer_0/"
        norm(p + "self_attention/layer_norm")
        linear(p + "self_attention/linear_0", 3 * d, d, (d, 2 * d))
        linear(p + "self_attention/linear_1", d, d)
        if side == "decoder":
            norm(p + "attention/layer_norm")
            linear(p + "attention/linear_0", d, d)
            linear(p + "attention/linear_1", 2 * d, d, (0, d))
            linear(p + "attention/linear_2", d, d)
        norm(p + "ffn/layer_norm")
        linear(p + "ffn/linear_0", 2 * d, d)
        linear(p + "ffn/linear_1", d, 2 * d)

    add("encoder/conv1/weight", d, 2, 3)
    add("encoder/conv1/bias", d)
    add("encoder/conv2/weight", d, d, 3)
    add("encoder/conv2/bias", d)
    for side, n in (("encoder", 5), ("decoder", 7)):
        add(f"{side}/position_encodings/encodings", n, d)
        norm(f"{side}/layer_norm")
        layer(side)
        v.append(c_var(f"{side}/num_heads", (), 2, struct.pack("<h", 2)))
    add("decoder/embeddings/weight", 6, d)
    v += [c_var("decoder/activation", (), 1, b"\3"), c_var("decoder/pre_norm", (), 1, b"\1"), *extra]
    return v


TIED = [("decoder/projection/weight", "decoder/embeddings/weight")]
put("ctranslate2", "whisper", ct2(whisper(), TIED))
put("ctranslate2", "whisper-f16", ct2(whisper(f=4), TIED))
put("ctranslate2", "key-bias", ct2(whisper(key_bias=1), TIED))
put("ctranslate2", "missing", ct2(whisper(skip=("decoder/layer_0/attention/linear_1/weight",)), TIED))
put("ctranslate2", "unknown", ct2(whisper(extra=[c_var("decoder/extra/weight", (1,), 0, b"\0" * 4)]), TIED))
put("ctranslate2", "alibi", ct2(whisper(extra=[c_var("decoder/alibi", (), 1, b"\1")]), TIED))
put("ctranslate2", "int8", ct2(whisper(extra=[c_var("decoder/embeddings/weight_scale", (6,), 0, b"\0" * 24)]), TIED))
put("ctranslate2", "odd", ct2(whisper(d=3), TIED))
put("ctranslate2", "spec", ct2([], spec="TransformerSpec"))
put("ctranslate2", "version", ct2([], version=5))
put("ctranslate2", "zip", b"PK\3\4" + b"\0" * 40)
put("ctranslate2", "count", ct2([], n=2**32 - 1))
put("ctranslate2", "alias-count", ct2([], n_aliases=2**32 - 1))
put("ctranslate2", "alias-none", ct2([], [("a", "b")]))
put("ctranslate2", "alias-twice", ct2([c_var("a", (), 1, b"\0")], [("b", "a"), ("b", "a")]))
put("ctranslate2", "alias-alias", ct2([c_var("a", (), 1, b"\0")], [("b", "a"), ("c", "b")]))
put("ctranslate2", "twice", ct2([c_var("a", (), 1, b"\0")] * 2))
put("ctranslate2", "shape", ct2([c_var("a", (2**32 - 1, 2**32 - 1, 2**32 - 1), 0, b"\0" * 4)]))
put("ctranslate2", "bytes", ct2([c_var("a", (2**30,), 1, b"", n_bytes=2**30)]))
put("ctranslate2", "type", ct2([c_var("a", (), 6, b"\0")]))
put("ctranslate2", "rank", ct2([c_var("a", (1,) * 9, 1, b"\0")]))
put("ctranslate2", "name-nul", ct2([c_var(b"a\0b", (), 1, b"\0")]))
put("ctranslate2", "name-utf8", ct2([c_var(b"a\xff", (), 1, b"\0")]))
put("ctranslate2", "name-empty", ct2([c_var("", (), 1, b"\0")]))
put("ctranslate2", "no-end", struct.pack("<I", 6) + c_str("WhisperSpec", end=b"x") + b"\0" * 8)
put("ctranslate2", "after", ct2([]) + b"x")


def g_tokens(name, tokens, types=None, scores=None, merges=None, model="llama", pre=None, **extra):
    kvs = [g_kv("tokenizer.ggml.model", STRING, model), g_kv("tokenizer.ggml.tokens", ARRAY, (STRING, tokens))]
    if pre:
        kvs.append(g_kv("tokenizer.ggml.pre", STRING, pre))
    if types is not None:
        kvs.append(g_kv("tokenizer.ggml.token_type", ARRAY, (5, types)))
    if scores is not None:
        kvs.append(g_kv("tokenizer.ggml.scores", ARRAY, (F32, scores)))
    if merges is not None:
        kvs.append(g_kv("tokenizer.ggml.merges", ARRAY, (STRING, merges)))
    kvs += [g_kv("tokenizer.ggml." + k, BOOL if isinstance(v, bool) else U32, v) for k, v in extra.items()]
    put("tokenizer_gguf", name, gguf(kvs, []))


words = ["<unk>", "<s>", "</s>", "<0x0A>", "▁", "a", "b", "ab", "▁ab", "<x>"]
kinds = [2, 3, 3, 6, 1, 1, 1, 1, 1, 4]
scores = [0.0] * 4 + [-9.0, -9.0, -9.0, -1.0, -2.0, 0.0]
g_tokens("llama", words, kinds, scores)
g_tokens("llama-plain", words, kinds, scores, add_space_prefix=False, add_bos_token=False, add_eos_token=True)
g_tokens("llama-nan", words, kinds, [float("nan")] * 10)
g_tokens("llama-infinite", words, kinds, [float("inf")] * 5 + [-float("inf")] * 5)
g_tokens("llama-cyclic", ["<unk>", "<s>", "</s>", "a", "aa", "aaa", "aaaa", "aaaaa"], None, [0.0] * 8)
g_tokens("llama-empty", ["<unk>", "<s>", "", "", "a", ""], None, [0.0] * 6)
g_tokens("llama-gaps", ["<unk>", "<s>"] + [""] * 1100, None, [0.0] * 1102)
g_tokens("llama-scores", words, kinds, [0.0])
g_tokens("llama-types", words, [1], scores)
g_tokens("llama-kinds", words, [-1, 2**31 - 1, 7, 0, 4, 4, 4, 4, 4, 4], scores)
g_tokens("llama-unknown", words, kinds, scores, unknown_token_id=10)
g_tokens("llama-long", ["<unk>", "<s>", "a" * 300], None, [0.0] * 3)
g_tokens("names-nul", ["<unk>", "<s>", b"a\0b"], None, [0.0] * 3)
g_tokens("names-utf8", ["<unk>", "<s>", b"a\xff"], None, [0.0] * 3)
g_tokens("names-twice", ["<unk>", "<s>", "a", "a"], None, [0.0] * 4)
g_tokens("no-tokens", [], None, [])
g_tokens("gpt2", ["a", "b", "ab", "Ġ", "<s>", "<x>", "né¬"], [1, 1, 1, 1, 3, 4, 1], None, ["a b"], "gpt2", "smollm")
g_tokens("gpt2-start", ["a", "b", "ab", "<s>"], [1, 1, 1, 3], None, ["a b"], "gpt2", "llama-bpe", bos_token_id=3)
g_tokens("gpt2-nfc", ["a", "b", "ab", "é"], None, None, ["a b"], "gpt2", "qwen2")
g_tokens("gpt2-cyclic", ["a", "b", "ab", "ba", "aba"], None, None, ["a b", "b a", "ab a", "a ba", "a b"], "gpt2", "gpt-2")
g_tokens("gpt2-merges", ["a", "b"], None, None, ["a", " ", "", "a b", " a"], "gpt2", "gpt-2")
g_tokens("gpt2-tekken", ["a", "b", "ab"], None, None, ["a b"], "gpt2", "tekken", add_bos_token=False)
g_tokens("gpt2-pre", ["a"], None, None, [], "gpt2", "nonesuch\nx")
g_tokens("model", ["a"], None, None, [], b"t5\xff\n")
