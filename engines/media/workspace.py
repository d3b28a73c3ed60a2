"""The hidden folder beside an output in which it is made: held by one process at a time, kept when that process is killed."""

import contextlib
import os
import shutil
import time
from collections.abc import Iterator
from pathlib import Path
from typing import IO

from engines.core.errors import ScdError

LOCK = "lock"
WAIT = 0.2  # seconds between two looks at a lock that another process has

if os.name == "nt":
    import msvcrt

    def lock(file: IO[bytes]) -> None:
        """OSError when another process has it; it is free again when that process ends, however it ends."""
        msvcrt.locking(file.fileno(), msvcrt.LK_NBLCK, 1)  # type: ignore[attr-defined]
else:
    import fcntl

    def lock(file: IO[bytes]) -> None:
        """OSError when another process has it; it is free again when that process ends, however it ends."""
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)


class Taken(ScdError):
    """Another process makes this output."""

    def __init__(self, output: Path) -> None:
        super().__init__(f"another scd is making {output}", "wait for it or name another output with -o")


def workspace_path(output: Path) -> Path:
    return output.with_name(f".{output.name}.scd")


class Workspace:
    """A held folder. `close` lets go of it; `remove` takes it away with all that is in it."""

    def __init__(self, folder: Path, file: IO[bytes]) -> None:
        self.folder, self.file = folder, file

    def close(self) -> None:
        self.file.close()

    def remove(self) -> None:
        """The lock goes last and while it is held: who waits for it then finds that the file is gone, and begins anew."""
        for entry in self.folder.iterdir():
            if entry.is_dir() and not entry.is_symlink():
                shutil.rmtree(entry, ignore_errors=True)
            elif entry.name != LOCK:
                entry.unlink(missing_ok=True)
        with contextlib.suppress(OSError):  # an open file cannot be unlinked on Windows: the folder then stays, empty but for it
            (self.folder / LOCK).unlink()
        with contextlib.suppress(OSError):
            self.folder.rmdir()
        self.close()


def take(output: Path) -> Workspace | None:
    """The workspace of an output; None while another process has it. OSError where the folder can't be written."""
    folder = workspace_path(output)
    while True:
        folder.mkdir(exist_ok=True)
        try:
            file = (folder / LOCK).open("ab")
        except FileNotFoundError:  # another process has just removed it
            continue
        try:
            lock(file)
        except OSError:
            file.close()
            return None
        if still_there(folder / LOCK, file):
            return Workspace(folder, file)
        file.close()


def still_there(path: Path, file: IO[bytes]) -> bool:
    """Whether the open file is the one at `path`, and not one that was removed since."""
    try:
        return os.path.samestat(path.stat(), os.fstat(file.fileno()))
    except FileNotFoundError:
        return False


@contextlib.contextmanager
def workspace(output: Path, wait: bool = False) -> Iterator[Path]:
    """The folder to make `output` in. Gone afterwards, unless the process is interrupted or killed: then it is there for the next one.

    Taken (an ScdError) while another process has it, or waits for that process.
    """
    held = take(output)
    while held is None:
        if not wait:
            raise Taken(output)
        time.sleep(WAIT)
        held = take(output)
    try:
        yield held.folder
    except (KeyboardInterrupt, SystemExit):
        leave(held)
        raise
    except BaseException:
        held.remove()
        raise
    held.remove()


def leave(held: Workspace) -> None:
    """Let go of a folder that an interruption ends the work in: only if there is something in it to go on from."""
    if any(entry.name != LOCK for entry in held.folder.iterdir()):
        held.close()
    else:
        held.remove()
