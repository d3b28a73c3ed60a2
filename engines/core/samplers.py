"""Samplers beside DDIM, each over the same predictor and the same path of steps, and the registry of them all. numpy only."""

import math
from collections.abc import Iterable
from typing import Protocol

import numpy as np

from engines.core.sampler import Latents, OnStep, Predict, State, Step, clean_and_noise, ddim_frames, ddim_sample, path
from engines.core.schedule import NoiseSchedule, PredictionType

SMALLEST_ALPHA = 2.0**-24  # stands for a_t = 0 where its logarithm is needed, as in diffusers
LCM_SIGMA, LCM_SCALE = 0.5, 10.0  # sigma_data and 1 / 0.1 of LCM's boundary condition


class Sampler(Protocol):
    """What all samplers are: noise (frames, ...) of unit variance -> float32 latents of that shape, in `steps` calls of `predict`.

    `predict(latents, timestep)` gets variance-preserving latents, sqrt(a_t) x_0 + sqrt(1 - a_t) epsilon, and answers with what
    `schedule.prediction_type` names, whole or frame by frame: a frame that it has given may be stepped before it gives the next.
    `on_step(number)` is called after each step, from 1. `seed` (0 or more) matters only to samplers that draw noise. `state` is what to go
    on from, stepped in place, so that `on_step` can keep it. ValueError where an epsilon prediction would start from pure noise (a_t = 0).
    """

    def __call__(
        self,
        predict: Predict,
        noise: Latents,
        schedule: NoiseSchedule,
        steps: int,
        on_step: OnStep = None,
        seed: int = 0,
        state: State | None = None,
    ) -> Latents: ...


def half_log_snr(alpha: float) -> float:
    """lambda_t = log(sqrt(a_t) / sqrt(1 - a_t)) of an alpha between 0 and 1."""
    return 0.5 * math.log(alpha / (1 - alpha))


def extrapolation(before: float, step: Step) -> float:
    """1 / (2 r_i), r_i = h_(i-1) / h_i: how much of the last change of x_0 to add to x_0. `before` is a_t of the step before.

    0 at the first step, which knows no earlier x_0, and at the last, where h_i is infinite: both are then of first order.
    """
    if step.number == 1 or step.following == 1:
        return 0.0
    # a quarter of this step's keeps h_(i-1) from 0 where thousands of timesteps come as near to a_t = 0 as SMALLEST_ALPHA
    before = before or min(SMALLEST_ALPHA, step.alpha / 4)
    now = half_log_snr(step.alpha)
    return (half_log_snr(step.following) - now) / (2 * (now - half_log_snr(before)))


def dpm_frames(latents: Latents, earlier: Latents, prediction: Iterable[Latents], step: Step, kind: PredictionType, weight: float) -> None:
    """One step of DPM-Solver++(2M) of latents (frames, ...), in their place; their x_0 takes that of `earlier`.

    x <- (s' / s) x + (m' - m s' / s) D, D = x_0 + weight (x_0 - earlier x_0), m = sqrt(a_t), s = sqrt(1 - a_t), primes at the step's end.
    This is Lu et al. 2022, algorithm 2 with e^-h = m s' / (s m') put in: no logarithm and no division by m, so that a_t = 0 needs no
    special case and is the DDIM step it is in the limit.
    """
    ratio = math.sqrt((1 - step.following) / (1 - step.alpha))
    share = math.sqrt(step.following) - math.sqrt(step.alpha) * ratio
    for frame, last, predicted in zip(latents, earlier, prediction, strict=True):
        clean, _ = clean_and_noise(frame, predicted, step.alpha, kind)
        frame[...] = np.float32(ratio) * frame + np.float32(share) * (clean + np.float32(weight) * (clean - last))
        last[...] = clean


def dpm_sample(
    predict: Predict,
    noise: Latents,
    schedule: NoiseSchedule,
    steps: int,
    on_step: OnStep = None,
    seed: int = 0,
    state: State | None = None,
) -> Latents:
    """DPM-Solver++(2M), deterministic, midpoint (Lu et al. 2022, algorithm 2), the last step of first order. See Sampler.

    Keeps one x_0 per frame beside the latents. Where the schedule begins at a_t = 0, the first step is the exact limit, DDIM's step; only
    lambda, which weighs the second step's extrapolation, takes SMALLEST_ALPHA for 0.
    """
    state = state or State()
    latents = state.begin(noise)
    del noise  # the caller's may be the only other copy
    known = state.earlier is not None  # also the first of the steps that `begun` leaves knows of none before
    state.earlier = np.zeros_like(latents) if state.earlier is None else state.earlier
    for step in path(schedule, steps, on_step, state.done):
        weight, known = extrapolation(state.before, step) if known else 0.0, True
        dpm_frames(latents, state.earlier, predict(latents, step.timestep), step, schedule.prediction_type, weight)
        state.before = step.alpha
    return latents


