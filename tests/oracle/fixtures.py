#!/usr/bin/env python3
"""Makes tests/data/*.npy and tests/data/small.onnx. By hand, with numpy 2.4.6 and onnx 1.23.2:

    python tests/oracle/fixtures.py
"""
import os

import numpy as np
from onnx import TensorProto, helper, numpy_helper, save

DATA = os.path.join(os.path.dirname(os.path.abspath(__file__)), "../data")


def npy(name, a, version=None):
    with open(f"{DATA}/{name}.npy", "wb") as f:
        np.lib.format.write_array(f, a, version=version)


x = np.arange(6, dtype=np.float32).reshape(2, 3) / 4
npy("f4", x)
npy("f2_v2", x.astype(np.float16), (2, 0))
npy("f8_v3", x.astype(np.float64), (3, 0))
npy("i8", np.array([1, -2, 2**40], dtype=np.int64))
npy("i4_scalar", np.array(7, dtype=np.int32))
npy("b1", np.array([[True], [False]]))
npy("u1_empty", np.zeros((0, 3), dtype=np.uint8))
npy("fortran", np.asfortranarray(x))
npy("big", x.astype(">f4"))

tensors = [
    numpy_helper.from_array(x, "raw"),
    helper.make_tensor("typed", TensorProto.FLOAT, [2, 3], x.ravel()),
    helper.make_tensor("half", TensorProto.FLOAT16, [3], np.array([1, -2, 0.5], dtype=np.float16)),
    helper.make_tensor("brain", TensorProto.BFLOAT16, [2], [1.0, -3.0]),
    helper.make_tensor("ints", TensorProto.INT32, [3], [1, -2, 3]),
    helper.make_tensor("longs", TensorProto.INT64, [2], [2**40, -1]),
    helper.make_tensor("bytes", TensorProto.UINT8, [4], [0, 1, 254, 255]),
    helper.make_tensor("doubles", TensorProto.DOUBLE, [1], [0.1]),
    helper.make_tensor("scalar", TensorProto.FLOAT, [], [2.5]),
    helper.make_tensor("strings", TensorProto.STRING, [2], [b"a", b"b"]),
]
far = TensorProto()
far.name = "far"
far.data_type = TensorProto.FLOAT
far.dims.append(4)
far.data_location = TensorProto.EXTERNAL
entry = far.external_data.add()
entry.key, entry.value = "location", "weights.bin"
tensors.append(far)
node = helper.make_node("Identity", ["raw"], ["y"])
graph = helper.make_graph([node], "g", [], [helper.make_tensor_value_info("y", TensorProto.FLOAT, [2, 3])], tensors)
save(helper.make_model(graph), f"{DATA}/small.onnx")
