"""Every sampler against closed forms and as properties: order of convergence, frames apart, noise, memory."""

import tracemalloc

import numpy as np
import pytest

from engines.core.sampler import Latents, State, frame_noise, path
from engines.core.samplers import SAMPLERS, boundary, extrapolation, fresh_noise, sampler_named
from engines.core.schedule import NoiseSchedule, PredictionType
from tests.core.predictors import NOISE, SCHEDULES, SEED, bent, modes, schedule, told


@pytest.mark.parametrize("steps", [1, 2, 25])
@pytest.mark.parametrize(("zero", "kind"), SCHEDULES)
@pytest.mark.parametrize("name", SAMPLERS)
def test_a_predictor_that_knows_the_picture_leads_there(name: str, zero: bool, kind: PredictionType, steps: int) -> None:
    plan, goal = schedule(zero, kind), np.random.default_rng(1).standard_normal(NOISE.shape, dtype=np.float32)
    got = SAMPLERS[name](told(plan, lambda latents, timestep: goal), NOISE, plan, steps)
    np.testing.assert_allclose(got, goal, atol=1e-4)


@pytest.mark.parametrize("name", SAMPLERS)
def test_pure_noise_is_no_division_by_zero(name: str) -> None:
    plan = schedule(True, "v_prediction")
    with np.errstate(divide="raise", over="raise", invalid="raise"):
        assert np.isfinite(SAMPLERS[name](told(plan, bent), NOISE[:1], plan, 1000)).all()
    with pytest.raises(ValueError, match="alpha is 0"):
        SAMPLERS[name](lambda latents, timestep: latents, NOISE, schedule(True, "epsilon"), 4)


@pytest.mark.parametrize("timesteps", [2, 100, 1000, 20000])
def test_extrapolation_stays_in_bounds(timesteps: int) -> None:
    """Also with so many timesteps that the second comes as near to pure noise as what stands for pure noise."""
    plan = NoiseSchedule(
        train_timesteps=timesteps, beta_start=0.85 / timesteps, beta_end=12 / max(timesteps, 100), zero_terminal_snr=True,
        prediction_type="v_prediction",
    )  # fmt: skip
    steps = list(path(plan, timesteps, None))
    weights = [extrapolation(last.alpha, step) for last, step in zip(steps[:1] + steps, steps, strict=False)]
    assert weights[0] == weights[-1] == 0
    assert all(0 <= weight < 2 for weight in weights)


def gaussian(latents: Latents, alpha: float) -> np.ndarray:
    """E[x_0 | x_t] for x_0 of N(0, 1/4): sqrt(a) / 4 / (a / 4 + 1 - a) x_t."""
    return alpha**0.5 / 4 / (1 - 0.75 * alpha) * latents.astype(np.float64)


def error_half_way(name: str, kind: PredictionType, steps: int) -> float:
    """How far the latents at timestep 499 are from the flow's closed form, x_t ~ sqrt(a_t / 4 + 1 - a_t), relative."""
    plan = schedule(False, kind)
    alphas, seen = plan.alphas_cumprod(), dict[int, Latents]()
    predict = told(plan, lambda latents, timestep: gaussian(latents, alphas[timestep]))

    def watched(latents: Latents, timestep: int) -> Latents:
        seen[timestep] = latents.copy()
        return predict(latents, timestep)

    SAMPLERS[name](watched, NOISE, plan, steps)
    deviations = (1 - 0.75 * alphas) ** 0.5
    return float(np.abs(seen[499] / seen[999] / (deviations[499] / deviations[999]) - 1).max())


@pytest.mark.parametrize("kind", ["v_prediction", "epsilon"])
@pytest.mark.parametrize(("name", "order"), [("ddim", 1), ("euler", 1), ("dpm++2m", 2)])
def test_order_of_convergence(name: str, order: int, kind: PredictionType) -> None:
    coarse, fine = error_half_way(name, kind, 20), error_half_way(name, kind, 40)
    assert np.log2(coarse / fine) == pytest.approx(order, abs=0.3)


@pytest.mark.parametrize("steps", [5, 10, 25])
@pytest.mark.parametrize(("zero", "kind"), SCHEDULES)
def test_dpm_comes_nearer_than_ddim_in_as_many_steps(zero: bool, kind: PredictionType, steps: int) -> None:
    plan = schedule(zero, kind)
    alphas = plan.alphas_cumprod()
    predict = told(plan, lambda latents, timestep: modes(latents, alphas[timestep]))
    truth = SAMPLERS["ddim"](predict, NOISE, plan, 1000)
    errors = {name: np.abs(SAMPLERS[name](predict, NOISE, plan, steps) - truth).mean() for name in ("ddim", "dpm++2m")}
    assert errors["dpm++2m"] < 0.75 * errors["ddim"]


@pytest.mark.parametrize(("zero", "kind"), SCHEDULES)
def test_one_and_two_steps_of_dpm_are_ddim(zero: bool, kind: PredictionType) -> None:
    """One is its own last step; of two, the first knows no earlier x_0 and the second is the last."""
    plan = schedule(zero, kind)
    for steps in (1, 2):
        ours, ddim = (SAMPLERS[name](told(plan, bent), NOISE, plan, steps) for name in ("dpm++2m", "ddim"))
        np.testing.assert_allclose(ours, ddim, atol=2e-5)


