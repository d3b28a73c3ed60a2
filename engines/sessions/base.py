"""The one contract of run-time engines: arrays by name in, arrays by name out."""

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Any, Protocol, runtime_checkable

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


def fitted(array: NDArray[Any], dtype: np.dtype[Any]) -> NDArray[Any]:
    """Contiguous, and float32 as float16 where the graph computes in float16: the pipeline knows float32 alone."""
    halved = array.dtype == np.float32 and dtype == np.float16
    return np.asarray(array, np.float16 if halved else array.dtype, order="C")


def widened(outputs: Arrays) -> dict[str, NDArray[Any]]:
    """float16 outputs as float32."""
    return {name: array.astype(np.float32) if array.dtype == np.float16 else array for name, array in outputs.items()}


def check_complete(graph: str, inputs: Collection[str], feeds: Collection[str], kept: Collection[str]) -> None:
    """ValueError unless feeds and what the session holds already are together the inputs, each once."""
    missing, twice = sorted(set(inputs) - set(feeds) - set(kept)), sorted(set(feeds) & set(kept))
    if missing or twice:
        raise ValueError(f"{graph}: inputs missing: {missing}, given though pinned: {twice}")


class Kept(Protocol):
    """Outputs of a session that stay on its device when it is closed."""

    def close(self) -> None:
        """Give back what no session has linked."""
        ...


@runtime_checkable
class Keeping(Protocol):
    """What a session of a device can do beside the Session contract: hand outputs on without a copy."""

    def launch(self, feeds: Arrays) -> None:
        """`run` that leaves the outputs on the device."""
        ...

    def keep(self) -> Kept:
        """The outputs of the last launch."""
        ...

    def link(self, other: Any) -> list[str]:
        """Take what another of its kind kept as inputs of the same names, for all later runs. Returns the names."""
        ...


class Session(Protocol):
    """A graph ready to run. `device`: where it computes, such as "cpu" or "cuda"."""

    device: str

    def run(self, feeds: Arrays, wanted: Collection[str] | None = None) -> dict[str, NDArray[Any]]:
        """Outputs by name, all or those that are wanted. The feeds and the pinned constants together must be exactly the inputs."""
        ...

    def pin(self, constants: Arrays) -> None:
        """Keep these inputs on the device for all later runs; replaces what was pinned before."""
        ...

    def close(self) -> None:
        """Give memory back. The session cannot run afterwards."""
        ...
