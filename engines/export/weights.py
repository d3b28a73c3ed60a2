"""One weights file for all graphs of a bundle: model.safetensors, float16, under the torch modules' own names.

ONNX graphs refer into it as external data, behind Casts that onnxruntime folds at load: reference and target graph are the same
network, so sharing the file halves the bundle and float16 halves it again, while the arithmetic stays float32 (float16 is 4-6 times
slower on onnxruntime's CPU provider). Being plain safetensors, the same file is what training goes on from.

A compact bundle keeps the network's large tensors as int8 with a scale for each output channel (Rounded): half the size once more, and
the same arithmetic, since the product is folded at load, too.
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
from engines.model.checkpoint import SCALE

SMALL = 256  # elements; smaller constants stay in the graph, in float32
LEVELS = 127  # of int8 either side of 0
Array = NDArray[np.float16]
Place = tuple[int, int]


@dataclass(frozen=True)
class Rounded:
    """A tensor of which the file keeps int8 `levels` (rows, ...) and float32 `scales` (rows, 1, ...): it is levels x scales."""

    levels: NDArray[np.int8]
    scales: NDArray[np.float32]

    @property
    def values(self) -> NDArray[np.float32]:
        return np.asarray(self.levels.astype(np.float32) * self.scales, np.float32)


def rounded(array: NDArray[np.float32]) -> Rounded:
    """Each row (output channel) by its own largest value; a row of nothing stays one."""
    scales = np.abs(array).max(axis=tuple(range(1, array.ndim)), keepdims=True).astype(np.float32) / np.float32(LEVELS)
    levels = np.rint(array / np.maximum(scales, np.finfo(np.float32).tiny)).astype(np.int8)
    return Rounded(levels, scales)


@dataclass(frozen=True)
class Stored:
    """Where a tensor lies in the file, (offset, length) in bytes: float16, or int8 with its `scales`."""

    place: Place
    scales: Place | None = None


def digest(array: Array) -> str:
    return hashlib.sha256(str(array.shape).encode() + np.ascontiguousarray(array).tobytes()).hexdigest()


@dataclass
class WeightFile:
    """Where each tensor lies in the file, by its content in float16."""

    filename: str
    places: dict[str, Stored] = field(default_factory=dict)

    def find(self, array: Array) -> Stored | None:
        """The place of a tensor with this shape and content."""
        return self.places.get(digest(array))

    def add(self, array: Array, place: Place, scales: Place | None) -> None:
        """A tensor, and its halves along the rows."""
        self.places[digest(array)] = Stored(place, scales)
        rows = len(array) // 2
        if len(array) % 2:
            return
        for half, part in enumerate((array[:rows], array[rows:])):
            self.places[digest(part)] = Stored(half_of(place, half), None if scales is None else half_of(scales, half))


def half_of(place: Place, half: int) -> Place:
    return place[0] + half * (place[1] // 2), place[1] // 2


def write_weights(path: Path, tensors: Mapping[str, Array | Rounded]) -> WeightFile:
    """Write the tensors as a safetensors file. A tensor shorter than SMALL is written too, but graphs do not refer to it.

    The halves of a tensor are found as well: a gated linear layer is exported as two layers (exportable.SplitGEGLU). ScdError when the disk
    is full.
    """
    arrays: dict[str, NDArray[np.generic]] = {}
    for name, tensor in tensors.items():
        if isinstance(tensor, Rounded):
            arrays |= {name: tensor.levels, name + SCALE: tensor.scales}
        else:
            arrays[name] = tensor
    try:
        save_file({name: np.ascontiguousarray(array) for name, array in arrays.items()}, path)
    except SafetensorError as error:
        raise ScdError(f"cannot write the weights ({error})", "free some space or name another place with --out") from error
    path.chmod(0o644)  # safetensors writes for the owner alone
    with path.open("rb") as file:
        header = int.from_bytes(file.read(8), "little")
        entries = json.loads(file.read(header))
    out = WeightFile(path.name)

    def place(name: str) -> Place:
        start, stop = (8 + header + offset for offset in entries[name]["data_offsets"])
        return start, stop - start

    for name, tensor in tensors.items():
        if isinstance(tensor, Rounded):
            out.add(tensor.values.astype(np.float16), place(name), place(name + SCALE))
        else:
            out.add(tensor, place(name), None)
    return out


def stored(value: ir.Value, file: WeightFile) -> tuple[list[ir.Value], bool] | None:
    """Values that read the tensor from the file, float16 or int8 and its scales, and whether it lies there transposed; None where the
    file has it not.

    The exporter stores the weights of linear layers transposed; they are found the other way round and turned in the graph.
    """
    tensor = value.const_value
    if tensor is None or tensor.dtype not in (ir.DataType.FLOAT, ir.DataType.FLOAT16) or tensor.size < SMALL:
        return None
    array = tensor.numpy().astype(np.float16, copy=False)
    found, turned = file.find(array), False
    if found is None and array.ndim == 2:
        found, turned = file.find(array.T), True
    if found is None:
        return None
    shape = array.T.shape if turned else array.shape

    def outside(ending: str, place: Place, kind: ir.DataType, sides: tuple[int, ...]) -> ir.Value:
        name, of = f"{value.name}.{ending}", ir.Shape(sides)
        tensor = ir.ExternalTensor(file.filename, place[0], place[1], kind, shape=of, name=name)
        return ir.Value(name=name, shape=of, type=ir.TensorType(kind), const_value=tensor)

    if found.scales is None:
        return [outside("stored", found.place, ir.DataType.FLOAT16, shape)], turned
    scales = outside("scales", found.scales, ir.DataType.FLOAT, (shape[0], *(1 for _ in shape[1:])))
    return [outside("stored", found.place, ir.DataType.INT8, shape), scales], turned


def restored(value: ir.Value, from_file: list[ir.Value], turned: bool) -> list[ir.Node]:
    """Nodes that make of what the file holds what the graph used before; the last one's output takes the old name."""
    nodes: list[ir.Node] = []
    if value.dtype == ir.DataType.FLOAT:
        nodes.append(ir.node("Cast", from_file[:1], {"to": ir.DataType.FLOAT}, name=f"{value.name}.cast"))
    if len(from_file) == 2:
        nodes.append(ir.node("Mul", [nodes[-1].outputs[0], from_file[1]], name=f"{value.name}.scaled"))
    if turned:
        nodes.append(ir.node("Transpose", [nodes[-1].outputs[0] if nodes else from_file[0]], {"perm": [1, 0]}, name=f"{value.name}.turn"))
    for node in nodes:
        node.outputs[0].name = value.name if node is nodes[-1] else f"{node.name}.out"
    return nodes


def move_weights(model: ir.Model, file: WeightFile) -> None:
    """Make every large initialiser that the file holds a reference into it."""
    graph, before = model.graph, list[ir.Node]()
    for value in list(graph.initializers.values()):
        found = stored(value, file)
        if found is None:
            continue
        nodes = restored(value, *found)
        ir.convenience.replace_all_uses_with(value, nodes[-1].outputs[0] if nodes else found[0][0])
        del graph.initializers[value.name or ""]
        for outside in found[0]:
            graph.register_initializer(outside)
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
