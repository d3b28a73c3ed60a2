"""Outputs that appear whole or not at all."""

import errno
import os
import re
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from engines.core.errors import ScdError

BUNDLE = "bundle.json"
EVALUATION = {"metrics.json", "report.html"}
NUMBERED = re.compile(r"\d{6}\.png")


def check_output(path: Path, overwrite: bool) -> None:
    """Refuse an output that could not be written at the end, before any work is done.

    A folder is never replaced by --overwrite when it holds anything but what scd writes into one: it may be somebody's pictures.
    """
    folder = path.parent
    if os.path.lexists(path) and not overwrite:
        raise ScdError(f"{path} exists already", "add --overwrite to replace it or name another with -o")
    if not folder.is_dir():
        what = "is a file" if folder.exists() else "does not exist"
        raise ScdError(f"the folder {folder} for the output {path.name} {what}", "create it or name another with -o")
    if path.is_dir() and not path.is_symlink() and not written_by_scd(path):
        raise ScdError(f"the output {path} is a folder with other things in it", "name another with -o")
    try:
        with tempfile.TemporaryFile(dir=folder):  # without a name, where the system can: nothing is left by a kill
            pass
    except OSError as error:
        raise ScdError(f"cannot write to the folder {folder} ({error.strerror})", "name another with -o") from error


def written_by_scd(folder: Path) -> bool:
    """A bundle, an evaluation, a sequence of numbered pictures, or nothing at all."""
    names = {entry.name for entry in folder.iterdir()}
    return BUNDLE in names or names >= EVALUATION or all(NUMBERED.fullmatch(name) for name in names)


def write_error(path: Path, error: OSError) -> ScdError:
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        return ScdError(f"cannot write {path}: the disk is full", "free some space or name another place with -o")
    if error.errno == errno.EXDEV:
        return ScdError(f"cannot move {path} into place: it was made on another disk", "name a place on the same disk with -o")
    return ScdError(f"cannot write {path}: {error.strerror or error}", "name another place with -o")


def remove(path: Path) -> None:
    with suppress(OSError):
        if path.is_dir() and not path.is_symlink():
            shutil.rmtree(path, ignore_errors=True)
        else:
            path.unlink()


def swap(temporary: Path, path: Path) -> None:
    """Put what is ready in its place; a folder that was there goes only after the new one stands."""
    old = temporary.with_name(f"{temporary.name}.old")
    if path.is_dir() and not path.is_symlink():
        os.replace(path, old)
    try:
        os.replace(temporary, path)
    except BaseException:
        if old.exists():
            os.replace(old, path)
        raise
    remove(old)


@contextmanager
def atomic(path: Path, overwrite: bool, workspace: Path | None = None) -> Iterator[Path]:
    """A temporary path beside `path`, or in the folder `workspace` of the same disk; moved onto it at the end, removed on any exception."""
    check_output(path, overwrite)
    temporary = (workspace or path.parent) / f".{path.stem}.{os.getpid()}{path.suffix}"
    remove(temporary)
    try:
        yield temporary
        swap(temporary, path)
    except OSError as error:
        raise write_error(path, error) from error
    finally:
        remove(temporary)
