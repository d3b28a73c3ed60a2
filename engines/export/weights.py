"""One weights file for all graphs of a bundle: model.safetensors, float16, under the torch modules' own names.

ONNX graphs refer into it as external data, behind Casts that onnxruntime folds at load: reference and target graph are the same
network, so sharing the file halves the bundle and float16 halves it again, while the arithmetic stays float32 (float16 is 4-6 times
slower on onnxruntime's CPU provider). Being plain safetensors, the same file is what training goes on from.
"""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import onnx
import onnx_ir as ir
from numpy.typing import NDArray
from onnx import GraphProto, NodeProto, TensorProto
from safetensors import SafetensorError
from safetensors.numpy import save_file

from engines.core.errors import ScdError

SMALL = 256  # elements; smaller constants stay in the graph, in float32
Array = NDArray[np.float16]


def digest(array: Array) -> str:
    return hashlib.sha256(str(array.shape).encode() + np.ascontiguousarray(array).tobytes()).hexdigest()


@dataclass
class WeightFile:
    """Where each tensor lies in the file, by content."""

    filename: str
    places: dict[str, tuple[int, int]] = field(default_factory=dict)

    def find(self, array: Array) -> tuple[int, int] | None:
        """(offset, length) of a tensor with this shape and content."""
        return self.places.get(digest(array))


def write_weights(path: Path, tensors: Mapping[str, Array]) -> WeightFile:
    """Write the tensors as a safetensors file. A tensor shorter than SMALL is written too, but graphs do not refer to it.

    The halves of a tensor are found as well: a gated linear layer is exported as two layers (exportable.SplitGEGLU). ScdError when the disk
    is full.
    """
    try:
        save_file({name: np.ascontiguousarray(array) for name, array in tensors.items()}, path)
    except SafetensorError as error:
        raise ScdError(f"cannot write the weights ({error})", "free some space or name another place with --out") from error
    path.chmod(0o644)  # safetensors writes for the owner alone
    with path.open("rb") as file:
        header = int.from_bytes(file.read(8), "little")
        entries = json.loads(file.read(header))
    out = WeightFile(path.name)
    for name, array in tensors.items():
        start, stop = (8 + header + offset for offset in entries[name]["data_offsets"])
        half, rows = (stop - start) // 2, len(array) // 2
        out.places[digest(array)] = (start, stop - start)
        if len(array) % 2 == 0:
            out.places[digest(array[:rows])], out.places[digest(array[rows:])] = (start, half), (start + half, half)
    return out


def stored(value: ir.Value, file: WeightFile) -> tuple[ir.Value, bool] | None:
    """A float16 value that reads the tensor from the file, and whether it lies there transposed; None where the file has it not.

    The exporter stores the weights of linear layers transposed; they are found the other way round and turned in the graph.
    """
    tensor = value.const_value
    if tensor is None or tensor.dtype not in (ir.DataType.FLOAT, ir.DataType.FLOAT16) or tensor.size < SMALL:
        return None
    array = tensor.numpy().astype(np.float16, copy=False)
    place, turned = file.find(array), False
    if place is None and array.ndim == 2:
        place, turned = file.find(array.T), True
    if place is None:
        return None
    shape, name = ir.Shape(array.T.shape if turned else array.shape), f"{value.name}.stored"
    outside = ir.ExternalTensor(file.filename, place[0], place[1], ir.DataType.FLOAT16, shape=shape, name=name)
    return ir.Value(name=name, shape=shape, type=ir.TensorType(ir.DataType.FLOAT16), const_value=outside), turned


def restored(value: ir.Value, from_file: ir.Value, turned: bool) -> list[ir.Node]:
    """Nodes that make of what the file holds what the graph used before; the last one's output takes the old name."""
    nodes: list[ir.Node] = []
    if value.dtype == ir.DataType.FLOAT:
        nodes.append(ir.node("Cast", [from_file], {"to": ir.DataType.FLOAT}, name=f"{value.name}.cast"))
    if turned:
        nodes.append(ir.node("Transpose", [nodes[-1].outputs[0] if nodes else from_file], {"perm": [1, 0]}, name=f"{value.name}.turn"))
    for node in nodes:
        node.outputs[0].name = value.name if node is nodes[-1] else f"{value.name}.wide"
    return nodes


def move_weights(model: ir.Model, file: WeightFile) -> None:
    """Make every large initialiser that the file holds a reference into it."""
    graph, before = model.graph, list[ir.Node]()
    for value in list(graph.initializers.values()):
        found = stored(value, file)
        if found is None:
            continue
        nodes = restored(value, *found)
        ir.convenience.replace_all_uses_with(value, nodes[-1].outputs[0] if nodes else found[0])
        del graph.initializers[value.name or ""]
        graph.register_initializer(found[0])
        before += nodes
    if before:
        graph.insert_before(graph[0], before)
    for node in graph:
        node.metadata_props.clear()
        node.doc_string = None


def rewrite(graph: GraphProto, nodes: list[NodeProto], initializers: list[TensorProto] | None = None) -> None:
    """Replace a graph's nodes, and its constants where they are given; both may hold some of the graph's own."""
    del graph.node[:]
    graph.node.extend(nodes)
    if initializers is not None:
        del graph.initializer[:]
        graph.initializer.extend(initializers)


def save_graph(model: ir.Model, path: Path) -> onnx.ModelProto:
    """Write a graph whose weights have been moved; returns it."""
    proto = ir.to_proto(model)
    del proto.graph.value_info[:]  # the exporter's notes of inner shapes: names have changed, and readers infer them anew
    onnx.save(proto, str(path))
    return proto
