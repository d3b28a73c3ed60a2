"""TensorRT plans of an exported bundle: built, judged by the builder's own memory figures, and left in the cache."""

from typing import Any

from engines.core.bundle import Bundle
from engines.core.errors import ScdError
from engines.core.report import Report
from engines.core.specs import ModelSpec, self_attention_sites
from engines.sessions.builders import MODULES, PlanFacts, check_targets, installed, tensorrt_module
from engines.sessions.cuda import cuda_device
from engines.sessions.plans import CONDITIONS, check_fused, plan_for, plan_request

TELLING = 256e6  # bytes of scores below which the builder's figure says nothing: other activations are as large


def tensorrt_flavours() -> tuple[str, ...]:
    """Those whose package is installed. ScdError when none is."""
    found = tuple(flavour for flavour in MODULES if installed(flavour))
    if not found:
        raise ScdError("--trt needs TensorRT or TensorRT-RTX, and neither is installed", "pip install 'scd-cli[trt-rtx]'")
    return found


def check_possible(flavours: tuple[str, ...], targets: tuple[str, ...]) -> None:
    """What would fail after minutes of export fails now."""
    for flavour in flavours:
        if flavour in MODULES:
            check_targets(flavour, targets)
            tensorrt_module(flavour)


def scores_bytes(spec: ModelSpec, name: str, most_frames: int) -> float:
    """Of the largest batch of a plan's profile; 0 for graphs without self-attention sites."""
    if name != "reference" and not name.startswith("target"):
        return 0.0
    site = max(self_attention_sites(spec), key=lambda site: site.tokens)
    keys = site.tokens if name == "reference" else 2 * site.tokens
    batch = CONDITIONS[2] * (1 if name == "reference" else most_frames)
    return 2.0 * batch * spec.unet.heads_of(site.channels) * site.tokens * keys


def build_plans(bundle: Bundle, spec: ModelSpec, flavours: tuple[str, ...], targets: tuple[str, ...], report: Report) -> dict[str, Any]:
    """Plans of every graph of the TensorRT flavours. Returns figures by flavour and graph. ScdError when an attention is not fused."""
    wanted = [(flavour, name) for flavour in flavours if flavour in MODULES for name in bundle.graphs(flavour)]
    out: dict[str, Any] = {}
    with report.stage("build engines", len(wanted)) as bar:
        for flavour, name in wanted:
            gpus = targets if flavour == "trt-rtx" else (cuda_device().compute_capability,)  # classic TensorRT builds for the one at hand
            plan = plan_for(plan_request(bundle, name, flavour, gpus), report)
            scores = scores_bytes(spec, name, bundle.facts.window.max)
            if scores > TELLING:
                check_fused(plan.facts, int(scores / 2))
            out.setdefault(flavour, {})[name] = figures(plan.facts, scores) | {"plan": str(plan.path)}
            bar.advance(1)
    return out


def figures(facts: PlanFacts, scores: float) -> dict[str, Any]:
    return {
        "version": facts.version, "targets": list(facts.targets), "plan bytes": facts.plan_bytes, "seconds": facts.seconds,
        "activation bytes": facts.activation_bytes, "weights bytes": facts.weights_bytes, "unfused scores would add bytes": int(scores),
    }  # fmt: skip
