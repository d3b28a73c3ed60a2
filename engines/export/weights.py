"""One weights file for all graphs of a bundle: model.safetensors, float16, under the torch modules' own names.

ONNX graphs refer into it as external data, behind Casts that onnxruntime folds at load: reference and target graph are the same
network, so sharing the file halves the bundle and float16 halves it again, while the arithmetic stays float32 (float16 is 4-6 times
slower on onnxruntime's CPU provider). Being plain safetensors, the same file is what training goes on from.
"""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import GraphProto, NodeProto, TensorProto, helper, numpy_helper
from safetensors.numpy import save

SMALL = 256  # elements; smaller constants stay in the graph, in float32
Array = NDArray[np.float16]


def digest(array: Array) -> str:
    return hashlib.sha256(str(array.shape).encode() + np.ascontiguousarray(array).tobytes()).hexdigest()


@dataclass
class WeightFile:
    """The bytes of the file and where each tensor lies in them, by content."""

    filename: str
    data: bytes
    places: dict[str, tuple[int, int]] = field(default_factory=dict)

    def find(self, array: Array) -> tuple[int, int] | None:
        """(offset, length) of a tensor with this shape and content."""
        return self.places.get(digest(array))


def weight_file(filename: str, tensors: Mapping[str, Array]) -> WeightFile:
    """Lay out the tensors as a safetensors file. A tensor shorter than SMALL is written too, but graphs do not refer to it.

    The halves of a tensor are found as well: a gated linear layer is exported as two layers (graphs.SplitGEGLU).
    """
    data = save({name: np.ascontiguousarray(array) for name, array in tensors.items()})
    header = int.from_bytes(data[:8], "little")
    out = WeightFile(filename, data)
    for name, entry in json.loads(data[8 : 8 + header]).items():
        if name in tensors:
            start, stop = (8 + header + offset for offset in entry["data_offsets"])
            half, rows = (stop - start) // 2, len(tensors[name]) // 2
            out.places[digest(tensors[name])] = (start, stop - start)
            if len(tensors[name]) % 2 == 0:
                out.places[digest(tensors[name][:rows])], out.places[digest(tensors[name][rows:])] = (start, half), (start + half, half)
    return out


def external(name: str, shape: tuple[int, ...], place: tuple[int, int], file: WeightFile) -> TensorProto:
    tensor = TensorProto(name=name, data_type=TensorProto.FLOAT16, dims=shape, data_location=TensorProto.EXTERNAL)
    for key, value in (("location", file.filename), ("offset", place[0]), ("length", place[1])):
        tensor.external_data.add(key=key, value=str(value))
    return tensor


def moved(tensor: TensorProto, file: WeightFile) -> tuple[TensorProto, list[NodeProto]] | None:
    """The tensor as a reference into the file, and the nodes that give its old name back; None where the file does not hold it.

    The exporter stores the weights of linear layers transposed; they are found the other way round and turned in the graph.
    """
    array = numpy_helper.to_array(tensor).astype(np.float16)
    place, turned = file.find(array), False
    if place is None and array.ndim == 2:
        place, turned = file.find(array.T), True
    if place is None:
        return None
    stored = external(f"{tensor.name}.stored", array.T.shape if turned else array.shape, place, file)
    wide = f"{tensor.name}.wide" if turned else tensor.name
    nodes = [helper.make_node("Cast", [stored.name], [wide], to=TensorProto.FLOAT, name=f"{tensor.name}.cast")]
    if turned:
        nodes.append(helper.make_node("Transpose", [wide], [tensor.name], perm=[1, 0], name=f"{tensor.name}.turn"))
    return stored, nodes


def rewrite(graph: GraphProto, nodes: list[NodeProto], initializers: list[TensorProto] | None = None) -> None:
    """Replace a graph's nodes, and its constants where they are given; both may hold some of the graph's own."""
    del graph.node[:]
    graph.node.extend(nodes)
    if initializers is not None:
        del graph.initializer[:]
        graph.initializer.extend(initializers)


def move_weights(model: onnx.ModelProto, file: WeightFile) -> None:
    """Make every large float32 initialiser that the file holds a reference into it."""
    kept, before = [], []
    for tensor in model.graph.initializer:
        large = tensor.data_type == TensorProto.FLOAT and np.prod(tensor.dims) >= SMALL
        found = moved(tensor, file) if large else None
        if found is None:
            kept.append(tensor)
        else:
            kept.append(found[0])
            before += found[1]
    rewrite(model.graph, [*before, *model.graph.node], kept)
    del model.graph.value_info[:]  # the old shapes would be checked against names that are no longer initialisers
    for node in model.graph.node:
        del node.metadata_props[:]
        node.doc_string = ""
