"""Export at tiny size: the real exporter, the real gates, and the run time on what it wrote."""

import json
from pathlib import Path

import numpy as np
import onnx
import pytest

torch = pytest.importorskip("torch")
pytest.importorskip("onnxscript")

from engines.core.bundle import read_bundle  # noqa: E402
from engines.core.errors import ScdError  # noqa: E402
from engines.core.report import NullReport  # noqa: E402
from engines.export import parity  # noqa: E402
from engines.export.bundle import export_bundle  # noqa: E402
from engines.export.graphs import bundle_graphs  # noqa: E402
from engines.export.request import ExportRequest  # noqa: E402
from engines.export.torch_twin import torch_sessions  # noqa: E402
from engines.export.weights import SMALL  # noqa: E402
from engines.generate.denoise import Settings  # noqa: E402
from engines.generate.pipeline import Pipeline, open_pipeline, spec_of  # noqa: E402
from engines.model.loading import load_autoencoder, load_model  # noqa: E402
from engines.sessions.gates import relative_l2  # noqa: E402
from tests.export.tiny_run import save_run  # noqa: E402
from tests.model.tiny import tiny_autoencoder, tiny_scd  # noqa: E402


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_run(tmp_path_factory.mktemp("run"), motion=True)


@pytest.fixture(scope="module")
def bundle(checkpoint: Path) -> Path:
    out = checkpoint / "bundle"
    export_bundle(ExportRequest(checkpoint=str(checkpoint), out=out), NullReport())
    return out


def test_bundle_reads_back_and_says_what_was_measured(bundle: Path) -> None:
    facts = read_bundle(bundle).facts
    assert facts.kind == "scd-v"
    assert all(figures["random"] < figures["tolerance"] for figures in facts.parity.values())
    assert list(facts.graphs["target"]["inputs"])[:3] == ["latents", "timestep", "pose_features"]
    assert next(s.name for s in facts.sites) == "down.0.0"
    assert "/" not in "".join(facts.provenance["recipe"][key] for key in ("data", "autoencoder", "initial"))


def test_reference_and_target_share_their_weights(bundle: Path) -> None:
    """model.safetensors holds each tensor once, as float16: well below two float32 copies of the network."""
    parameters = sum(p.numel() for m in (tiny_scd(True), tiny_autoencoder()) for p in m.parameters())
    assert (bundle / "model.safetensors").stat().st_size < 2.2 * parameters


def test_int8_weights_halve_the_file_and_are_the_same_model_on_both_sides(checkpoint: Path, bundle: Path, tmp_path: Path) -> None:
    """The gates compare with torch on the rounded weights; here the rounding itself is looked at, in what training would go on from."""
    out = tmp_path / "small"
    facts = export_bundle(ExportRequest(checkpoint=str(checkpoint), out=out, weights="int8"), NullReport())
    assert all(figures["random"] < figures["tolerance"] for figures in facts["parity"].values())
    assert (out / "model.safetensors").stat().st_size < 0.75 * (bundle / "model.safetensors").stat().st_size
    graph = onnx.load(str(out / "target.onnx"), load_external_data=False).graph
    levels = [t for t in graph.initializer if t.data_type == onnx.TensorProto.INT8]
    assert levels
    assert all(t.data_location == onnx.TensorProto.EXTERNAL for t in levels)
    before, after = load_model(bundle).model.state_dict(), load_model(out).model.state_dict()
    rounded = [name for name, tensor in before.items() if not torch.equal(tensor, after[name])]
    assert len(rounded) >= len(levels) / 2
    for name in rounded:
        rows = before[name].flatten(1)
        assert ((rows - after[name].flatten(1)).abs() <= rows.abs().amax(1, keepdim=True) / 254 + 1e-4).all(), name


def test_int8_weights_are_for_the_cpu_alone(checkpoint: Path, tmp_path: Path) -> None:
    with pytest.raises(ScdError, match="--weights int8"):
        export_bundle(
            ExportRequest(checkpoint=str(checkpoint), out=tmp_path / "b", weights="int8", flavours=("ort-cpu", "ort-cuda")), NullReport()
        )


def test_gates_are_layers_of_their_own_and_all_weights_lie_in_the_file(bundle: Path) -> None:
    graph = onnx.load(str(bundle / "target.onnx"), load_external_data=False).graph
    assert not any(node.op_type == "Split" for node in graph.node)
    within = [t for t in graph.initializer if t.data_location != onnx.TensorProto.EXTERNAL]
    assert max(np.prod(t.dims) for t in within) < SMALL


@pytest.mark.parametrize("guidance", [1.0, 2.0])
def test_onnxruntime_pipeline_equals_torch_pipeline(bundle: Path, guidance: float) -> None:
    read = read_bundle(bundle)
    model, autoencoder = tiny_scd(True).half().float(), tiny_autoencoder().half().float()
    rng = np.random.default_rng(0)
    picture = rng.integers(0, 256, (1, 64, 32, 3), dtype=np.uint8)
    poses = rng.integers(0, 256, (6, 64, 32, 3), dtype=np.uint8)
    results = []
    for pipeline in (open_pipeline(read, ("cpu",)), Pipeline(spec_of(read), torch_sessions(bundle_graphs(model, autoencoder)))):
        conditions = 1 if guidance == 1.0 else 2
        pipeline.set_reference(pipeline.reference_kv(pipeline.encode(picture), poses[:1], conditions))
        latents = pipeline.denoise(pipeline.pose_features(poses), Settings(steps=3, guidance=guidance), lambda: None)
        results.append((latents, np.stack(list(pipeline.decode(latents)))))
    (fast, shown), (plain, twin) = results
    assert relative_l2(fast, plain) < 1e-4
    assert np.abs(shown.astype(int) - twin.astype(int)).max() <= 1


def test_a_graph_that_is_wrong_stops_the_export(checkpoint: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(parity, "TOLERANCE", 1e-12)
    with pytest.raises(ScdError, match="differs from torch"):
        export_bundle(ExportRequest(checkpoint=str(checkpoint), out=tmp_path / "bundle"), NullReport())
    assert list(tmp_path.iterdir()) == []


def test_bundle_json_names_every_file(bundle: Path) -> None:
    facts = json.loads((bundle / "bundle.json").read_text())
    assert set(facts["files"]) == {p.name for p in bundle.iterdir()} - {"bundle.json"}


def test_training_goes_on_from_a_bundle(bundle: Path) -> None:
    """The weights file under the graphs is a checkpoint: the same names, the same values as float16 holds them."""
    saved, twin = load_model(bundle), tiny_scd(True).half().float()
    assert all(torch.equal(value, saved.model.state_dict()[name]) for name, value in twin.state_dict().items())
    assert torch.equal(load_autoencoder(bundle).latent_std, tiny_autoencoder().latent_std)


def test_graphs_hold_no_large_weights_themselves(bundle: Path) -> None:
    assert max((bundle / f"{name}.onnx").stat().st_size for name in ("encoder", "decoder", "reference", "target")) < 700_000
