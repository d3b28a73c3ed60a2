"""Integer linear layers against the QDQ graph that they replace, in onnxruntime."""

import numpy as np
import onnx
import onnxruntime
import pytest
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

from engines.export.integer_graph import integer_linear

ROWS, INNER, COLUMNS = 5, 16, 8


def qdq_graph(with_bias: bool) -> onnx.ModelProto:
    """y = x W (+ bias), then y + y; x and W in QDQ form, W with one scale a column."""
    rng = np.random.default_rng(0)
    arrays = {
        "x_scale": np.float32(0.05), "x_zero": np.uint8(120),
        "w": rng.integers(-64, 65, (INNER, COLUMNS), dtype=np.int8), "w_scale": rng.uniform(0.01, 0.1, COLUMNS).astype(np.float32),
        "w_zero": np.zeros(COLUMNS, np.int8), "bias": rng.standard_normal(COLUMNS).astype(np.float32),
    }  # fmt: skip
    nodes = [
        helper.make_node("QuantizeLinear", ["x", "x_scale", "x_zero"], ["xq"]),
        helper.make_node("DequantizeLinear", ["xq", "x_scale", "x_zero"], ["xd"]),
        helper.make_node("DequantizeLinear", ["w", "w_scale", "w_zero"], ["wd"], axis=1),
        helper.make_node("MatMul", ["xd", "wd"], ["product"]),
    ]
    if with_bias:
        nodes.append(helper.make_node("Add", ["bias", "product"], ["sum"]))
    last = nodes[-1].output[0]
    nodes.append(helper.make_node("Add", [last, last], ["y"]))
    graph = helper.make_graph(
        nodes, "qdq", [helper.make_tensor_value_info("x", TensorProto.FLOAT, [ROWS, INNER])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, [ROWS, COLUMNS])],
        [numpy_helper.from_array(np.asarray(array), name) for name, array in arrays.items()],
    )  # fmt: skip
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20), helper.make_opsetid("com.microsoft", 1)], ir_version=9)


def run(model: onnx.ModelProto, x: NDArray[np.float32]) -> NDArray[np.float32]:
    options = onnxruntime.SessionOptions()
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL  # the graph as it is written
    session = onnxruntime.InferenceSession(model.SerializeToString(), options, providers=["CPUExecutionProvider"])
    (y,) = session.run(None, {"x": x})
    return np.asarray(y)


@pytest.mark.parametrize("with_bias", [True, False])
def test_an_integer_layer_equals_the_qdq_layer_and_leaves_nothing_of_it(with_bias: bool) -> None:
    x = np.random.default_rng(1).standard_normal((ROWS, INNER)).astype(np.float32)
    model = qdq_graph(with_bias)
    expected = run(model, x)
    integer_linear(model)
    assert [node.op_type for node in model.graph.node] == ["QuantizeLinear", "MatMulIntegerToFloat", "Add"]
    np.testing.assert_allclose(run(model, x), expected, rtol=1e-5, atol=1e-5)


def test_a_sum_that_others_read_too_is_left_alone() -> None:
    model = qdq_graph(True)
    model.graph.node[-1].input[1] = "product"
    x = np.random.default_rng(1).standard_normal((ROWS, INNER)).astype(np.float32)
    expected = run(model, x)
    integer_linear(model)
    assert [node.op_type for node in model.graph.node] == ["QuantizeLinear", "MatMulIntegerToFloat", "Add", "Add"]
    np.testing.assert_allclose(run(model, x), expected, rtol=1e-5, atol=1e-5)


def test_a_float_layer_stays() -> None:
    model = qdq_graph(True)
    model.graph.node[3].input[0] = "x"
    integer_linear(model)
    assert [node.op_type for node in model.graph.node] == ["DequantizeLinear", "MatMul", "Add", "Add"]
