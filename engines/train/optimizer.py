"""The optimizer of a run: AdamW for everything, or Muon for the weights that are matrices and AdamW for the rest."""

from collections.abc import Mapping

import torch
from torch import Tensor, nn

from engines.train.muon import Float32Muon
from engines.train.recipe import Optim

AT_THE_EDGE = ("conv_in", "conv_out", "position", "time_emb")  # inputs, outputs and tables: Muon is not made for them


def as_matrix(tensor: Tensor) -> Tensor:
    """A linear weight as it is, a convolution's (out, in, h, w) as (out, h w in): a view where it lies channels-last in memory."""
    return tensor.permute(0, 2, 3, 1).flatten(1) if tensor.dim() == 4 else tensor


def is_matrix(name: str, parameter: nn.Parameter) -> bool:
    """Whether Muon takes it: a matrix inside the network whose memory can be seen as one."""
    if parameter.dim() not in (2, 4) or any(part in name for part in AT_THE_EDGE):
        return False
    return as_matrix(parameter.data).data_ptr() == parameter.data_ptr()


class Optimizer:
    """Muon's updates are scaled to AdamW's size (Liu et al. 2025, "Muon is scalable for LLM training", as torch offers it)."""

    def __init__(self, optim: Optim, parameters: Mapping[str, nn.Parameter]) -> None:
        self.parameters = dict(parameters)
        muon = {n: p for n, p in parameters.items() if optim.muon_learning_rate > 0 and is_matrix(n, p)}
        rest = {n: p for n, p in parameters.items() if n not in muon}
        self.seen = rest | {n: nn.Parameter(as_matrix(p.data)) for n, p in muon.items()}  # what the optimizers hold, by name
        self.matrices = list(muon)
        self.parts: list[torch.optim.Optimizer] = []  # each holds one group
        if rest:
            self.parts.append(
                torch.optim.AdamW(list(rest.values()), lr=optim.learning_rate, betas=optim.betas, weight_decay=optim.weight_decay)
            )
        if muon:
            seen = [self.seen[n] for n in muon]
            rate, decay = optim.muon_learning_rate, optim.weight_decay
            if optim.precision == "bf16":
                self.parts.append(torch.optim.Muon(seen, lr=rate, weight_decay=decay, adjust_lr_fn="match_rms_adamw"))
            else:
                self.parts.append(Float32Muon(seen, lr=rate, weight_decay=decay))
        self.rates = [float(part.param_groups[0]["lr"]) for part in self.parts]
        self.part_of = {n: self.parts[-1 if n in muon else 0] for n in self.seen}

    def step(self, scale: float) -> None:
        """One update from the gradients of the parameters, which are then dropped, at this share (0..1) of the learning rates."""
        for name in self.matrices:
            gradient = self.parameters[name].grad
            self.seen[name].grad = None if gradient is None else as_matrix(gradient).contiguous()
        for part, rate in zip(self.parts, self.rates, strict=True):
            part.param_groups[0]["lr"] = rate * scale
            part.step()
        for parameter in (*self.parameters.values(), *self.seen.values()):
            parameter.grad = None

    def state(self) -> dict[str, Tensor]:
        """Flat tensors for a checkpoint, `what/parameter name`."""
        tensors: dict[str, Tensor] = {}
        for name, parameter in self.seen.items():
            for key, value in self.part_of[name].state.get(parameter, {}).items():
                tensors[f"{key}/{name}"] = value if isinstance(value, Tensor) else torch.tensor(float(value))
        return tensors

    def restore(self, tensors: Mapping[str, Tensor]) -> None:
        """Take back what `state` gave."""
        for key, value in tensors.items():
            what, name = key.split("/", 1)
            self.part_of[name].state[self.seen[name]][what] = value
