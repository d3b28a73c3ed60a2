"""Stable Diffusion's layout at tiny size, exported for every flavour: gates, shared weights, TensorRT-RTX engines, the run time."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest

torch = pytest.importorskip("torch")
pytest.importorskip("onnxscript")

from engines.core.bundle import read_bundle  # noqa: E402
from engines.core.errors import ScdError, UsageError  # noqa: E402
from engines.core.report import NullReport  # noqa: E402
from engines.export import parity  # noqa: E402
from engines.export.bundle import ExportRequest, export_bundle  # noqa: E402
from engines.export.graphs import bundle_graphs  # noqa: E402
from engines.export.torch_twin import saved_spec, torch_sessions  # noqa: E402
from engines.export.writing import round_to_half  # noqa: E402
from engines.generate.pipeline import Pipeline, open_pipeline  # noqa: E402
from engines.model.loading import load_model  # noqa: E402
from engines.sessions.builders import installed  # noqa: E402
from tests.model.stable import save_stable_run  # noqa: E402

TENSORRT = ("trt-rtx",) if installed("trt-rtx") else ()
IMAGE_AND_VIDEO = ["encoder", "pose", "reference", "target", "target_video", "decoder"]


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_stable_run(tmp_path_factory.mktemp("run"), motion=True)


@pytest.fixture(scope="module")
def exported(checkpoint: Path) -> tuple[Path, dict[str, Any]]:
    """The bundle and what the export said."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("SCD_CACHE", str(checkpoint / "cache"))
        request = ExportRequest(
            checkpoint=str(checkpoint), out=checkpoint / "bundle", flavours=("ort-cuda", *TENSORRT), frames=(1, 2, 4), targets=("89", "120")
        )
        return request.out, export_bundle(request, NullReport())


def test_video_and_image_target_lie_side_by_side_in_every_flavour(exported: tuple[Path, dict[str, Any]]) -> None:
    bundle = read_bundle(exported[0])
    assert bundle.facts.kind == "scd-v"
    for flavour in ("ort-cpu", "ort-cuda", *TENSORRT):
        assert list(bundle.graphs(flavour)) == IMAGE_AND_VIDEO
    assert (bundle.facts.window.min, bundle.facts.window.default, bundle.facts.window.max) == (1, 2, 4)
    with pytest.raises(ScdError, match="not for trt; export it with --flavour trt"):
        bundle.graphs("trt")


def test_gates_left_their_figures(exported: tuple[Path, dict[str, Any]]) -> None:
    parities = read_bundle(exported[0]).facts.parity
    for name in IMAGE_AND_VIDEO:
        figures = parities[name]
        assert figures["random"] < 1e-4
        assert figures["inputs tried"] == "one by one"
        for tag in ("fp16", *(["trt"] if TENSORRT else [])):
            assert 0 < figures[tag]["float32"] < 1e-2
    assert parities["target_video"]["frames coupled by"] > 1e-3
    assert parities["target"]["frames coupled by"] < 1e-6


def test_float16_graphs_read_the_same_weights_and_take_float16(exported: tuple[Path, dict[str, Any]]) -> None:
    bundle = read_bundle(exported[0])
    inputs = bundle.graphs("ort-cuda")["target_video"]["inputs"]
    assert {name: entry["dtype"] for name, entry in inputs.items() if name in ("latents", "timestep", "ref_k.mid")} == {
        "latents": "float16", "timestep": "float32", "ref_k.mid": "float16",
    }  # fmt: skip
    graph = onnx.load(str(bundle.graph_path("target_video", "ort-cuda")), load_external_data=False).graph
    outside = [t for t in graph.initializer if t.data_location == onnx.TensorProto.EXTERNAL]
    assert {entry.value for t in outside for entry in t.external_data if entry.key == "location"} == {"model.safetensors"}
    assert sum(np.prod(t.dims) for t in outside) > 10 * sum(np.prod(t.dims) for t in graph.initializer if t not in outside)


def test_the_empty_prompt_is_folded(exported: tuple[Path, dict[str, Any]]) -> None:
    """No projection of the text is left: of attn2 the graph has to_q and to_out alone."""
    graph = onnx.load(str(exported[0] / "target.onnx"), load_external_data=False).graph
    names = {t.name for t in graph.initializer if ".attn2." in t.name}
    assert any(".attn2.to_q" in name or ".attn2.to_out" in name for name in names)
    assert not any(".attn2.to_k" in name or ".attn2.to_v" in name for name in names)