def euler_sample(
    predict: Predict,
    noise: Latents,
    schedule: NoiseSchedule,
    steps: int,
    on_step: OnStep = None,
    seed: int = 0,
    state: State | None = None,
) -> Latents:
    """Euler's method in sigma = sqrt((1 - a_t) / a_t) (Karras et al. 2022, algorithm 1 without its correction). See Sampler.

    Its latents y = x / sqrt(a_t) step by y <- y + (sigma' - sigma) epsilon, and y = x_0 + sigma epsilon: that is x_0 + sigma' epsilon, the
    DDIM step (Song et al. 2021, eq. 13) in other units. It is done as such, because sigma is infinite at a_t = 0. What differs is
    the start: y = sigma noise, so x = sqrt(1 - a_t) noise and not noise. With zero terminal SNR nothing differs.
    """
    state = state or State()
    latents = state.begin(noise)
    del noise  # the caller's may be the only other copy
    for step in path(schedule, steps, on_step, state.done):
        if step.number == 1:
            latents *= np.float32(math.sqrt(1 - step.alpha))
        ddim_frames(latents, predict(latents, step.timestep), step, schedule.prediction_type)
    return latents


def boundary(timestep: int) -> tuple[float, float]:
    """(c_skip, c_out) of Luo et al. 2023: the consistency function is c_skip x + c_out x_0, which is x at timestep 0."""
    scaled = LCM_SCALE * timestep
    return LCM_SIGMA**2 / (scaled**2 + LCM_SIGMA**2), scaled / math.hypot(scaled, LCM_SIGMA)


def fresh_noise(shape: tuple[int, ...], seed: int, number: int, index: int) -> Latents:
    """Unit noise of frame `index` after step `number`, of nothing but (seed, number, index): a longer clip begins like a shorter one."""
    # a spawn key, because [seed, index, ...] could be one of frame_noise's seeds
    sequence = np.random.SeedSequence([seed, index], spawn_key=(number,))
    return np.random.default_rng(sequence).standard_normal(shape, dtype=np.float32)


def lcm_frames(latents: Latents, prediction: Iterable[Latents], step: Step, kind: PredictionType, seed: int) -> None:
    """One consistency step of latents (frames, ...), in their place: to the end at once, then noised to the step's own end."""
    skip, out = boundary(step.timestep)
    for index, (frame, predicted) in enumerate(zip(latents, prediction, strict=True)):
        clean, _ = clean_and_noise(frame, predicted, step.alpha, kind)
        frame[...] = np.float32(skip) * frame + np.float32(out) * clean
        if step.following < 1:
            frame *= np.float32(math.sqrt(step.following))
            frame += np.float32(math.sqrt(1 - step.following)) * fresh_noise(frame.shape, seed, step.number, index)


def lcm_sample(
    predict: Predict,
    noise: Latents,
    schedule: NoiseSchedule,
    steps: int,
    on_step: OnStep = None,
    seed: int = 0,
    state: State | None = None,
) -> Latents:
    """Multistep latent consistency sampling (Luo et al. 2023; Song et al. 2023, algorithm 1). See Sampler.

    Only for distilled models, which map any x_t to x_0 at once: with others it draws new noise at every step for nothing.
    The last step adds none. Timesteps are the schedule's trailing ones.
    """
    state = state or State()
    latents = state.begin(noise)
    del noise  # the caller's may be the only other copy
    for step in path(schedule, steps, on_step, state.done):
        lcm_frames(latents, predict(latents, step.timestep), step, schedule.prediction_type, seed)
    return latents


SAMPLERS: dict[str, Sampler] = {"ddim": ddim_sample, "dpm++2m": dpm_sample, "euler": euler_sample, "lcm": lcm_sample}


def sampler_named(name: str) -> Sampler:
    """The sampler of that name in SAMPLERS. ValueError, with the names there are, for any other."""
    if name not in SAMPLERS:
        raise ValueError(f"there is no sampler {name!r}: use one of {', '.join(SAMPLERS)}")
    return SAMPLERS[name]
