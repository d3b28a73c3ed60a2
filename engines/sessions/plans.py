"""The cache of TensorRT plans: each under a key of all that it was built of, with a sidecar that is checked before the plan is loaded.

A plan of another graph, version, GPU or profile, and a plan whose bytes have changed, is never loaded: it is built anew, or refused with
the reason.
"""

import hashlib
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, fields
from pathlib import Path

from engines.core.bundle import Bundle, sha256
from engines.core.errors import ScdError
from engines.core.places import cache_folder
from engines.core.report import Report
from engines.sessions.builders import PlanFacts, PlanRequest, Shapes, build_apart, tensorrt_module

CONDITIONS = (1, 2, 2)  # least, usual, most: the reference alone, or beside the null reference
PICTURES = (1, 1, 4)


@dataclass(frozen=True)
class Plan:
    path: Path
    facts: PlanFacts


def plan_path(request: PlanRequest, version: str) -> Path:
    parts = [request.graph_sha256, request.flavour, version, sorted(request.targets), sorted(request.profile.items())]
    key = hashlib.sha256(json.dumps(parts).encode()).hexdigest()[:24]
    return cache_folder() / "plans" / f"{request.graph.stem}-{key}.plan"


def graph_sha256(bundle: Bundle, name: str, flavour: str) -> str:
    """Of the graph's file and the bundle's weights, as bundle.json has them."""
    files = bundle.facts.files
    graph = str(bundle.graphs(flavour)[name]["file"])
    weights = [files[file] for file in sorted(files) if not file.endswith(".onnx")]
    return hashlib.sha256("".join([str(files[graph]), *map(str, weights)]).encode()).hexdigest()


def profile_of(inputs: Mapping[str, Mapping[str, Sequence[int | str]]], sizes: Mapping[str, tuple[int, int, int]]) -> dict[str, Shapes]:
    """Least, usual and most shape of every input that has free axes; `sizes` by the axes' names."""
    out = {}
    for name, entry in inputs.items():
        if any(isinstance(axis, str) for axis in entry["shape"]):
            least, usual, most = (tuple(sizes[a][i] if isinstance(a, str) else a for a in entry["shape"]) for i in range(3))
            out[name] = (least, usual, most)
    return out


def plan_request(
    bundle: Bundle, name: str, flavour: str, targets: tuple[str, ...], conditions: tuple[int, int, int] = CONDITIONS
) -> PlanRequest:
    """For a graph of a bundle, over the frames that the bundle was exported for; image graphs take the same number as a batch."""
    window = bundle.facts.window
    frames = (window.min, window.default, window.max)
    sizes = {"frames": PICTURES if name == "pose" else frames, "conditions": conditions, "n": PICTURES}
    profile = profile_of(bundle.graphs(flavour)[name]["inputs"], sizes)
    return PlanRequest(bundle.graph_path(name, flavour), graph_sha256(bundle, name, flavour), flavour, targets, profile)


def read_sidecar(path: Path) -> tuple[PlanFacts, str]:
    """Facts and the plan's sha256. ValueError for anything that is not one."""
    data = json.loads(path.read_text())
    if not isinstance(data, dict):
        raise ValueError("its sidecar is no object")
    digest = str(data.pop("plan_sha256"))
    if set(data) != {field.name for field in fields(PlanFacts)}:
        raise ValueError("its sidecar is of another version of scd")
    profile = {name: tuple(tuple(shape) for shape in shapes) for name, shapes in data.pop("profile").items()}
    return PlanFacts(**data | {"targets": tuple(data["targets"]), "profile": profile}), digest


def why_not(path: Path, request: PlanRequest, version: str) -> str | None:
    """Why the plan at `path` may not be loaded, or None."""
    try:
        facts, digest = read_sidecar(path.with_suffix(".json"))
    except FileNotFoundError:
        return "it was cut off while it was written"
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        return f"its sidecar cannot be read ({error})"
    if facts.graph_sha256 != request.graph_sha256:
        return "it is of another graph"
    if (facts.flavour, facts.version) != (request.flavour, version):
        return f"it is of {facts.flavour} {facts.version}, not {request.flavour} {version}"
    if not set(request.targets) <= set(facts.targets):
        return f"it is for SM{', SM'.join(facts.targets)}, not SM{', SM'.join(request.targets)}"
    if facts.profile != dict(request.profile):
        return "it is for other numbers of frames"
    if sha256(path) != digest:
        return "it was changed after it was written"
    return None


def find_plan(request: PlanRequest) -> tuple[Plan | None, str]:
    """A plan that may be loaded, or None and the reason."""
    version, reasons = str(tensorrt_module(request.flavour).__version__), []
    for path in sorted(known_plans(request.graph.stem)):
        reason = why_not(path, request, version)
        if reason is None:
            return Plan(path, read_sidecar(path.with_suffix(".json"))[0]), "it is in the cache"
        reasons.append(reason)
    return None, reasons[-1] if reasons else "there is none yet"


def known_plans(stem: str) -> Iterator[Path]:
    yield from (cache_folder() / "plans").glob(f"{stem}-*.plan")


def plan_for(request: PlanRequest, report: Report) -> Plan:
    """From the cache, or built now; says which and why."""
    found, reason = find_plan(request)
    if found is not None:
        return found
    report.note(f"{request.flavour} plan of {request.graph.name}: {reason}, so it is built (SM{', SM'.join(request.targets)})")
    path = plan_path(request, str(tensorrt_module(request.flavour).__version__))
    return Plan(path, build_apart(request, path))


def check_fused(facts: PlanFacts, bound: int) -> None:
    """ScdError when the activation memory shows that an attention writes its scores out. `bound` in bytes."""
    if not 0 < facts.activation_bytes < bound:
        raise ScdError(
            f"the plan of {facts.graph} needs {facts.activation_bytes / 1e6:.0f} MB of activation memory, above the {bound / 1e6:.0f} MB "
            "that fused attention stays below",
            "report this as a bug; --flavour ort-cuda works meanwhile",
        )


def check_shape(facts: PlanFacts, name: str, shape: Sequence[int]) -> None:
    """ScdError when an input is outside the plan's profile."""
    if name not in facts.profile:
        return
    for size, low, usual, high in zip(shape, *facts.profile[name], strict=True):
        if not low <= size <= high:
            counts = "conditions" if name.startswith("ref_") else "frames"
            frames = f"export the bundle again with --frames {low},{usual},{size}" if size > high else f"use at least {low} frames"
            raise ScdError(
                f"the plan of {facts.graph} takes {low} to {high} {counts} ({name}), not {size}",
                frames if counts == "frames" else "report this as a bug; --providers cpu works meanwhile",
            )
