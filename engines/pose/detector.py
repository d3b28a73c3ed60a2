"""Detecting poses: the one contract of detectors."""

from collections.abc import Iterable, Iterator
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

Picture = NDArray[np.uint8]
Points = NDArray[np.float32]
MOST = 4  # people a frame


class Detector(Protocol):
    """Finds people's 133 keypoints. `name` says networks and versions and is part of cache keys."""

    name: str

    def track(self, pictures: Iterable[Picture], most: int = MOST) -> Iterator[Points]:
        """Frames of one clip, uint8 (H, W, 3) RGB, one after the other -> for each (P, 133, 3) float32: x, y in pixels, score 0..1.

        Everybody found, at most `most`; P may be 0 and vary. Left and right are the person's. Below 0.3 a point is not to be drawn.
        """
        ...


def people(detector: Detector, picture: Picture, most: int = MOST) -> Points:
    """The people (P, 133, 3) of a single picture: a clip of one frame."""
    return next(iter(detector.track([picture], most)))
