"""Pictures put together: several side by side in one frame, and a sheet of small numbered tiles."""

from collections.abc import Sequence

import cv2
import numpy as np
from numpy.typing import NDArray

from engines.media.fit import fit_and_pad, resize

Picture = NDArray[np.uint8]
FONT = cv2.FONT_HERSHEY_SIMPLEX
CAP_HEIGHT = 21  # pixels of that font's digits at scale 1
SMALLEST = 9  # pixels of a digit that can still be read


def side_by_side(pictures: Sequence[Picture], height: int) -> Picture:
    """uint8 (height, W, 3): the pictures (H, W, 3) of any sizes from left to right, each of this height in its own shape.

    W is even: the last column is repeated where it would not be. ValueError without pictures or height.
    """
    if not pictures or height < 1:
        raise ValueError(f"{len(pictures)} pictures {height} pixels high")
    row = np.concatenate([resize(p, (max(1, round(p.shape[1] * height / p.shape[0])), height)) for p in pictures], axis=1)
    return np.pad(row, ((0, 0), (0, row.shape[1] % 2), (0, 0)), mode="edge")


def labelled(tile: Picture, label: str) -> Picture:
    """A copy of the tile with the label in white on black in its upper left corner, shrunk until it fits."""
    out = tile.copy()
    height, width = out.shape[:2]
    digit = max(SMALLEST, min(height, width) // 9)
    (wide, _), _ = cv2.getTextSize(label, FONT, digit / CAP_HEIGHT, 1)
    digit = max(1, min(digit, height - 6, digit * (width - 6) // max(1, wide)))
    scale, thick = digit / CAP_HEIGHT, max(1, digit // 9)
    (wide, _), _ = cv2.getTextSize(label, FONT, scale, thick)
    out[: digit + 6, : wide + 6] = 0
    cv2.putText(out, label, (3, digit + 2), FONT, scale, (255, 255, 255), thick, cv2.LINE_AA)
    return out


def contact_sheet(pictures: Sequence[Picture], columns: int, width: int, labels: Sequence[str] | None = None) -> Picture:
    """uint8 (H, width, 3): the pictures (H, W, 3) as tiles in rows of `columns`, each with its label, or else its number from 0.

    Tiles have the shape of the first picture; others are fit into it on black. What the tiles leave of `width` is black, as are places
    behind the last one. ValueError without pictures, with labels of another number, or with tiles narrower than a pixel.
    """
    names = [str(index) for index in range(len(pictures))] if labels is None else labels
    if not pictures or columns < 1 or width < columns or len(names) != len(pictures):
        raise ValueError(f"{len(pictures)} pictures with {len(names)} labels in {columns} columns of {width} pixels")
    across = width // columns
    down = max(1, round(across * pictures[0].shape[0] / pictures[0].shape[1]))
    sheet = np.zeros((-(-len(pictures) // columns) * down, width, 3), np.uint8)
    for index, (picture, name) in enumerate(zip(pictures, names, strict=True)):
        row, column = divmod(index, columns)
        tile = labelled(fit_and_pad(picture, (across, down), "black")[0], name)
        sheet[row * down : (row + 1) * down, column * across : (column + 1) * across] = tile
    return sheet
