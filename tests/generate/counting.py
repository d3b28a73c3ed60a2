"""A session that counts its runs and remembers what it was fed."""

from collections.abc import Collection
from typing import Any

from numpy.typing import NDArray

from engines.sessions.base import Arrays, Session


class CountingSession:
    """Passes everything on to `inner`."""

    def __init__(self, inner: Session) -> None:
        self.inner = inner
        self.feeds: list[dict[str, NDArray[Any]]] = []
        self.pins: list[dict[str, NDArray[Any]]] = []
        self.closed = False

    def run(self, feeds: Arrays, wanted: Collection[str] | None = None) -> dict[str, NDArray[Any]]:
        self.feeds.append(dict(feeds))
        return self.inner.run(feeds, wanted)

    def pin(self, constants: Arrays) -> None:
        self.pins.append(dict(constants))
        self.inner.pin(constants)

    def close(self) -> None:
        self.closed = True
        self.inner.close()
