"""TensorRT plans: real TensorRT-RTX builds of a small graph, without a GPU, and a cache that never loads blindly."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from engines.core.errors import ScdError
from engines.core.report import NullReport
from engines.sessions import builders, plans
from engines.sessions.builders import PlanFacts, PlanRequest, build, build_to
from tests.sessions.small_graph import attention_graph

TOKENS, CHANNELS = 64, 64
PROFILE = {"latents": ((1, TOKENS, CHANNELS), (4, TOKENS, CHANNELS), (8, TOKENS, CHANNELS))}


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("SCD_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


@pytest.fixture
def request_(tmp_path: Path) -> PlanRequest:
    return PlanRequest(attention_graph(tmp_path / "target.trt.onnx"), "ab" * 32, "trt-rtx", ("86", "89", "120"), PROFILE)


def built(request: PlanRequest) -> plans.Plan:
    """Into the cache, in this process."""
    version = str(builders.tensorrt_module(request.flavour).__version__)
    path = plans.plan_path(request, version)
    return plans.Plan(path, build_to(request, path))


@pytest.fixture
def trt() -> Any:
    return pytest.importorskip("tensorrt_rtx")


@pytest.mark.trt
def test_a_plan_for_three_gpus_is_built_without_any(trt: Any, request_: PlanRequest) -> None:
    data, facts = build(request_)
    assert (facts.version, facts.targets, facts.plan_bytes) == (trt.__version__, ("86", "89", "120"), len(data))
    assert 0 < facts.weights_bytes < 1e5
    assert facts.activation_bytes > 0


@pytest.mark.trt
def test_a_plan_reads_back_as_far_as_a_machine_without_gpu_can(trt: Any, request_: PlanRequest) -> None:
    """The runtime reads header and size before it asks for a device; a cut or foreign file fails before that."""
    data, _ = build(request_)
    for blob, words in ((data, "CUDA"), (b"x" * len(data), "magic"), (data[:100], "")):
        log = builders.listener(trt)
        engine = trt.Runtime(log).deserialize_cuda_engine(blob)
        if engine is not None:  # a GPU after all
            assert engine.num_io_tensors == 3
            continue
        said = " ".join(text for is_error, text in log.messages if is_error)
        assert words.lower() in said.lower(), said


@pytest.mark.trt
def test_the_cache_gives_the_plan_back_in_the_end_without_building(
    trt: Any, request_: PlanRequest, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = plans.plan_for(request_, NullReport())  # in a process of its own
    monkeypatch.setattr(plans, "build_apart", lambda *_: pytest.fail("built again"))
    again = plans.plan_for(request_, NullReport())
    assert (again.path, again.facts) == (first.path, first.facts)
    assert plans.plan_for(replace(request_, targets=("89",)), NullReport()).path == first.path, "made for more GPUs than asked"


@pytest.mark.trt
def test_plans_that_do_not_fit_are_named_and_not_loaded(trt: Any, request_: PlanRequest) -> None:
    plan = built(request_)
    sidecar = plan.path.with_suffix(".json")
    facts = json.loads(sidecar.read_text())
    assert plans.find_plan(request_)[0] is not None
    other = {"latents": ((1, TOKENS, CHANNELS), (1, TOKENS, CHANNELS), (2, TOKENS, CHANNELS))}
    for request, said in [
        (replace(request_, graph_sha256="cd" * 32), "of another graph"),
        (replace(request_, targets=("75",)), "for SM86, SM89, SM120, not SM75"),
        (replace(request_, profile=other), "for other numbers of frames"),
    ]:
        assert plans.find_plan(request) == (None, f"it is {said}")
    sidecar.write_text(json.dumps(facts | {"version": "1.0"}))
    assert plans.find_plan(request_) == (None, f"it is of trt-rtx 1.0, not trt-rtx {trt.__version__}")
    for text in ("{", "null", "[]", '"x"', json.dumps(facts | {"profile": [1]}), json.dumps(facts | {"targets": None})):
        sidecar.write_text(text)
        found, reason = plans.find_plan(request_)
        assert found is None
        assert reason.startswith("its sidecar "), (text, reason)
    sidecar.write_text(json.dumps(facts))
    plan.path.write_bytes(plan.path.read_bytes()[:-1] + b"x")
    assert plans.find_plan(request_) == (None, "it was changed after it was written")
    sidecar.unlink()
    assert plans.find_plan(request_) == (None, "it was cut off while it was written")


@pytest.mark.trt
def test_scores_that_are_written_out_show_in_the_memory(trt: Any, tmp_path: Path) -> None:
    """The control of check_fused: float32 matrices are not fused, and 1024 x 2048 scores of 8 frames take 67 MB."""
    shapes = tuple((n, 1024, CHANNELS) for n in (1, 4, 8))
    profile = {"latents": shapes}
    found = {}
    for fused, kind in ((True, np.float16), (False, np.float32)):
        graph = attention_graph(tmp_path / f"{kind.__name__}.onnx", 1024, CHANNELS, fused, kind)
        found[fused] = build(PlanRequest(graph, "00", "trt-rtx", ("89",), profile))[1]  # type: ignore[arg-type]
    bound = 8 * 1024 * 2048 * 2
    plans.check_fused(found[True], bound)
    with pytest.raises(ScdError, match="above the 34 MB that fused attention stays below"):
        plans.check_fused(found[False], bound)


@pytest.mark.trt
@pytest.mark.parametrize(("target", "said"), [("90", "data-centre"), ("61", "choose among"), ("abc", "choose among")])
def test_gpus_that_rtx_does_not_know(trt: Any, request_: PlanRequest, target: str, said: str) -> None:
    with pytest.raises(ScdError, match=f"cannot build for SM{target}.*{said}"):
        build(replace(request_, targets=(target,)))


@pytest.mark.trt
def test_a_graph_that_is_none(trt: Any, request_: PlanRequest) -> None:
    request_.graph.write_bytes(b"nothing")
    with pytest.raises(ScdError, match="cannot read the graph"):
        build(request_)


@pytest.mark.trt
def test_a_full_disk_leaves_nothing(trt: Any, request_: PlanRequest, cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Path, "write_bytes", full)
    with pytest.raises(ScdError, match="the disk is full; free some space, or point SCD_CACHE at another folder"):
        built(request_)
    assert not [path for path in cache.rglob("*") if path.is_file()]


@pytest.mark.trt
def test_a_cache_that_is_no_folder(trt: Any, request_: PlanRequest, cache: Path) -> None:
    cache.write_text("")
    with pytest.raises(ScdError, match=r"cannot keep plans in .*; free some space, or point SCD_CACHE at another folder"):
        built(request_)
    assert cache.read_text() == ""


def test_classic_tensorrt_without_its_package_names_both_ways_out() -> None:
    if builders.installed("trt"):
        pytest.skip("classic TensorRT is installed")
    with pytest.raises(ScdError, match=r"on that machine, or use --flavour trt-rtx"):
        builders.tensorrt_module("trt")


FACTS = PlanFacts("target.trt.onnx", "00", "trt-rtx", "1.7", ("89",), {"latents": ((1, 4, 8), (16, 4, 8), (24, 4, 8))}, 1, 1, 1, 1.0)


def test_more_frames_than_the_profile_has() -> None:
    plans.check_shape(FACTS, "latents", (24, 4, 8))
    plans.check_shape(FACTS, "timestep", (1,))
    with pytest.raises(ScdError, match=r"takes 1 to 24 frames \(latents\), not 64.*--frames 1,16,64"):
        plans.check_shape(FACTS, "latents", (64, 4, 8))
    with pytest.raises(ScdError, match=r"not 0; use at least 1 frames"):
        plans.check_shape(FACTS, "latents", (0, 4, 8))
    conditions = replace(FACTS, profile={"ref_k.mid": ((1, 4), (2, 4), (2, 4))})
    with pytest.raises(ScdError, match=r"takes 1 to 2 conditions \(ref_k\.mid\), not 3; report this"):
        plans.check_shape(conditions, "ref_k.mid", (3, 4))


def test_profiles_cover_the_free_axes_alone() -> None:
    inputs = {"latents": {"shape": ["frames", 4, 8]}, "timestep": {"shape": [1]}, "ref_k.mid": {"shape": ["conditions", 9]}}
    found = plans.profile_of(inputs, {"frames": (1, 16, 24), "conditions": (1, 2, 2)})
    assert found == {"latents": ((1, 4, 8), (16, 4, 8), (24, 4, 8)), "ref_k.mid": ((1, 9), (2, 9), (2, 9))}
