"""The same garment in two sets of pictures: found by what the pictures show, whatever they are called and however they were saved.

A perceptual hash of the garment, cut out of its background, proposes; the pixels of both pictures, laid upon each other, decide. Saving
again as JPEG, small changes of size and other margins pass; another colour or print on the same cut does not.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray
from PIL import Image

from engines.media.background import stands_out
from engines.media.images import flatten, read_image

Picture = NDArray[np.uint8]
Levels = NDArray[np.float32]
DECODED = 256  # pixels of the longer side, roughly, at which pictures are looked at
SMOOTH = 1.5  # pixels of blur, below which a garment's edge is that of its JPEG
HASH = 32  # pixels of the picture that is hashed, of whose frequencies the lowest HELD x HELD count
HELD = 12
HASH_APART = 0.18  # share of the hash's bits that copies may differ in
THUMB, THUMB_APART = 8, 6.0  # cells of the colours at a glance, and levels that copies may differ by on average
SIZE = 128  # pixels at which two garments are compared
COARSE, STEPS = 64, 30  # pixels and steps of the search for how one lies on the other
SOFT, SLACK = 1.0, 3  # pixels: blur against JPEG's noise, and the neighbourhood whose levels count as equal, for edges
SPOT, SPOT_APART = 9, 16.0  # pixels a side of the worst spot, and levels that copies may differ by in there
TINT_APART = 3.2  # levels of a channel that copies may differ by on average
ROWS = 512  # pictures compared at once
KEPT = 1024  # garments that stay in memory while pairs are decided: 49 kB each


@dataclass(frozen=True)
class Look:
    """`bits` (HELD^2 - 1,) of -1 and 1; `thumb` (THUMB^2 * 3,) of levels."""

    bits: NDArray[np.float32]
    thumb: NDArray[np.float32]


def leaked(train: Sequence[Path], test: Sequence[Path], on_done: Callable[[], None]) -> list[tuple[Path, Path]]:
    """Pairs (train, test) of pictures of flat garments that show the same one, in the order of `train`.

    `on_done` is called after each picture that was read. ScdError for a file that is no picture.
    """
    looks = [[look_of(path, on_done) for path in paths] for paths in (train, test)]
    garment = lru_cache(maxsize=KEPT)(garment_at)
    return [(train[a], test[b]) for a, b in candidates(*looks) if same(garment(train[a]), garment(test[b]))]


def look_of(path: Path, on_done: Callable[[], None]) -> Look:
    garment = cut_out(small_picture(path))
    on_done()
    grey = cv2.cvtColor(cv2.resize(garment, (HASH, HASH), interpolation=cv2.INTER_AREA), cv2.COLOR_RGB2GRAY)
    low = cv2.dct(grey.astype(np.float32))[:HELD, :HELD].ravel()[1:]
    thumb = cv2.resize(garment, (THUMB, THUMB), interpolation=cv2.INTER_AREA).astype(np.float32).ravel()
    return Look(np.where(low > np.median(low), 1, -1).astype(np.float32), thumb)


def small_picture(path: Path) -> Picture:
    """uint8 (H, W, 3), about DECODED pixels high: JPEG is decoded at a fraction of its size, which is most of the time. ScdError."""
    try:
        with Image.open(path) as image:
            image.draft("RGB", (DECODED, DECODED))
            picture = np.array(flatten(image), np.uint8)
    except Exception:  # whatever it is, there is a sentence for it
        picture = read_image(path, "the garment")
    share = DECODED / max(picture.shape[:2])
    if share >= 1:
        return picture
    size = (max(1, round(picture.shape[1] * share)), max(1, round(picture.shape[0] * share)))
    return np.asarray(cv2.resize(picture, size, interpolation=cv2.INTER_AREA), np.uint8)


def cut_out(picture: Picture) -> Picture:
    """The rectangle of what is not background, the colour of the border; the whole picture where nothing stands out."""
    there = stands_out(picture, SMOOTH)
    rows, columns = np.flatnonzero(there.any(axis=1)), np.flatnonzero(there.any(axis=0))
    if not len(rows):
        return picture
    return picture[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1]


def candidates(train: Sequence[Look], test: Sequence[Look]) -> Iterator[tuple[int, int]]:
    """Places of pictures whose hashes and colours at a glance are near each other."""
    if not train or not test:
        return
    bits, thumbs = np.stack([look.bits for look in test]), np.stack([look.thumb for look in test])
    for first in range(0, len(train), ROWS):
        some = train[first : first + ROWS]
        apart = 0.5 - 0.5 * np.stack([look.bits for look in some]) @ bits.T / bits.shape[1]
        for row, column in np.argwhere(apart <= HASH_APART):
            if np.abs(some[row].thumb - thumbs[column]).mean() <= THUMB_APART:
                yield first + int(row), int(column)


def garment_at(path: Path) -> Picture:
    """uint8 (SIZE, SIZE, 3): the garment alone, stretched to a square, its outermost pixels repeated where it is laid off the other."""
    return np.asarray(cv2.resize(cut_out(small_picture(path)), (SIZE, SIZE), interpolation=cv2.INTER_AREA), np.uint8)


def same(first: Picture, second: Picture) -> bool:
    """Whether two cut-outs of SIZE x SIZE show one garment, once one is laid upon the other: nowhere are they far apart."""
    one, other = (cv2.GaussianBlur(p.astype(np.float32), (0, 0), SOFT) for p in (first, laid_upon(first, second)))
    if np.abs((one - other).mean(axis=(0, 1))).max() > TINT_APART:
        return False
    apart = np.maximum(beyond(one, other), beyond(other, one)).max(axis=-1)
    return bool(cv2.blur(apart, (SPOT, SPOT)).max() <= SPOT_APART)


def beyond(one: Levels, other: Levels) -> Levels:
    """(H, W, 3): how far each level of one picture is from all that the other has around the same place."""
    around = np.ones((SLACK, SLACK), np.uint8)
    out: Levels = np.maximum(np.maximum(one - cv2.dilate(other, around), cv2.erode(other, around) - one), 0)
    return out


def laid_upon(first: Picture, second: Picture) -> Picture:
    """The second garment moved, scaled and sheared as little as it takes to lie on the first; as it is where that can't be found."""
    small = (cv2.resize(p, (COARSE, COARSE), interpolation=cv2.INTER_AREA) for p in (first, second))
    still, moving = (cv2.cvtColor(p, cv2.COLOR_RGB2GRAY) for p in small)
    rule = (cv2.TERM_CRITERIA_EPS | cv2.TERM_CRITERIA_COUNT, STEPS, 1e-4)
    try:
        _, move = cv2.findTransformECC(still, moving, np.eye(2, 3, dtype=np.float32), cv2.MOTION_AFFINE, rule)
    except cv2.error:  # nothing to hold on to, as in a plain square
        return second
    centre = 0.5 * (SIZE / COARSE - 1)  # of a coarse pixel, in the finer grid
    move[:, 2] = move[:, 2] * SIZE / COARSE + centre - move[:, :2] @ np.full(2, centre)
    flags = cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
    return np.asarray(cv2.warpAffine(second, move, (SIZE, SIZE), flags=flags, borderMode=cv2.BORDER_REPLICATE), np.uint8)
