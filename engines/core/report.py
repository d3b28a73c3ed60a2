"""How the machinery tells people what it does, without knowing who listens (Rich in the command line, nothing in tests)."""

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
    """A stage of which nothing is shown."""

    def __enter__(self) -> Bar:
        return self

    def __exit__(self, *exc: object) -> None:
        """Nothing was shown."""

    def advance(self, count: int) -> None:
        """Nothing is shown."""


class NullReport:
    """Says nothing."""

    def stage(self, name: str, total: int, done: int = 0) -> StageContext:
        return SilentBar()

    def note(self, text: str) -> None:
        """Nothing is said."""

    def warn(self, text: str) -> None:
        """Nothing is said."""