@pytest.mark.trt
@pytest.mark.skipif(not TENSORRT, reason="tensorrt-rtx is not installed")
def test_engines_of_every_graph_were_built_without_a_gpu(checkpoint: Path, exported: tuple[Path, dict[str, Any]]) -> None:
    engines = exported[1]["engines"]["trt-rtx"]
    assert list(engines) == IMAGE_AND_VIDEO
    for name, figures in engines.items():
        sidecar = json.loads(Path(figures["plan"]).with_suffix(".json").read_text())
        assert sidecar["targets"] == ["89", "120"]
        assert sidecar["plan_bytes"] == Path(figures["plan"]).stat().st_size
        assert figures["activation bytes"] > 0, name
    graph = onnx.load(str(exported[0] / "target_video.trt.onnx"), load_external_data=False).graph
    attentions = [node.op_type for node in graph.node].count("Attention")
    assert attentions == 4 * 2 + 3 * 2, "self and text at four sites, two temporal ones in three modules"


def torch_pipeline(checkpoint: Path) -> Pipeline:
    """On the weights as float16 holds them, as the bundle's are."""
    saved = load_model(checkpoint)
    round_to_half(saved.model, saved.autoencoder)
    return Pipeline(saved_spec(saved, (1, 2, 4)), torch_sessions(bundle_graphs(saved.model, saved.autoencoder)))


@pytest.mark.parametrize(("frames", "flavour"), [(1, "cpu"), (5, "cpu"), (3, "cuda")])
def test_run_time_equals_torch(checkpoint: Path, exported: tuple[Path, dict[str, Any]], frames: int, flavour: str) -> None:
    """Image graph for one frame, windows of the video graph for more; the float16 graphs on the CPU, for want of a GPU."""
    read, rng = read_bundle(exported[0]), np.random.default_rng(0)
    picture, poses = (rng.integers(0, 256, (n, 128, 64, 3), dtype=np.uint8) for n in (1, frames))
    results = []
    made_for = "ort-cuda" if flavour == "cuda" else None
    for pipeline in (open_pipeline(read, ("cpu",), made_for), torch_pipeline(checkpoint)):
        pipeline.target = pipeline.target_for(frames)
        pipeline.set_reference(pipeline.reference_kv(pipeline.encode(picture), poses[:1], 2))
        results.append(pipeline.denoise(pipeline.pose_features(poses), 2, 1.5, 0, lambda: None))
    assert parity.relative_l2(*results) < (2e-2 if flavour == "cuda" else 1e-4)


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"flavours": ("coreml",)}, "no flavour coreml.*ort-cpu"),
        ({"precision": "fp16"}, "slower than float32 on CPUs"),
        ({"precision": "int8", "data": Path("x"), "flavours": ("ort-cuda",)}, "int8 is for CPUs"),
        ({"precision": "fp32", "flavours": ("trt-rtx",)}, "no fused attention in float32"),
        ({"frames": (4, 2, 1)}, "does not rise"),
    ],
)
def test_requests_that_contradict_themselves(checkpoint: Path, tmp_path: Path, options: dict[str, Any], said: str) -> None:
    with pytest.raises(UsageError, match=said):
        export_bundle(ExportRequest(checkpoint=str(checkpoint), out=tmp_path / "bundle", **options), NullReport())
    assert not list(tmp_path.iterdir())


def test_more_frames_than_the_motion_modules_know(checkpoint: Path, tmp_path: Path) -> None:
    with pytest.raises(ScdError, match="at most 32 frames, not 64"):
        export_bundle(ExportRequest(checkpoint=str(checkpoint), out=tmp_path / "bundle", frames=(1, 16, 64)), NullReport())
    assert not list(tmp_path.iterdir())


def test_unknown_gpu_fails_before_the_export(checkpoint: Path, tmp_path: Path) -> None:
    pytest.importorskip("tensorrt_rtx")
    with pytest.raises(ScdError, match="cannot build for SM90"):
        export_bundle(
            ExportRequest(checkpoint=str(checkpoint), out=tmp_path / "bundle", flavours=("trt-rtx",), targets=("90",)), NullReport()
        )
    assert not list(tmp_path.iterdir())
