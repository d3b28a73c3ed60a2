"""Training on the model's own latents: a perfect model makes the noised truth of pure noise, and the steps are those of sampling."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from engines.core.errors import ScdError  # noqa: E402
from engines.core.recipe import parse, read_toml  # noqa: E402
from engines.core.sampler import ddim_sample  # noqa: E402
from engines.core.schedule import NoiseSchedule  # noqa: E402
from engines.train.recipe import ScdRecipe  # noqa: E402
from engines.train.rollout import own_latents  # noqa: E402
from engines.train.scd import check_own_steps  # noqa: E402

RECIPE = Path(__file__).parents[2] / "recipes" / "mini" / "scd-v.toml"
SCHEDULE = NoiseSchedule(train_timesteps=100, beta_start=0.001, beta_end=0.1, zero_terminal_snr=True, prediction_type="v_prediction")


def parts() -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(0)
    clean, noise = torch.randn(2, 3, 4, 4, 2, generator=generator, dtype=torch.float64)
    return clean, noise, torch.from_numpy(SCHEDULE.alphas_cumprod())[:, None, None, None]


@pytest.mark.parametrize("steps", [1, 2, 5])
def test_a_perfect_model_arrives_at_the_noised_truth(steps: int) -> None:
    clean, noise, alphas = parts()
    timesteps = torch.tensor([0, 40, 99])

    def oracle(latents: torch.Tensor, now: torch.Tensor) -> torch.Tensor:
        return alphas[now].sqrt() * noise - (1 - alphas[now]).sqrt() * clean

    found = own_latents(oracle, noise, timesteps, steps, alphas.flatten())
    goal = alphas[timesteps].sqrt() * clean + (1 - alphas[timesteps]).sqrt() * noise
    assert torch.allclose(found, goal, atol=1e-10)
    assert torch.equal(found[2], noise[2]), "at the last timestep there is no step to take"


def test_the_steps_are_those_of_sampling() -> None:
    _, noise, alphas = parts()

    def network(latents: torch.Tensor, now: torch.Tensor) -> torch.Tensor:
        return torch.tanh(latents * 1.3 + now[:, None, None, None] / 50)

    own = own_latents(network, noise, torch.full((3,), 49), 2, alphas.flatten())
    seen: list[np.ndarray] = []

    def predict(latents: np.ndarray, timestep: int) -> np.ndarray:
        seen.append(latents.copy())
        return network(torch.from_numpy(latents), torch.full((3,), timestep)).numpy()

    ddim_sample(predict, noise.numpy().astype(np.float32), SCHEDULE, 4)
    assert SCHEDULE.timesteps(4).tolist() == [99, 74, 49, 24]
    np.testing.assert_allclose(seen[2], own.numpy(), atol=1e-5)


@pytest.mark.parametrize("change", [{"zero_terminal_snr": False}, {"prediction_type": "epsilon"}])
def test_a_schedule_that_cannot_start_from_pure_noise_is_refused(change: dict[str, object]) -> None:
    recipe = parse(ScdRecipe, read_toml(RECIPE, ["batching.own_steps=3"]), "recipe")
    check_own_steps(recipe)
    with pytest.raises(ScdError, match="own_steps"):
        check_own_steps(replace(recipe, schedule=replace(recipe.schedule, **change)))
