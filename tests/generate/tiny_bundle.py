"""Writes a tiny but complete bundle: the five real graphs with their real names and dynamic axes, one shared weights file, no torch."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

from engines.core.bundle import SCHEMA_VERSION, Task, write_facts
from engines.core.sites import kv_names
from tests.generate.tiny_model import CHANNELS, COLUMNS, DOWNSCALE, FEATURES, ROWS, SITES, SIZE, TOKENS, WIDTH, TinyModel

WEIGHTS = "weights.data"
Shape = Sequence[int | str]
IMAGE: Shape = ("n", 3, SIZE[1], SIZE[0])

SHARED_NOISE = 0.5


def grid(first: str, channels: int) -> Shape:
    return (first, channels, ROWS, COLUMNS)


class Drawing:
    """Nodes and initialisers of one graph; `add` appends a node and returns its output's name."""

    def __init__(self, weights: dict[str, NDArray[np.float32]]) -> None:
        self.weights, self.nodes, self.constants = weights, [], {}  # type: ignore[var-annotated]

    def add(self, op: str, *inputs: str, name: str | None = None, **attributes: Any) -> str:
        output = name or f"t{len(self.nodes)}"
        self.nodes.append(helper.make_node(op, inputs, [output], **attributes))
        return output

    def constant(self, name: str, array: NDArray[Any]) -> str:
        self.constants[name] = array
        return name

    def weight(self, name: str) -> str:
        return self.constant(f"w.{name}", self.weights[name])

    def shape(self, *dims: int) -> str:
        """A constant shape for Reshape; 0 keeps an axis."""
        return self.constant("shape." + ".".join(map(str, dims)), np.array(dims, np.int64))

    def tokens(self, grids: str) -> str:
        return self.add("Transpose", self.add("Reshape", grids, self.shape(0, 0, TOKENS)), perm=[0, 2, 1])

    def hidden(self, latents: str, features: str, timestep: str | None) -> str:
        """(n, tokens, WIDTH) from latents, pose features and the timestep (None is 0)."""
        own = self.add("MatMul", self.tokens(latents), self.weight("latents_in"))
        out = self.add("Add", own, self.add("MatMul", self.tokens(features), self.weight("pose_in")))
        if timestep is None:
            return out
        share = self.add("Div", timestep, self.constant("thousand", np.array([1000], np.float32)))
        return self.add("Add", out, self.add("Mul", share, self.weight("time_in")))

    def project(self, hidden: str, site: str, name: str | None = None, *, kind: str) -> str:
        return self.add("MatMul", hidden, self.weight(f"{kind}.{site}"), name=name)

    def attend(self, query: str, key: str, value: str, rank: int) -> str:
        turned = self.add("Transpose", key, perm=[*range(rank - 2), rank - 1, rank - 2])
        root = self.constant("root", np.array([WIDTH**0.5], np.float32))
        scores = self.add("Div", self.add("MatMul", query, turned), root)
        return self.add("MatMul", self.add("Softmax", scores, axis=-1), value)

    def model(self, name: str, inputs: dict[str, Shape], outputs: dict[str, Shape]) -> onnx.ModelProto:
        def infos(tensors: dict[str, Shape]) -> list[onnx.ValueInfoProto]:
            return [helper.make_tensor_value_info(key, TensorProto.FLOAT, list(shape)) for key, shape in tensors.items()]

        constants = [numpy_helper.from_array(array, key) for key, array in self.constants.items()]
        graph = helper.make_graph(self.nodes, name, infos(inputs), infos(outputs), constants)
        return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)], ir_version=10)


def encoder_graph(draw: Drawing) -> onnx.ModelProto:
    draw.add("Conv", "image", draw.weight("encoder"), strides=[DOWNSCALE, DOWNSCALE], name="latents")
    return draw.model("encoder", {"image": IMAGE}, {"latents": grid("n", CHANNELS)})


def pose_graph(draw: Drawing) -> onnx.ModelProto:
    draw.add("Conv", "pose", draw.weight("pose"), strides=[DOWNSCALE, DOWNSCALE], name="pose_features")
    return draw.model("pose", {"pose": ("frames", *IMAGE[1:])}, {"pose_features": grid("frames", FEATURES)})


def decoder_graph(draw: Drawing) -> onnx.ModelProto:
    draw.add("Tanh", draw.add("ConvTranspose", "latents", draw.weight("decoder"), strides=[DOWNSCALE, DOWNSCALE]), name="image")
    return draw.model("decoder", {"latents": grid("n", CHANNELS)}, {"image": IMAGE})


def kv_shapes() -> dict[str, Shape]:
    return dict.fromkeys(kv_names(SITES), ("conditions", TOKENS, WIDTH))


def reference_graph(draw: Drawing) -> onnx.ModelProto:
    hidden = draw.hidden("ref_latents", "ref_pose_features", None)
    for number, site in enumerate(SITES):
        key = draw.project(hidden, site.name, site.key_name, kind="k")
        value = draw.project(hidden, site.name, site.value_name, kind="v")
        if number + 1 < len(SITES):
            hidden = draw.add("Add", hidden, draw.attend(draw.project(hidden, site.name, kind="q"), key, value, 3))
    inputs = {"ref_latents": grid("conditions", CHANNELS), "ref_pose_features": grid("conditions", FEATURES)}
    return draw.model("reference", inputs, kv_shapes())


