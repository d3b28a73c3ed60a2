"""What runs start from: Stable Diffusion and AnimateDiff in the hub's layouts, at tiny size, through the recipes of the paper."""

import json
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import pytest

torch = pytest.importorskip("torch")
pytest.importorskip("diffusers")
pytest.importorskip("transformers")

from engines.core.errors import ScdError  # noqa: E402
from engines.core.recipe import parse, read_toml  # noqa: E402
from engines.core.report import NullReport  # noqa: E402
from engines.model import pretrained  # noqa: E402
from engines.model.loading import load_model  # noqa: E402
from engines.train.recipe import ScdRecipe  # noqa: E402
from engines.train.run import train  # noqa: E402
from engines.train.scd import fresh_model  # noqa: E402
from engines.train.start import starting_autoencoder  # noqa: E402
from scd_cli.recipes import find_recipe  # noqa: E402
from tests.core.pair_trees import viton  # noqa: E402
from tests.model.hub import TINY_STABLE, write_adapter, write_stable_diffusion  # noqa: E402

SHORT = [
    "optim.steps=2", "logging.log_every=1", "logging.validation_pairs=1", "sampling.steps=2", "optim.learning_rate=1e-3",
]  # fmt: skip
IMAGE = [*TINY_STABLE, *SHORT, "batching.references=2"]
VIDEO = [*IMAGE, "batching.targets=3", "model.motion.heads=2", "sampling.window=3", "sampling.overlap=1"]


