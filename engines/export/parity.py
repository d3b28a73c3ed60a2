"""Parity gates of an export: every graph against its torch module, on random and on real inputs, and "every input matters"."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
import torch
from numpy.typing import NDArray

from engines.core.errors import ScdError
from engines.export.graphs import Graph
from engines.export.torch_twin import torch_sessions

TOLERANCE = 1e-4  # relative L2 error, float32 onnxruntime against float32 torch
Arrays = dict[str, NDArray[np.float32]]


def relative_l2(value: NDArray[np.float32], truth: NDArray[np.float32]) -> float:
    """||value - truth|| / ||truth||, in float64."""
    difference = value.astype(np.float64) - truth.astype(np.float64)
    return float(np.linalg.norm(difference) / max(float(np.linalg.norm(truth.astype(np.float64))), 1e-30))


def open_plain(path: Path) -> onnxruntime.InferenceSession:
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3
    return onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])


def random_feeds(graph: Graph, sizes: Mapping[str, int]) -> Arrays:
    """The graph's example inputs cut or repeated so that each dynamic axis has the size asked for."""
    feeds: Arrays = {}
    for name, tensor in graph.inputs.items():
        array = tensor.numpy()
        for axis, symbol in graph.dynamic.get(name, {}).items():
            array = np.take(array, np.arange(sizes[symbol]) % array.shape[axis], axis=axis)
        feeds[name] = np.ascontiguousarray(array)
    return feeds


def check_parity(graph: Graph, session: onnxruntime.InferenceSession, feeds: Arrays, what: str) -> float:
    """The worst relative L2 error over the outputs. ScdError names the tensor that exceeds the tolerance."""
    truth = torch_sessions([graph])[graph.name].run(feeds)
    worst = 0.0
    for name, value in zip(graph.outputs, session.run(graph.outputs, feeds), strict=True):
        error = relative_l2(value, truth[name])
        if not error <= TOLERANCE:
            raise ScdError(
                f"the {graph.name} graph's {name} differs from torch by {error:.2e} on {what} inputs, above {TOLERANCE:.0e}",
                "report this as a bug",
            )
        worst = max(worst, error)
    return worst


def check_inputs_matter(graph: Graph, session: onnxruntime.InferenceSession, feeds: Arrays) -> None:
    """Every declared input changes the output; an input that does not has been lost in the export."""
    before = session.run(graph.outputs, feeds)
    for name, array in feeds.items():
        after = session.run(graph.outputs, feeds | {name: array * np.float32(0.5) + np.float32(0.25)})
        if all(np.array_equal(a, b) for a, b in zip(before, after, strict=True)):
            raise ScdError(f"the {graph.name} graph does not depend on its input {name}", "report this as a bug")


def gates(graph: Graph, path: Path, real: Arrays | None) -> dict[str, Any]:
    """All gates of one graph; the figures go into bundle.json."""
    session = open_plain(path)
    figures: dict[str, Any] = {"tolerance": TOLERANCE}
    sizes = [{"n": 1, "frames": 1, "conditions": 1}, {"n": 3, "frames": 5, "conditions": 2}]
    figures["random"] = max(check_parity(graph, session, random_feeds(graph, s), "random") for s in sizes)
    if real is not None:
        figures["real"] = check_parity(graph, session, real, "real")
    check_inputs_matter(graph, session, random_feeds(graph, sizes[0]))
    return figures


def real_feeds(graphs: list[Graph], picture: NDArray[np.uint8], pose: NDArray[np.uint8]) -> dict[str, Arrays]:
    """Inputs as a clip meets them: a picture (H, W, 3), a pose picture, and what the graphs before make of them."""
    by_name = torch_sessions(graphs)
    image: NDArray[np.float32] = picture.transpose(2, 0, 1)[None].astype(np.float32) / np.float32(127.5) - np.float32(1)
    drawn: NDArray[np.float32] = pose.transpose(2, 0, 1)[None].astype(np.float32) / np.float32(255)
    latents = by_name["encoder"].run({"image": image})["latents"]
    features = by_name["pose"].run({"pose": drawn})["pose_features"]
    reference = {"ref_latents": latents, "ref_pose_features": features}
    noise = torch.randn(latents.shape, generator=torch.Generator().manual_seed(1)).numpy()
    target: Arrays = {
        "latents": (0.7 * latents + 0.7 * noise).astype(np.float32),
        "timestep": np.array([499.0], np.float32),
        "pose_features": features,
    }
    return {
        "encoder": {"image": image}, "pose": {"pose": drawn}, "reference": reference,
        "target": target | by_name["reference"].run(reference), "decoder": {"latents": latents},
    }  # fmt: skip
