"""The part of a picture that a small canvas should show: around a mask, in the canvas's shape, and never more than the picture has."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

MARGIN = 0.12  # of the mask's longer side, left around it: what the network sees of body and background


@dataclass(frozen=True, slots=True)
class Window:
    """A rectangle inside a picture: left, top, width, height in its pixels."""

    left: int
    top: int
    width: int
    height: int

    @property
    def place(self) -> tuple[slice, slice]:
        """Its rows and columns, to index (H, W, ...) with."""
        return slice(self.top, self.top + self.height), slice(self.left, self.left + self.width)

    @property
    def size(self) -> tuple[int, int]:
        return self.width, self.height

    def moved(self, points: NDArray[np.float32]) -> NDArray[np.float32]:
        """Points (..., 3) of the picture in pixels of what the rectangle shows."""
        return points - np.array([self.left, self.top, 0], np.float32)


def window_around(mask: NDArray[np.bool_], canvas: tuple[int, int], margin: float = MARGIN, shift: tuple[float, float] = (0, 0)) -> Window:
    """Around all that is True in `mask` (H, W), with the margin on all sides, widened to the shape of `canvas` (width, height).

    Pushed, then cut, to lie inside the picture. `shift` (-1 .. 1 each way) moves it by so much of the margin. ValueError for an empty mask.
    """
    rows, columns = np.flatnonzero(mask.any(1)), np.flatnonzero(mask.any(0))
    if not len(rows):
        raise ValueError("the mask is empty")
    spans = [(int(line[0]), int(line[-1]) + 1) for line in (columns, rows)]
    room = margin * max(stop - start for start, stop in spans)
    sizes = [stop - start + 2 * room for start, stop in spans]
    scale = max(size / side for size, side in zip(sizes, canvas, strict=True))
    out = []
    for (start, stop), side, whole, by in zip(spans, canvas, mask.shape[::-1], shift, strict=True):
        size = min(whole, max(stop - start, round(scale * side)))
        first = round((start + stop - size) / 2 + by * room)
        first = min(max(first, stop - size), start)  # a shift never cuts the mask
        out.append((min(max(first, 0), whole - size), size))
    return Window(out[0][0], out[1][0], out[0][1], out[1][1])
