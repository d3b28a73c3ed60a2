"""What a clip would take, from what the bundle says of its graphs: `scd animate --dry-run`. No weights are loaded."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from math import prod
from typing import Any

from engines.core import guidance as cfg
from engines.core.bundle import Bundle
from engines.core.reuse import full_step
from engines.core.windows import Window
from engines.generate.backends import Backend
from engines.generate.denoise import Settings, passes, runs, target_graphs

GIGABYTE = 1e9
PROCESS = 1e8  # bytes of the interpreter and its libraries
LOADING = 7  # bytes a parameter of a float32 graph while onnxruntime widens its float16 file: 6.0 GB for 860 M (docs/engines.md)
LIVE_MAPS = 24  # feature maps of the widest level that are alive at once, gated feed-forward included (docs/engines.md)


@dataclass(frozen=True)
class Outlook:
    """Counts, and estimates: gigabytes of the largest stage (weights, K/V, activations), gigabytes on disk (pose and deep features),
    and teraoperations of denoising (multiply and add are two). None where an older export left no figures."""

    backend: str
    graphs: dict[str, str]
    frames: int
    windows: int
    steps: int
    runs: int
    memory_gb: float | None
    disk_gb: float
    work_tflop: float | None


def work(bundle: Bundle, settings: Settings, target: str, lengths: list[int]) -> float | None:
    """Operations of all runs of the target graphs."""
    graphs, conditions, total = bundle.facts.graphs, cfg.conditions(settings.guidance), 0.0
    for number in range(1, settings.steps + 1):
        name = target if full_step(number, settings.reuse) else f"{target}_shallow"
        if "flop" not in graphs[name]:
            return None
        rows = sum(len(each.shares) for each in passes(settings, number, conditions))
        total += float(graphs[name]["flop"]) * rows * sum(lengths)
    return total


def memory(bundle: Bundle, flavour: str, settings: Settings, target: str, longest: int) -> float | None:
    """Bytes while the target graphs are loaded or while they run, whichever is more: weights, K/V, the widest feature maps, each as the
    flavour holds it."""
    graphs: Mapping[str, Any] = bundle.graphs(flavour)
    names = target_graphs(target, settings)
    if any("parameters" not in graphs[name] for name in names):
        return None
    size = 2 if graphs[target]["inputs"]["latents"]["dtype"] == "float16" else 4
    conditions = 1 if settings.guidance_passes == 2 else cfg.conditions(settings.guidance)
    kv = sum(2 * site.tokens * site.channels for site in bundle.facts.sites) * cfg.conditions(settings.guidance)
    widest = prod(graphs[target]["inputs"]["pose_features"]["shape"][1:])
    activations = LIVE_MAPS * conditions * longest * widest
    parameters = sum(graphs[name]["parameters"] for name in names)
    running = size * (parameters + 2 * kv + activations)
    return PROCESS + float(max(running, (LOADING if size == 4 else size) * parameters))


def outlook(bundle: Bundle, backend: Backend, settings: Settings, target: str, plan: Sequence[Window]) -> dict[str, Any]:
    """For a clip that is denoised in the windows of `plan`, on the graph `target`."""
    graphs, frames, lengths = bundle.graphs(backend.flavour), plan[-1].stop, [window.stop - window.start for window in plan]
    widest = prod(graphs[target]["inputs"]["pose_features"]["shape"][1:])
    deep = 2 * cfg.conditions(settings.guidance) * sum(lengths) * widest if settings.reuse > 1 else 0
    bytes_needed = memory(bundle, backend.flavour, settings, target, max(lengths))
    operations = work(bundle, settings, target, lengths)
    names = ("encoder", "pose", "reference", *target_graphs(target, settings), "decoder")
    return asdict(
        Outlook(
            backend.name, {name: str(graphs[name]["file"]) for name in names}, frames, len(plan), settings.steps, runs(settings, len(plan)),
            None if bytes_needed is None else round(bytes_needed / GIGABYTE, 3), round((4 * frames * widest + deep) / GIGABYTE, 3),
            None if operations is None else round(operations / 1e12, 3),
        )
    )  # fmt: skip
