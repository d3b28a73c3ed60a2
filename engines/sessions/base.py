"""The one contract of run-time engines: arrays by name in, arrays by name out."""

from collections.abc import Mapping
from typing import Any, Protocol

from numpy.typing import NDArray

Arrays = Mapping[str, NDArray[Any]]


class Session(Protocol):
    """A graph ready to run, on whatever device."""

    def run(self, feeds: Arrays) -> dict[str, NDArray[Any]]:
        """Outputs by name. The feeds and the pinned constants together must be exactly the graph's inputs."""
        ...

    def pin(self, constants: Arrays) -> None:
        """Keep these inputs on the device for all later runs; replaces what was pinned before."""
        ...

    def close(self) -> None:
        """Give memory back. The session cannot run afterwards."""
        ...
