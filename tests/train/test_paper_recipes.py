"""The recipes of the paper state its numbers (arXiv 2412.14531, section 4.1 and A.2), those of studio/ what the field learnt since."""

from typing import Any

import pytest

pytest.importorskip("torch")

from engines.core.errors import ScdError
from engines.core.recipe import parse, read_toml
from engines.core.sampler import path
from engines.train.buckets import sizes_of
from engines.train.recipe import ScdRecipe, TryonRecipe
from engines.train.scd import check_own_steps
from scd_cli.recipes import find_recipe
from tests.full_size import MOTION, POSE, UNET


def recipe(name: str, *settings: str) -> Any:
    table = read_toml(find_recipe(name), list(settings))
    return parse(TryonRecipe if table["kind"] == "tryon" else ScdRecipe, table, name)


@pytest.mark.parametrize("name", ["paper/scd-i", "paper/scd-v", "paper/tryon", "studio/scd-i", "studio/scd-v", "studio/tryon"])
def test_models_are_stable_diffusion_and_animatediff(name: str) -> None:
    model = recipe(name).model
    assert (model.unet, model.pose) == (UNET, POSE)
    assert model.motion == (MOTION if name.endswith("-v") else None)


@pytest.mark.parametrize("name", ["scd-i", "scd-v", "tryon"])
def test_the_papers_training(name: str) -> None:
    found = recipe(f"paper/{name}")
    optim, schedule = found.optim, found.schedule
    assert (optim.optimizer, optim.learning_rate, optim.steps) == ("adamw", 1e-5, 30_000)
    assert (optim.muon_learning_rate, optim.warmup_steps, optim.decay_steps, optim.ema_decay) == (0, 0, 0, 0)
    assert (schedule.prediction_type, schedule.zero_terminal_snr) == ("epsilon", False)
    assert (found.loss.channel_weights, found.loss.min_snr_gamma, found.loss.noise_offset) == (False, 0, 0)
    assert (found.sampling.steps, found.batching.timestep_shift) == (25, 1)
    assert found.initial == "stable-diffusion-v1-5/stable-diffusion-v1-5"
    assert found.optim.weight_decay == (0 if name == "tryon" else 0.01), "Adam, or AdamW"


def test_the_papers_batches() -> None:
    image, video, tryon = (recipe(f"paper/{name}") for name in ("scd-i", "scd-v", "tryon"))
    assert (image.batching.references, image.batching.targets, image.batching.consecutive) == (32, 1, False)
    assert (video.batching.references, video.batching.targets, video.batching.consecutive) == (8, 24, True)
    assert tryon.batching.pairs == 8
    assert image.model.size == video.model.size == (512, 512)
    assert tryon.model.size == (768, 1024)
    for found in (image, video):
        assert found.augmentation.share == 1
        assert found.augmentation.zoom > 1
        assert (found.augmentation.hue, found.augmentation.light) == (0, 0)
        assert (found.batching.own_steps, found.batching.buckets, found.batching.shared_noise) == (0, (), (0, 0))


@pytest.mark.parametrize("name", ["scd-i", "scd-v", "tryon"])
def test_what_the_field_learnt_since(name: str) -> None:
    found = recipe(f"studio/{name}")
    assert (found.schedule.prediction_type, found.schedule.zero_terminal_snr) == ("v_prediction", True)
    assert (found.loss.min_snr_gamma, found.loss.noise_offset) == (5, 0.05)
    assert found.batching.drop_reference == 0.1
    assert (found.optim.ema_decay, found.optim.precision, found.optim.checkpointing) == (0.9999, "bf16", True)
    steps = list(path(found.schedule, found.sampling.steps, None))
    assert (steps[0].timestep, steps[0].alpha, len(steps)) == (999, 0, 25), "trailing: sampling starts where there is noise alone"
    if name != "tryon":
        assert len(sizes_of(found.model, found.batching.buckets)) == 4


def test_one_training_looks_at_its_own_latents_or_weighs_timesteps() -> None:
    check_own_steps(recipe("studio/scd-v"))
    with pytest.raises(ScdError, match="min_snr_gamma weighs the noised truth"):
        check_own_steps(recipe("studio/scd-v", "batching.own_steps=3"))
