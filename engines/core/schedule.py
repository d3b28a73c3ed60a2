"""The noise schedule: one definition for training, sampling and the bundle. numpy only."""

from dataclasses import asdict, dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

PredictionType = Literal["v_prediction", "epsilon"]


@dataclass(frozen=True, slots=True, kw_only=True)
class NoiseSchedule:
    """q(x_t | x_0) = N(sqrt(a_t) x_0, (1 - a_t) I) with a_t from scaled-linear betas (Stable Diffusion 1.5's).

    `zero_terminal_snr` rescales the betas so that a_T = 0 (Lin et al. 2024, algorithm 1).
    """

    train_timesteps: int
    beta_start: float
    beta_end: float
    zero_terminal_snr: bool
    prediction_type: PredictionType

    def alphas_cumprod(self) -> NDArray[np.float64]:
        """a_t for t = 0 .. train_timesteps - 1, shape (train_timesteps,), falling from about 1."""
        betas = np.linspace(self.beta_start**0.5, self.beta_end**0.5, self.train_timesteps) ** 2
        root = np.sqrt(np.cumprod(1.0 - betas))
        if self.zero_terminal_snr:
            root = (root - root[-1]) * root[0] / (root[0] - root[-1])
        alphas: NDArray[np.float64] = root**2
        return alphas

    def timesteps(self, steps: int) -> NDArray[np.int64]:
        """The `steps` timesteps of sampling, falling, trailing spacing: the first is the last training timestep."""
        spaced = np.arange(self.train_timesteps, 0, -self.train_timesteps / steps)
        return np.round(spaced[:steps]).astype(np.int64) - 1

    def to_json(self) -> dict[str, Any]:
        return asdict(self)
