"""`scd export --verify`: the gates of a finished bundle that this machine can run. Needs no torch and no checkpoint."""

import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from engines.core.bundle import FLAVOURS, Bundle, read_bundle, resolve_model
from engines.core.errors import ScdError
from engines.core.report import Report
from engines.sessions.base import Session
from engines.sessions.builders import MODULES
from engines.sessions.gates import HALF_TOLERANCE, UNEQUAL, Arrays, check_coupling, check_inputs_matter, relative_l2, worst_error
from engines.sessions.onnxruntime_session import open_session
from engines.sessions.plans import find_plan, plan_request

SIZES = {"n": 1, "frames": 2, "conditions": 1}
LEAST_SWAP = 1e-3  # relative L2 difference of predictions under two references


def seeded_feeds(inputs: Mapping[str, Mapping[str, Any]], sizes: Mapping[str, int] = SIZES) -> Arrays:
    """Unit normal inputs of the shapes that bundle.json gives, `sizes` by its free axes' names; the same at every call. The timestep lies
    in the middle."""
    rng, out = np.random.default_rng(0), {}
    for name, entry in inputs.items():
        shape = [sizes[axis] if isinstance(axis, str) else axis for axis in entry["shape"]]
        out[name] = np.full(shape, 500, np.float32) if name == "timestep" else rng.standard_normal(shape, dtype=np.float32)
    return out


def verify_graph(bundle: Bundle, name: str, kv: Arrays) -> tuple[dict[str, Any], Arrays, dict[str, Any]]:
    """Figures of the float32 (or int8) graph on the CPU, its feeds, and its outputs: goldens for the other flavours.

    `kv` are what the reference graph gave: int8 rounds away what a trained model does with keys that are none.
    """
    session, feeds = open_session(bundle.graph_path(name), ("cpu",)), seeded_feeds(bundle.facts.graphs[name]["inputs"])
    feeds |= {tensor: array for tensor, array in kv.items() if tensor in feeds}
    start = time.monotonic()
    outputs = session.run(feeds)
    seconds = time.monotonic() - start
    for tensor, array in outputs.items():
        if not np.isfinite(array).all():
            raise ScdError(f"the {name} graph's {tensor} is not finite", "export the bundle again")
    parity = bundle.facts.parity.get(name, {})
    idle = parity.get("inputs without effect in the model", [])
    moving = {tensor: array for tensor, array in feeds.items() if tensor not in idle}
    rest = {tensor: array for tensor, array in feeds.items() if tensor in idle}
    figures = check_inputs_matter(name, lambda some: session.run(some | rest), moving, outputs, seconds)
    was = parity.get("frames coupled by")
    if was is not None:
        figures["frames coupled by"] = check_coupling(name, session.run, feeds, outputs, was > UNEQUAL)
    session.close()
    return figures, feeds, outputs


def verify_flavour(bundle: Bundle, name: str, flavour: str, feeds: Arrays, outputs: Mapping[str, Any]) -> float | str:
    """The flavour's graph against the CPU's: on the GPU where there is one, float16 onnxruntime graphs also without. A reason otherwise."""
    try:
        session = opened(bundle, name, flavour)
    except ScdError as reason:
        return f"not run: {reason.message}"
    error = worst_error(name, session.run(feeds), outputs, HALF_TOLERANCE, f"the CPU's on {flavour}")
    session.close()
    return error


def opened(bundle: Bundle, name: str, flavour: str) -> Session:
    if flavour not in MODULES:
        return open_session(bundle.graph_path(name, flavour), ("cpu",))
    from engines.sessions.cuda import cuda_device
    from engines.sessions.tensorrt_session import open_session as open_plan

    cuda = cuda_device()
    plan, reason = find_plan(plan_request(bundle, name, flavour, (cuda.compute_capability,)))
    if plan is None:
        raise ScdError(f"its plan cannot be used ({reason})", "scd animate builds it")
    return open_plan(plan, cuda)


def swap(bundle: Bundle, target: str) -> float:
    """How much another reference changes the prediction. ScdError when it does not."""
    graphs, rng = bundle.facts.graphs, np.random.default_rng(1)
    reference = open_session(bundle.graph_path("reference"), ("cpu",))
    feeds = seeded_feeds(graphs["reference"]["inputs"])
    kv = [reference.run(feeds | {"ref_latents": rng.standard_normal(feeds["ref_latents"].shape, dtype=np.float32)}) for _ in range(2)]
    reference.close()
    session, plain = open_session(bundle.graph_path(target), ("cpu",)), seeded_feeds(graphs[target]["inputs"])
    first, second = (session.run(plain | each, ("prediction",))["prediction"] for each in kv)
    session.close()
    moved = relative_l2(first, second)
    if not moved > LEAST_SWAP:
        raise ScdError(f"another reference changes the {target} graph's prediction by only {moved:.1e}", "train the model further")
    return moved


def verify(model: str | Path, report: Report) -> dict[str, Any]:
    """Hashes, then every graph in every flavour. Returns figures by graph. ScdError names the first gate that fails."""
    bundle, figures, kv = read_bundle(resolve_model(str(model))), dict[str, Any](), Arrays()
    others = [flavour for flavour in FLAVOURS[1:] if flavour in bundle.facts.flavours]
    with report.stage("verify graphs", len(bundle.facts.graphs)) as bar:
        for name in bundle.facts.graphs:
            figures[name], feeds, outputs = verify_graph(bundle, name, kv)
            kv = outputs if name == "reference" else kv
            figures[name] |= {flavour: verify_flavour(bundle, name, flavour, feeds, outputs) for flavour in others}
            bar.advance(1)
    for name in (name for name in ("target", "target_video") if name in figures):
        figures[name]["another reference changes it by"] = swap(bundle, name)
    return {"bundle": str(bundle.folder), "graphs": figures}
