"""Fitting pictures into a canvas and back: one scale for both axes, the rest is padded, nothing is stretched."""

from dataclasses import dataclass
from typing import Literal

import cv2
import numpy as np
from numpy.typing import NDArray
from PIL import Image

Picture = NDArray[np.uint8]
Fill = Literal["edge", "black"]


@dataclass(frozen=True, slots=True)
class Box:
    """Where a picture lies in its canvas: left, top, width, height in canvas pixels."""

    left: int
    top: int
    width: int
    height: int


def fit_box(source: tuple[int, int], canvas: tuple[int, int]) -> Box:
    """The largest centred box of the source's shape inside the canvas (sizes are width, height); at least 1 pixel each way."""
    scale = min(canvas[0] / source[0], canvas[1] / source[1])
    width, height = (max(1, min(c, round(s * scale))) for s, c in zip(source, canvas, strict=True))
    return Box((canvas[0] - width) // 2, (canvas[1] - height) // 2, width, height)


def resize(picture: Picture, size: tuple[int, int]) -> Picture:
    """To (width, height): averaging when it shrinks, cubic when it grows."""
    if (picture.shape[1], picture.shape[0]) == size:
        return picture
    shrinks = size[0] * size[1] < picture.shape[0] * picture.shape[1]
    out: Picture = cv2.resize(picture, size, interpolation=cv2.INTER_AREA if shrinks else cv2.INTER_CUBIC).astype(np.uint8)
    return out


def squeezed(pictures: NDArray[np.uint8], side: int) -> NDArray[np.uint8]:
    """Pictures (n, H, W, 3) -> (n, side, side, 3), each axis by its own scale, with Pillow's bicubic filter, as CLIP's learnt."""
    bicubic = Image.Resampling.BICUBIC
    return np.stack([np.asarray(Image.fromarray(picture).resize((side, side), bicubic)) for picture in pictures])


def place(picture: Picture, box: Box, canvas: tuple[int, int], fill: Fill) -> Picture:
    """The picture in its box of a canvas (width, height); around it its own edge pixels, or black."""
    inner = resize(picture, (box.width, box.height))
    right, below = canvas[0] - box.left - box.width, canvas[1] - box.top - box.height
    mode = cv2.BORDER_REPLICATE if fill == "edge" else cv2.BORDER_CONSTANT
    out: Picture = cv2.copyMakeBorder(inner, box.top, below, box.left, right, mode, value=(0, 0, 0)).astype(np.uint8)
    return out


def fit_and_pad(picture: Picture, canvas: tuple[int, int], fill: Fill) -> tuple[Picture, Box]:
    """Fit a picture (H, W, 3) into a canvas (width, height); returns the canvas and where the picture lies in it."""
    box = fit_box((picture.shape[1], picture.shape[0]), canvas)
    return place(picture, box, canvas, fill), box


def unpad(canvas: Picture, box: Box, size: tuple[int, int]) -> Picture:
    """The picture that lies in the box, at `size` (width, height)."""
    return resize(np.ascontiguousarray(canvas[box.top : box.top + box.height, box.left : box.left + box.width]), size)
