"""One training step in shapes alone (torch's fake tensors): what it computes and what memory it needs, without weights, data or time."""

import weakref
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_iter
from torch.utils.flop_counter import FlopCounterMode


class LiveBytes(TorchDispatchMode):
    """Counts the bytes of all storages that come to be inside and are still alive: `now`, and the most there ever were, `peak`."""

    def __init__(self, known: nn.Module, now: int) -> None:
        """What `known` holds is not counted; `now` bytes are there at the start."""
        super().__init__()
        self.now = self.peak = now
        self.seen: set[int] = {id(tensor.untyped_storage()) for tensor in (*known.parameters(), *known.buffers())}
        self.kept = [tensor.untyped_storage() for tensor in (*known.parameters(), *known.buffers())]  # so that no id is used again

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        out = func(*args, **(kwargs or {}))
        for leaf in tree_iter(out):
            if isinstance(leaf, Tensor):
                self.count(leaf.untyped_storage())
        return out

    def count(self, storage: torch.UntypedStorage) -> None:
        if id(storage) in self.seen:
            return
        number, size = id(storage), storage.nbytes()
        self.seen.add(number)
        self.now += size
        self.peak = max(self.peak, self.now)
        weakref.finalize(storage, self.drop, number, size).atexit = False

    def drop(self, number: int, size: int) -> None:
        self.seen.discard(number)
        self.now -= size


@dataclass(frozen=True)
class Simulated:
    """`flop`: forward and backward, what is computed twice for memory's sake included, a multiply and an add as two; `peak`: the bytes at
    the worst moment beside the weights: activations, 16-bit copies of weights, gradients."""

    flop: int
    peak: int


def fake() -> FakeTensorMode:
    return FakeTensorMode(allow_non_fake_inputs=True)


def simulate(loss: nn.Module, batch: Callable[[], Any], half: torch.dtype | None, gradients: int) -> Simulated:
    """A step of `loss`, a module made inside `fake()`, as is the batch; `half`: the type to compute in where it is not float32.

    `gradients` bytes are there before, of other parts of the same batch.
    """
    with FlopCounterMode(display=False) as counter, LiveBytes(loss, 0) as live:
        if gradients:
            for parameter in loss.parameters():
                parameter.grad = torch.zeros_like(parameter) if parameter.requires_grad else None
        made = batch()
        with torch.autocast("cpu", half or torch.bfloat16, enabled=half is not None):
            value = loss(0, made)
        value.backward()
    return Simulated(int(counter.get_total_flops()), live.peak)


def encoding_flop(autoencoder: nn.Module, picture: Tensor) -> int:
    """Of one pass of the encoder, both made inside `fake()`."""
    with torch.no_grad(), FlopCounterMode(display=False) as counter:
        autoencoder.encode(picture)  # type: ignore[operator]
    return int(counter.get_total_flops())
