"""How the command line talks: results on stdout, everything else on stderr. Rich is loaded only where a terminal shows a bar."""

import json
import os
import sys
import time
from collections.abc import Mapping
from typing import Any

import typer

from engines.core.report import Bar, StageContext

SECONDS_BETWEEN_LINES = 10.0


class PlainStage:
    """Progress where no terminal is: a line every few seconds, and one at the end."""

    def __init__(self, name: str, total: int, done: int) -> None:
        self.name, self.total, self.first, self.done = name, total, done, done
        self.started = self.said = time.monotonic()

    def __enter__(self) -> Bar:
        return self

    def __exit__(self, *exc: object) -> None:
        typer.echo(self.line(), err=True)

    def advance(self, count: int) -> None:
        self.done += count
        if time.monotonic() - self.said >= SECONDS_BETWEEN_LINES:
            self.said = time.monotonic()
            typer.echo(self.line(), err=True)

    def line(self) -> str:
        seconds = max(time.monotonic() - self.started, 1e-6)
        rate = (self.done - self.first) / seconds
        left = f"{clock((self.total - self.done) / rate)} left" if rate and self.done < self.total else f"after {clock(seconds)}"
        return f"{self.name}: {self.done}/{self.total}, {rate:.3g}/s, {left}"


class RichStage:
    """Progress on a terminal: a bar with count, rate and time left."""

    def __init__(self, name: str, total: int, done: int) -> None:
        from rich.console import Console as RichConsole
        from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn

        columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TextColumn("{task.fields[rate]}"))
        clocks = (TimeRemainingColumn(), TextColumn("left, after"), TimeElapsedColumn())
        self.progress = Progress(*columns, *clocks, console=RichConsole(stderr=True))
        self.task = self.progress.add_task(name, total=total, completed=done, rate="")
        self.started, self.made = time.monotonic(), 0

    def __enter__(self) -> Bar:
        self.progress.start()
        return self

    def __exit__(self, *exc: object) -> None:
        self.progress.stop()

    def advance(self, count: int) -> None:
        self.made += count
        rate = self.made / max(time.monotonic() - self.started, 1e-6)
        self.progress.update(self.task, advance=count, rate=f"{rate:.3g}/s")


class Console:
    """The Report of the engines, for people: on stderr, with a moving bar only on a terminal; Rich obeys NO_COLOR."""

    def __init__(self) -> None:
        self.terminal = sys.stderr.isatty() and os.environ.get("TERM") != "dumb"

    def stage(self, name: str, total: int, done: int = 0) -> StageContext:
        """Count `total` things under `name`; `done` of them are there already and do not count for the rate."""
        return RichStage(name, total, done) if self.terminal else PlainStage(name, total, done)

    def note(self, text: str) -> None:
        typer.echo(text, err=True)

    def warn(self, text: str) -> None:
        typer.echo(f"warning: {text}", err=True)


def clock(seconds: float) -> str:
    """Seconds as people read them: `41 s`, `3 min 05 s`, `2 h 07 min`."""
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min {whole % 60:02d} s"
    return f"{whole // 3600} h {whole % 3600 // 60:02d} min"


def result(summary: Mapping[str, Any], as_json: bool, path: object) -> None:
    """The command's data on stdout: the whole summary as JSON, or the path of what was written."""
    typer.echo(json.dumps(summary, indent=1, default=str) if as_json else str(path))


def not_yet(what: str) -> typer.Exit:
    """One sentence and exit code 2, for what a later version builds."""
    typer.echo(f"error: {what}", err=True)
    return typer.Exit(2)
