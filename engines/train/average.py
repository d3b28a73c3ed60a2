"""The weights that are saved and judged: an exponential average of the trained ones, or these themselves."""

from collections.abc import Mapping
from copy import deepcopy

import torch
from torch import Tensor, nn

from engines.train.distributed import whole


def trainable(module: nn.Module) -> dict[str, nn.Parameter]:
    return {name: p for name, p in module.named_parameters() if p.requires_grad}


class Average:
    """`module` is what is saved and judged; it is the trained module itself with decay 0, where nothing else has to be kept.

    Where the weights will be sharded over processes (FSDP), the average is sharded with them, and `module` is a whole copy that `publish`
    brings up to date.
    """

    def __init__(self, module: nn.Module, decay: float, sharded: bool) -> None:
        self.trained, self.decay, self.sharded = module, decay, sharded
        self.module = deepcopy(module).requires_grad_(False) if decay or sharded else module
        self.values: Mapping[str, Tensor] = dict(self.module.named_parameters())

    def shard(self) -> None:
        """Once the module's weights are sharded: take the average's shards from the whole copy."""
        start = dict(self.module.named_parameters())
        self.values = {name: sharded_like(start[name].detach(), p) if self.decay else p for name, p in trainable(self.trained).items()}

    @torch.no_grad()
    def update(self, step: int) -> None:
        """average <- decay average + (1 - decay) weights; the decay grows with the steps so that the start is forgotten early."""
        if self.decay:
            decay = min(self.decay, (1 + step) / (10 + step))
            for name, parameter in trainable(self.trained).items():
                self.values[name].lerp_(parameter.detach(), 1.0 - decay)

    @torch.no_grad()
    def publish(self) -> None:
        """Put shards together in `module`; all processes must take part."""
        if self.sharded:
            goal = dict(self.module.named_parameters())
            for name, value in self.values.items():
                goal[name].copy_(whole(value.detach()))


def sharded_like(tensor: Tensor, pattern: Tensor) -> Tensor:
    """A whole tensor, cut as the pattern is where that is sharded."""
    from torch.distributed.tensor import DTensor, distribute_tensor

    if not isinstance(pattern, DTensor):
        return tensor
    return distribute_tensor(tensor.to(pattern.device), pattern.device_mesh, pattern.placements)
