#!/usr/bin/env python3
"""One case of compare_vulkan.py by ggml's Vulkan backend.

    peer_ggml.py LIBRARIES CASE SECONDS [flash]

LIBRARIES holds libggml-base.so and libggml-vulkan.so. The norms have no weight and no bias here, as these are operators
of their own in ggml; attention is two products with a soft_max between them, the values transposed beforehand, or with
`flash` its one operator for all. Products pass through f16 in ggml unless
GGML_VK_DISABLE_F16 and GGML_VK_DISABLE_COOPMAT are set.
"""
import ctypes as c
import json
import math
import pathlib
import sys

import numpy as np

import vulkan_cases as cases

F32 = 0  # GGML_TYPE_F32
P, I64, SIZE, TEXT = c.c_void_p, c.c_int64, c.c_size_t, c.c_char_p


class Params(c.Structure):  # ggml_init_params
    _fields_ = [("mem_size", SIZE), ("mem_buffer", P), ("no_alloc", c.c_bool)]


FUNCTIONS = {  # result, arguments; names as in ggml.h and ggml-backend.h without "ggml_"
    "init": (P, Params), "version": (TEXT,), "commit": (TEXT,),
    "new_tensor_3d": (P, P, c.c_int, I64, I64, I64), "new_graph": (P, P), "build_forward_expand": (None, P, P),
    "mul_mat": (P, P, P, P), "add": (P, P, P, P), "gelu": (P, P, P), "soft_max": (P, P, P),
    "soft_max_ext": (P, P, P, P, c.c_float, c.c_float), "norm": (P, P, P, c.c_float), "rms_norm": (P, P, P, c.c_float),
    "flash_attn_ext": (P, P, P, P, P, P, c.c_float, c.c_float, c.c_float),
    "backend_get_device": (P, P), "backend_dev_description": (TEXT, P), "backend_supports_op": (c.c_bool, P, P),
    "backend_alloc_ctx_tensors": (P, P, P), "backend_graph_compute": (c.c_int, P, P),
    "backend_tensor_set": (None, P, P, SIZE, SIZE), "backend_tensor_get": (None, P, P, SIZE, SIZE),
}


class Ggml:
    def __init__(self, folder):
        base = c.CDLL(str(folder / "libggml-base.so"), mode=c.RTLD_GLOBAL)
        vulkan = c.CDLL(str(folder / "libggml-vulkan.so"))
        for name, (result, *arguments) in FUNCTIONS.items():
            f = getattr(base, f"ggml_{name}")
            f.restype, f.argtypes = result, arguments
            setattr(self, name, f)
        vulkan.ggml_backend_vk_init.restype, vulkan.ggml_backend_vk_init.argtypes = P, [SIZE]
        self.backend = vulkan.ggml_backend_vk_init(0)
        self.context = self.init(Params(1 << 20, None, True))

    def tensor(self, a):
        """A tensor of the shape of a; ggml counts sizes from the last."""
        shape = (1,) * (3 - a.ndim) + a.shape
        return self.new_tensor_3d(self.context, F32, *reversed(shape))

    def write(self, tensor, a):
        self.backend_tensor_set(tensor, a.ctypes.data, 0, a.nbytes)


def build(g, case, t, flash):
    """The nodes of a case, of which the last is its result."""
    x, op = g.context, case.split()[0]
    if op == "product":
        return [g.mul_mat(x, t[1], t[0])]
    if op == "attention" and flash:
        return [g.flash_attn_ext(x, *t, None, 1 / math.sqrt(cases.WIDTH), 0, 0)]
    if op == "attention":
        scores = g.mul_mat(x, t[1], t[0])
        weights = g.soft_max_ext(x, scores, None, 1 / math.sqrt(cases.WIDTH), 0)
        return [scores, weights, g.mul_mat(x, t[2], weights)]
    if op in ("rms_norm", "layer_norm"):
        return [(g.norm if op == "layer_norm" else g.rms_norm)(x, t[0], cases.EPS)]
    return [{"softmax": g.soft_max, "gelu": g.gelu, "add": g.add}[op](x, *t)]


def main():
    folder, case, seconds = pathlib.Path(sys.argv[1]), sys.argv[2], float(sys.argv[3])
    flash, g, given = sys.argv[4:] == ["flash"], Ggml(folder), cases.inputs(case)
    put = list(given)
    if case.startswith("product"):
        put[1] = np.ascontiguousarray(given[1].T)
    elif case == "attention" and not flash:
        put[2] = np.ascontiguousarray(given[2].transpose(0, 2, 1))
    tensors = [g.tensor(a) for a in put]
    nodes = build(g, case, tensors, flash)
    if not all(g.backend_supports_op(g.backend, n) for n in nodes):
        sys.exit("unsupported by ggml's Vulkan backend on this device")
    graph = g.new_graph(g.context)
    g.build_forward_expand(graph, nodes[-1])
    if not g.backend_alloc_ctx_tensors(g.context, g.backend):
        sys.exit("ggml could not allocate its tensors")
    for tensor, a in zip(tensors, put):
        g.write(tensor, a)

    def run():
        status = g.backend_graph_compute(g.backend, graph)
        if status:
            sys.exit(f"ggml: status {status} of a graph")

    ms = cases.timed(run, seconds)
    made = np.empty(cases.wanted(case, given).shape, np.float32)
    g.backend_tensor_get(nodes[-1], made.ctypes.data, 0, made.nbytes)
    if flash:  # it puts the heads of a position together
        made = made.reshape(cases.LENGTH, cases.HEADS, cases.WIDTH).transpose(1, 0, 2)
    device = g.backend_dev_description(g.backend_get_device(g.backend))
    print(json.dumps({"version": f"{g.version().decode()} ({g.commit().decode()})", "device": device.decode(),
                      "times_ms": ms, "error": cases.error(case, given, made)}))


if __name__ == "__main__":
    main()
