"""Predictors made of a guess of x_0, and the schedules and the noise they are tried on."""

from collections.abc import Callable

import numpy as np

from engines.core.sampler import Latents, Predict
from engines.core.schedule import NoiseSchedule, PredictionType

SEED = 5
SCHEDULES = [(False, "v_prediction"), (False, "epsilon"), (True, "v_prediction")]  # epsilon cannot start from a_t = 0
NOISE = np.random.default_rng(0).standard_normal((3, 4, 6, 5), dtype=np.float32)


def schedule(zero: bool, kind: PredictionType, made: type[NoiseSchedule] = NoiseSchedule) -> NoiseSchedule:
    return made(train_timesteps=1000, beta_start=0.00085, beta_end=0.012, zero_terminal_snr=zero, prediction_type=kind)


class Floored(NoiseSchedule):
    """Ends at diffusers' 2^-24 and not at 0."""

    def alphas_cumprod(self) -> np.ndarray:
        alphas = NoiseSchedule.alphas_cumprod(self)
        alphas[-1] = max(alphas[-1], 2.0**-24)
        return alphas


def told(plan: NoiseSchedule, clean_of: Callable[[Latents, int], np.ndarray]) -> Predict:
    """A predictor that takes x_0 for `clean_of(latents, timestep)` and says so as the schedule wants it said."""
    alphas = plan.alphas_cumprod()

    def predict(latents: Latents, timestep: int) -> Latents:
        signal, spread = alphas[timestep] ** 0.5, (1 - alphas[timestep]) ** 0.5
        clean = clean_of(latents, timestep)
        noise = (latents - signal * clean) / spread
        return (noise if plan.prediction_type == "epsilon" else signal * noise - spread * clean).astype(np.float32)

    return predict


def bent(latents: Latents, timestep: int) -> np.ndarray:
    """A made-up network's x_0: nonlinear in the latents, their neighbours and the timestep, smooth, of size about 1."""
    x = latents.astype(np.float64)
    return 0.7 * np.tanh(1.3 * x + timestep / 700 - 0.6) + 0.2 * np.sin(2 * x + timestep / 300) * np.roll(x, 1, -1) / (1 + x * x)


def modes(latents: Latents, alpha: float) -> np.ndarray:
    """E[x_0 | x_t] where x_0 is N(-1, 1/4) or N(1, 1/4), evenly: what a perfect network would say."""
    signal, variance = alpha**0.5, 1 - 0.75 * alpha  # of x_t within a mode
    x = latents.astype(np.float64) / variance
    return signal / 4 * x + (1 - alpha) / variance * np.tanh(signal * x)
