#!/usr/bin/env python3
"""Compares `hornito convert` with the packages `gguf` and `safetensors`, both ways.

Run by hand, in a virtual environment with gguf 0.19, safetensors 0.8 and numpy, and where it is to
be had llama-cpp-python:

    python tests/oracle/convert.py HORNITO [--smollm2 FILE.gguf] [--seed N]

Models of one layer of the families llama, qwen2 and gpt2 are written by the packages in every type,
converted, and read by the packages: numbers must be equal bit for bit. --smollm2 takes
SmolLM2-135M-Instruct.Q4_1.gguf: to a folder in f16, to GGUF, and back; llama.cpp must then go on
with a text from our files as `hornito lm generate` does.
"""
import argparse
import json
import os
import subprocess
import sys
import tempfile

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path = [p for p in sys.path if os.path.abspath(p or ".") != HERE]  # a file here has a package's name
import gguf  # noqa: E402
import numpy as np  # noqa: E402
from safetensors.numpy import load_file, save_file  # noqa: E402

WIDTH, FFN, VOCAB, HEADS, KV, CONTEXT = 256, 512, 300, 4, 2, 32
T = gguf.GGMLQuantizationType


def names(arch):
    """Of each tensor: the name in GGUF, in Hugging Face's folder, shape there, how it lies."""
    d, f, k = WIDTH, FFN, WIDTH // HEADS * KV
    if arch == "gpt2":
        a = [("token_embd.weight", "transformer.wte.weight", (VOCAB, d), ""),
             ("position_embd.weight", "transformer.wpe.weight", (CONTEXT, d), "")]
        for g, h, shape in (("attn_qkv", "attn.c_attn", (d, 3 * d)), ("attn_output", "attn.c_proj", (d, d)),
                            ("ffn_up", "mlp.c_fc", (d, f)), ("ffn_down", "mlp.c_proj", (f, d))):
            a += [(f"blk.0.{g}.weight", f"transformer.h.0.{h}.weight", shape, "T"),
                  (f"blk.0.{g}.bias", f"transformer.h.0.{h}.bias", shape[1:], "")]
        for g, h in (("blk.0.attn_norm", "h.0.ln_1"), ("blk.0.ffn_norm", "h.0.ln_2"), ("output_norm", "ln_f")):
            a += [(f"{g}.{p}", f"transformer.{h}.{p}", (d,), "") for p in ("weight", "bias")]
        return a
    pairs = arch == "llama"
    a = [("token_embd.weight", "model.embed_tokens.weight", (VOCAB, d), ""), ("output_norm.weight", "model.norm.weight", (d,), ""),
         ("output.weight", "lm_head.weight", (VOCAB, d), "")]
    for g, h, shape, how in (
            ("attn_norm", "input_layernorm", (d,), ""), ("ffn_norm", "post_attention_layernorm", (d,), ""),
            ("attn_q", "self_attn.q_proj", (d, d), HEADS if pairs else ""), ("attn_k", "self_attn.k_proj", (k, d), KV if pairs else ""),
            ("attn_v", "self_attn.v_proj", (k, d), ""), ("attn_output", "self_attn.o_proj", (d, d), ""),
            ("ffn_gate", "mlp.gate_proj", (f, d), ""), ("ffn_up", "mlp.up_proj", (f, d), ""), ("ffn_down", "mlp.down_proj", (d, f), "")):
        a.append((f"blk.0.{g}.weight", f"model.layers.0.{h}.weight", shape, how))
    if arch == "qwen2":
        a += [(f"blk.0.attn_{x}.bias", f"model.layers.0.self_attn.{x}_proj.bias", (d if x == "q" else k,), "") for x in "qkv"]
    return a


