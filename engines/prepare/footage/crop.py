"""The part of the pictures that is kept: one rectangle for a whole clip, so that the camera does not move with the person."""

import numpy as np
from numpy.typing import NDArray

from engines.media.crop import Window
from engines.media.fit import fit_and_pad, fit_box
from engines.pose.persons import Points
from engines.prepare.footage.filters import box_of

ABOVE, BELOW, BESIDE = 0.15, 0.08, 0.12  # of the person's height: room around the points, which end at the eyes, ankles and wrists
PADDED = 1.1  # of the window's height (or width) by the shape wanted: wider ones lose their sides, for padding shows nothing real


def window_of(points: Points, picture: tuple[int, int], size: tuple[int, int]) -> Window:
    """Everywhere the person goes in (F, 133, 3), with room, widened to the shape of `size` as far as the picture (both width, height)
    reaches. Where that is not far enough, the sides are cut to PADDED of the shape, and the rest is padded later."""
    boxes = np.array([box for frame in points if (box := box_of(frame)) is not None])
    left, top = boxes[:, :2].min(0)
    right, bottom = boxes[:, 2:].max(0)
    tall = float(np.median(boxes[:, 3] - boxes[:, 1]))
    left, right, top, bottom = left - BESIDE * tall, right + BESIDE * tall, top - ABOVE * tall, bottom + BELOW * tall
    left, right = max(0.0, left), min(float(picture[0]), right)
    top, bottom = max(0.0, top), min(float(picture[1]), bottom)
    wide, high = max(right - left, 2.0), max(bottom - top, 2.0)
    wide, high = max(wide, high * size[0] / size[1]), max(high, wide * size[1] / size[0])
    wide = min(wide, PADDED * min(high, picture[1]) * size[0] / size[1])
    high = min(high, PADDED * min(wide, picture[0]) * size[1] / size[0])
    x, width = stretched((left + right) / 2, wide, picture[0])
    y, height = stretched((top + bottom) / 2, high, picture[1])
    return Window(x, y, width, height)


def stretched(middle: float, length: float, limit: int) -> tuple[int, int]:
    """Start and length in whole pixels of a span around `middle`, moved and shortened to lie in 0 .. limit."""
    whole = min(limit, max(2, round(length)))
    return min(max(0, round(middle - whole / 2)), limit - whole), whole


def cut_picture(picture: NDArray[np.uint8], window: Window, size: tuple[int, int]) -> NDArray[np.uint8]:
    """uint8 (H, W, 3) at `size`; where the window has another shape its edge pixels fill the rest."""
    return fit_and_pad(np.ascontiguousarray(picture[window.place]), size, "edge")[0]


def cut_points(points: Points, window: Window, size: tuple[int, int]) -> Points:
    """The points (..., 133, 3) in pixels of the pictures that cut_picture gives."""
    box = fit_box((window.width, window.height), size)
    out = points.copy()
    out[..., 0] = (points[..., 0] - window.left) * (box.width / window.width) + box.left
    out[..., 1] = (points[..., 1] - window.top) * (box.height / window.height) + box.top
    out[points[..., 2] <= 0] = 0
    return out
