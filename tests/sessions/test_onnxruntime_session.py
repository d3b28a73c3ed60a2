"""onnxruntime behind the Session contract: same numbers as the numpy twin, pinned inputs, strict feeds, providers."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from engines.core.errors import ScdError, UsageError
from engines.sessions import onnxruntime_session as module
from engines.sessions.onnxruntime_session import OrtSession, open_session, provider_names
from tests.generate.tiny_bundle import write_tiny_bundle
from tests.generate.tiny_model import TinyModel

Tiny = tuple[Path, TinyModel]


@pytest.fixture(scope="module")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> Tiny:
    folder = tmp_path_factory.mktemp("sessions") / "tiny"
    return folder, write_tiny_bundle(folder)


def normal(seed: int, *shape: int) -> NDArray[np.float32]:
    return np.random.default_rng(seed).standard_normal(shape, dtype=np.float32)


def target_feeds(frames: int) -> dict[str, NDArray[np.float32]]:
    return {"latents": normal(1, frames, 4, 6, 4), "timestep": np.array([500], np.float32), "pose_features": normal(2, frames, 5, 6, 4)}


def open_target(folder: Path) -> OrtSession:
    return open_session(folder / "target.onnx", ("cpu",))


@pytest.mark.parametrize(("conditions", "frames"), [(1, 1), (1, 7), (2, 3)])
def test_pinned_reference_gives_the_twins_prediction(tiny: Tiny, conditions: int, frames: int) -> None:
    """The K/V of the reference graph, pinned once, over several runs and shapes."""
    folder, twin = tiny
    latents, features = normal(3, conditions, 4, 6, 4), normal(4, conditions, 5, 6, 4)
    kv = open_session(folder / "reference.onnx", ("cpu",)).run({"ref_latents": latents, "ref_pose_features": features})
    target = open_target(folder)
    target.pin(kv)
    for count in (frames, 1, frames):
        feeds = target_feeds(count)
        truth = twin.target(feeds["latents"], 500, feeds["pose_features"], twin.reference(latents, features))
        np.testing.assert_allclose(target.run(feeds)["prediction"], truth, atol=2e-5)


def test_pinning_again_replaces(tiny: Tiny) -> None:
    folder, twin = tiny
    target, feeds = open_target(folder), target_feeds(2)
    results = []
    for seed in (5, 6, 5):
        target.pin(twin.reference(normal(seed, 1, 4, 6, 4), normal(seed, 1, 5, 6, 4)))
        results.append(target.run(feeds)["prediction"])
    assert np.array_equal(results[0], results[2])
    assert np.abs(results[0] - results[1]).max() > 1e-3


def test_pinned_values_are_kept_when_the_arrays_are_gone(tiny: Tiny) -> None:
    folder, twin = tiny
    target, feeds = open_target(folder), target_feeds(2)
    kv = twin.reference(normal(5, 1, 4, 6, 4), normal(5, 1, 5, 6, 4))
    truth = twin.target(feeds["latents"], 500, feeds["pose_features"], kv)
    target.pin({name: array.copy() for name, array in kv.items()})
    del kv
    [np.full((64, 24, 16), 9.0, np.float32) for _ in range(50)]  # would land on freed memory
    np.testing.assert_allclose(target.run(feeds)["prediction"], truth, atol=2e-5)


def test_wrong_feeds_are_named(tiny: Tiny) -> None:
    folder, twin = tiny
    target, feeds = open_target(folder), target_feeds(2)
    with pytest.raises(ValueError, match=r"inputs missing: \['ref_k"):
        target.run(feeds)
    target.pin(twin.reference(normal(5, 1, 4, 6, 4), normal(5, 1, 5, 6, 4)))
    wrong: list[tuple[dict[str, Any], str]] = [
        ({"lattents": feeds["latents"]}, "no inputs"),
        ({"latents": feeds["latents"].astype(np.float64)}, "latents is float64, not float32"),
        ({"latents": feeds["latents"][:, :3]}, r"latents has the shape \(2, 3, 6, 4\)"),
        ({"timestep": np.float32(3)}, "timestep has the shape"),
        ({"ref_k.mid": normal(0, 1, 24, 16)}, r"given though pinned: \['ref_k.mid'\]"),
    ]
    for change, said in wrong:
        with pytest.raises(ValueError, match=said):
            target.run(feeds | change)
    with pytest.raises(ValueError, match="no inputs"):
        target.pin({"ref_k.up": normal(0, 1, 24, 16)})


def test_inputs_and_outputs_are_described(tiny: Tiny) -> None:
    target = open_target(tiny[0])
    assert target.inputs["latents"].shape == ("frames", 4, 6, 4)
    assert target.inputs["timestep"].shape == (1,)
    assert list(target.outputs) == ["prediction"]


def test_feeds_need_not_be_contiguous_or_writable(tiny: Tiny) -> None:
    decoder = open_session(tiny[0] / "decoder.onnx", ("cpu",))
    latents = normal(0, 2, 4, 4, 6).transpose(0, 1, 3, 2)
    latents.flags.writeable = False
    np.testing.assert_allclose(decoder.run({"latents": latents})["image"], tiny[1].decoder(latents), atol=2e-5)


def test_providers(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module.onnxruntime, "get_available_providers", lambda: ["CPUExecutionProvider"])
    assert provider_names(["cpu"]) == ["CPUExecutionProvider"]
    with pytest.raises(UsageError, match=r"no provider gpu; choose among: cpu, cuda"):
        provider_names(["gpu"])
    with pytest.raises(ScdError, match=r"no cuda provider; use --providers cpu"):
        provider_names(["cuda", "cpu"])
    monkeypatch.setattr(module.onnxruntime, "get_available_providers", lambda: ["CUDAExecutionProvider", "CPUExecutionProvider"])
    assert provider_names(["cuda", "cpu"]) == ["CUDAExecutionProvider", "CPUExecutionProvider"]


def test_a_provider_that_does_not_start_is_an_error_and_not_silently_the_cpu(tiny: Tiny, capfd: pytest.CaptureFixture[str]) -> None:
    if "CUDAExecutionProvider" not in module.onnxruntime.get_available_providers() or Path("/dev/nvidia0").exists():
        pytest.skip("needs an onnxruntime with CUDA on a machine without")
    with pytest.raises(ScdError, match="could not start cuda on this machine; use --providers cuda,cpu"):
        open_session(tiny[0] / "target.onnx", ("cuda",))
    assert open_session(tiny[0] / "target.onnx", ("cuda", "cpu")).device == "cpu"
    assert capfd.readouterr().err == ""


def test_a_graph_that_is_no_graph_is_one_sentence(tmp_path: Path) -> None:
    (tmp_path / "bad.onnx").write_bytes(b"not a graph")
    with pytest.raises(ScdError, match=r"cannot load the graph .*bad\.onnx") as caught:
        open_session(tmp_path / "bad.onnx", ("cpu",))
    assert "\n" not in str(caught.value)


def test_closing_twice_is_harmless(tiny: Tiny) -> None:
    session = open_target(tiny[0])
    session.close()
    session.close()
