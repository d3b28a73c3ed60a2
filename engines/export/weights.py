"""One weights file for all graphs of a bundle: float16 tensors, each stored once, behind Casts that onnxruntime folds at load.

Reference and target graph are the same network; sharing the file halves the bundle, float16 halves it again. The arithmetic stays
float32 (float16 is 4-6 times slower on onnxruntime's CPU provider).
"""

import hashlib
from dataclasses import dataclass, field

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

ALIGNMENT = 64
SMALL = 256  # elements; smaller tensors stay in the graph, in float32


@dataclass
class WeightStore:
    """The bytes of weights.data, and where each tensor lies."""

    filename: str
    data: bytearray = field(default_factory=bytearray)
    places: dict[str, tuple[int, int]] = field(default_factory=dict)

    def add(self, raw: bytes) -> tuple[int, int]:
        """(offset, length) of these bytes, stored once."""
        key = hashlib.sha256(raw).hexdigest()
        if key not in self.places:
            self.data.extend(b"\0" * (-len(self.data) % ALIGNMENT))
            self.places[key] = (len(self.data), len(raw))
            self.data.extend(raw)
        return self.places[key]


def external(name: str, array: np.ndarray, data_type: int, store: WeightStore) -> TensorProto:
    offset, length = store.add(array.tobytes())
    tensor = TensorProto(name=name, data_type=data_type, dims=array.shape, data_location=TensorProto.EXTERNAL)
    for key, value in (("location", store.filename), ("offset", offset), ("length", length)):
        tensor.external_data.add(key=key, value=str(value))
    return tensor


def move_weights(model: onnx.ModelProto, store: WeightStore) -> None:
    """Replace every large float32 initialiser of the model by a float16 one in the store and a Cast of the old name."""
    kept, casts = [], []
    for tensor in model.graph.initializer:
        array = numpy_helper.to_array(tensor)
        if tensor.data_type != TensorProto.FLOAT or array.size < SMALL:
            kept.append(tensor)
            continue
        half = external(f"{tensor.name}.half", np.ascontiguousarray(array.astype(np.float16)), TensorProto.FLOAT16, store)
        kept.append(half)
        casts.append(helper.make_node("Cast", [half.name], [tensor.name], to=TensorProto.FLOAT, name=f"{tensor.name}.cast"))
    nodes = [*casts, *model.graph.node]
    del model.graph.initializer[:], model.graph.node[:]
    model.graph.initializer.extend(kept)
    model.graph.node.extend(nodes)
    del model.graph.value_info[:]  # the old shapes would be checked against names that are no longer initialisers
