"""Features of pictures and clips by learned networks, kept in scd's cache by the content they came from."""

import hashlib
import zipfile
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from engines.core.errors import ScdError
from engines.core.places import cache_folder
from engines.evaluate.protocols import CLIP_FRAMES, clip_starts
from engines.media.output import atomic

Picture = NDArray[np.uint8]
Features = NDArray[np.float64]
PICTURES_AT_ONCE = 32
CLIPS_AT_ONCE = 4


class Network(Protocol):
    """uint8 (N, H, W, 3) pictures or (N, 16, H, W, 3) clips -> float64 (N, D)."""

    def __call__(self, batch: NDArray[np.uint8], /) -> Features: ...


def batches(items: Iterable[Picture], count: int) -> Iterator[NDArray[np.uint8]]:
    """Stacks of `count` pictures or clips; a new stack where their size changes."""
    waiting: list[Picture] = []
    for item in items:
        if len(waiting) == count or (waiting and waiting[0].shape != item.shape):
            yield np.stack(waiting)
            waiting = []
        waiting.append(item)
    if waiting:
        yield np.stack(waiting)


def clips_of(frames: Iterable[Picture], numbers: Sequence[int], stride: int) -> Iterator[Picture]:
    """Clips (16, H, W, 3) of one video by the protocol's rule, holding no more than one clip's frames."""
    starts = iter(clip_starts(numbers, stride))
    wanted = next(starts, None)
    held: deque[Picture] = deque(maxlen=CLIP_FRAMES)
    for position, frame in enumerate(frames):
        held.append(frame)
        if wanted is not None and position == wanted + CLIP_FRAMES - 1:
            yield np.stack(held)
            wanted = next(starts, None)


def computed(network: Network, items: Iterable[Picture], count: int) -> Features:
    """Rows for all items, in order, `count` at a time; (0, 0) without any."""
    rows = [network(batch) for batch in batches(items, count)]
    return np.concatenate(rows) if rows else np.zeros((0, 0))


def key(*parts: object) -> str:
    """A name for what these decide."""
    return hashlib.sha256("\n".join(map(str, parts)).encode()).hexdigest()


def kept(name: str, make: Callable[[], Features]) -> Features:
    """From the cache, or made and put there; a cache that cannot be read or written costs only time."""
    path = cache_folder() / "features" / f"{name}.npz"
    found = load(path)
    if found is not None:
        return found
    made = make()
    with suppress(OSError, ScdError):
        path.parent.mkdir(parents=True, exist_ok=True)
        with atomic(path, overwrite=True) as temporary, temporary.open("wb") as file:
            np.savez(file, features=made)
    return made


def load(path: Path) -> Features | None:
    try:
        with np.load(path, allow_pickle=False) as data:
            found = np.asarray(data["features"])
    except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile):
        return None
    return found if found.ndim == 2 and found.dtype == np.float64 and np.isfinite(found).all() else None
