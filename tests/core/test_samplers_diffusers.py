"""Every sampler against diffusers' scheduler of that name, to 1e-5 of the largest latent."""

from typing import Any

import numpy as np
import pytest

from engines.core.sampler import Latents
from engines.core.samplers import SAMPLERS, fresh_noise
from engines.core.schedule import NoiseSchedule, PredictionType
from tests.core.predictors import NOISE, SCHEDULES, SEED, Floored, bent, schedule, told


def scheduler_of(name: str, plan: NoiseSchedule) -> Any:
    diffusers = pytest.importorskip("diffusers")
    kind, own = {
        "ddim": (diffusers.DDIMScheduler, {"clip_sample": False, "set_alpha_to_one": True}),
        "dpm++2m": (diffusers.DPMSolverMultistepScheduler, {"solver_order": 2, "solver_type": "midpoint", "lower_order_final": True}),
        "euler": (diffusers.EulerDiscreteScheduler, {"final_sigmas_type": "zero"}),
        "lcm": (diffusers.LCMScheduler, {}),
    }[name]
    return kind(
        beta_start=plan.beta_start, beta_end=plan.beta_end, beta_schedule="scaled_linear", prediction_type=plan.prediction_type,
        timestep_spacing="trailing", rescale_betas_zero_snr=plan.zero_terminal_snr, num_train_timesteps=plan.train_timesteps, **own,
    )  # fmt: skip


def by_diffusers(name: str, plan: NoiseSchedule, steps: int, monkeypatch: pytest.MonkeyPatch) -> Latents:
    """What diffusers' scheduler of that name makes of NOISE with the bent predictor; LCM is handed our noise and our timesteps."""
    scheduler, torch = scheduler_of(name, plan), pytest.importorskip("torch")
    wanted = plan.timesteps(steps).tolist()
    scheduler.set_timesteps(**({"timesteps": wanted} if name == "lcm" else {"num_inference_steps": steps}))
    assert [int(t) for t in scheduler.timesteps] == wanted
    latents, predict = torch.from_numpy(NOISE.copy()) * scheduler.init_noise_sigma, told(plan, bent)
    for number, t in enumerate(scheduler.timesteps, 1):
        ours = np.stack([fresh_noise(NOISE.shape[1:], SEED, number, index) for index in range(len(NOISE))])
        monkeypatch.setattr("diffusers.schedulers.scheduling_lcm.randn_tensor", lambda *_, ours=ours, **__: torch.from_numpy(ours))
        seen = scheduler.scale_model_input(latents, t).to(torch.float32).numpy()
        latents = scheduler.step(torch.from_numpy(predict(seen, int(t))), t, latents, return_dict=False)[0]
    return latents.to(torch.float32).numpy()


def deviation(name: str, plan: NoiseSchedule, truth: Latents, steps: int) -> float:
    """The largest difference of our sampler from `truth`, as a share of the largest latent."""
    ours = SAMPLERS[name](told(plan, bent), NOISE, plan, steps, seed=SEED)
    assert ours.dtype == np.float32
    return float(np.abs(ours - truth).max() / np.abs(truth).max())


# diffusers' DDIM steps to timestep - 1000 // steps, which is the next timestep only where 1000 is a multiple of the steps
@pytest.mark.parametrize("steps", [1, 2, 5, 25])
@pytest.mark.parametrize("kind", ["v_prediction", "epsilon"])
@pytest.mark.parametrize("name", SAMPLERS)
def test_is_diffusers(name: str, kind: PredictionType, steps: int, monkeypatch: pytest.MonkeyPatch) -> None:
    plan = schedule(False, kind)
    assert deviation(name, plan, by_diffusers(name, plan, steps, monkeypatch), steps) < 1e-5


@pytest.mark.parametrize("steps", [3, 4, 16])
@pytest.mark.parametrize("name", ["dpm++2m", "euler", "lcm"])
def test_is_diffusers_where_timesteps_are_rounded(name: str, steps: int, monkeypatch: pytest.MonkeyPatch) -> None:
    plan = schedule(False, "v_prediction")
    assert deviation(name, plan, by_diffusers(name, plan, steps, monkeypatch), steps) < 1e-5


@pytest.mark.parametrize("steps", [1, 2, 5, 25])
@pytest.mark.parametrize("name", SAMPLERS)
def test_is_diffusers_from_pure_noise(name: str, steps: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """diffusers' multistep and Euler put a_T = 2^-24 for 0, which moves latents by the order of its root, 2.4e-4, and so lies off by it."""
    exact, floored = schedule(True, "v_prediction"), schedule(True, "v_prediction", Floored)
    truth = by_diffusers(name, exact if name in ("ddim", "lcm") else floored, steps, monkeypatch)
    assert deviation(name, exact, truth, steps) < (1e-5 if name in ("ddim", "lcm") else 2e-3)
    if name == "dpm++2m":  # Euler's float32 at sigma 4096 is itself no better than 5e-4: see the next test
        assert deviation(name, floored, truth, steps) < 1e-5


@pytest.mark.parametrize("steps", [1, 2, 5, 25])
@pytest.mark.parametrize(("zero", "kind"), SCHEDULES)
def test_euler_is_euler_in_sigma(zero: bool, kind: PredictionType, steps: int) -> None:
    """Written out in float64, y = x / sqrt(a_t), from sigma 4096 on where the schedule would start at infinity."""
    plan = schedule(zero, kind, Floored)
    alphas = plan.alphas_cumprod()[plan.timesteps(steps)]
    sigmas = [*((1 - alphas) / alphas) ** 0.5, 0.0]
    y = sigmas[0] * NOISE.astype(np.float64)
    for timestep, sigma, following in zip(plan.timesteps(steps), sigmas[:-1], sigmas[1:], strict=True):
        clean = bent((y / np.hypot(1, sigma)).astype(np.float32), int(timestep))
        y += (y - clean) / sigma * (following - sigma)
    assert deviation("euler", plan, y, steps) < 1e-5
