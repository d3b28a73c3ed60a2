"""What stands out before a plain background, as garments do in shops' pictures."""

import cv2
import numpy as np
from numpy.typing import NDArray

EDGE = 0.02  # of the picture: its border, whose median is the background
FAR = 14  # levels from the background that stand out


def stands_out(picture: NDArray[np.uint8], blur: float) -> NDArray[np.bool_]:
    """Where a picture (H, W, 3) shows something else than the colour of its border, (H, W). `blur`, in pixels, smooths JPEG's waves beside
    edges, which would stand out, and widens everything by about as much."""
    edge = max(1, round(EDGE * min(picture.shape[:2])))
    inner = np.zeros(picture.shape[:2], bool)
    inner[edge:-edge, edge:-edge] = True
    smooth = cv2.GaussianBlur(picture, (0, 0), blur).astype(np.float32)
    return np.asarray(np.abs(smooth - np.median(picture[~inner], axis=0)).max(axis=-1) > FAR, np.bool_)
