"""Int8 at tiny size: the real quantizer on the real graphs, compared with float32."""

from dataclasses import asdict
from pathlib import Path

import numpy as np
import onnx
import pytest

torch = pytest.importorskip("torch")
pytest.importorskip("onnxscript")

from engines.core.bundle import read_bundle  # noqa: E402
from engines.core.errors import ScdError, UsageError  # noqa: E402
from engines.core.report import NullReport  # noqa: E402
from engines.evaluate.pixel import Compared, psnr  # noqa: E402
from engines.export import quantize  # noqa: E402
from engines.export.bundle import export_bundle  # noqa: E402
from engines.export.request import ExportRequest  # noqa: E402
from engines.generate.denoise import Settings  # noqa: E402
from engines.generate.pipeline import open_pipeline  # noqa: E402
from tests.export.tiny_run import save_run  # noqa: E402
from tests.train.tiny_data import write_data  # noqa: E402


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_run(tmp_path_factory.mktemp("run"), motion=False)


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_data(tmp_path_factory.mktemp("data"))


@pytest.fixture(scope="module")
def bundles(checkpoint: Path, data: Path) -> tuple[Path, Path]:
    """Of one checkpoint: float32, int8."""
    for precision in ("fp32", "int8"):
        request = ExportRequest(checkpoint=str(checkpoint), out=checkpoint / precision, data=data, precision=precision)  # type: ignore[arg-type]
        export_bundle(request, NullReport())
    return checkpoint / "fp32", checkpoint / "int8"


def weights_of(graph: onnx.ModelProto, layers: list[str]) -> list[str]:
    return [node.input[1] for node in graph.graph.node if node.op_type in layers]


def test_layers_are_int8_and_hold_no_weights_but_for_those_kept_float(bundles: tuple[Path, Path]) -> None:
    graph = onnx.load(str(bundles[1] / "target.onnx"), load_external_data=False)
    made_by = {name: node for node in graph.graph.node for name in node.output}
    convolutions, linear = weights_of(graph, ["Conv"]), weights_of(graph, ["MatMulIntegerToFloat"])
    rounded = [name for name in convolutions if made_by[name].op_type == "DequantizeLinear"]
    chains = [made_by[w].op_type for w in [*(made_by[w].input[0] for w in rounded), *linear]]
    assert len(rounded) > 10 < len(linear)
    assert set(chains) == {"QuantizeLinear"}, "rounded at load"
    assert not weights_of(graph, ["MatMul"])
    kept = [name for name in convolutions if name not in rounded]
    assert {made_by[name].op_type for name in kept} == {"Cast"}
    sources = {made_by[name].input[0].removeprefix("model.").removesuffix(".stored") for name in kept}
    last = "unet.up_blocks.1.resnets.1."
    assert {"unet.conv_in.weight", "unet.conv_out.weight", f"{last}conv1.weight", f"{last}conv2.weight"} <= sources, sources
    assert all("conv_shortcut" in name for name in sources if not name.startswith(("unet.conv_", last))), sources
    assert not any("conv_shortcut" in name for name in rounded)
    assert all(np.prod(t.dims) < 300 for t in graph.graph.initializer if t.data_type == onnx.TensorProto.INT8)


def test_weights_are_rounded_to_seven_bits(bundles: tuple[Path, Path]) -> None:
    """|w / scale| <= 64: products of two neighbours fit 16 bits on a CPU without VNNI. One scale an output channel."""
    graph = onnx.load(str(bundles[1] / "target.onnx")).graph
    constants = {t.name: onnx.numpy_helper.to_array(t) for t in graph.initializer}
    made_by = {name: node for node in graph.node for name in node.output}
    rounding = [node for node in graph.node if node.op_type == "QuantizeLinear" and node.name.endswith(".round")]
    for node in rounding:
        axis = next(a.i for a in node.attribute if a.name == "axis")
        source = made_by[node.input[0]]
        turned = source.op_type == "Transpose"
        weights = constants[(made_by[source.input[0]] if turned else source).input[0]].astype(np.float32)
        weights = weights.T if turned else weights
        scale = constants[node.input[1]]
        assert scale.shape == (weights.shape[axis],)
        largest = np.abs(weights).max(axis=tuple(a for a in range(weights.ndim) if a != axis)) / scale
        assert largest.max() <= 64.5
        assert largest.min() > 60
    assert rounding


@pytest.mark.parametrize("guidance", [1.0, 2.0])
def test_int8_pictures_are_near_those_of_float32(bundles: tuple[Path, Path], guidance: float) -> None:
    rng = np.random.default_rng(0)
    picture, poses = (rng.integers(0, 256, (n, 64, 32, 3), dtype=np.uint8) for n in (1, 4))
    results = []
    for path in bundles:
        pipeline = open_pipeline(read_bundle(path), ("cpu",))
        pipeline.set_reference(pipeline.reference_kv(pipeline.encode(picture), poses[:1], 1 if guidance == 1.0 else 2))
        results.append(
            np.stack(
                list(pipeline.decode(pipeline.denoise(pipeline.pose_features(poses), Settings(steps=3, guidance=guidance), lambda: None)))
            )
        )
    assert psnr(Compared(*results)) > 30
    assert not np.array_equal(*results), "the int8 graph is in use"


def test_pictures_too_far_from_float32_stop_the_export(
    checkpoint: Path, data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(quantize, "LEAST_PSNR", 90.0)
    with pytest.raises(ScdError, match="use --precision fp32"):
        export_bundle(ExportRequest(checkpoint=str(checkpoint), out=tmp_path / "bundle", data=data, precision="int8"), NullReport())
    assert list(tmp_path.iterdir()) == []


def test_int8_needs_real_inputs(checkpoint: Path, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="--data"):
        export_bundle(ExportRequest(checkpoint=str(checkpoint), out=tmp_path / "bundle", precision="int8"), NullReport())


def test_bundle_json_has_the_gate(bundles: tuple[Path, Path]) -> None:
    facts = read_bundle(bundles[1]).facts
    gate = facts.parity["target"]["int8"]
    assert gate["psnr of the worst frame"] >= gate["least psnr"] == quantize.LEAST_PSNR
    assert facts.graphs["target"]["precision"] == "int8"
    assert asdict(read_bundle(bundles[0]).facts)["graphs"]["target"]["precision"] == "fp32"
