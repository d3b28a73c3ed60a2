"""A flat garment laid upon the picture of who will wear it: scaled, turned, slanted and moved onto the body, nothing bent.

A small network finds what belongs where far sooner when it lies there already, and knows people better than garments before nothing.
Shirts and dresses follow the chest (engines.pose.chest); widths and places of the rest are shares of the torso's length.
"""

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from engines.core.garments import Category
from engines.media.background import stands_out
from engines.media.fit import fit_and_pad, resize
from engines.pose.chest import onto_torso
from engines.pose.draw import fitted
from engines.pose.garment import HIPS, KNEES, SHOULDERS, Body, Mask, Picture, Points, body_of, cleaned

SMOOTH = 1.0  # pixels of blur: outlines lie where they are within a pixel
LEAST = 0.01  # of the picture: below, nothing stands out
FRONTAL = 0.62  # shoulders' width of somebody who faces the camera; less is foreshortened
NARROWEST = 0.35  # of that width: how edge-on a garment is shown at most
WHOLLY = 0.95  # of a pixel covered by the garment: with less, the background shines through


@dataclass(frozen=True)
class Cut:
    """How garments of a category hang: the `rows` of their height in which they are as wide as the body, how wide that is, and how far
    above the shoulders (lower: above the hips) they begin."""

    rows: tuple[float, float]
    width: float
    above: float


CUTS: dict[Category, Cut] = {
    "upper": Cut((0.5, 0.85), 0.88, 0.26),
    "dress": Cut((0.2, 0.35), 0.88, 0.26),
    "lower": Cut((0.0, 0.1), 0.95, 0.28),
}


@dataclass(frozen=True)
class Flat:
    """A garment in its picture, in pixels: where it begins, the middle of its width there, how wide its trunk is, and its whole box."""

    top: float
    middle: float
    trunk: float
    box: tuple[int, int, int, int]


def silhouette(picture: Picture) -> Mask:
    """What stands out before a picture's background, holes filled, (H, W)."""
    outlines, _ = cv2.findContours(cleaned(stands_out(picture, SMOOTH)).astype(np.uint8), cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_NONE)
    out = np.zeros(picture.shape[:2], np.uint8)
    cv2.drawContours(out, outlines, -1, 1, cv2.FILLED)
    return out > 0


def flat_of(mask: Mask, category: Category) -> Flat | None:
    """None where there is next to nothing, or all is garment."""
    if not LEAST < mask.mean() < 1 - LEAST:
        return None
    x, y, width, height = cv2.boundingRect(mask.astype(np.uint8))
    first, last = (y + round(share * (height - 1)) for share in CUTS[category].rows)
    middle = x + width / 2
    runs = [trunk for row in mask[first : last + 1] if (trunk := run_at(row, round(middle)))]
    return Flat(float(y), middle, float(np.median(runs)) if runs else float(width), (x, y, width, height))


def run_at(row: NDArray[np.bool_], column: int) -> int:
    """How many neighbours in a row are True around a column; 0 where it is not."""
    gaps = np.flatnonzero(~row)
    left, right = gaps[gaps < column], gaps[gaps >= column]
    return int((right[0] if len(right) else len(row)) - (left[-1] + 1 if len(left) else 0))


def onto_body(flat: Flat, body: Body, category: Category) -> NDArray[np.float64]:
    """The (2, 3) map from pixels of the garment's picture to those of the body's."""
    cut = CUTS[category]
    scale = cut.width * body.length / flat.trunk
    seen = float(np.linalg.norm(np.diff(body.joints[SHOULDERS], axis=0))) / (FRONTAL * body.length)
    across = body.across * scale * float(np.clip(seen, NARROWEST, 1))
    down = legs(body) if category == "lower" else body.down
    anchor = body.middle(HIPS if category == "lower" else SHOULDERS) - cut.above * body.length * down
    move = np.stack([across, down * scale], axis=1)
    return np.concatenate([move, (anchor - move @ np.array([flat.middle, flat.top]))[:, None]], axis=1)


def legs(body: Body) -> NDArray[np.float64]:
    """The direction from the hips to between the knees, of length 1; the torso's own where those are one."""
    way = body.middle(KNEES) - body.middle(HIPS)
    length = float(np.linalg.norm(way))
    return way / length if length >= 1 else body.down


def into_box(flat: Flat, mask: Mask) -> NDArray[np.float64]:
    """The same for a body that is not known: as high as the mask, and in its middle."""
    x, y, width, height = cv2.boundingRect(mask.astype(np.uint8))
    scale = height / flat.box[3]
    return np.array([[scale, 0, x + width / 2 - scale * flat.middle], [0, scale, y - scale * flat.top]])


def shown(
    garment: Picture, lay: bool, points: Points | None, inside: tuple[int, int], known: Picture, mask: Mask, category: Category
) -> tuple[Picture, bool]:  # fmt: skip
    """The garment as a network sees it beside a canvas, and whether it lies upon that: laid where models were trained so and it stands out
    in its picture, else fit into the canvas as it is. `known` (H, W, 3) is the canvas without what `mask` (H, W) hides; `points` (133, 3)
    count in pixels of the window of the size `inside` (width, height) that it shows."""
    size = (mask.shape[1], mask.shape[0])
    found = laid(garment, None if points is None else fitted(points, inside, size), known, mask, category) if lay else None
    return (fit_and_pad(garment, size, "edge")[0], False) if found is None else (found, True)


def laid(garment: Picture, points: Points | None, known: Picture, mask: Mask, category: Category) -> Picture | None:
    """The picture `known` (H, W, 3) of a person with the garment (h, w, 3) laid upon it, inside `mask` (H, W) alone: where the person with
    these points (133, 3), in the picture's pixels, will wear it; in the mask's box where they are not known. None for a picture in which
    no garment stands out.
    """
    size = (mask.shape[1], mask.shape[0])
    outline = silhouette(garment)
    flat = flat_of(outline, category)
    if flat is None or not mask.any():
        return None
    move = onto(flat, points, mask, category)
    shrunk = min(1.0, float(np.linalg.norm(move[:, 1])))  # averaged first: a warp looks at single pixels
    inner = (max(1, round(shrunk * garment.shape[1])), max(1, round(shrunk * garment.shape[0])))
    move[:, :2] *= np.array([garment.shape[1] / inner[0], garment.shape[0] / inner[1]])
    within = cv2.erode(outline.astype(np.uint8), np.ones((3, 3), np.uint8))  # the outermost pixels are half background
    white = np.repeat(within[..., None] * np.uint8(255), 3, axis=2)
    picture, there = (cv2.warpAffine(resize(part, inner), move, size, flags=cv2.INTER_LINEAR) for part in (garment, white))
    return np.where(mask[..., None] & (there >= WHOLLY * 255), picture, known).astype(np.uint8)


def onto(flat: Flat, points: Points | None, mask: Mask, category: Category) -> NDArray[np.float64]:
    """The (2, 3) map from pixels of the garment's picture to those of the canvas."""
    body = None if points is None else body_of(points)
    if points is None or body is None:
        return into_box(flat, mask)
    chest = None if category == "lower" else onto_torso(flat.middle, flat.top, flat.trunk, points, body)
    return onto_body(flat, body, category) if chest is None else chest
