"""The one contract of run-time engines: arrays by name in, arrays by name out."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

Arrays = Mapping[str, NDArray[Any]]


@dataclass(frozen=True, slots=True)
class TensorSpec:
    """What a graph says of one input or output: `shape` has an int for a fixed axis and a name (or None) for a free one."""

    shape: tuple[int | str | None, ...]
    dtype: np.dtype[Any]

    def mismatch(self, array: NDArray[Any]) -> str | None:
        """Why the array does not fit, or None."""
        if array.dtype != self.dtype:
            return f"is {array.dtype}, not {self.dtype}"
        fixed = len(array.shape) == len(self.shape) and all(
            not isinstance(b, int) or a == b for a, b in zip(array.shape, self.shape, strict=True)
        )
        return None if fixed else f"has the shape {array.shape}, not {self.shape}"


class Session(Protocol):
    """A graph ready to run. `device`: where it computes, such as "cpu" or "cuda"."""

    device: str

    def run(self, feeds: Arrays) -> dict[str, NDArray[Any]]:
        """Outputs by name. The feeds and the pinned constants together must be exactly the graph's inputs."""
        ...

    def pin(self, constants: Arrays) -> None:
        """Keep these inputs on the device for all later runs; replaces what was pinned before."""
        ...

    def close(self) -> None:
        """Give memory back. The session cannot run afterwards."""
        ...
