"""Gates of an export: every graph against its torch module, on random and on real inputs; every input matters; frames see each other
exactly where they should; float16 against float32."""

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
import torch
from numpy.typing import NDArray

from engines.export.graphs import Graph
from engines.export.torch_twin import torch_sessions
from engines.generate.pipeline import unit
from engines.media.fit import squeezed
from engines.sessions.gates import HALF_TOLERANCE, Arrays, check_coupling, check_inputs_matter, worst_error

TOLERANCE = 1e-4  # relative L2 error, float32 onnxruntime against float32 torch


@dataclass(frozen=True)
class Judged:
    """A float32 graph's figures, and one run of it that its float16 twins are held against."""

    figures: dict[str, Any]
    feeds: Arrays
    outputs: Arrays


def open_plain(path: Path, frugal: bool = False) -> onnxruntime.InferenceSession:
    """`frugal` takes the graph as it is written: float16 weights stay in their file and each is widened when it is used. 2.2 GB instead of
    6.0 for Stable Diffusion's UNet, loaded in 1 s instead of 13 (docs/engines.md)."""
    options = onnxruntime.SessionOptions()
    options.enable_cpu_mem_arena = options.enable_mem_pattern = not frugal
    if frugal:
        options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
    options.log_severity_level = 3
    return onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])


def run(session: onnxruntime.InferenceSession, graph: Graph, feeds: Arrays) -> Arrays:
    return dict(zip(graph.outputs, session.run(graph.outputs, feeds), strict=True))


def random_feeds(graph: Graph, sizes: Mapping[str, int]) -> Arrays:
    """The graph's example inputs cut or repeated so that each dynamic axis has the size asked for."""
    feeds: Arrays = {}
    for name, tensor in graph.inputs.items():
        array = tensor.numpy()
        for axis, symbol in graph.dynamic.get(name, {}).items():
            array = np.take(array, np.arange(sizes[symbol]) % array.shape[axis], axis=axis)
        feeds[name] = np.ascontiguousarray(array)
    return feeds


def gates(graph: Graph, path: Path, real: Arrays | None, large: bool) -> Judged:
    """All gates of a float32 graph; the figures go into bundle.json. A `large` graph is tried on fewer frames."""
    session, twin = open_plain(path, large), torch_sessions([graph])[graph.name]
    figures: dict[str, Any] = {"tolerance": TOLERANCE}
    small, more = {"n": 1, "frames": 1, "conditions": 1}, {"n": 3, "frames": 5, "conditions": 2}
    if large:
        more = {"n": 2, "frames": 2, "conditions": 1}
    feeds = random_feeds(graph, small)
    start = time.monotonic()
    outputs = run(session, graph, feeds)
    seconds = time.monotonic() - start
    first = worst_error(graph.name, outputs, twin.run(feeds), TOLERANCE, "torch on random inputs")
    wide = random_feeds(graph, more)
    after = run(session, graph, wide)
    figures["random"] = max(first, worst_error(graph.name, after, twin.run(wide), TOLERANCE, "torch on random inputs"))
    if real is not None:
        figures["real"] = worst_error(graph.name, run(session, graph, real), twin.run(real), TOLERANCE, "torch on real inputs")
    figures |= check_inputs_matter(graph.name, lambda x: run(session, graph, x), feeds, outputs, seconds, twin.run)
    if "prediction" in graph.outputs:
        figures["frames coupled by"] = check_coupling(graph.name, lambda x: run(session, graph, x), wide, after, bool(graph.module.motion))
    return Judged(figures, feeds, outputs)


def gates_half(graph: Graph, path: Path, judged: Judged, large: bool) -> dict[str, Any]:
    """A float16 graph against the float32 one, on onnxruntime's CPU provider."""
    session = open_plain(path, large)
    types = {value.name: np.float16 if value.type == "tensor(float16)" else np.float32 for value in session.get_inputs()}
    outputs = run(session, graph, {name: array.astype(types[name]) for name, array in judged.feeds.items()})
    error = worst_error(graph.name, outputs, judged.outputs, HALF_TOLERANCE, "float32")
    return {"tolerance": HALF_TOLERANCE, "float32": error}


def real_feeds(graphs: Sequence[Graph], picture: NDArray[np.uint8], pose: NDArray[np.uint8]) -> dict[str, Arrays]:
    """Inputs as a clip meets them: a picture (H, W, 3), a pose picture, and what the graphs before make of them."""
    by_name = torch_sessions(graphs)
    image: NDArray[np.float32] = picture.transpose(2, 0, 1)[None].astype(np.float32) / np.float32(127.5) - np.float32(1)
    drawn: NDArray[np.float32] = pose.transpose(2, 0, 1)[None].astype(np.float32) / np.float32(255)
    latents = by_name["encoder"].run({"image": image})["latents"]
    features = by_name["pose"].run({"pose": drawn})["pose_features"]
    reference = {"ref_latents": latents, "ref_pose_features": features}
    extra: dict[str, Arrays] = {}
    if "picture" in by_name:
        side = next(graph.inputs["picture"].shape[-1] for graph in graphs if graph.name == "picture")
        extra["picture"] = {"picture": unit(squeezed(picture[None], side))}
        reference |= by_name["picture"].run(extra["picture"])
    taken = next(graph.inputs for graph in graphs if graph.name == "reference")
    reference = {name: array for name, array in reference.items() if name in taken}
    noise = torch.randn(latents.shape, generator=torch.Generator().manual_seed(1)).numpy()
    target: Arrays = {
        "latents": (0.7 * latents + 0.7 * noise).astype(np.float32),
        "timestep": np.array([499.0], np.float32),
        "pose_features": features,
    }
    target |= by_name["reference"].run(reference)
    outer = target | {"deep": by_name["target"].run(target)["deep"]}
    feeds = {"encoder": {"image": image}, "pose": {"pose": drawn}, "reference": reference, "decoder": {"latents": latents}} | extra
    inputs = {graph.name: graph.inputs for graph in graphs if graph.name.startswith("target")}
    return feeds | {name: {k: v for k, v in outer.items() if k in names} for name, names in inputs.items()}
