"""Pictures through pipes: `-` as an input is stdin, as an output stdout."""

import shutil
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from engines.core.errors import UsageError

STREAM = Path("-")


@contextmanager
def from_stdin(path: Path) -> Iterator[Path]:
    """The path itself, or for `-` a file with what stdin gives, gone afterwards. UsageError where stdin is a terminal or gives nothing."""
    if path != STREAM:
        yield path
        return
    if sys.stdin.isatty():
        raise UsageError("- reads a picture from stdin, and nothing is piped into it", "name a file")
    with tempfile.TemporaryDirectory(prefix="scd-") as folder:
        file = Path(folder) / "stdin.png"
        with file.open("wb") as out:
            shutil.copyfileobj(sys.stdin.buffer, out)
        if not file.stat().st_size:
            raise UsageError("stdin gave no picture", "the command before the pipe has failed")
        yield file


@contextmanager
def to_stdout(path: Path) -> Iterator[Path]:
    """The path itself, or for `-` a PNG in a place of its own whose bytes go to stdout once all went well."""
    if path != STREAM:
        yield path
        return
    if sys.stdout.isatty():
        raise UsageError("-o - writes a picture to stdout, which is a terminal", "pipe it into a command or a file, or name a file with -o")
    with tempfile.TemporaryDirectory(prefix="scd-") as folder:
        file = Path(folder) / "stdout.png"
        yield file
        with file.open("rb") as made:
            shutil.copyfileobj(made, sys.stdout.buffer)
        sys.stdout.flush()
