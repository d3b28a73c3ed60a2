"""Masks and parse maps that people bring: read, told apart, and brought to the picture's size.

A mask is any picture that is white where to repaint. Transparency: light paint on a clear layer is to be repainted, and so is the hole
that an editor has erased from a picture; which of the two it is shows in what is left. What only looks like a mask is refused with a
sentence that says what it looks like; nothing is guessed.
"""

from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray
from PIL import ImageOps

from engines.core.errors import ScdError
from engines.core.report import Report
from engines.media.images import flatten, has_alpha, opened

Bytes = NDArray[np.uint8]
Mask = NDArray[np.bool_]
Size = tuple[int, int]  # width, height
WHITE = 128  # of 255, from here on
ASPECT = 0.01  # by so much two pictures of one scene may differ in shape, as resizing to whole pixels does
MOST, BORDER = 0.7, 0.75  # of the picture and of its border: what is white there and here is everything but a garment
LABELS = 20  # of a parse map at most: LIP has 0 .. 19
COLOURED = 32  # levels between the channels of a pixel that is no grey
HOLE, HOLE_LEVELS = 0.03, 5  # of the picture; JPEG keeps a flat grey of 128 as flat as this
NOISE = 0.001  # of the picture: levels and colours of fewer pixels tell nothing

MAKE = "name the mask itself, white where to repaint and black elsewhere"


@dataclass(frozen=True)
class Raster:
    """What a picture file holds, upright. `rgb` (H, W, 3) is what it looks like over white, `bare` without regard to transparency; `alpha`
    (H, W) is None where the file has none; `numbers` (H, W) are levels or places in the palette as stored, None for colours."""

    rgb: Bytes
    bare: Bytes
    alpha: Bytes | None
    numbers: NDArray[np.int64] | None


def read_raster(path: Path, what: str) -> Raster:
    """ScdError as of engines.media.images; `what` is the file's role, as "the mask"."""
    with opened(path, what) as image:
        upright = ImageOps.exif_transpose(image)
        rgb = np.array(flatten(image), np.uint8)
        layers = np.array(upright.convert("RGBA")) if has_alpha(upright) else None
        numbered = upright.mode in ("P", "1", "L", "I") or upright.mode.startswith("I;16")
        numbers = np.asarray(upright).astype(np.int64) if numbered else None
    bare, alpha = (rgb, None) if layers is None else (layers[..., :3], layers[..., 3])
    return Raster(rgb, bare, alpha, numbers)


def grey_of(rgb: Bytes) -> Bytes:
    return np.asarray(cv2.cvtColor(np.ascontiguousarray(rgb), cv2.COLOR_RGB2GRAY), np.uint8)


def colourful(rgb: Bytes) -> Mask:
    """(..., 3) -> (...): pixels that are no grey."""
    wide = rgb.astype(np.int16)
    out: Mask = wide.max(-1) - wide.min(-1) > COLOURED
    return out


