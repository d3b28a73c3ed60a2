"""A float16 graph with one reference attention, as TensorRT gets it: q (f, T, C) sees [k_ref (1, T, C), its own]."""

from pathlib import Path

import numpy as np
import onnx
from onnx import TensorProto, helper

HEAD = 16


def tensor(name: str, array: np.ndarray) -> onnx.TensorProto:  # type: ignore[type-arg]
    return onnx.numpy_helper.from_array(array, name)


def attention_graph(path: Path, tokens: int = 64, channels: int = 64, fused: bool = True, kind: type = np.float16) -> Path:
    """`fused` writes the Attention node, else its scores as matrices. `kind`: float16 or float32."""
    element = TensorProto.FLOAT16 if kind is np.float16 else TensorProto.FLOAT
    weights = np.random.default_rng(0).standard_normal((channels, channels)).astype(kind)
    nodes = [
        helper.make_node("MatMul", ["latents", "w"], ["own"]),
        helper.make_node("Shape", ["own"], ["frames"], start=0, end=1),
        helper.make_node("Concat", ["frames", "rest"], ["wide"], axis=0),
        helper.make_node("Expand", ["ref_k.mid", "wide"], ["ref"]),
        helper.make_node("Concat", ["ref", "own"], ["keys"], axis=1),
    ]
    if fused:
        heads = channels // HEAD
        nodes.append(helper.make_node("Attention", ["own", "keys", "keys"], ["prediction"], q_num_heads=heads, kv_num_heads=heads))
    else:
        nodes += [
            helper.make_node("Transpose", ["keys"], ["turned"], perm=[0, 2, 1]),
            helper.make_node("MatMul", ["own", "turned"], ["scores"]),
            helper.make_node("Softmax", ["scores"], ["shares"], axis=-1),
            helper.make_node("MatMul", ["shares", "keys"], ["prediction"]),
        ]
    graph = helper.make_graph(
        nodes, "small",
        [
            helper.make_tensor_value_info("latents", element, ["frames_", tokens, channels]),
            helper.make_tensor_value_info("ref_k.mid", element, [1, tokens, channels]),
        ],
        [helper.make_tensor_value_info("prediction", element, ["frames_", tokens, channels])],
        [tensor("w", weights), tensor("rest", np.array([tokens, channels], np.int64))],
    )  # fmt: skip
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 23)], ir_version=10), str(path))
    return path