def test_euler_from_pure_noise_is_ddim() -> None:
    plan = schedule(True, "v_prediction")
    ours, ddim = (SAMPLERS[name](told(plan, bent), NOISE, plan, 5) for name in ("euler", "ddim"))
    assert np.array_equal(ours, ddim)


@pytest.mark.parametrize("name", SAMPLERS)
def test_frames_do_not_see_each_other(name: str) -> None:
    """A clip begins like a shorter one; frames are sampled alone as they are together. LCM's noise knows their place."""
    plan = schedule(True, "v_prediction")
    together = SAMPLERS[name](told(plan, bent), NOISE, plan, 6, seed=SEED)
    shorter = SAMPLERS[name](told(plan, bent), NOISE[:2], plan, 6, seed=SEED)
    np.testing.assert_allclose(shorter, together[:2], atol=1e-6)
    for index in range(1 if name == "lcm" else len(NOISE)):
        alone = SAMPLERS[name](told(plan, bent), NOISE[index : index + 1], plan, 6, seed=SEED)
        np.testing.assert_allclose(alone[0], together[index], atol=1e-6)


@pytest.mark.parametrize("name", SAMPLERS)
def test_only_lcm_draws_noise(name: str) -> None:
    plan = schedule(True, "v_prediction")
    first, again, other = (SAMPLERS[name](told(plan, bent), NOISE, plan, 4, seed=seed) for seed in (0, 0, 1))
    assert np.array_equal(first, again)
    assert np.array_equal(first, other) == (name != "lcm")


def test_fresh_noise_is_new_at_every_step_and_frame() -> None:
    shape, frames = (2, 3, 3), range(3)
    fresh = [fresh_noise(shape, seed, number, index) for seed in (0, 1) for number in (1, 2) for index in frames]
    start = [frame for seed in (0, 1) for share in (0.0, 1.0) for frame in frame_noise(shape, 3, seed, share)[: 1 if share else 3]]
    assert len({noise.tobytes() for noise in fresh + start}) == len(fresh) + len(start)
    many = np.stack([fresh_noise((20, 20), 0, 1, index) for index in range(50)])
    assert (float(many.mean()), float(many.std())) == pytest.approx((0, 1), abs=0.03)


def test_lcm_keeps_what_is_clean_already() -> None:
    assert boundary(0) == (1, 0)
    skip, out = boundary(999)
    assert (skip, out) == pytest.approx((0, 1), abs=1e-6)


@pytest.mark.parametrize("name", SAMPLERS)
def test_the_callers_noise_is_left_alone_and_steps_are_counted(name: str) -> None:
    plan, noise, numbers, asked = schedule(True, "v_prediction"), NOISE.copy(), list[int](), list[tuple[int, int]]()

    def predict(latents: Latents, timestep: int) -> Latents:
        asked.append((timestep, len(numbers)))
        return np.zeros_like(latents)

    SAMPLERS[name](predict, noise, plan, 4, numbers.append)
    assert np.array_equal(noise, NOISE)
    assert numbers == [1, 2, 3, 4]
    assert asked == [(999, 0), (749, 1), (499, 2), (249, 3)]


@pytest.mark.parametrize("name", SAMPLERS)
def test_a_long_clip_costs_its_latents_one_prediction_and_what_the_method_keeps(name: str) -> None:
    plan, shape = schedule(True, "v_prediction"), (4, 16, 16)
    clip = 200 * int(np.prod(shape)) * 4
    tracemalloc.start()
    try:
        SAMPLERS[name](lambda latents, timestep: np.tanh(latents), frame_noise(shape, 200, 0, 0.0), plan, 4)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak / clip < (3.2 if name == "dpm++2m" else 2.2)


def test_unknown_names_are_refused_with_the_known_ones() -> None:
    assert sampler_named("dpm++2m") is SAMPLERS["dpm++2m"]
    with pytest.raises(ValueError, match=r"no sampler 'heun': use one of ddim, dpm\+\+2m, euler, lcm"):
        sampler_named("heun")


@pytest.mark.parametrize("name", SAMPLERS)
@pytest.mark.parametrize("stopped", [1, 3, 5])
def test_a_sampler_goes_on_from_its_state_bit_for_bit(name: str, stopped: int) -> None:
    def predict(latents: Latents, timestep: int) -> Latents:
        return np.tanh(latents * np.float32(1 + timestep / 1000))

    noise, sample = frame_noise((2, 3, 3), 4, 0, 0.0), SAMPLERS[name]
    whole, state, kept = sample(predict, noise, schedule(True, "v_prediction"), 5, seed=3), State(), State()

    def keep(number: int) -> None:
        if number == stopped:
            assert state.latents is not None
            earlier = None if state.earlier is None else state.earlier.copy()
            kept.latents, kept.earlier, kept.before, kept.done = state.latents.copy(), earlier, state.before, number

    sample(predict, noise, schedule(True, "v_prediction"), 5, keep, 3, state)
    calls: list[int] = []
    again = sample(lambda x, t: (calls.append(t), predict(x, t))[1], np.zeros_like(noise), schedule(True, "v_prediction"), 5, None, 3, kept)
    assert np.array_equal(again, whole)
    assert len(calls) == 5 - stopped
