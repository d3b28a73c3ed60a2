"""Resizing as the reference scripts do it, by Pillow. Needs no torch."""

import numpy as np
from numpy.typing import NDArray
from PIL import Image

Picture = NDArray[np.uint8]


def bicubic(picture: Picture, side: int) -> NDArray[np.float32]:
    """uint8 (H, W, 3) -> float32 (side, side, 3): each channel by Pillow's antialiased bicubic in floating point.

    Values are in 0..255 and overshoot it at edges: neither clipped nor rounded (Parmar et al. 2022, clean-fid; DisCo took it over).
    """
    planes = [Image.fromarray(picture[..., c].astype(np.float32)).resize((side, side), Image.Resampling.BICUBIC) for c in range(3)]
    return np.stack([np.asarray(plane, np.float32) for plane in planes], -1)
