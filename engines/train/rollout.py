"""Training on latents that the model made itself, as scheduled sampling and, for video, Self Forcing (Huang et al. 2025) do.

A model that learns on the noised truth alone sees, while sampling, latents it never learnt on: its own. Frames that share their
noise make it worse: their true difference can be read off their noisy latents, and in sampling it is not there.
"""

from collections.abc import Callable
from itertools import pairwise

import torch
from torch import Tensor


@torch.no_grad()
def own_latents(predict: Callable[[Tensor, Tensor], Tensor], noise: Tensor, timesteps: Tensor, steps: int, alphas: Tensor) -> Tensor:
    """Latents at `timesteps` (B,) that `steps` even DDIM steps (Song et al. 2021, eta = 0) make of pure noise (B, C, h, w).

    predict(latents, timesteps) gives v; alphas (T,) is the schedule's cumulative product, which must end in 0 (zero terminal SNR).
    """
    last = len(alphas) - 1
    path = [torch.round(last + (timesteps - last) * step / steps).long() for step in range(steps + 1)]
    latents = noise
    for now, following in pairwise(path):
        alpha, goal = (alphas[t][:, None, None, None] for t in (now, following))
        velocity = predict(latents, now)
        clean = alpha.sqrt() * latents - (1 - alpha).sqrt() * velocity
        rest = (1 - alpha).sqrt() * latents + alpha.sqrt() * velocity
        latents = goal.sqrt() * clean + (1 - goal).sqrt() * rest
    return latents
