#!/usr/bin/env python3
"""Makes tests/data/small.safetensors, and reads what we wrote. By hand, with safetensors 0.8.0
and numpy 2.4.6:

    python tests/oracle/safetensors.py make
    python tests/oracle/safetensors.py read FILE
"""
import os
import sys

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path = [p for p in sys.path if os.path.abspath(p or ".") != HERE]  # this file has the package's name
import numpy as np  # noqa: E402
from safetensors.numpy import save_file  # noqa: E402
from safetensors import safe_open  # noqa: E402

if sys.argv[1] == "make":
    save_file({
        "embed.weight": np.arange(12, dtype=np.float32).reshape(3, 4) / 8,
        "half": np.array([1, -2, 0.5, 65504], dtype=np.float16),
        "counts": np.array([[-1, 2]], dtype=np.int32),
        "bytes": np.array([0, 127, 255], dtype=np.uint8),
        "wide": np.array([2**40, -1], dtype=np.int64),
        "double": np.array([0.1], dtype=np.float64),
        "flag": np.array([True, False]),
        "scalar": np.array(3.25, dtype=np.float32),
        "empty": np.zeros((0, 4), dtype=np.float32),
    }, os.path.join(HERE, "../data/small.safetensors"), metadata={"format": "np", "made": "by hand"})
else:
    with safe_open(sys.argv[2], "np") as f:
        print(f.metadata())
        for k in f.keys():
            s = f.get_slice(k)
            print(k, s.get_dtype(), s.get_shape(), "" if s.get_dtype() == "BF16" else f.get_tensor(k).ravel()[:6])
