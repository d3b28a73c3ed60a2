"""Gates of an export: every graph against its torch module, on random and on real inputs; every input matters; frames see each other
exactly where they should; float16 against float32."""

import time
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
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
HALF_TOLERANCE = 1e-2  # relative L2 error, a float16 graph against the float32 one
PATIENCE = 60.0  # seconds that trying inputs one by one may take; a slower graph's K/V are tried all keys and all values at once
UNEQUAL = 1e-5  # relative L2 difference; float32 noise of another batch size stays below
Arrays = dict[str, NDArray[Any]]


@dataclass(frozen=True)
class Judged:
    """A float32 graph's figures, and one run of it that its float16 twins are held against."""

    figures: dict[str, Any]
    feeds: Arrays
    outputs: Arrays


def relative_l2(value: NDArray[Any], truth: NDArray[Any]) -> float:
    """||value - truth|| / ||truth||, in float64."""
    difference = value.astype(np.float64) - truth.astype(np.float64)
    return float(np.linalg.norm(difference) / max(float(np.linalg.norm(truth.astype(np.float64))), 1e-30))


def open_plain(path: Path, frugal: bool = False) -> onnxruntime.InferenceSession:
    """`frugal` leaves the float16 weights as they lie in the file and widens each when it is used: slower, in half the memory."""
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3
    left_out = {"disabled_optimizers": ["ConstantFolding"]} if frugal else {}
    return onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"], **left_out)


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


def worst_error(graph: Graph, values: Arrays, truth: Arrays, tolerance: float, what: str) -> float:
    """The worst relative L2 error over the outputs. ScdError names the tensor that exceeds the tolerance (or is not finite)."""
    worst = 0.0
    for name in graph.outputs:
        error = relative_l2(values[name], truth[name])
        if not error <= tolerance:
            raise ScdError(
                f"the {graph.name} graph's {name} differs from {what} by {error:.2e}, above {tolerance:.0e}", "report this as a bug"
            )
        worst = max(worst, error)
    return worst


def input_groups(graph: Graph, seconds: float) -> list[list[str]]:
    """Inputs to change together: one by one where there is time for it, else all keys and all values of the reference at once."""
    if seconds * len(graph.inputs) <= PATIENCE:
        return [[name] for name in graph.inputs]
    pairs = [[name for name in graph.inputs if name.startswith(prefix)] for prefix in ("ref_k.", "ref_v.")]
    return [[name] for name in graph.inputs if not any(name in group for group in pairs)] + [group for group in pairs if group]


def check_inputs_matter(graph: Graph, session: onnxruntime.InferenceSession, feeds: Arrays, before: Arrays, seconds: float) -> str:
    """Every declared input changes the output; an input that does not has been lost in the export. Returns how it was tried."""
    groups = input_groups(graph, seconds)
    for names in groups:
        after = run(session, graph, feeds | {name: feeds[name] * np.float32(0.5) + np.float32(0.25) for name in names})
        if all(np.array_equal(before[name], after[name]) for name in graph.outputs):
            raise ScdError(f"the {graph.name} graph does not depend on its input {names[0]}", "report this as a bug")
    return "one by one" if len(groups) == len(graph.inputs) else "keys together, values together"


def check_coupling(graph: Graph, session: onnxruntime.InferenceSession, feeds: Arrays, before: Arrays, coupled: bool) -> float:
    """How much a change of frame 0 changes the others: nothing without motion modules, something with them. Needs two frames."""
    changed = feeds["latents"].copy()
    changed[0] = changed[0] * np.float32(0.5) + np.float32(0.25)
    after = run(session, graph, feeds | {"latents": changed})["prediction"]
    moved = relative_l2(after[:, 1:], before["prediction"][:, 1:])
    if coupled != (moved > UNEQUAL):
        said = "do not see each other" if coupled else "see each other"
        raise ScdError(
            f"the frames of the {graph.name} graph {said} (a change of one moves the rest by {moved:.1e})", "report this as a bug"
        )
    return moved


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
    first = worst_error(graph, outputs, twin.run(feeds), TOLERANCE, "torch on random inputs")
    wide = random_feeds(graph, more)
    after = run(session, graph, wide)
    figures["random"] = max(first, worst_error(graph, after, twin.run(wide), TOLERANCE, "torch on random inputs"))
    if real is not None:
        figures["real"] = worst_error(graph, run(session, graph, real), twin.run(real), TOLERANCE, "torch on real inputs")
    figures["inputs tried"] = check_inputs_matter(graph, session, feeds, outputs, seconds)
    if "prediction" in graph.outputs:
        figures["frames coupled by"] = check_coupling(graph, session, wide, after, graph.module.motion)  # type: ignore[arg-type]
    return Judged(figures, feeds, outputs)


def gates_half(graph: Graph, path: Path, judged: Judged, large: bool) -> dict[str, Any]:
    """A float16 graph against the float32 one, on onnxruntime's CPU provider."""
    session = open_plain(path, large)
    types = {value.name: np.float16 if value.type == "tensor(float16)" else np.float32 for value in session.get_inputs()}
    outputs = run(session, graph, {name: array.astype(types[name]) for name, array in judged.feeds.items()})
    error = worst_error(graph, outputs, judged.outputs, HALF_TOLERANCE, "float32")
    return {"tolerance": HALF_TOLERANCE, "float32": error}


def real_feeds(graphs: Iterable[Graph], picture: NDArray[np.uint8], pose: NDArray[np.uint8]) -> dict[str, Arrays]:
    """Inputs as a clip meets them: a picture (H, W, 3), a pose picture, and what the graphs before make of them."""
    by_name = torch_sessions(list(graphs))
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
    target |= by_name["reference"].run(reference)
    feeds = {"encoder": {"image": image}, "pose": {"pose": drawn}, "reference": reference, "decoder": {"latents": latents}}
    return feeds | {name: target for name in by_name if name.startswith("target")}
