"""Covering a clip with overlapping windows of frames, and blending what they predict. numpy only."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True, slots=True)
class Window:
    """Frames start .. stop - 1, and the weight (stop - start,) of its prediction for each; all windows' weights sum to 1 a frame."""

    start: int
    stop: int
    weights: NDArray[np.float32]


def starts(frames: int, length: int, overlap: int) -> list[int]:
    """First frames of the windows: every length - overlap frames; the last is shifted back to end with the clip, never wrapped around."""
    if frames <= length:
        return [0]
    return [*range(0, frames - length, length - overlap), frames - length]


def triangle(length: int) -> NDArray[np.float64]:
    """Rises from the window's edges to its middle; never 0."""
    place = np.arange(length)
    return np.minimum(place + 1, length - place).astype(np.float64)


def windows(frames: int, length: int, overlap: int) -> list[Window]:
    """Windows over `frames` frames; a clip shorter than `length` is one window. ValueError unless frames > 0 and 0 <= overlap < length."""
    if frames < 1:
        raise ValueError("a clip needs at least one frame")
    if not 0 <= overlap < length:
        raise ValueError(f"overlap {overlap} must be at least 0 and below the window's length {length}")
    length = min(length, frames)
    total, first = np.zeros(frames), starts(frames, length, overlap)
    for start in first:
        total[start : start + length] += triangle(length)
    return [Window(s, s + length, (triangle(length) / total[s : s + length]).astype(np.float32)) for s in first]
