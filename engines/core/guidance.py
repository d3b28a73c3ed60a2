"""Classifier-free guidance over a stack of conditions. numpy only."""

import numpy as np
from numpy.typing import NDArray

Latents = NDArray[np.float32]


def conditions(guidance: float) -> int:
    """How many conditions the K/V carry: the reference alone at guidance 1, else reference and null reference."""
    return 1 if guidance == 1.0 else 2


def guide(predictions: Latents, guidance: float) -> Latents:
    """(c, ...) predictions, the reference's first and then the null reference's -> null + guidance (reference - null)."""
    if len(predictions) == 1:
        first: Latents = predictions[0]
        return first
    mixed: Latents = predictions[1] + np.float32(guidance) * (predictions[0] - predictions[1])
    return mixed
