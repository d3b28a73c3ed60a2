"""Writing the graphs of a bundle: each in float32 for the CPU first, through all gates, then in the dialects of the GPU flavours."""

import gc
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from math import prod
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import onnx
import torch
from numpy.typing import NDArray
from torch import nn

from engines.core.specs import ModelSpec
from engines.export.exportable import ORT_FP16, ORT_FP32, TENSORRT, TENSORRT_CODEC, TENSORRT_FP32_SUMS, Dialect
from engines.export.flops import flop
from engines.export.graphs import Graph, trace
from engines.export.parity import gates, gates_half
from engines.export.weights import Rounded, WeightFile, move_weights, rounded, save_graph
from engines.model.checkpoint import prefixed
from engines.model.loading import SavedModel
from engines.sessions.gates import Arrays
from engines.sessions.memory import give_back

if TYPE_CHECKING:
    from engines.export.request import ExportRequest

INT8_FROM = 4096  # elements: smaller tensors are a hundredth of the file
DTYPES = {onnx.TensorProto.FLOAT: "float32", onnx.TensorProto.FLOAT16: "float16"}


def round_to_half(*modules: nn.Module) -> None:
    """The weights as float16 will hold them, in their place."""
    with torch.no_grad():
        for module in modules:
            for tensor in (*module.parameters(), *module.buffers()):
                tensor.copy_(tensor.half())


def round_to_int8(module: nn.Module) -> dict[str, Rounded]:
    """The module's large tensors of two dimensions and more as int8 will hold them, in their place; also what the file holds, by name."""
    out = {}
    with torch.no_grad():
        for name, tensor in module.named_parameters():
            if tensor.dim() > 1 and tensor.numel() >= INT8_FROM:
                out[name] = rounded(tensor.numpy())
                tensor.copy_(torch.from_numpy(out[name].values))
    return out


def model_tensors(saved: SavedModel, int8: Mapping[str, Rounded]) -> dict[str, NDArray[np.float16] | Rounded]:
    """All tensors of model and autoencoder under the names that a checkpoint has; those of the model's that `int8` has as it has them."""
    tensors = prefixed("scd", saved.model.state_dict()) | prefixed("autoencoder", saved.autoencoder.state_dict())
    halves: dict[str, NDArray[np.float16] | Rounded] = {name: tensor.half().numpy() for name, tensor in tensors.items()}
    return halves | {f"scd.{name}": value for name, value in int8.items()}


def io_of(file: str, model: onnx.ModelProto) -> dict[str, Any]:
    """File, tensors by name with shape (names for dynamic axes) and dtype, and how many numbers the graph holds."""

    def tensors(values: Any) -> dict[str, Any]:
        types = {v.name: v.type.tensor_type for v in values}
        return {
            name: {"shape": [d.dim_param or d.dim_value for d in t.shape.dim], "dtype": DTYPES[t.elem_type]} for name, t in types.items()
        }

    parameters = sum(prod(tensor.dims) for tensor in model.graph.initializer)
    return {"file": file, "inputs": tensors(model.graph.input), "outputs": tensors(model.graph.output), "parameters": parameters}


@dataclass
class Writing:
    """A bundle's folder while it is being written; `graphs`, `flavours` and `parity` are what bundle.json will say."""

    folder: Path
    weights: WeightFile
    spec: ModelSpec
    request: "ExportRequest"
    large: bool
    graphs: dict[str, Any] = field(default_factory=dict)
    flavours: dict[str, dict[str, Any]] = field(default_factory=dict)
    parity: dict[str, Any] = field(default_factory=dict)

    def write(self, graph: Graph, real: Arrays | None) -> None:
        """One graph in all dialects. ScdError names the gate that failed and the tensor."""
        self.graphs[graph.name] = self.save(graph, ORT_FP32, f"{graph.name}.onnx") | {"flop": flop(graph)}
        judged = gates(graph, self.folder / f"{graph.name}.onnx", real, self.large)
        self.parity[graph.name] = judged.figures
        for dialect, tag, flavours in self.dialects(graph):
            described = self.save(graph, dialect, f"{graph.name}.{tag}.onnx") if dialect != ORT_FP32 else self.graphs[graph.name]
            if dialect.half:
                judged.figures[tag] = gates_half(graph, self.folder / str(described["file"]), judged, self.large)
            for flavour in flavours:
                self.flavours.setdefault(flavour, {})[graph.name] = described
        give_back()

    def dialects(self, graph: Graph) -> Iterator[tuple[Dialect, str, list[str]]]:
        """(dialect, tag in the file's name, flavours) of a graph; both TensorRT flavours read the same file."""
        wanted = self.request.flavours
        if "ort-cuda" in wanted:
            yield (ORT_FP32 if self.request.precision == "fp32" else ORT_FP16), "fp16", ["ort-cuda"]
        tensorrt = [flavour for flavour in wanted if flavour.startswith("trt")]
        if tensorrt:
            codec = graph.name in ("encoder", "decoder", "picture")
            accurate = TENSORRT_FP32_SUMS if self.request.attn_accum == "fp32" else TENSORRT
            yield (TENSORRT_CODEC if codec else accurate), "trt", tensorrt

    def save(self, graph: Graph, dialect: Dialect, file: str) -> dict[str, Any]:
        """Write a graph; returns what bundle.json says of it. A float16 trace leaves gigabytes of its own weights behind."""
        described = self.trace_to(graph, dialect, file)
        gc.collect()  # the trace is full of cycles
        give_back()
        return described

    def trace_to(self, graph: Graph, dialect: Dialect, file: str) -> dict[str, Any]:
        model = trace(graph, self.spec, dialect)
        move_weights(model, self.weights)
        proto = save_graph(model, self.folder / file)
        onnx.checker.check_model(str(self.folder / file))
        return io_of(file, proto)
