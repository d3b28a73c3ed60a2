"""A video on both sides: its frames read side by side in flat memory, and a digest of its content."""

import hashlib
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from functools import lru_cache

from engines.core.bundle import sha256
from engines.core.errors import ScdError
from engines.evaluate.frames import ROLES, Geometry, Picture, match, settled
from engines.evaluate.videos import Video
from engines.pose.filmed import ahead

Frames = Iterator[Picture]


@dataclass(frozen=True, slots=True)
class Pair:
    """A video on both sides; `id` is the truth's. Frame n of either side has `numbers[n]`. `roles`: what messages call the sides."""

    id: str
    pred: Video
    truth: Video
    numbers: tuple[int, ...]
    roles: tuple[str, str] = ROLES

    def frames(self, geometry: Geometry) -> Iterator[tuple[int, Picture, Picture]]:
        """(number, prediction, truth), both uint8 (H, W, 3) of one size. Threads decode a few frames ahead.

        ScdError names the file that cannot be read, or the two whose sizes differ.
        """
        with self.stream(geometry, 0) as preds, self.stream(geometry, 1) as truths:
            for index, (number, pred, truth) in enumerate(zip(self.numbers, preds, truths, strict=True)):
                names = (f"{self.roles[0]} {self.pred.file_of(index)}", f"{self.roles[1]} {self.truth.file_of(index)}")
                yield number, *match(geometry, pred, truth, names)

    def pred_frames(self, geometry: Geometry) -> Frames:
        """The predictions alone, as `frames` gives them."""
        return (pred for _, pred, _ in self.frames(geometry)) if follows(geometry, "truth") else self.side(geometry, 0)

    def truth_frames(self, geometry: Geometry) -> Frames:
        """The truths alone, as `frames` gives them."""
        return (truth for *_, truth in self.frames(geometry)) if follows(geometry, "prediction") else self.side(geometry, 1)

    def side(self, geometry: Geometry, side: int) -> Frames:
        with self.stream(geometry, side) as frames:
            yield from frames

    def stream(self, geometry: Geometry, side: int) -> AbstractContextManager[Frames]:
        frames = settled(geometry, (self.pred, self.truth)[side], self.roles[side])
        return ahead(frames) if len(self.numbers) > 1 else nullcontext(frames)


def follows(geometry: Geometry, side: str) -> bool:
    """Whether the other side's size depends on this one's frames."""
    return geometry.size is None and geometry.match == side


def digest(video: Video) -> str:
    """sha256 over frame numbers and file bytes, whatever the files are called. Hashed again only when files changed."""
    try:
        return hashed(video, tuple((s.st_size, s.st_mtime_ns) for s in (path.stat() for path in video.files)))
    except OSError as error:
        raise ScdError(f"{error.filename or video.path} cannot be read ({error.strerror})", "check the path and its permissions") from error


@lru_cache(maxsize=16384)
def hashed(video: Video, state: tuple[tuple[int, int], ...]) -> str:
    """`digest` of files in a state."""
    numbers: Sequence[object] = ["film"] if video.film else video.numbers
    lines = (f"{number} {sha256(path)}\n" for number, path in zip(numbers, video.files, strict=True))
    return hashlib.sha256("".join(lines).encode()).hexdigest()
