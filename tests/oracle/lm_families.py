#!/usr/bin/python3
"""Small language models of each family in Hugging Face's transformers, in f64: logits and likelihoods.

Run by hand with Debian's PyTorch (python3-torch 1.13.1) and transformers 4.46.3:
    python3 -m pip install --target /tmp/hf --no-deps transformers==4.46.3 huggingface_hub==0.26.5 tokenizers==0.20.3 \
        safetensors==0.4.5 regex filelock packaging tqdm requests pyyaml fsspec typing_extensions
    PYTHONPATH=/tmp/hf /usr/bin/python3 -P tests/oracle/lm_families.py
It writes tests/data/oracle_lm_families.json, which tests/test_lm_families.c compares with. Weights come from a hash of
their names and of the index (the same in the test), so none is stored; the names and shapes are the library's own.
"""
import json, os
# -P: files here have names of packages that transformers needs.
import numpy as np
import torch
from transformers import (GPT2Config, GPT2LMHeadModel, LlamaConfig, LlamaForCausalLM, MistralConfig, MistralForCausalLM,
                          Qwen2Config, Qwen2ForCausalLM)

V, T = 300, 40
LLAMA = dict(vocab_size=V, hidden_size=64, num_hidden_layers=2, num_attention_heads=4, num_key_value_heads=2,
             intermediate_size=96, max_position_embeddings=64, rms_norm_eps=1e-5, rope_theta=10000.0)
MODELS = {
    "llama, tied": LlamaConfig(**LLAMA, tie_word_embeddings=True),
    "llama, biases, linear scaling": LlamaConfig(**LLAMA, tie_word_embeddings=False, attention_bias=True,
                                                 rope_scaling={"type": "linear", "factor": 2.5}),
    "llama, llama3 scaling": LlamaConfig(**LLAMA, tie_word_embeddings=False, rope_scaling={
        "rope_type": "llama3", "factor": 8.0, "low_freq_factor": 1.0, "high_freq_factor": 4.0,
        "original_max_position_embeddings": 16}),
    "qwen2, untied": Qwen2Config(**LLAMA, tie_word_embeddings=False, use_sliding_window=False, sliding_window=16),
    "qwen2, tied": Qwen2Config(**LLAMA, tie_word_embeddings=True, use_sliding_window=False),
    "mistral, heads of 24": MistralConfig(**LLAMA, head_dim=24, tie_word_embeddings=False, sliding_window=None),
    "gpt2": GPT2Config(vocab_size=V, n_positions=64, n_embd=64, n_layer=2, n_head=4, activation_function="gelu_new"),
}
CLASSES = {"llama": LlamaForCausalLM, "qwen2": Qwen2ForCausalLM, "mistral": MistralForCausalLM, "gpt2": GPT2LMHeadModel}
KEEP = {"llama": ("rope_scaling", "attention_bias"), "qwen2": ("use_sliding_window", "sliding_window"),
        "mistral": ("head_dim", "sliding_window"), "gpt2": ("n_positions", "n_embd", "n_layer", "n_head")}


def mix(x):
    """A 32-bit hash (murmur3's finalizer) of an array of indices."""
    x = np.asarray(x, dtype=np.uint64)
    x = (x ^ (x >> np.uint64(16))) * np.uint64(0x85EBCA6B) & np.uint64(0xFFFFFFFF)
    x = (x ^ (x >> np.uint64(13))) * np.uint64(0xC2B2AE35) & np.uint64(0xFFFFFFFF)
    return x ^ (x >> np.uint64(16))


def weight(name, shape):
    """Uniform in [-0.15, 0.15), around 1 for the weights of norms. The name's hash is FNV-1a's."""
    seed = 2166136261
    for b in name.encode():
        seed = (seed ^ b) * 16777619 & 0xFFFFFFFF
    n = int(np.prod(shape))
    u = mix((np.arange(n, dtype=np.uint64) + np.uint64(seed)) & np.uint64(0xFFFFFFFF)).astype(np.float64) / 2**32
    w = ((2 * u - 1) * 0.15).astype(np.float32)
    norm = len(shape) == 1 and name.endswith("weight")
    return torch.tensor((w + np.float32(1) if norm else w).reshape(shape)).double()


def run(config):
    model = CLASSES[config.model_type](config).double().eval()
    with torch.no_grad():
        for name, p in model.named_parameters():
            p.copy_(weight(name.removeprefix("transformer."), tuple(p.shape)))
    ids = torch.tensor((mix(np.arange(T) + 5000) % V).astype(np.int64))[None]
    with torch.no_grad():
        logits = model(ids).logits[0]
    nats = torch.nn.functional.cross_entropy(logits[:-1], ids[0, 1:])
    shared = [k for k in LLAMA if config.model_type != "gpt2"] + ["model_type", "vocab_size", "tie_word_embeddings"]
    kept = {k: getattr(config, k) for k in dict.fromkeys(shared + list(KEEP[config.model_type])) if hasattr(config, k)}
    return {"config": kept, "nats": float(nats), "logits": [round(float(x), 7) for x in logits[-1]]}


def main():
    torch.set_num_threads(1)
    out = {"tokens": T, "models": {name: run(c) for name, c in MODELS.items()}}
    path = os.path.join(os.path.dirname(__file__), "../data/oracle_lm_families.json")
    with open(path, "w") as f:
        json.dump(out, f, indent=0)
        f.write("\n")
    print({k: round(v["nats"], 6) for k, v in out["models"].items()})


main()
