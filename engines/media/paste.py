"""Putting what a small canvas made back into the photo it was cut from, at the photo's own resolution, and nowhere but in the mask."""

import cv2
import numpy as np
from numpy.typing import NDArray

from engines.media.composite import composited
from engines.media.crop import Window

Picture = NDArray[np.uint8]
FEATHER = 0.004  # of the photo's longer side: the strip inside the mask's edge in which old and new are mixed


def feather_of(size: tuple[int, int]) -> int:
    """Pixels of that strip, for a photo of this size."""
    return max(1, round(FEATHER * max(size)))


def weights(mask: NDArray[np.bool_], feather: int) -> NDArray[np.float32]:
    """(H, W): 0 outside the mask, rising over `feather` pixels inside its edge to 1. The photo's own border is no edge."""
    if mask.all():
        return np.ones(mask.shape, np.float32)
    inside = cv2.distanceTransform(mask.astype(np.uint8), cv2.DIST_L2, cv2.DIST_MASK_PRECISE)
    out: NDArray[np.float32] = np.clip(inside / (feather + 1), 0, 1).astype(np.float32)
    return out


def pasted(photo: Picture, made: Picture, window: Window, mask: NDArray[np.bool_]) -> Picture:
    """The photo (H, W, 3) with `made`, of the window's size, where `mask` (H, W) is True: bit for bit the photo where it is not.

    What of the mask lies outside the window stays as it is. ValueError when sizes do not fit.
    """
    shares = weights(mask, feather_of((photo.shape[1], photo.shape[0])))[window.place]
    out = photo.copy()
    out[window.place] = composited(made, photo[window.place], shares)
    return out
