"""Stable Diffusion's layout at tiny size, exported for every flavour: gates, shared weights, TensorRT-RTX engines, the run time."""

import json
import subprocess
import sys
from pathlib import Path
from shutil import copytree
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import helper

torch = pytest.importorskip("torch")
pytest.importorskip("onnxscript")

from engines.core.bundle import read_bundle, write_facts  # noqa: E402
from engines.core.errors import ScdError, UsageError  # noqa: E402
from engines.core.report import NullReport  # noqa: E402
from engines.export.bundle import export_bundle  # noqa: E402
from engines.export.graphs import bundle_graphs  # noqa: E402
from engines.export.request import ExportRequest  # noqa: E402
from engines.export.torch_twin import saved_spec, torch_sessions  # noqa: E402
from engines.export.writing import round_to_half  # noqa: E402
from engines.generate.denoise import Settings  # noqa: E402
from engines.generate.pipeline import Pipeline, open_pipeline  # noqa: E402
from engines.model.loading import load_model  # noqa: E402
from engines.sessions.builders import installed  # noqa: E402
from engines.sessions.gates import relative_l2  # noqa: E402
from engines.sessions.plans import find_plan, plan_request  # noqa: E402
from engines.sessions.verify import verify  # noqa: E402
from tests.model.stable import save_stable_run  # noqa: E402

TENSORRT = ("trt-rtx",) if installed("trt-rtx") else ()
GRAPHS = ["encoder", "pose", "reference", "target", "target_video", "target_shallow", "target_video_shallow", "decoder"]


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
        assert list(bundle.graphs(flavour)) == GRAPHS
    assert (bundle.facts.window.min, bundle.facts.window.default, bundle.facts.window.max) == (1, 2, 4)
    with pytest.raises(ScdError, match="not for trt; export it with --flavour trt"):
        bundle.graphs("trt")


def test_gates_left_their_figures(exported: tuple[Path, dict[str, Any]]) -> None:
    parities = read_bundle(exported[0]).facts.parity
    for name in GRAPHS:
        figures = parities[name]
        assert figures["random"] < 1e-4
        assert figures["inputs tried"] == "one by one"
        for tag in ("fp16", *(["trt"] if TENSORRT else [])):
            assert 0 < figures[tag]["float32"] < 1e-2
    assert parities["target_video"]["frames coupled by"] > 1e-3
    assert parities["target_video_shallow"]["frames coupled by"] > 1e-3
    assert parities["target"]["frames coupled by"] < 1e-6
    for name, described in read_bundle(exported[0]).facts.graphs.items():
        assert described["flop"] > 0, name
        assert described["parameters"] > 0, name


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
    assert list(engines) == GRAPHS
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


@pytest.mark.parametrize(("frames", "flavour", "reuse"), [(1, "cpu", 1), (5, "cpu", 1), (5, "cpu", 2), (3, "cuda", 1), (3, "cuda", 2)])
def test_run_time_equals_torch(checkpoint: Path, exported: tuple[Path, dict[str, Any]], frames: int, flavour: str, reuse: int) -> None:
    """Image graph for one frame, windows of the video graph for more; the float16 graphs on the CPU, for want of a GPU."""
    read, rng = read_bundle(exported[0]), np.random.default_rng(0)
    picture, poses = (rng.integers(0, 256, (n, 128, 64, 3), dtype=np.uint8) for n in (1, frames))
    results = []
    made_for = "ort-cuda" if flavour == "cuda" else None
    for pipeline in (open_pipeline(read, ("cpu",), made_for), torch_pipeline(checkpoint)):
        pipeline.target = pipeline.target_for(frames)
        pipeline.set_reference(pipeline.reference_kv(pipeline.encode(picture), poses[:1], 2))
        results.append(pipeline.denoise(pipeline.pose_features(poses), Settings(steps=3, guidance=1.5, reuse=reuse), lambda: None))
    assert relative_l2(*results) < (2e-2 if flavour == "cuda" else 1e-4)


def test_verify_runs_the_gates_again(checkpoint: Path, exported: tuple[Path, dict[str, Any]], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SCD_CACHE", str(checkpoint / "cache"))
    figures = verify(exported[0], NullReport())["graphs"]
    assert set(figures) == set(GRAPHS)
    assert figures["target_video"]["frames coupled by"] > 1e-3 > figures["target"]["frames coupled by"]
    for name in ("target", "target_video"):
        assert figures[name]["another reference changes it by"] > 1e-3
    for name in GRAPHS:
        assert figures[name]["ort-cuda"] < 1e-2, "float16, on the CPU"
        if TENSORRT and not Path("/dev/nvidia0").exists():
            assert figures[name]["trt-rtx"].startswith("not run: this machine has no NVIDIA")


def test_verify_stops_at_a_bundle_that_was_edited(exported: tuple[Path, dict[str, Any]], tmp_path: Path) -> None:
    edited = Path(copytree(exported[0], tmp_path / "edited"))
    with (edited / "target.onnx").open("ab") as file:
        file.write(b" ")
    with pytest.raises(ScdError, match=r"target\.onnx is damaged"):
        verify(edited, NullReport())


def test_verify_finds_a_graph_that_ignores_its_reference(exported: tuple[Path, dict[str, Any]], tmp_path: Path) -> None:
    """A graph whose sha256 is right and whose poses lead nowhere."""
    broken = Path(copytree(exported[0], tmp_path / "broken"))
    model = onnx.load(str(broken / "target.onnx"), load_external_data=False)
    for node in model.graph.node:
        for place, name in enumerate(node.input):
            if name == "pose_features":
                node.input[place] = "nothing"
    nothing = [helper.make_node("Sub", ["pose_features", "pose_features"], ["nothing"]), *model.graph.node]
    del model.graph.node[:]
    model.graph.node.extend(nothing)
    onnx.save(model, str(broken / "target.onnx"))
    write_facts(broken, json.loads((broken / "bundle.json").read_text()))
    with pytest.raises(ScdError, match="target graph does not depend on its input pose_features"):
        verify(broken, NullReport())


def test_a_moved_bundle_is_the_same_bundle(
    checkpoint: Path, exported: tuple[Path, dict[str, Any]], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Plans are found by content: neither the folder nor its name is in their key."""
    if not TENSORRT:
        pytest.skip("tensorrt-rtx is not installed")
    monkeypatch.setenv("SCD_CACHE", str(checkpoint / "cache"))
    moved = read_bundle(Path(copytree(exported[0], tmp_path / "elsewhere")))
    for name in GRAPHS:
        assert find_plan(plan_request(moved, name, "trt-rtx", ("89",)))[0] is not None
        found, reason = find_plan(plan_request(moved, name, "trt-rtx", ("86",)))
        assert found is None
        assert reason == "it is for SM89, SM120, not SM86"


@pytest.mark.skipif(sys.platform != "linux", reason="limits the size of files as Linux does")
def test_a_full_disk_leaves_nothing(checkpoint: Path, tmp_path: Path) -> None:
    """Files may have 100 kB: the weights have more."""
    import resource

    command = [sys.executable, "-m", "scd_cli", "export", "--checkpoint", str(checkpoint), "--out", str(tmp_path / "bundle")]
    limit = lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, 100_000))
    done = subprocess.run(command, capture_output=True, text=True, preexec_fn=limit)
    assert done.returncode == 1
    assert "cannot write the weights" in done.stderr
    assert "Traceback" not in done.stderr
    assert not list(tmp_path.iterdir())


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
