"""How the machinery tells people what it does, without knowing who listens (Rich in the command line, nothing in tests)."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Protocol


class Bar(Protocol):
    def advance(self, count: int) -> None: ...


class StageContext(Protocol):
    def __enter__(self) -> Bar: ...
    def __exit__(self, *exc: object) -> bool | None: ...


class Report(Protocol):
    """`stage` opens a count of `total` things, `done` of which an earlier run made; `note` and `warn` are one sentence each, for people."""

    def stage(self, name: str, total: int, done: int = 0) -> StageContext: ...
    def note(self, text: str) -> None: ...
    def warn(self, text: str) -> None: ...


class SilentBar:
    def advance(self, count: int) -> None:
        """Nothing is shown."""


class NullReport:
    """Says nothing."""

    @contextmanager
    def stage(self, name: str, total: int, done: int = 0) -> Iterator[SilentBar]:
        yield SilentBar()

    def note(self, text: str) -> None:
        """Nothing is said."""

    def warn(self, text: str) -> None:
        """Nothing is said."""
