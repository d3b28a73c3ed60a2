"""The optimizer of a run: AdamW for everything, or Muon for the weights that are matrices and AdamW for the rest."""

from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch import Tensor, nn

from engines.core.errors import ScdError
from engines.train.average import sharded_like
from engines.train.distributed import whole
from engines.train.muon import Float32Muon
from engines.train.recipe import Optim

AT_THE_EDGE = ("conv_in", "conv_out", "position", "time_emb")  # inputs, outputs and tables: Muon is not made for them
CODES = "qmap"  # of bitsandbytes' state: tables that all its parameters share


def as_matrix(tensor: Tensor) -> Tensor:
    """A linear weight as it is, a convolution's (out, in, h, w) as (out, h w in): a view where it lies channels-last in memory."""
    return tensor.permute(0, 2, 3, 1).flatten(1) if tensor.dim() == 4 else tensor


def is_inner(name: str, parameter: nn.Parameter) -> bool:
    """Whether it is a matrix, or a convolution's, inside the network."""
    return parameter.dim() in (2, 4) and not any(part in name for part in AT_THE_EDGE)


def is_matrix(name: str, parameter: nn.Parameter) -> bool:
    """Whether Muon takes it: an inner one whose memory can be seen as a matrix."""
    if not is_inner(name, parameter):
        return False
    return as_matrix(parameter.data).data_ptr() == parameter.data_ptr()


def adamw8bit(parameters: list[nn.Parameter], optim: Optim) -> torch.optim.Optimizer:
    """AdamW whose moments take a byte each (Dettmers et al. 2022), on GPUs and CPUs. ScdError where bitsandbytes is not installed."""
    try:
        from bitsandbytes.optim import AdamW8bit
    except ImportError as error:
        raise ScdError("optim.optimizer adamw8bit needs bitsandbytes, which is not installed", "run: pip install bitsandbytes") from error
    made: torch.optim.Optimizer = AdamW8bit(parameters, lr=optim.learning_rate, betas=optim.betas, weight_decay=optim.weight_decay)
    return made


def in_memory_order(tensor: Tensor) -> Tensor:
    """A view of a convolution's weight whose dimensions lie as its memory does; bitsandbytes reads memory, not strides."""
    return tensor if tensor.is_contiguous() else as_matrix(tensor)


class Optimizer(torch.optim.Optimizer):
    """One optimizer to those who hold it (accelerate, a gradient scaler), over the model's own parameters; within, one or two `parts`.

    Muon's updates are scaled to AdamW's size (Liu et al. 2025, "Muon is scalable for LLM training", as torch offers it).
    """

    def __init__(self, optim: Optim, parameters: Mapping[str, nn.Parameter]) -> None:
        super().__init__(list(parameters.values()), {"lr": optim.learning_rate})
        self.optim = optim
        self.build(parameters)

    def build(self, parameters: Mapping[str, nn.Parameter]) -> None:
        """Make the parts anew, for these parameters: those that a wrapper has put in the place of the first ones."""
        optim, self.parameters = self.optim, dict(parameters)
        muon = {n: p for n, p in parameters.items() if optim.muon_learning_rate > 0 and is_matrix(n, p)}
        rest = {n: p for n, p in parameters.items() if n not in muon}
        views = {n: nn.Parameter(as_matrix(p.data)) for n, p in muon.items()}
        if optim.optimizer == "adamw8bit":
            views |= {n: nn.Parameter(in_memory_order(p.data)) for n, p in rest.items() if not p.is_contiguous()}
        self.seen = dict(parameters) | views  # what the parts hold, by name
        self.matrices, self.views = list(muon), list(views)
        self.parts: list[torch.optim.Optimizer] = []  # each holds one group
        if rest:
            self.parts.append(self.adamw([self.seen[n] for n in rest]))
        if muon:
            self.parts.append(self.muon([self.seen[n] for n in muon]))
        self.rates = [float(part.param_groups[0]["lr"]) for part in self.parts]
        self.part_of = {n: self.parts[-1 if n in muon else 0] for n in self.seen}

    def adamw(self, parameters: list[nn.Parameter]) -> torch.optim.Optimizer:
        optim = self.optim
        if optim.optimizer == "adamw8bit":
            return adamw8bit(parameters, optim)
        return torch.optim.AdamW(parameters, lr=optim.learning_rate, betas=optim.betas, weight_decay=optim.weight_decay)

    def muon(self, parameters: list[nn.Parameter]) -> torch.optim.Optimizer:
        rate, decay = self.optim.muon_learning_rate, self.optim.weight_decay
        if self.optim.precision == "bf16":
            return torch.optim.Muon(parameters, lr=rate, weight_decay=decay, adjust_lr_fn="match_rms_adamw")
        return Float32Muon(parameters, lr=rate, weight_decay=decay)

    def scale(self, share: float) -> None:
        """Make the next updates at this share (0..1) of the learning rates."""
        for part, rate in zip(self.parts, self.rates, strict=True):
            part.param_groups[0]["lr"] = rate * share

    @torch.no_grad()
    def step(self, closure: Callable[[], Any] | None = None) -> None:  # type: ignore[override]
        """One update from the gradients of the parameters. `closure` is not used."""
        for name in self.views:
            gradient = self.parameters[name].grad
            self.seen[name].grad = None if gradient is None else as_matrix(gradient).contiguous()
        for part in self.parts:
            part.step()
        for name in self.views:
            self.seen[name].grad = None

    def state_tensors(self) -> dict[str, Tensor]:
        """Flat tensors for a checkpoint, `what/parameter name`; whole where they are sharded."""
        tensors: dict[str, Tensor] = {}
        for name, parameter in self.seen.items():
            for key, value in self.part_of[name].state.get(parameter, {}).items():
                if not key.startswith(CODES):
                    tensors[f"{key}/{name}"] = whole(value) if isinstance(value, Tensor) else torch.tensor(float(value))
        return tensors

    def restore(self, tensors: Mapping[str, Tensor]) -> None:
        """Take back what `state_tensors` gave."""
        for key, value in tensors.items():
            what, name = key.split("/", 1)
            parameter = self.seen[name]
            self.part_of[name].state[parameter][what] = placed(value, parameter)
        for part in self.parts:
            restore_codes(part)


def placed(value: Tensor, parameter: nn.Parameter) -> Tensor:
    """A tensor of the state where its parameter is; as the parameter lies in memory where it has its shape. Counts of steps stay."""
    if value.dim() == 0:
        return value
    value = sharded_like(value.to(parameter.device), parameter)
    same = value.shape == parameter.shape and value.stride() != parameter.stride()
    return torch.empty_like(parameter, dtype=value.dtype, requires_grad=False).copy_(value) if same else value


def restore_codes(part: Any) -> None:
    """Of bitsandbytes: what its 8-bit numbers stand for is the same for all parameters, and it counts steps in a number of Python."""
    if not hasattr(part, "name2qmap"):
        return
    for parameter, state in part.state.items():
        if "step" in state:
            state["step"] = int(state["step"])
        if state["state1"].dtype == torch.uint8:
            part.fill_qmap()
            state["qmap1"], state["qmap2"] = (part.name2qmap[name].to(parameter.device) for name in ("dynamic", "udynamic"))
