#!/usr/bin/python3
"""What PEFT and transformers make of a run with adapters: the base with the adapter, and the merged checkpoint.

By hand, with Debian's PyTorch 1.13 and the PyPI packages transformers 4.36.2, peft 0.6.2 and accelerate 0.24.1:
    /usr/bin/python3 tests/oracle/adapters.py BASE RUN/adapter RUN/step-N
BASE and RUN/step-N are folders with config.json. Prints how far the adapter moves logits, and how far the two ways
are apart; fails where that is more than 1e-5 of it.
"""
import os
import sys

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path = [p for p in sys.path if os.path.abspath(p or ".") != HERE]  # files here have packages' names
import torch  # noqa: E402
from peft import PeftModel  # noqa: E402
from transformers import AutoModelForCausalLM  # noqa: E402

base, adapter, merged = sys.argv[1:]
ids = torch.arange(1, 25)[None]
model = AutoModelForCausalLM.from_pretrained(base)
with torch.no_grad():
    before = model(ids).logits
    added = PeftModel.from_pretrained(model, adapter)(ids).logits
    whole = AutoModelForCausalLM.from_pretrained(merged)(ids).logits
moved, apart = (added - before).abs().max().item(), (added - whole).abs().max().item()
print(f"logits moved by {moved:.3g}; adapter and merged weights {apart:.3g} apart")
sys.exit(not (moved > 0 and apart <= 1e-5 * max(moved, 1)))
