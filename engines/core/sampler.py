"""DDIM sampling (Song et al. 2021, eta = 0) over any predictor; the loop is here, in one screen. numpy only."""

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from engines.core.schedule import NoiseSchedule, PredictionType

Latents = NDArray[np.float32]
Predict = Callable[[Latents, int], Latents]


def clean_and_noise(latents: Latents, prediction: Latents, alpha: float, kind: PredictionType) -> tuple[Latents, Latents]:
    """x_0 and epsilon that a prediction at a_t = alpha stands for. v-prediction also works where alpha is 0."""
    signal, noise = np.float32(alpha**0.5), np.float32((1 - alpha) ** 0.5)
    if kind == "epsilon" and alpha <= 0:
        raise ValueError("epsilon prediction cannot start from pure noise: alpha is 0")
    if kind == "v_prediction":
        return signal * latents - noise * prediction, signal * prediction + noise * latents
    return np.asarray((latents - noise * prediction) / signal, np.float32), prediction


def ddim_step(latents: Latents, prediction: Latents, alpha: float, alpha_next: float, kind: PredictionType) -> Latents:
    """One deterministic step from a_t = alpha to alpha_next (1 at the very end)."""
    clean, noise = clean_and_noise(latents, prediction, alpha, kind)
    return np.float32(alpha_next**0.5) * clean + np.float32((1 - alpha_next) ** 0.5) * noise


def frame_noise(shape: tuple[int, int, int], frames: int, seed: int, shared: float) -> Latents:
    """Initial noise (frames, C, h, w) of unit variance, `shared` (0 to 1) of which all frames have in common.

    Frames that start alike end alike where nothing moves. Frame i depends on (seed, i) alone: a longer clip begins like a shorter one.
    """
    # [seed, 0, 1] and not [seed]: numpy pads seeds with zeros, so [seed] is frame 0's own
    common = np.random.default_rng([seed, 0, 1]).standard_normal(shape, dtype=np.float32) * np.float32(shared**0.5)
    out = np.empty((frames, *shape), np.float32)
    for index in range(frames):
        own = np.random.default_rng([seed, index]).standard_normal(shape, dtype=np.float32)
        out[index] = common + np.float32((1 - shared) ** 0.5) * own
    return out


def ddim_sample(
    predict: Predict, noise: Latents, schedule: NoiseSchedule, steps: int, on_step: Callable[[int], None] | None = None
) -> Latents:
    """Latents from noise (frames, ...) in `steps` steps. `predict(latents, timestep)`; `on_step(number)` after each step, from 1.

    Frame by frame in place: a long clip costs its latents and one prediction, not a copy for every term of the formula.
    """
    alphas = schedule.alphas_cumprod()
    timesteps = schedule.timesteps(steps)
    latents = noise.astype(np.float32)
    del noise  # the caller's may be the only other copy
    for number, timestep in enumerate(timesteps, 1):
        following = alphas[timesteps[number]] if number < steps else 1.0
        prediction = predict(latents, int(timestep))
        for frame, predicted in zip(latents, prediction, strict=True):
            frame[...] = ddim_step(frame, predicted, float(alphas[timestep]), float(following), schedule.prediction_type)
        if on_step is not None:
            on_step(number)
    return latents