@pytest.fixture(scope="module")
def stable(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_stable_diffusion(tmp_path_factory.mktemp("hub") / "stable-tiny")


@pytest.fixture(scope="module")
def adapter(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_adapter(tmp_path_factory.mktemp("adapter") / "v2")


def run(name: str, settings: list[str], data: Path, out: Path) -> Path:
    train(find_recipe(name), settings, out, data, False, NullReport())
    losses = [line["loss"] for line in map(json.loads, (out / "log.jsonl").read_text().splitlines()) if "loss" in line]
    assert len(losses) == 2
    assert np.isfinite(losses).all()
    return out


@pytest.fixture(scope="module")
def image_run(data: Path, stable: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return run("paper/scd-i", [*IMAGE, f"initial={stable}"], data, tmp_path_factory.mktemp("image") / "run")


@pytest.fixture(scope="module")
def video_run(data: Path, stable: Path, adapter: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    settings = [*VIDEO, f"initial={stable}", f"motion_adapter={adapter}"]
    return run("paper/scd-v", settings, data, tmp_path_factory.mktemp("video") / "run")


def scd_recipe(name: str, *settings: str) -> ScdRecipe:
    return parse(ScdRecipe, read_toml(find_recipe(name), list(settings)), name)


def test_an_image_model_learns_from_stable_diffusion(image_run: Path, stable: Path) -> None:
    saved, start = load_model(image_run), pretrained.load_stable_diffusion(stable, (64, 64))
    before = start.model.unet.state_dict()
    after = saved.model.unet.state_dict()
    assert set(before) == set(after)
    assert torch.equal(before["prompt"], after["prompt"])
    assert not torch.equal(before["conv_in.weight"], after["conv_in.weight"])
    assert torch.allclose(before["conv_in.weight"], after["conv_in.weight"], atol=0.01)
    assert saved.model.pose_encoder.state_dict()["conv_out.weight"].any(), "the pose encoder starts at zero and learns"
    assert asdict(saved.model.spec.unet) == asdict(start.model.spec.unet)
    picture = torch.rand(1, 3, 64, 64)
    assert torch.equal(saved.autoencoder.encode(picture), start.autoencoder.encode(picture))


def test_latents_of_stable_diffusion_are_cached_in_half_precision(data: Path, stable: Path, tmp_path: Path) -> None:
    settings = [*IMAGE, f"initial={stable}", "augmentation.share=0.0", "loss.min_snr_gamma=5.0", "loss.noise_offset=0.05"]
    run("paper/scd-i", settings, data, tmp_path / "run")
    cached = list((data / ".cache" / "64x64").glob("latents-*/000000.npy"))
    assert len(cached) == 1
    latents = np.load(cached[0])
    assert (latents.dtype, latents.shape) == (np.float16, (5, 4, 8, 8))
    from engines.train.autoencoder import to_tensor
    from engines.train.frames import load_clips

    frames = load_clips(data, "train", (64, 64))[0].frames
    with torch.no_grad():
        truth = pretrained.stable_vae(stable).encode(to_tensor(frames))
    assert np.abs(latents - truth.numpy()).max() < 0.1 * float(truth.std()), "encoded in bfloat16"


def test_a_video_model_learns_from_stable_diffusion_and_animatediff(video_run: Path, adapter: Path) -> None:
    after = load_model(video_run).model.unet.state_dict()
    raw = pretrained.read_weights(adapter)
    name = "down_blocks.0.motion_modules.0.transformer_blocks.0.attn1.to_q.weight"
    assert torch.allclose(after[name], raw[name], atol=0.01)
    assert not torch.equal(after[name], raw[name])
    assert (video_run / "sheets" / "000002.png").is_file()


def test_a_video_run_starts_from_an_image_run_and_trains_motion_alone(image_run: Path, adapter: Path, data: Path, tmp_path: Path) -> None:
    settings = [*VIDEO, f"initial={image_run}", f"motion_adapter={adapter}", "train_only_motion=true"]
    after = load_model(run("paper/scd-v", settings, data, tmp_path / "run")).model.state_dict()
    before = load_model(image_run).model.state_dict()
    assert all(torch.equal(tensor, after[name]) for name, tensor in before.items())
    assert any("motion_modules" in name for name in after)


def test_an_image_run_starts_from_a_video_run(video_run: Path) -> None:
    model = fresh_model(scd_recipe("paper/scd-i", *IMAGE, f"initial={video_run}"))
    known = load_model(video_run).model.state_dict()
    assert all(torch.equal(tensor, known[name]) for name, tensor in model.state_dict().items())


def test_a_video_run_without_an_adapter_keeps_the_modules_of_its_start_or_has_fresh_ones(video_run: Path, image_run: Path) -> None:
    kept = fresh_model(scd_recipe("paper/scd-v", *VIDEO, f"initial={video_run}", "motion_adapter=")).state_dict()
    known = load_model(video_run).model.state_dict()
    assert all(torch.equal(tensor, known[name]) for name, tensor in kept.items())
    fresh = fresh_model(scd_recipe("paper/scd-v", *VIDEO, f"initial={image_run}", "motion_adapter=")).state_dict()
    assert not fresh["unet.mid_block.motion_modules.0.proj_out.weight"].any()


def test_try_on_learns_from_stable_diffusion(stable: Path, tmp_path: Path) -> None:
    pairs = viton(tmp_path / "viton", ids=[f"{n:05d}_00" for n in range(4)])
    out = run("paper/tryon", [*TINY_STABLE, *SHORT, "batching.pairs=2", f"initial={stable}"], pairs, tmp_path / "run")
    assert load_model(out).facts["task"] == "tryon"


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        (["model.unet.heads=4"], r"unet.heads = 2, and the recipe 4; take its value with --set model.unet.heads=2"),
        (["model.unet.groups=4"], r"unet.groups = 8, and the recipe 4"),
        (["model.unet.text.tokens=77"], r"unet.text = .*'tokens': 7"),
        (["model.motion.heads=4"], r"motion.heads = 2, and the recipe 4; --set model.motion.heads=2"),
        (["model.motion.levels=[0,1]"], r"motion.levels = \[0,1,2,3\], and the recipe \[0,1\]"),
        (["model.motion.middle=false"], r"motion.middle = true, and the recipe false"),
        (["initial="], "no weights that it belongs to"),
    ],
)
def test_a_recipe_of_another_model_is_refused(settings: list[str], said: str, stable: Path, adapter: Path) -> None:
    """heads and groups leave no trace in any tensor's shape."""
    with pytest.raises(ScdError, match=said):
        fresh_model(scd_recipe("paper/scd-v", *VIDEO, f"initial={stable}", f"motion_adapter={adapter}", *settings))


def test_motion_modules_are_not_replaced_unasked(video_run: Path, adapter: Path, stable: Path) -> None:
    with pytest.raises(ScdError, match="has motion modules already"):
        fresh_model(scd_recipe("paper/scd-v", *VIDEO, f"initial={video_run}", f"motion_adapter={adapter}"))
    with pytest.raises(ScdError, match="its model no motion modules"):
        fresh_model(scd_recipe("paper/scd-i", *IMAGE, f"initial={stable}", f"motion_adapter={adapter}"))
    with pytest.raises(ScdError, match="trains motion modules alone, and its model has none"):
        fresh_model(scd_recipe("paper/scd-i", *IMAGE, f"initial={stable}", "train_only_motion=true"))


def test_the_autoencoder_is_the_named_one_or_that_of_the_start(stable: Path, image_run: Path) -> None:
    def facts(*settings: str) -> dict[str, Any]:
        return starting_autoencoder(scd_recipe("paper/scd-i", *IMAGE, *settings))[1]

    assert facts(f"initial={stable}") == facts(f"initial={image_run}") == facts("initial=", f"autoencoder={stable}")
    with pytest.raises(ScdError, match="names no autoencoder"):
        facts("initial=")
    with pytest.raises(ScdError, match=r"has 4 latent channels, and the model 8; --set model.unet.latent_channels=4"):
        facts(f"initial={stable}", "model.unet.latent_channels=8")
