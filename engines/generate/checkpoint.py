"""What a killed run leaves of a clip's denoising, so that the next one goes on from it and ends with the same bytes."""

import os
import time
import zipfile
import zlib
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from engines.core.errors import ScdError
from engines.core.sampler import State

SECONDS_BETWEEN = 5.0  # that may have to be done again
BROKEN = (OSError, ValueError, KeyError, EOFError, zlib.error, zipfile.BadZipFile)


class Checkpoint:
    """The sampler's state after its last kept step, and every window's prediction since, in a folder that one process has at a time.

    `key` names all that decides the latents: what another key left is thrown away. `state` is where to go on, and `found` counts the
    predictions that were there. Nothing here changes a result: predictions that are
    found again are the arrays that were computed. `every` are the seconds between two writes that wait for the disk.
    """

    def __init__(self, folder: Path, key: str, every: float = SECONDS_BETWEEN) -> None:
        self.folder, self.every = folder, every
        self.state_path = folder / "state.npz"
        self.log: Any = None
        self.kept = time.monotonic()
        self.found = 0
        self.key = key
        if not self.holds(key):
            self.clear()
        self.state = self.load()

    def holds(self, key: str) -> bool:
        try:
            return (self.folder / "key").read_text() == key
        except OSError:
            return False

    def begin(self) -> None:
        """Name what is about to be kept, where nothing was kept yet."""
        if not (self.folder / "key").exists():
            (self.folder / "key").write_text(self.key)

    def clear(self) -> None:
        for path in (self.state_path, self.folder / "key", *self.folder.glob("step-*")):
            path.unlink(missing_ok=True)

    def load(self) -> State:
        """The last kept state; an empty one where there is none or it is damaged."""
        with suppress(*BROKEN), np.load(self.state_path, allow_pickle=False) as data:
            arrays: Mapping[str, NDArray[Any]] = {name: data[name] for name in data.files}
            return State(arrays["latents"], arrays.get("earlier"), float(arrays["before"]), int(arrays["done"]))
        return State()

    def due(self) -> bool:
        return time.monotonic() - self.kept >= self.every

    def save(self, state: State, done: int, last: bool) -> None:
        """After step `done`: if it is time, or if it was the last one."""
        self.end_log()
        if not (last or self.due()):
            return
        assert state.latents is not None
        self.begin()
        arrays = {"latents": state.latents, "before": np.float64(state.before), "done": np.int64(done)}
        if state.earlier is not None:
            arrays["earlier"] = state.earlier
        temporary = self.folder / "state.tmp"
        with self.room(), temporary.open("wb") as file:
            np.savez(file, **arrays)  # type: ignore[arg-type]
            settle(file)
        os.replace(temporary, self.state_path)
        for path in self.folder.glob("step-*"):
            path.unlink()
        self.kept = time.monotonic()

    @contextmanager
    def room(self) -> Iterator[None]:
        """A full disk as one sentence."""
        try:
            yield
        except OSError as error:
            raise ScdError(f"cannot keep the state of the clip in {self.folder} ({error.strerror})", "free some space there") from error

    def log_path(self, number: int) -> Path:
        return self.folder / f"step-{number}"

    def predictions(self, number: int, shapes: Iterator[tuple[int, ...]]) -> Iterator[NDArray[np.float32]]:
        """What was kept of step `number`, in the order of its runs, up to the first that is not whole."""
        with suppress(FileNotFoundError), self.log_path(number).open("rb") as file:
            whole = 0
            for shape in shapes:
                size = int(np.prod(shape)) * 4
                head, data = file.read(4), file.read(size)
                if len(data) < size or int.from_bytes(head, "little") != zlib.crc32(data):
                    break
                whole += 4 + size
                self.found += 1
                yield np.frombuffer(data, np.float32).reshape(shape)
            os.truncate(self.log_path(number), whole)

    def add(self, number: int, prediction: NDArray[np.float32]) -> None:
        """Keep one run's prediction of step `number`."""
        if self.log is None:
            self.begin()
            self.log = self.log_path(number).open("ab")
        data = np.ascontiguousarray(prediction, np.float32).tobytes()
        with self.room():
            self.log.write(zlib.crc32(data).to_bytes(4, "little") + data)
            if self.due():
                settle(self.log)
                self.kept = time.monotonic()

    def end_log(self) -> None:
        if self.log is not None:
            self.log.close()
            self.log = None


def settle(file: Any) -> None:
    """Onto the disk itself: the machine may be switched off."""
    file.flush()
    os.fsync(file.fileno())