def colours_of(rgb: Bytes) -> NDArray[np.int64]:
    """How often each colour (in steps of 8) occurs in (..., 3), from the rarest on."""
    steps = (rgb // 8).astype(np.int64).reshape(-1, 3)
    return np.sort(np.bincount(steps @ np.array([1024, 32, 1]), minlength=1)).astype(np.int64)


def flat(rgb: Bytes) -> bool:
    """Is nearly all of it painted in a few colours?"""
    counts = colours_of(rgb)
    return bool(counts[-LABELS:].sum() > 0.97 * counts.sum())


def is_parse_map(raster: Raster) -> bool:
    """Three labels or more: places in a coloured palette, or levels that are all near black."""
    if raster.numbers is None or raster.numbers.max() > LABELS:
        return False
    counts = np.bincount(np.maximum(raster.numbers, 0).ravel())
    seen = (counts > NOISE * counts.sum()).sum() >= 3
    return bool(seen and (colourful(raster.rgb).mean() > NOISE or grey_of(raster.rgb).max() <= LABELS))


def objection(raster: Raster) -> tuple[str, str] | None:
    """What a file without transparency looks like that is no mask, and what to do; None for masks, soft edges and JPEG's noise included."""
    grey, coloured = grey_of(raster.rgb), colourful(raster.rgb)
    if is_parse_map(raster):
        return "looks like a parse map, a number for each part of the body", "name it with --parse instead of --mask"
    if 0 < grey.max() <= LABELS:
        return f"is near black everywhere, its brightest level is {grey.max()} of 255", "save it with 255 where to repaint"
    extreme = ((grey < 64) | (grey >= 192)) & ~coloured
    off = np.abs(raster.rgb.astype(np.int16) - WHITE).max(-1)
    hole, beside = off <= HOLE_LEVELS, (off > HOLE_LEVELS) & (off <= 3 * HOLE_LEVELS) & ~coloured
    if hole.mean() > HOLE + beside.mean() and (~extreme & ~hole).mean() > 0.1:
        where = "name the mask that belongs to it (agnostic-mask/NAME_mask.png in VITON-HD's folders)"
        return "looks like an agnostic picture, a person with a grey hole, which does not say exactly where to repaint", where
    if extreme.mean() >= 0.6 and coloured.mean() < 0.05:
        return None
    if coloured.any() and flat(raster.rgb):
        return "looks like a parse map in colours", f"{MAKE}, or the map with the labels' numbers with --parse"
    return "looks like a picture and not like a mask", MAKE


def from_alpha(raster: Raster, alpha: Bytes, what: str) -> Bytes | None:
    """Grey (H, W), white where to repaint, from a file that is clear in some places and not in others; None where it is not."""
    there = alpha >= WHITE
    if not there.any():
        raise ScdError(f"{what} is transparent everywhere", MAKE)
    if there.mean() > 1 - NOISE or alpha.max() - alpha.min() < WHITE:
        return None
    left = raster.bare[there]
    light = grey_of(left[None])[0] >= WHITE
    if not flat(left):  # a picture with a hole
        return np.asarray(255 - alpha, np.uint8)
    if light.mean() > NOISE:  # paint, and perhaps black beside it
        return np.asarray(np.where(grey_of(raster.bare) >= WHITE, alpha, 0), np.uint8)
    raise ScdError(f"{what} is dark on a clear layer, which leaves open which of the two is to be repainted", MAKE)


def read_mask(path: Path, size: Size, invert: bool, report: Report) -> Mask:
    """(H, W) bool at `size`, True is to be repainted; `invert` for files that are black there.

    ScdError for files that are no masks (see `objection`), are black or white everywhere, look inverted, or have another shape
    than the picture; another size of the same shape is resized with a note.
    """
    what = f"the mask {path}"
    raster = read_raster(path, "the mask")
    grey = None if raster.alpha is None else from_alpha(raster, raster.alpha, what)
    if grey is None:
        if why := objection(raster):
            raise ScdError(f"{what} {why[0]}", why[1])
        grey = grey_of(raster.rgb)
    mask = np.asarray(fitted(grey, size, what, report) >= WHITE, np.bool_)
    return sensible(~mask if invert else mask, invert, what)


def sensible(mask: Mask, invert: bool, what: str) -> Mask:
    """The mask. ScdError where it holds nothing, everything, or everything but a garment."""
    turned = "leave --invert-mask out" if invert else "add --invert-mask if it is black where to repaint"
    if not mask.any() or mask.all():
        colour = "black" if mask.any() == invert else "white"
        raise ScdError(f"{what} is {colour} everywhere", MAKE)
    border = np.concatenate([mask[0], mask[-1], mask[:, 0], mask[:, -1]])
    if mask.mean() > MOST and border.mean() >= BORDER:
        seen = f"would repaint {mask.mean():.0%} of the picture and most of its border"
        raise ScdError(f"{what} {seen}: it looks inverted", turned)
    return mask


def fitted(values: Bytes, size: Size, what: str, report: Report, labels: bool = False) -> Bytes:
    """(H, W) at `size`. A note where it is resized (`labels` are never mixed), ScdError where its shape is not the picture's."""
    (height, width), (wide, high) = values.shape[:2], size
    if (width, height) == size:
        return values
    if abs(width * high / (height * wide) - 1) > ASPECT:
        raise ScdError(f"{what} is {width}x{height} pixels, but the picture {wide}x{high}", "name one that was made for this picture")
    report.note(f"{what} is {width}x{height} pixels and is resized to the picture's {wide}x{high}")
    smooth = cv2.INTER_AREA if width > wide else cv2.INTER_LINEAR
    return np.asarray(cv2.resize(values, size, interpolation=cv2.INTER_NEAREST if labels else smooth), np.uint8)


def read_labels(path: Path, size: Size, report: Report) -> Bytes:
    """A parse map's label numbers (H, W) at `size`: a palette's places or grey levels. ScdError for colours and for other shapes."""
    what = f"the parse map {path}"
    raster = read_raster(path, "the parse map")
    numbers = raster.numbers
    if numbers is None and (np.ptp(raster.bare, axis=-1) == 0).all():  # grey, stored as colours
        numbers = raster.bare[..., 0].astype(np.int64)
    if numbers is None:
        kind = "a map in colours" if flat(raster.bare) else "a picture"
        raise ScdError(f"{what} is {kind}, not of label numbers", "name the map as the parser wrote it (grey or with a palette)")
    most = int(numbers.max())
    if most >= LABELS:
        mask = np.isin(numbers, (0, 255)).mean() > 0.98
        hint = "name it with --mask instead of --parse" if mask else "name the map as the parser wrote it (grey or with a palette)"
        raise ScdError(f"{what} has numbers up to {most}, but labels end at {LABELS - 1}: it {'is a mask' if mask else 'is none'}", hint)
    return fitted(np.maximum(numbers, 0).astype(np.uint8), size, what, report, labels=True)
