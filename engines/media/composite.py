"""Putting a made person into footage: the footage stays as it is wherever the person is not."""

import cv2
import numpy as np
from numpy.typing import NDArray

Picture = NDArray[np.uint8]
Mask = NDArray[np.float32]  # (H, W), 0 .. 1
SOLID = 0.5  # from where on a soft mask counts as the person, when its edge is feathered


def composited(result: Picture, background: Picture, mask: Mask) -> Picture:
    """uint8 (H, W, 3): `result` where `mask` (H, W) is 1, `background` bit for bit where it is 0, their mixture between.

    Values outside 0 .. 1 are cut, NaN is 0. ValueError when the three do not have one size.
    """
    if result.shape != background.shape or mask.shape != result.shape[:2]:
        raise ValueError(f"a result of {result.shape}, a background of {background.shape} and a mask of {mask.shape}")
    weight = np.clip(np.nan_to_num(mask.astype(np.float32), nan=0.0), 0, 1)[..., None]
    below = background.astype(np.float32)
    mixed = below + (result.astype(np.float32) - below) * weight
    out: Picture = np.rint(mixed).astype(np.uint8)
    return out


def soft(mask: Mask, grow: int, feather: int) -> Mask:
    """float32 (H, W) in 0 .. 1: the mask grown by `grow` pixels, its edge falling to 0 over `feather` pixels more, outwards.

    Nowhere below the mask itself, and exactly 0 farther than grow + feather pixels from all above 0 in it. ValueError below 0 pixels.
    """
    if grow < 0 or feather < 0:
        raise ValueError(f"growing by {grow} and feathering by {feather} pixels")
    grown = np.clip(np.nan_to_num(mask.astype(np.float32), nan=0.0), 0, 1)
    if grow:
        y, x = np.mgrid[-grow : grow + 1, -grow : grow + 1]
        grown = cv2.dilate(grown, (x * x + y * y <= grow * grow).astype(np.uint8), borderType=cv2.BORDER_CONSTANT, borderValue=0)
    outside = (grown < SOLID).astype(np.uint8)
    if not feather or outside.all():
        return np.asarray(grown, np.float32)
    away = cv2.distanceTransform(outside, cv2.DIST_L2, cv2.DIST_MASK_PRECISE)
    out: Mask = np.maximum(grown, np.clip(1 - away / (feather + 1), 0, 1)).astype(np.float32)
    return out
