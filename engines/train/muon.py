"""Muon in float32, for machines that multiply bfloat16 slowly: torch's own multiplies in bfloat16 whatever the weights are.

On two cores with AVX2 alone one step of torch's took 50 seconds for scd-mini's matrices, this one about 1 (docs/decisions.md).
"""

from collections.abc import Callable, Iterable
from typing import Any

import torch
from torch import Tensor

COEFFICIENTS = (3.4445, -4.775, 2.0315)  # of the quintic iteration (Jordan et al. 2024, "Muon")
STEPS, MOMENTUM, SMALLEST = 5, 0.95, 1e-7
RMS = 0.2  # of AdamW's updates, which Muon's are scaled to (Liu et al. 2025, "Muon is scalable for LLM training")


def orthogonalised(matrix: Tensor) -> Tensor:
    """Newton-Schulz towards the nearest matrix (m, n) with singular values of 1; they end between about 0.7 and 1.2.

    Every step multiplies from the left by a polynomial of the small Gram matrix, and such matrices commute: the polynomials are multiplied
    with each other, and only their product with the matrix.
    """
    a, b, c = COEFFICIENTS
    tall = matrix.shape[0] > matrix.shape[1]
    wide = matrix.T if tall else matrix
    wide = wide / wide.norm().clamp(min=SMALLEST)
    gram, product = wide @ wide.T, torch.eye(len(wide), device=wide.device)
    for _ in range(STEPS):
        factor = torch.addmm(gram, gram, gram, beta=b, alpha=c)
        factor.diagonal().add_(a)
        gram, product = factor @ gram @ factor, factor @ product
    out = product @ wide
    return out.T if tall else out


class Float32Muon(torch.optim.Optimizer):
    """As torch.optim.Muon with adjust_lr_fn="match_rms_adamw" and Nesterov momentum, but for the arithmetic. Parameters are (m, n)."""

    def __init__(self, parameters: Iterable[Tensor], lr: float, weight_decay: float) -> None:
        super().__init__(parameters, {"lr": lr, "weight_decay": weight_decay})

    @torch.no_grad()
    def step(self, closure: Callable[[], Any] | None = None) -> None:  # type: ignore[override]
        """One update from the gradients. `closure` is not used."""
        for group in self.param_groups:
            for parameter in group["params"]:
                if parameter.grad is None:
                    continue
                state = self.state[parameter]
                momentum = state.setdefault("momentum_buffer", torch.zeros_like(parameter.grad))
                momentum.lerp_(parameter.grad, 1 - MOMENTUM)
                update = orthogonalised(parameter.grad.lerp(momentum, MOMENTUM))
                parameter.mul_(1 - group["lr"] * group["weight_decay"])
                parameter.add_(update, alpha=-group["lr"] * RMS * max(parameter.shape) ** 0.5)
