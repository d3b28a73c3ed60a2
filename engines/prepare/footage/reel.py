"""A recording as frames at the rate that is kept, decoded one after the other as often as asked for."""

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass
from fractions import Fraction

import cv2
import numpy as np
from numpy.typing import NDArray

from engines.core.bundle import sha256
from engines.core.errors import ScdError
from engines.media.images import opened, read_image
from engines.media.resample import at_rate
from engines.media.video import frame_times, probe, read_frames
from engines.prepare.footage.request import Recording

Picture = NDArray[np.uint8]


@dataclass(frozen=True)
class Reel:
    """`kept`: rising numbers of the source's frames, which follow each other at `fps`; `frames` the source has, at `source_fps`;
    `size` (width, height) of its pictures."""

    recording: Recording
    size: tuple[int, int]
    frames: int
    source_fps: Fraction
    kept: tuple[int, ...]
    fps: Fraction

    @property
    def seconds(self) -> float:
        return float(len(self.kept) / self.fps)

    def pictures(self, start: int, stop: int) -> Iterator[Picture]:
        """Kept frames start .. stop - 1 as uint8 (H, W, 3). ScdError for a damaged one, and for a picture of another size."""
        wanted = self.kept[start:stop]
        if not wanted:
            return
        if self.recording.frames:
            yield from (self.still(number) for number in wanted)
            return
        chosen = set(wanted)
        for number, picture in enumerate(read_frames(self.recording.path, wanted[0], wanted[-1] + 1), wanted[0]):
            if number in chosen:
                yield picture

    def still(self, number: int) -> Picture:
        path = self.recording.frames[number]
        picture = read_image(path, "the frame")
        if (picture.shape[1], picture.shape[0]) != self.size:
            size = f"{picture.shape[1]}x{picture.shape[0]}, not {self.size[0]}x{self.size[1]} as the first"
            raise ScdError(f"the frame {path} is {size}", "remove it or give the folder frames of one size")
        return picture


def open_reel(recording: Recording, fps: Fraction) -> Reel:
    """At `fps`, or at the recording's own rate where that is lower: no frame is shown twice. ScdError for what cannot be read."""
    if recording.frames:
        with opened(recording.frames[0], "the frame") as image:
            size = image.size
        rate = recording.fps
        assert rate is not None  # folders of frames have one
        times = [index / rate for index in range(len(recording.frames))]
        duration = len(times) / rate
    else:
        info = probe(recording.path)
        size, rate, times, duration = info.size, info.fps, frame_times(recording.path), info.duration
    kept_fps = min(fps, rate)
    kept = tuple(dict.fromkeys(at_rate(times, duration, kept_fps, Fraction(0), duration)))
    return Reel(recording, size, len(times), rate, kept, kept_fps)


def content(recording: Recording) -> str:
    """sha256 of the film, or over those of all its frames in order."""
    if not recording.frames:
        return sha256(recording.path)
    total = hashlib.sha256()
    for path in recording.frames:
        total.update(bytes.fromhex(sha256(path)))
    return total.hexdigest()


def state(recording: Recording) -> list[list[int]]:
    """What tells whether the files of a recording are still what they were: size and time of change of the first, the last and the
    keypoints, and how many frames there are."""
    paths = [*recording.frames[:1], *recording.frames[-1:]] or [recording.path]
    facts = [path.stat() if path.exists() else None for path in [*paths, *([recording.keypoints] if recording.keypoints else [])]]
    return [[len(recording.frames)], *([f.st_size, f.st_mtime_ns] if f else [] for f in facts)]


def thumbnail(picture: Picture, size: tuple[int, int]) -> Picture:
    """uint8 RGB of `size` (width, height)."""
    return np.asarray(cv2.resize(picture, size, interpolation=cv2.INTER_AREA), np.uint8)
