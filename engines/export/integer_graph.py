"""What onnxruntime's quantizer leaves undone: weights that are rounded at load, and linear layers as one integer node each.

A QDQ graph rounds a linear layer's output to int8 too, turns it back and adds the bias in a pass of its own.
com.microsoft::MatMulIntegerToFloat multiplies the same integers, scales the sums and adds the bias at once, and rounds no output.
"""

from collections import Counter

import onnx
from onnx import GraphProto, NodeProto, TensorProto, helper

from engines.export.weights import rewrite

SUFFIX = "_quantized"  # onnxruntime's, of the tensors it makes


def round_at_load(int8: onnx.ModelProto, original: onnx.ModelProto) -> None:
    """Replace int8 weights by the original float ones and a QuantizeLinear each, which onnxruntime computes once, at load."""
    floats = {tensor.name: tensor for tensor in original.graph.initializer}
    axes = {
        node.input[0]: attribute.i
        for node in int8.graph.node
        if node.op_type == "DequantizeLinear"
        for attribute in node.attribute
        if attribute.name == "axis"
    }
    kept, before = [], []
    for tensor in int8.graph.initializer:
        name = tensor.name.removesuffix(SUFFIX)
        if tensor.data_type == TensorProto.INT8 and tensor.name in axes and name in floats:
            kept.append(floats[name])
            scale = [f"{name}_scale", f"{name}_zero_point"]
            before.append(helper.make_node("QuantizeLinear", [name, *scale], [tensor.name], f"{name}.round", axis=axes[tensor.name]))
        else:
            kept.append(tensor)
    rewrite(int8.graph, [*before, *int8.graph.node], kept)


def integer_linear(model: onnx.ModelProto) -> None:
    """Replace every MatMul of two DequantizeLinear, with the bias that is added to it, by one MatMulIntegerToFloat."""
    graph = model.graph
    scaled = {node.output[0]: node.input for node in graph.node if node.op_type == "DequantizeLinear"}
    additions = bias_additions(graph)
    nodes, gone = [], set()
    for node in graph.node:
        if node.op_type == "MatMul" and all(name in scaled for name in node.input):
            (a, a_scale, a_zero), (b, b_scale, b_zero) = (scaled[name] for name in node.input)
            bias, result = additions.get(node.output[0], ("", node.output[0]))
            gone.add(result)
            inputs = [a, b, a_scale, b_scale, a_zero, b_zero, bias]
            nodes.append(helper.make_node("MatMulIntegerToFloat", inputs, [result], node.name, domain="com.microsoft"))
        elif node.output[0] not in gone:
            nodes.append(node)
    rewrite(graph, without_unread(nodes, graph))


def bias_additions(graph: GraphProto) -> dict[str, tuple[str, str]]:
    """name -> (vector, sum) for every name that is read once, by an Add with a constant vector."""
    vectors = {tensor.name for tensor in graph.initializer if len(tensor.dims) == 1}
    reads = Counter(name for node in graph.node for name in node.input)
    found = {}
    for node in graph.node:
        if node.op_type == "Add" and len(vectors & set(node.input)) == 1:
            (bias,) = vectors & set(node.input)
            (name,) = set(node.input) - {bias}
            if reads[name] == 1:
                found[name] = (bias, node.output[0])
    return found


def without_unread(nodes: list[NodeProto], graph: GraphProto) -> list[NodeProto]:
    """The nodes without those whose outputs nobody reads: onnxruntime would compute them at every run."""
    while True:
        read = {name for node in nodes for name in node.input} | {output.name for output in graph.output}
        live = [node for node in nodes if any(name in read for name in node.output)]
        if len(live) == len(nodes):
            return live
        nodes = live