def to_gguf_order(x, how):
    if how == "T":
        return np.ascontiguousarray(x.T)
    if how:
        return np.ascontiguousarray(x.reshape(how, 2, x.shape[0] // how // 2, -1).swapaxes(1, 2)).reshape(x.shape)
    return x


def from_gguf_order(x, how):
    if how == "T":
        return np.ascontiguousarray(x.T)
    if how:
        return np.ascontiguousarray(x.reshape(how, x.shape[0] // how // 2, 2, -1).swapaxes(1, 2)).reshape(x.shape)
    return x


def blocks(rng, x, t):
    """x in blocks of t. The package makes no K types: those are random bits with small scales."""
    if t not in (T.Q4_K, T.Q5_K, T.Q6_K):
        return gguf.quantize(x, t)
    n, size = gguf.GGML_QUANT_SIZES[t]
    b = rng.integers(0, 256, (x.shape[0], x.shape[1] // n, size), dtype=np.uint8)
    scale = np.asarray(rng.random((*b.shape[:2], 2)) / 64, np.float16).view(np.uint8).reshape(*b.shape[:2], 4)
    if t == T.Q6_K:
        b[..., -2:] = scale[..., :2]
    else:
        b[..., :4] = scale
    return b.reshape(x.shape[0], -1)


def write_gguf(path, arch, t, rng):
    w = gguf.GGUFWriter(path, arch)
    w.add_block_count(1)
    w.add_context_length(CONTEXT)
    w.add_embedding_length(WIDTH)
    w.add_feed_forward_length(FFN)
    w.add_head_count(HEADS)
    if arch == "gpt2":
        w.add_layer_norm_eps(1e-5)
    else:
        w.add_head_count_kv(KV)
        w.add_layer_norm_rms_eps(1e-5)
        w.add_rope_freq_base(10000.0)
    want = {}
    for g, h, shape, how in names(arch):
        x = rng.standard_normal(shape[::-1] if how == "T" else shape).astype(np.float32)
        if len(shape) == 1 or t == T.F32:
            w.add_tensor(g, x)
        else:
            data = blocks(rng, x, t)
            x = gguf.dequantize(data, t)
            w.add_tensor(g, data, raw_dtype=t)
        want[h] = from_gguf_order(x, how)
    w.write_header_to_file()
    w.write_kv_data_to_file()
    w.write_tensors_to_file()
    w.close()
    return want


def byte_chars():
    """GPT-2's names of bytes."""
    plain = [*range(33, 127), *range(161, 173), *range(174, 256)]
    rest = [b for b in range(256) if b not in plain]
    return {**{b: chr(b) for b in plain}, **{b: chr(256 + i) for i, b in enumerate(rest)}}


def write_folder(path, arch, dtype, rng):
    os.makedirs(path)
    tensors = {h: rng.standard_normal(shape).astype(dtype) for _, h, shape, _ in names(arch)}
    save_file(tensors, f"{path}/model.safetensors", metadata={"format": "pt"})
    sizes = ({"n_embd": WIDTH, "n_layer": 1, "n_head": HEADS, "n_inner": FFN, "n_positions": CONTEXT} if arch == "gpt2" else
             {"hidden_size": WIDTH, "num_hidden_layers": 1, "num_attention_heads": HEADS, "num_key_value_heads": KV,
              "intermediate_size": FFN, "max_position_embeddings": CONTEXT, "tie_word_embeddings": False})
    with open(f"{path}/config.json", "w") as f:
        json.dump({"model_type": arch, "vocab_size": VOCAB, **sizes}, f)
    split = {"type": "ByteLevel", "add_prefix_space": False, "trim_offsets": True, "use_regex": True}
    with open(f"{path}/tokenizer.json", "w") as f:
        json.dump({"version": "1.0", "truncation": None, "padding": None, "added_tokens": [], "normalizer": None,
                   "pre_tokenizer": split, "post_processor": None, "decoder": split,
                   "model": {"type": "BPE", "dropout": None, "unk_token": None, "continuing_subword_prefix": None,
                             "end_of_word_suffix": None, "fuse_unk": False, "byte_fallback": False,
                             "vocab": {c: b for b, c in byte_chars().items()}, "merges": []}}, f)
    return tensors


def values(reader):
    return {t.name: gguf.dequantize(t.data, t.tensor_type).reshape([int(n) for n in t.shape[::-1]]) for t in reader.tensors}


class Run:
    def __init__(self, hornito, folder):
        self.hornito, self.folder, self.n = hornito, folder, 0

    def convert(self, source, ending, *options):
        self.n += 1
        out = f"{self.folder}/out{self.n}{ending}"
        subprocess.run([self.hornito, "convert", *options, source, out], check=True, stdout=subprocess.DEVNULL)
        return out


def check_read(run, rng):
    """Files of the gguf package, to folders that safetensors reads."""
    types = [T.F32, T.F16, T.BF16, T.Q8_0, T.Q4_0, T.Q4_1, T.Q5_0, T.Q5_1, T.Q4_K, T.Q5_K, T.Q6_K]
    for arch in ("llama", "qwen2", "gpt2"):
        for t in types:
            path = f"{run.folder}/{arch}-{t.name}.gguf"
            want = write_gguf(path, arch, t, rng)
            got = load_file(run.convert(path, "", "--type", "f32") + "/model.safetensors")
            assert got.keys() == want.keys(), (arch, t, got.keys() ^ want.keys())
            for name, x in want.items():
                assert np.array_equal(got[name], x), (arch, t, name)
    print(f"read: 3 families in {len(types)} types, equal")


def check_write(run, rng):
    """Folders of the safetensors package, to files that gguf reads."""
    types = [T.F32, T.F16, T.BF16, T.Q8_0, T.Q4_0, T.Q4_1]
    for arch in ("llama", "qwen2", "gpt2"):
        source = f"{run.folder}/{arch}"
        tensors = write_folder(source, arch, np.float16, rng)
        for t in types:
            path = run.convert(source, ".gguf", "--type", t.name.lower())
            reader = gguf.GGUFReader(path)
            got = {x.name: x for x in reader.tensors}
            for g, h, shape, how in names(arch):
                x = to_gguf_order(tensors[h].astype(np.float32), how)
                as_t = T.F32 if len(shape) == 1 or g == "position_embd.weight" else t
                assert got[g].tensor_type == as_t, (arch, t, g)
                want = gguf.quantize(x, as_t) if as_t != T.F32 else x
                assert np.array_equal(np.asarray(got[g].data).reshape(-1).view(np.uint8), want.reshape(-1).view(np.uint8)), (arch, t, g)
            assert len(got) == len(names(arch))
            assert reader.fields["general.architecture"].contents() == arch
            assert len(reader.fields["tokenizer.ggml.tokens"].contents()) == VOCAB
            back = load_file(run.convert(path, "", "--type", "f16") + "/model.safetensors")
            if t in (T.F32, T.F16):
                assert all(np.array_equal(back[h], tensors[h]) for h in tensors), (arch, t)
    print(f"write: 3 families in {len(types)} types, equal; f16 comes back bit for bit")


def check_smollm2(run, path):
    folder = run.convert(path, "")
    file = run.convert(folder, ".gguf", "--type", "f16")
    back = run.convert(file, "", "--type", "f16")
    assert open(f"{folder}/model.safetensors", "rb").read() == open(f"{back}/model.safetensors", "rb").read()
    a, b = values(gguf.GGUFReader(path)), values(gguf.GGUFReader(file))
    assert a.keys() == b.keys() and all(np.array_equal(a[k].astype(np.float16), b[k].astype(np.float16)) for k in a)
    old, new = gguf.GGUFReader(path).fields, gguf.GGUFReader(file).fields
    for key in old:
        if key.startswith(("llama.", "tokenizer.")):
            assert key in new and old[key].contents() == new[key].contents(), key
    print("SmolLM2: folder -> GGUF -> folder equal, keys and tokens as in the original")
    try:
        from llama_cpp import Llama
    except ImportError:
        print("llama-cpp-python is not there: not compared")
        return
    prompt = "The capital of France is"
    model = Llama(model_path=file, n_ctx=256, verbose=False)
    theirs = model.create_completion(prompt, max_tokens=24, temperature=0)["choices"][0]["text"]
    ours = subprocess.run([run.hornito, "lm", "generate", "--model", file, "--prompt", prompt, "--tokens", "24", "--temperature", "0",
                           "--device", "cpu"], check=True, capture_output=True, text=True).stdout[:-1]
    assert theirs == ours, (theirs, ours)
    print(f"llama.cpp goes on with our file as we do: {ours!r}")


def main():
    p = argparse.ArgumentParser()
    p.add_argument("hornito")
    p.add_argument("--smollm2")
    p.add_argument("--seed", type=int, default=1)
    a = p.parse_args()
    print(f"seed {a.seed}")
    rng = np.random.default_rng(a.seed)
    with tempfile.TemporaryDirectory() as folder:
        run = Run(a.hornito, folder)
        check_read(run, rng)
        check_write(run, rng)
        if a.smollm2:
            check_smollm2(run, a.smollm2)


if __name__ == "__main__":
    sys.exit(main())
