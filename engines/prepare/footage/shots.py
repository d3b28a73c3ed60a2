"""Where one shot ends and the next begins: frames whose colours jump far more than those around them do."""

from itertools import pairwise

import cv2
import numpy as np
from numpy.typing import NDArray

from engines.prepare.footage.reel import Picture, thumbnail

THUMB = (48, 27)
LEAST = 0.08  # of the range of hue, saturation and value: the mean change that a cut has at least
ABOVE = 3.0  # times the usual change around it
AROUND = 8  # frames on each side that tell what is usual


class Shots:
    """Sees the frames of a film one after the other and remembers how much each differs from the one before, 0 .. 1."""

    def __init__(self) -> None:
        self.before: NDArray[np.float32] | None = None
        self.changes: list[float] = []

    def see(self, picture: Picture) -> None:
        now = features(picture)
        self.changes.append(0.0 if self.before is None else float(np.abs(now - self.before).mean()))
        self.before = now

    def ranges(self) -> list[tuple[int, int]]:
        """(start, stop) of every shot, in frames."""
        return list(pairwise([0, *cut_frames(np.array(self.changes)), len(self.changes)]))


def features(picture: Picture) -> NDArray[np.float32]:
    """Colours of a thumbnail in 0 .. 1 with hue as a point of the circle, weighted by saturation: the hue of grey is noise."""
    hue, saturation, value = np.moveaxis(cv2.cvtColor(thumbnail(picture, THUMB), cv2.COLOR_RGB2HSV).astype(np.float32), -1, 0)
    angle, strength = hue * (np.pi / 90), saturation / 255
    return np.stack([np.cos(angle) * strength / 2, np.sin(angle) * strength / 2, value / 255]).astype(np.float32)


def cut_frames(changes: NDArray[np.float64]) -> list[int]:
    """The frames that begin a shot, but for the first."""
    out = []
    for number in map(int, np.flatnonzero(changes >= LEAST)):
        near = np.delete(changes[max(1, number - AROUND) : number + AROUND + 1], min(number - 1, AROUND)) if number else changes[:0]
        if number and changes[number] >= ABOVE * (float(np.median(near)) if len(near) else 0.0):
            out.append(number)
    return out
