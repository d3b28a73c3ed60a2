"""Classifier-free guidance over a stack of conditions, and the steps it is limited to. numpy only."""

import math

import numpy as np
from numpy.typing import NDArray

Latents = NDArray[np.float32]


def conditions(guidance: float) -> int:
    """How many conditions the K/V carry: the reference alone at guidance 1, else reference and null reference."""
    return 1 if guidance == 1.0 else 2


def mixed(predictions: Latents, shares: tuple[float, ...]) -> Latents:
    """(c, ...) predictions -> their sum, each times its share."""
    out: Latents = np.float32(shares[0]) * predictions[0]
    for share, prediction in zip(shares[1:], predictions[1:], strict=True):
        out += np.float32(share) * prediction
    return out


def guided_at(number: int, steps: int, until: float) -> bool:
    """Whether step `number` (1 .. steps) is guided if the first `until` (0 to 1) of all steps are: 0 guides none, 1 all.

    Kynkäänniemi et al. 2024 limit guidance to an interval of noise levels; this one is open towards pure noise, and what it saves are the
    low levels, where guidance does next to nothing. As many steps are guided as come nearest to the share, halves counting as one.
    ValueError outside these ranges.
    """
    if not 1 <= number <= steps:
        raise ValueError(f"step {number} must lie in 1 .. {steps}")
    if not 0 <= until <= 1:
        raise ValueError(f"guidance until {until} must lie in 0 .. 1")
    return number <= math.floor(until * steps + 0.5 + 1e-9)  # 1e-9: 0.29 * 50 is a little less than 14.5
