"""The mask of a garment that a person wears, from keypoints, where the person is, and colours."""

import dataclasses

import cv2
import numpy as np
from numpy.typing import NDArray

from engines.core.garments import Category, MaskStyle
from engines.pose.garment import (
    Body,
    Mask,
    Picture,
    Points,
    Regions,
    body_of,
    boxed,
    cleaned,
    face_and_hands,
    grown,
    growth,
    regions,
    with_limbs,
)  # fmt: skip
from engines.pose.labelling import HAIR, LOWER, SHOES, UPPER, kinds_of

Floats = NDArray[np.float32]
PERSON = 0.25  # of the soft mask of the person, from here on
SHOULDERS_WIDE = 48  # pixels: colours and edges are judged at one size, however large the picture
BESIDE = 6  # pixels around the person that show the background's colours


def garment_mask(
    picture: Picture, points: Points, person: Floats, category: Category, style: MaskStyle = "shape", grow: int | None = None
) -> Mask | None:
    """Where the garment lies, (H, W): True is to be repainted. None where the shoulders are not seen.

    `picture` uint8 (H, W, 3) RGB; `points` (133, 3) in its pixels; `person` (H, W), 0 background .. 1 person; `grow` in pixels, None for
    what the style needs. Face and hands are kept. "shape" follows the garment; "limbs" adds what another cut may cover, without hair and
    shoes; "box" is the rectangle around that.
    """
    body = body_of(points)
    if body is None:
        return None
    scale = min(1.0, SHOULDERS_WIDE / body.width)
    size = max(1, round(picture.shape[1] * scale)), max(1, round(picture.shape[0] * scale))
    small = np.asarray(cv2.resize(picture, size, interpolation=cv2.INTER_AREA), np.uint8) if scale < 1 else picture
    smaller = points * np.array([scale, scale, 1], np.float32)
    where = np.asarray(cv2.resize(person, size, interpolation=cv2.INTER_AREA if scale < 1 else cv2.INTER_LINEAR), np.float32)
    soft = shares_of(small, smaller, where, category, style)
    mask = np.asarray(cv2.resize(soft, (picture.shape[1], picture.shape[0]), interpolation=cv2.INTER_LINEAR) > 0.5, np.bool_)
    if style == "box":
        mask = boxed(mask)
    return grown(mask, growth(style, grow, picture.shape[0])) & ~face_and_hands(picture.shape, points)


def around(person: Floats) -> tuple[slice, slice] | None:
    """Rows and columns of the person and a little beside them; None where nobody is."""
    rows, columns = (np.flatnonzero((person > PERSON).any(axis)) for axis in (1, 0))
    if not len(rows):
        return None
    top, left = (max(0, int(line[0]) - BESIDE) for line in (rows, columns))
    return slice(top, int(rows[-1]) + BESIDE + 1), slice(left, int(columns[-1]) + BESIDE + 1)


def shares_of(picture: Picture, points: Points, person: Floats, category: Category, style: MaskStyle) -> Floats:
    """`garment_mask` of a small picture as shares (H, W), 0..1, before it is grown and boxed."""
    out = np.zeros(person.shape, np.float32)
    place, body = around(person), body_of(points)
    if place is None or body is None:
        return out
    found = regions(picture, points, body)  # drawn in the whole picture: its border cuts them, not the person's
    parts = {field.name: getattr(found, field.name)[place] for field in dataclasses.fields(found)}
    moved = points - np.array([place[1].start, place[0].start, 0], np.float32)
    inside = body_of(moved)
    if inside is not None:
        out[place] = judged(np.ascontiguousarray(picture[place]), moved, inside, person[place], Regions(**parts), category, style)
    return out


def judged(
    picture: Picture, points: Points, body: Body, person: Floats, found: Regions, category: Category, style: MaskStyle
) -> Floats:  # fmt: skip
    """`shares_of` of what is around the person."""
    kinds = kinds_of(picture, points, body, person, found, category)
    share: Floats = kinds[LOWER if category == "lower" else UPPER]
    worn = cleaned(share > 0.5)
    if style == "shape":  # as soft as it was, for smooth edges in a large picture, but for specks and holes
        return np.asarray(np.where(worn, np.maximum(share, 0.51), np.minimum(share, 0.49)), np.float32)
    kept = (kinds[HAIR] > 0.5) | (kinds[SHOES] > 0.5)
    room = with_limbs(found, worn, person > PERSON, category) & ~cleaned(kept)
    return room.astype(np.float32)