def joined(draw: Drawing, reference: str, own: str) -> str:
    """[reference, own] along the tokens, each brought to (c, f, tokens, ch)."""
    lifted = draw.add("Unsqueeze", reference, draw.constant("axis.1", np.array([1], np.int64)))
    zero = draw.constant("zero", np.zeros(1, np.float32))
    shape = draw.add("Shape", draw.add("Add", draw.add("Mul", lifted, zero), own))  # broadcast of the two
    return draw.add("Concat", draw.add("Expand", lifted, shape), draw.add("Expand", own, shape), axis=2)


def target_graph(draw: Drawing, motion: bool) -> onnx.ModelProto:
    hidden = draw.hidden("latents", "pose_features", "timestep")
    hidden = draw.add("Unsqueeze", hidden, draw.constant("axis.0", np.array([0], np.int64)))
    for site in SITES:
        query, key, value = (draw.project(hidden, site.name, kind=kind) for kind in "qkv")
        attended = draw.attend(query, joined(draw, site.key_name, key), joined(draw, site.value_name, value), 4)
        hidden = draw.add("Add", hidden, attended)
    if motion:
        mean = draw.add("ReduceMean", hidden, draw.constant("axis.1", np.array([1], np.int64)), keepdims=1)
        hidden = draw.add("Add", hidden, draw.add("Mul", mean, draw.constant("half", np.array([0.5], np.float32))))
    out = draw.add("Transpose", draw.add("MatMul", hidden, draw.weight("out")), perm=[0, 1, 3, 2])
    draw.add("Reshape", out, draw.shape(0, 0, CHANNELS, ROWS, COLUMNS), name="prediction")
    inputs = {"latents": grid("frames", CHANNELS), "timestep": (1,), "pose_features": grid("frames", FEATURES)}
    return draw.model("target", inputs | kv_shapes(), {"prediction": ("conditions", *grid("frames", CHANNELS))})


def move_weights(proto: onnx.ModelProto, data: bytearray) -> None:
    """Appends the weights to the shared file as float16, behind Casts, as `scd export` does."""
    for tensor in proto.graph.initializer:
        array = numpy_helper.to_array(tensor)
        if not tensor.name.startswith("w."):
            continue
        raw, name = array.astype(np.float16).tobytes(), tensor.name
        half = TensorProto(name=f"{name}.half", data_type=TensorProto.FLOAT16, dims=array.shape, data_location=TensorProto.EXTERNAL)
        for key, value in (("location", WEIGHTS), ("offset", len(data)), ("length", len(raw))):
            half.external_data.add(key=key, value=str(value))
        data.extend(raw)
        tensor.CopyFrom(half)
        proto.graph.node.insert(0, helper.make_node("Cast", [half.name], [name], to=TensorProto.FLOAT))


def described(proto: onnx.ModelProto) -> dict[str, Any]:
    def tensors(values: Any) -> dict[str, Any]:
        return {v.name: {"shape": [d.dim_param or d.dim_value for d in v.type.tensor_type.shape.dim], "dtype": "float32"} for v in values}

    name = proto.graph.name
    return {"file": f"{name}.onnx", "inputs": tensors(proto.graph.input), "outputs": tensors(proto.graph.output)}


def tiny_facts(graphs: dict[str, Any], motion: bool, task: Task, laid: bool, strength: float) -> dict[str, Any]:
    schedule = {"beta_start": 0.00085, "beta_end": 0.012, "zero_terminal_snr": True, "prediction_type": "v_prediction"}
    return {
        "schema_version": SCHEMA_VERSION, "name": "tiny", "kind": "scd-v" if motion else "scd-i", "flavour": "ort-cpu", "size": list(SIZE),
        "latents": {"channels": CHANNELS, "downscale": DOWNSCALE, "scaling_factor": 1.0},
        "window": {"min": 1, "max": 16, "default": 8, "overlap": 2}, "schedule": {"train_timesteps": 1000, **schedule},
        "sampling": {"steps": 3, "guidance": 1.0, "shared_noise": SHARED_NOISE, "strength": strength},
        "sites": [{"name": s.name, "tokens": s.tokens, "channels": s.channels} for s in SITES], "graphs": graphs,
        "parity": {}, "provenance": {"made_by": "tests"}, "licence": "Apache-2.0", "task": task, "laid": laid,
    }  # fmt: skip


def write_tiny_bundle(
    folder: Path, *, seed: int = 0, motion: bool = False, task: Task = "animate", laid: bool = False, strength: float = 1.0
) -> TinyModel:
    """Write the bundle into a new folder; returns its numpy twin."""
    folder.mkdir(parents=True)
    twin, data, graphs = TinyModel(seed, motion), bytearray(), {}
    for build in (encoder_graph, pose_graph, reference_graph, lambda draw: target_graph(draw, motion), decoder_graph):
        proto = build(Drawing(twin.weights))
        move_weights(proto, data)
        onnx.save(proto, str(folder / f"{proto.graph.name}.onnx"))
        graphs[proto.graph.name] = described(proto)
    (folder / WEIGHTS).write_bytes(data)
    for name in graphs:
        onnx.checker.check_model(str(folder / f"{name}.onnx"))
    write_facts(folder, tiny_facts(graphs, motion, task, laid, strength))
    return twin
