"""Moore-AnimateAnyone's files to a bundle, and `scd animate` on it: tiny, random, through the command line."""

import json
from pathlib import Path

import numpy as np
import pytest

torch = pytest.importorskip("torch")
pytest.importorskip("onnxscript")
pytest.importorskip("diffusers")
pytest.importorskip("transformers")

from PIL import Image  # noqa: E402

from engines.core.bundle import read_bundle  # noqa: E402
from engines.export.bundle import load  # noqa: E402
from engines.export.graphs import bundle_graphs  # noqa: E402
from engines.export.request import ExportRequest  # noqa: E402
from engines.export.torch_twin import saved_spec, torch_sessions  # noqa: E402
from engines.export.writing import round_to_half  # noqa: E402
from engines.generate.denoise import Settings  # noqa: E402
from engines.generate.pipeline import Pipeline, open_pipeline  # noqa: E402
from engines.model.loading import load_model  # noqa: E402
from engines.sessions.gates import relative_l2  # noqa: E402
from tests.e2e.running import FRAMES, scd, write_person, write_skeletons  # noqa: E402
from tests.model.moore_files import SMALL, write_moore  # noqa: E402

SIZE = (64, 128)
pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_moore(tmp_path_factory.mktemp("moore") / "pretrained_weights", SMALL)


@pytest.fixture(scope="module")
def said() -> list[str]:
    """What the export said on stderr."""
    return []


@pytest.fixture(scope="module")
def bundle(files: Path, said: list[str]) -> Path:
    out = files.parent / "bundle"
    ran = scd("export", "--checkpoint", files, "--out", out, "--size", "64x128", "--frames", "1,4,8")
    assert (ran.code, ran.out) == (0, f"{out}\n"), ran.err
    said.append(ran.err)
    return out


def test_the_bundle_says_what_it_is(bundle: Path, said: list[str]) -> None:
    facts = read_bundle(bundle).facts
    assert list(facts.graphs)[:4] == ["encoder", "pose", "picture", "reference"]
    assert list(facts.graphs["reference"]["inputs"]) == ["ref_latents", "ref_token"]
    assert list(facts.graphs["target_video"]["inputs"])[-2:] == ["ref_k.picture", "ref_v.picture"]
    assert not any("inputs without effect in the model" in figures for figures in facts.parity.values())
    assert "no licence" in facts.licence
    assert facts.licence.split()[0] in "".join(said), "the licence is printed"
    assert (facts.kind, facts.schedule.prediction_type, facts.sampling.guidance) == ("scd-v", "v_prediction", 3.5)


@pytest.mark.parametrize(("guidance", "passes"), [(1.0, 1), (3.5, 1), (3.5, 2)])
def test_onnxruntime_pipeline_equals_torch_pipeline(files: Path, bundle: Path, guidance: float, passes: int) -> None:
    saved = load(ExportRequest(checkpoint=str(files), out=bundle, size=SIZE))
    round_to_half(saved.model, saved.autoencoder)
    twin = Pipeline(saved_spec(saved, (1, 4, 8)), torch_sessions(bundle_graphs(saved.model, saved.autoencoder)))
    rng, results = np.random.default_rng(0), []
    picture, poses = (rng.integers(0, 256, (n, 128, 64, 3), dtype=np.uint8) for n in (1, 5))
    settings = Settings(steps=2, guidance=guidance, guidance_passes=1 if passes == 1 else 2)
    for pipeline in (open_pipeline(read_bundle(bundle), ("cpu",)), twin):
        pipeline.target = pipeline.target_for(len(poses))
        pipeline.read_reference(pipeline.encode(picture), poses[:1], settings, picture)
        results.append(pipeline.denoise(pipeline.pose_features(poses), settings, lambda: None))
    assert relative_l2(*results) < 1e-4


def test_scd_animates_with_it(bundle: Path, tmp_path: Path) -> None:
    """Guided by default; another reference gives another picture; deep features can be reused."""
    person, driver = write_person(tmp_path / "person.png"), write_skeletons(tmp_path / "wave.mp4")
    other = tmp_path / "other.png"
    Image.fromarray(255 - np.asarray(Image.open(person))).save(other)
    shown = []
    for number, (picture, extra) in enumerate([(person, ()), (other, ()), (person, ("--reuse", 2))]):
        out = tmp_path / f"{number}.png"
        words = ("animate", picture, "--poses", driver, "-o", out, "--model", bundle, "--steps", 2, "--ref-pose", driver)
        ran = scd(*words, *extra)
        assert ran.code == 0, ran.err
        frames = sorted(out.iterdir())
        assert len(frames) == FRAMES
        shown.append(np.asarray(Image.open(frames[0]), float))
    assert np.abs(shown[0] - shown[1]).mean() > 0.5
    assert scd("export", "--verify", bundle).code == 0


def test_the_bundle_is_a_checkpoint_again(files: Path, bundle: Path) -> None:
    first, again = load(ExportRequest(checkpoint=str(files), out=bundle, size=SIZE)), load_model(bundle)
    round_to_half(first.model)
    assert all(torch.equal(tensor, again.model.state_dict()[name]) for name, tensor in first.model.state_dict().items())
    assert again.facts["licence"] == json.loads((bundle / "bundle.json").read_text())["licence"]


def test_what_contradicts_itself_is_refused_and_leaves_nothing(files: Path, tmp_path: Path) -> None:
    for words, message in [
        (("--checkpoint", files, "--size", "64x100"), "multiples of 16"),
        (("--checkpoint", files.parent, "--vae", files), "--vae is for the files of Moore-AnimateAnyone"),
        (("--checkpoint", files, "--image-encoder", files), "no CLIP image encoder"),
        (("--checkpoint", files, "--size", "64x128", "--frames", "1,4,99"), "at most 16 frames"),
    ]:
        ran = scd("export", *words, "--out", tmp_path / "out")
        assert ran.code in (1, 2)
        assert message in " ".join(ran.err.split()), ran.err
    assert list(tmp_path.iterdir()) == []
