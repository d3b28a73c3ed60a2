"""Which backend a clip gets, and what --dry-run says before anything is loaded."""

import json
from collections.abc import Callable
from pathlib import Path
from shutil import copytree
from typing import Any

import pytest

from engines.core.bundle import FACTS, Bundle, read_bundle
from engines.core.errors import ScdError, UsageError
from engines.core.report import NullReport
from engines.core.windows import windows
from engines.generate import backends
from engines.generate.denoise import Settings
from engines.generate.dry_run import outlook
from engines.sessions import cuda, onnxruntime_session, tensorrt_session
from tests.generate.tiny_model import FEATURES, SITES, TOKENS, WIDTH, TinyModel

Tiny = tuple[Path, TinyModel]
CPU = backends.Backend("cpu", "ort-cpu", lambda name: pytest.fail(f"{name} was loaded"))


class Notes(NullReport):
    def __init__(self) -> None:
        self.said: list[str] = []

    def note(self, text: str) -> None:
        self.said.append(text)


def with_flavours(bundle: Bundle, *flavours: str) -> Bundle:
    for flavour in flavours:
        bundle.facts.flavours[flavour] = bundle.facts.graphs
    return bundle


@pytest.fixture
def no_gpu(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse() -> Any:
        raise ScdError("this machine has no NVIDIA driver", "use --providers cpu")

    monkeypatch.setattr(cuda, "cuda_device", refuse)
    monkeypatch.setattr("engines.sessions.builders.tensorrt_module", lambda flavour: None)
    monkeypatch.setattr(onnxruntime_session, "available_providers", lambda: ["CPUExecutionProvider"])


def test_without_a_wish_the_cpu_is_taken_where_nothing_better_is(tiny: Tiny, no_gpu: None) -> None:
    report = Notes()
    assert backends.choose(read_bundle(tiny[0]), (), report).name == "onnxruntime on cpu"
    assert report.said == []
    chosen = backends.choose(with_flavours(read_bundle(tiny[0]), "ort-cuda", "trt-rtx"), (), report)
    assert (chosen.name, chosen.flavour) == ("onnxruntime on cpu", "ort-cpu")
    assert report.said == ["trt-rtx is left out: this machine has no NVIDIA driver"]


def test_a_wish_that_cannot_be_had_fails_when_it_is_the_last(tiny: Tiny, no_gpu: None) -> None:
    bundle, report = with_flavours(read_bundle(tiny[0]), "trt"), Notes()
    with pytest.raises(ScdError, match="no NVIDIA driver"):
        backends.choose(bundle, ("trt",), report)
    with pytest.raises(ScdError, match="not for trt-rtx; export it with --flavour trt-rtx"):
        backends.choose(bundle, ("trt-rtx",), report)
    assert backends.choose(bundle, ("trt", "cpu"), report).name == "onnxruntime on cpu"
    with pytest.raises(UsageError, match="no provider tpu; choose among: trt-rtx, trt, cuda, cpu"):
        backends.choose(bundle, ("tpu",), report)


def test_with_a_gpu_plans_are_asked_for_its_capability(tiny: Tiny, monkeypatch: pytest.MonkeyPatch) -> None:
    """The GPU is a stand-in: that a plan is then loaded and run has never been executed."""
    gpu, asked = type("Gpu", (), {"compute_capability": "89"})(), []
    monkeypatch.setattr(cuda, "cuda_device", lambda: gpu)
    monkeypatch.setattr("engines.sessions.builders.tensorrt_module", lambda flavour: None)
    monkeypatch.setattr("engines.sessions.plans.plan_for", lambda request, report: asked.append(request) or "plan")
    monkeypatch.setattr(tensorrt_session, "open_session", lambda plan, device: (plan, device))
    chosen = backends.choose(with_flavours(read_bundle(tiny[0]), "trt-rtx"), (), Notes())
    assert chosen.name == "trt-rtx on the GPU (SM89)"
    assert chosen.open_graph("target") == ("plan", gpu)
    assert (asked[0].targets, asked[0].flavour) == (("89",), "trt-rtx")


def annotated(folder: Path, change: Callable[[dict[str, Any]], None]) -> Bundle:
    """A copy of the bundle with other facts."""
    folder = Path(copytree(folder, folder.parent / "annotated"))
    facts = json.loads((folder / FACTS).read_text())
    change(facts)
    (folder / FACTS).write_text(json.dumps(facts))
    return read_bundle(folder)


def test_outlook_counts_by_hand(tiny: Tiny) -> None:
    """19 frames in windows of 8 (the last overlaps by more); 4 steps, of which the first two are guided."""

    def change(facts: dict[str, Any]) -> None:
        facts["graphs"]["target"] |= {"flop": 1_000_000_000, "parameters": 1_000_000}

    bundle = annotated(tiny[0], change)
    said = outlook(bundle, CPU, Settings(steps=4, guidance=2.0, guidance_until=0.5), "target", windows(19, 8, 2))
    plan = [8, 8, 8]
    assert (said["windows"], said["runs"], said["steps"]) == (3, 12, 4)
    assert said["work_tflop"] == pytest.approx(sum(plan) * (2 + 2 + 1 + 1) * 1e-3, abs=1e-3)
    kv = 2 * len(SITES) * TOKENS * WIDTH * 2
    running, loading = 4 * (1e6 + 2 * kv + 24 * 2 * 8 * FEATURES * TOKENS), 7 * 1e6
    assert loading > running
    assert said["memory_gb"] == pytest.approx((1e8 + loading) / 1e9, abs=1e-3)


def test_outlook_of_an_older_export_leaves_out_what_it_cannot_know(tiny: Tiny) -> None:
    said = outlook(read_bundle(tiny[0]), CPU, Settings(steps=2, guidance=1.0), "target", windows(3, 8, 2))
    assert said["work_tflop"] is None
    assert said["memory_gb"] is None
    assert said["graphs"]["target"] == "target.onnx"
