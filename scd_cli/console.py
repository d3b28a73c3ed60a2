"""How the command line talks: results on stdout, everything else on stderr. Rich is loaded only where a terminal shows a bar."""

import json
import os
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import typer

from engines.core.report import Bar

SECONDS_BETWEEN_LINES = 10.0


class PlainBar:
    """Progress where no terminal is: a line every few seconds, and one at the end."""

    def __init__(self, name: str, total: int) -> None:
        self.name, self.total, self.done = name, total, 0
        self.started = self.said = time.monotonic()

    def advance(self, count: int) -> None:
        self.done += count
        if time.monotonic() - self.said >= SECONDS_BETWEEN_LINES:
            self.said = time.monotonic()
            typer.echo(self.line(), err=True)

    def line(self) -> str:
        seconds = max(time.monotonic() - self.started, 1e-6)
        rate = self.done / seconds
        left = f", {clock((self.total - self.done) / rate)} left" if rate and self.done < self.total else f" in {clock(seconds)}"
        return f"{self.name}: {self.done}/{self.total}, {rate:.3g}/s{left}"


class Console:
    """The Report of the engines, for people: on stderr, with colour only on a terminal and without NO_COLOR."""

    def __init__(self) -> None:
        self.terminal = sys.stderr.isatty() and os.environ.get("TERM") != "dumb"

    @contextmanager
    def stage(self, name: str, total: int) -> Iterator[Bar]:
        """Count `total` things under `name`."""
        if self.terminal:
            with rich_bar(name, total) as shown:
                yield shown
            return
        plain = PlainBar(name, total)
        yield plain
        typer.echo(plain.line(), err=True)

    def note(self, text: str) -> None:
        typer.echo(text, err=True)

    def warn(self, text: str) -> None:
        typer.echo(f"warning: {text}", err=True)


@contextmanager
def rich_bar(name: str, total: int) -> Iterator[Bar]:
    """A progress bar with count, rate and time left."""
    from rich.console import Console as RichConsole
    from rich.progress import (
        BarColumn,
        MofNCompleteColumn,
        Progress,
        ProgressColumn,
        Task,
        TextColumn,
        TimeElapsedColumn,
        TimeRemainingColumn,
    )
    from rich.text import Text

    class Rate(ProgressColumn):
        def render(self, task: Task) -> Text:
            speed = task.finished_speed or task.speed
            return Text(f"{speed:.3g}/s" if speed else "")

    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        Rate(),
        TimeRemainingColumn(),
        TextColumn("after"),
        TimeElapsedColumn(),
    )
    with Progress(*columns, console=RichConsole(stderr=True)) as progress:
        task = progress.add_task(name, total=total)

        class Shown:
            def advance(self, count: int) -> None:
                progress.advance(task, count)

        yield Shown()


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
