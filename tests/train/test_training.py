"""Training at tiny size: real stages on a small made-up data set in the real layout."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from engines.core.errors import ScdError  # noqa: E402
from engines.core.recipe import parse, read_toml  # noqa: E402
from engines.core.report import NullReport  # noqa: E402
from engines.evaluate.pixel import Compared, psnr  # noqa: E402
from engines.model import checkpoint as checkpoints  # noqa: E402
from engines.model.checkpoint import under  # noqa: E402
from engines.train.autoencoder import to_tensor  # noqa: E402
from engines.train.batches import Batches  # noqa: E402
from engines.train.frames import load_clips  # noqa: E402
from engines.train.latents import channel_weights, encode_frames, no_latents  # noqa: E402
from engines.train.loop import rate_scale  # noqa: E402
from engines.train.recipe import AutoencoderRecipe, Optim, ScdRecipe, TryonRecipe  # noqa: E402
from engines.train.run import train  # noqa: E402
from engines.train.scd import fresh_model  # noqa: E402
from engines.train.tracking import Log  # noqa: E402
from engines.train.validation import Validation  # noqa: E402
from tests.model.tiny import tiny_autoencoder  # noqa: E402

RECIPES = Path(__file__).parents[2] / "recipes" / "mini"
SMALL = [
    "size=[32,64]",
    "batch=2",
    "autoencoder.latent_channels=4",
    "autoencoder.channels=[8,8,16]",
    "autoencoder.blocks=[1,1,1]",
    "autoencoder.groups=4",
    "logging.validation_pairs=6",
]
SMALL_SCD = [
    "model.size=[32,64]", "model.unet.latent_channels=4", "model.unet.channels=[32,64]", "model.unet.attention=[true,true]",
    "model.unet.head_size=16",
    "model.unet.groups=8", "model.pose.channels=[8,8,8]", "batching.references=2", "batching.targets=3", "sampling.steps=2",
    "logging.validation_pairs=2",
]  # fmt: skip


def steps(count: int, precision: str = "fp32") -> list[str]:
    return [
        f"optim.steps={count}",
        "optim.warmup_steps=2",
        "optim.decay_steps=2",
        f'optim.precision="{precision}"',
        "logging.log_every=1",
        "logging.validate_every=100",
    ]


def run(stage: str, overrides: list[str], out: Path, data: Path, resume: bool = False) -> dict[str, Any]:
    return train(RECIPES / f"{stage}.toml", overrides, out, data, resume, NullReport())


def losses(out: Path) -> list[float]:
    return [line["loss"] for line in map(json.loads, (out / "log.jsonl").read_text().splitlines()) if "loss" in line]


def scd_settings(autoencoder: Path, count: int) -> list[str]:
    return [*SMALL_SCD, *steps(count), f"autoencoder={autoencoder}"]


@pytest.mark.parametrize(("stage", "muon"), [("autoencoder", 0.0), ("scd-i", 0.0), ("scd-i", 0.001)])
def test_resumed_run_has_the_losses_and_weights_of_an_uninterrupted_one(
    stage: str, muon: float, data: Path, autoencoder: Path, tmp_path: Path
) -> None:
    def settings(count: int) -> list[str]:
        own = SMALL + steps(count) if stage == "autoencoder" else scd_settings(autoencoder, count)
        return [*own, f"optim.muon_learning_rate={muon}"]

    whole, broken = tmp_path / "whole", tmp_path / "broken"
    run(stage, [*settings(6), "optim.decay_steps=1"], whole, data)
    run(stage, [*settings(3), "optim.decay_steps=1"], broken, data)
    run(stage, [*settings(6), "optim.decay_steps=1"], broken, data, resume=True)
    assert losses(broken) == losses(whole)
    first, second = (checkpoints.latest(folder) for folder in (whole, broken))
    assert first is not None
    assert second is not None
    assert all(torch.equal(a, second.weights()[name]) for name, a in first.weights().items())


def test_training_lowers_the_loss(data: Path, tmp_path: Path) -> None:
    run("autoencoder", [*SMALL, *steps(60), "optim.learning_rate=0.003"], tmp_path / "run", data)
    values = losses(tmp_path / "run")
    assert np.mean(values[-5:]) < 0.7 * np.mean(values[:5])


@pytest.mark.parametrize("own_steps", [0, 2])
def test_video_stage_trains_motion_modules_and_nothing_else(own_steps: int, data: Path, autoencoder: Path, tmp_path: Path) -> None:
    image, video = tmp_path / "image", tmp_path / "video"
    run("scd-i", scd_settings(autoencoder, 3), image, data)
    motion = [
        f"batching.own_steps={own_steps}",
        "model.motion.levels=[0,1]",
        "model.motion.head_size=16",
        "model.motion.max_frames=8",
        f"initial={image}",
        "sampling.window=4",
        "sampling.overlap=1",
    ]
    run("scd-v", [*scd_settings(autoencoder, 4), *motion], video, data)
    before, after = checkpoints.need(image, "scd", ""), checkpoints.need(video, "scd", "")
    old, new = before.weights(), after.weights()
    moved = [name for name, value in new.items() if "motion_modules" in name and "proj_out.weight" in name and value.any()]
    assert moved
    assert all(torch.equal(value, new[name]) for name, value in old.items())
    assert (video / "sheets" / "000004.png").exists()
    image_recipe = read_toml(RECIPES / "scd-i.toml", [*scd_settings(autoencoder, 3), f"initial={video}"])
    again = fresh_model(parse(ScdRecipe, image_recipe, "scd-i")).state_dict()
    assert all(torch.equal(value, again[name]) for name, value in under("scd", old).items()), "an image model goes on from a video model"


def test_a_run_folder_is_not_overwritten(data: Path, autoencoder: Path) -> None:
    with pytest.raises(ScdError, match="--resume"):
        run("autoencoder", SMALL + steps(4), autoencoder, data)


def test_clips_that_are_too_short_are_named(data: Path, autoencoder: Path, tmp_path: Path) -> None:
    settings = [*scd_settings(autoencoder, 1), "batching.targets=6", "batching.consecutive=true"]
    with pytest.raises(ScdError, match="needs clips of 6 frames, and the longest has 5"):
        run("scd-i", settings, tmp_path / "run", data)


def test_a_half_written_line_of_the_log_is_dropped(tmp_path: Path) -> None:
    path = tmp_path / "log.jsonl"
    path.write_text('{"step": 10, "loss": 1.0}\n{"step": 20, "loss": 0.9}\n{"step": 30, "lo')
    Log(path, 10)
    assert path.read_text() == '{"step": 10, "loss": 1.0}\n'


def test_resume_without_a_checkpoint_says_that_it_starts_anew(data: Path, tmp_path: Path) -> None:
    said: list[str] = []

    class Notes(NullReport):
        def note(self, text: str) -> None:
            said.append(text)

    train(RECIPES / "autoencoder.toml", SMALL + steps(1), tmp_path / "run", data, True, Notes())
    assert any("no checkpoint in" in text for text in said)


def test_validation_leaves_the_reference_itself_out(data: Path) -> None:
    """Of five frames all five are targets; frame 0 is the reference, where a copy would have no error at all."""
    settings = [*SMALL_SCD, "batching.targets=5", "batching.consecutive=true", "batching.references=1"]
    recipe = parse(ScdRecipe, read_toml(RECIPES / "scd-i.toml", settings), "scd-i")
    validation = Validation(recipe, tiny_autoencoder(), load_clips(data, "val", (32, 64)), data)
    copied = np.repeat(validation.references, 5, axis=0)
    assert validation.mean_psnr(copied) == pytest.approx(
        np.mean([psnr(Compared(a, b)) for a, b in zip(copied[1:5], validation.truth[1:5], strict=True)])
    )


@pytest.mark.parametrize("precision", ["fp32", "bf16"])
def test_passes_without_gradients_take_bfloat16_only_where_training_does(data: Path, precision: str) -> None:
    """CPUs without instructions for it take ten times as long."""
    settings = [*SMALL_SCD, *steps(1, precision), "augmentation.share=1.0"]
    recipe = parse(ScdRecipe, read_toml(RECIPES / "scd-i.toml", settings), "scd-i")
    codec, clips = tiny_autoencoder(), load_clips(data, "train", (32, 64))
    batches = Batches(recipe, clips, no_latents(clips, 4, 8), codec)
    rows = batches.draft(0, range(1)).rows
    assert rows[0].pictures is not None
    with torch.no_grad():
        plain = codec.encode(to_tensor(rows[0].pictures))[None]
    apart = float((batches.encoded(rows) - plain).abs().max())
    assert (apart < 1e-5) == (precision == "fp32")
    assert apart < 0.1
    cached = encode_frames(codec, clips[0].frames, precision)
    with torch.no_grad():
        assert (float((cached - codec.encode(to_tensor(clips[0].frames))).abs().max()) < 1e-5) == (precision == "fp32")


def test_a_nan_stops_the_run_and_names_the_step(data: Path, tmp_path: Path) -> None:
    with pytest.raises(ScdError, match="step"):
        run("autoencoder", [*SMALL, *steps(50), "optim.learning_rate=1e30", "optim.clip_norm=1e30"], tmp_path / "run", data)


def test_weights_that_do_not_fit_are_listed(autoencoder: Path) -> None:
    from engines.model.loading import build_autoencoder

    found = checkpoints.need(autoencoder, "autoencoder", "")
    weights = found.weights()
    weights["unheard.of"] = weights.pop("latent_mean")
    with pytest.raises(ScdError, match=r"missing latent_mean.*unknown unheard.of"):
        build_autoencoder(found.facts["recipe"]["autoencoder"], weights, found.folder)


@pytest.mark.parametrize("path", sorted(RECIPES.parent.rglob("*.toml")), ids=lambda p: p.stem)
def test_every_recipe_parses(path: Path) -> None:
    table = read_toml(path, [])
    kinds = {"autoencoder": AutoencoderRecipe, "scd": ScdRecipe, "tryon": TryonRecipe}
    parse(kinds[table["kind"]], table, path.name)


def test_rate_scale_warms_up_and_runs_down() -> None:
    optim = Optim(
        optimizer="adamw",
        steps=100,
        learning_rate=1.0,
        muon_learning_rate=0.0,
        warmup_steps=10,
        decay_steps=20,
        weight_decay=0,
        betas=(0.9, 0.99),
        clip_norm=1,
        ema_decay=0.9,
        precision="fp32",
        accumulate=1,
        checkpointing=False,
    )
    assert [rate_scale(optim, s) for s in (0, 9, 50, 80, 99)] == [0.1, 1.0, 1.0, 1.0, 0.05]


def test_a_channel_that_the_picture_needs_more_weighs_more() -> None:
    model = tiny_autoencoder()
    with torch.no_grad():
        model.decoder[0].weight[:, 2] *= 10
        model.decoder[0].weight[:, 1] = 0
    weights = channel_weights(model, torch.randn(3, 4, 4, 4, generator=torch.Generator().manual_seed(3)))
    assert weights.argmax() == 2
    assert weights[1] == 0
    assert torch.isclose(weights.mean(), torch.tensor(1.0))
