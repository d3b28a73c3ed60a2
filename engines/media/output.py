"""Outputs that appear whole or not at all."""

import errno
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from engines.core.errors import ScdError


def check_output(path: Path, overwrite: bool) -> None:
    """Refuse an output that could not be written at the end, before any work is done."""
    folder = path.parent
    if path.exists() and not overwrite:
        raise ScdError(f"{path} exists already", "add --overwrite to replace it or name another with -o")
    if not folder.is_dir():
        raise ScdError(f"the folder {folder} for the output {path.name} does not exist", "create it or name another with -o")
    probe = folder / f".scd-probe-{os.getpid()}"
    try:
        probe.touch()
    except OSError as error:
        raise ScdError(f"cannot write to the folder {folder} ({error.strerror})", "name another with -o") from error
    finally:
        with suppress(OSError):
            probe.unlink()


def write_error(path: Path, error: OSError) -> ScdError:
    what = "the disk is full" if error.errno in (errno.ENOSPC, errno.EDQUOT) else (error.strerror or str(error))
    return ScdError(f"cannot write {path}: {what}", "free some space or name another place with -o")


def remove(path: Path) -> None:
    with suppress(OSError):
        if path.is_dir():
            shutil.rmtree(path, ignore_errors=True)
        else:
            path.unlink()


@contextmanager
def atomic(path: Path, overwrite: bool) -> Iterator[Path]:
    """A temporary path beside `path`; moved onto it at the end, removed on any exception."""
    check_output(path, overwrite)
    temporary = path.with_name(f".{path.stem}.{os.getpid()}{path.suffix}")
    remove(temporary)
    try:
        yield temporary
        if path.is_dir():
            shutil.rmtree(path)
        os.replace(temporary, path)
    except OSError as error:
        raise write_error(path, error) from error
    finally:
        remove(temporary)
