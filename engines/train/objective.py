"""What a timestep counts in the loss, and noise whose mean is not zero."""

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from engines.core.schedule import PredictionType


def min_snr_weights(alpha: Tensor, gamma: float, kind: PredictionType) -> Tensor:
    """Weights, like alpha = a_t (0 to below 1), of the squared error (Hang et al. 2023, "Efficient diffusion training via min-SNR
    weighting", equation 1 carried over): min(SNR, gamma) / SNR for epsilon, min(SNR, gamma) / (SNR + 1) for v, with SNR = a / (1 - a).

    Where a_t is 0 the weight is 1 for both. It is epsilon's limit; v's limit is 0, and then the one timestep that sampling starts from
    would never be learnt. gamma 0: all weights are 1.
    """
    if gamma == 0:
        return torch.ones_like(alpha)
    snr = alpha / (1 - alpha)
    below = snr if kind == "epsilon" else snr + 1
    return torch.where(snr > 0, snr.clamp(max=gamma) / torch.where(snr > 0, below, 1), 1)


def channel_offset(rng: np.random.Generator, count: int, shape: tuple[int, ...], deviation: float) -> NDArray[np.float32]:
    """(count, C, 1, 1) to add to noise of the shape (C, h, w): what each channel has in common over the whole picture (Guttenberg 2023,
    "Diffusion with offset noise"). Nothing is drawn where `deviation` is 0, so that such a run's noise stays what it was."""
    if deviation == 0:
        return np.zeros((count, shape[0], 1, 1), np.float32)
    return np.float32(deviation) * rng.standard_normal((count, shape[0], 1, 1), dtype=np.float32)
