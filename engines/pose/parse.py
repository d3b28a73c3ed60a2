"""Masks from parse maps: pictures whose every pixel is the number of a part of the body or of a garment.

Two lists of labels are in use: LIP's 20 (also CIHP's, in which 10 is the neck and not a jumpsuit) and ATR's 18.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from engines.core.errors import ScdError
from engines.core.garments import Category, MaskStyle, ParseLabels
from engines.pose.garment import Canvas, Mask, Points, body_of, boxed, face_and_hands, grown, regions

Labels = NDArray[np.uint8]
HAND_EDGE = 0.08  # of the shoulders' width: so far a hand goes on around its joints
FEWEST = 0.001  # of the picture: a garment of fewer pixels is the parser's noise


@dataclass(frozen=True)
class LabelSet:
    """`names` by number. Numbers: the garments of each category, limbs that another cut may cover, and what is kept however far a mask
    grows: head, accessories and shoes. The belt goes with what it holds; a scarf, a bag and gloves are worn with the next garment, too."""

    names: tuple[str, ...]
    upper: tuple[int, ...]
    lower: tuple[int, ...]
    whole: tuple[int, ...]
    arms: tuple[int, ...]
    legs: tuple[int, ...]
    face: int
    kept: tuple[int, ...]

    def garments(self, category: Category) -> tuple[int, ...]:
        """A dress takes the place of everything that is worn, be it one piece or two."""
        return {"upper": self.upper, "lower": self.lower, "dress": (*self.whole, *self.upper, *self.lower)}[category]

    def limbs(self, category: Category) -> tuple[int, ...]:
        return {"upper": self.arms, "lower": self.legs, "dress": (*self.arms, *self.legs)}[category]


JUMPSUIT = 10  # in LIP; the neck in CIHP
SETS: dict[ParseLabels, LabelSet] = {
    "lip": LabelSet(
        ("background", "hat", "hair", "gloves", "sunglasses", "upper clothes", "a dress", "a coat", "socks", "trousers", "a jumpsuit",
         "a scarf", "a skirt", "face", "left arm", "right arm", "left leg", "right leg", "left shoe", "right shoe"),
        upper=(5, 7), lower=(9, 12), whole=(6, JUMPSUIT), arms=(14, 15), legs=(16, 17, 8), face=13, kept=(1, 2, 3, 4, 11, 13, 18, 19),
    ),
    "atr": LabelSet(
        ("background", "hat", "hair", "sunglasses", "upper clothes", "a skirt", "trousers", "a dress", "a belt", "left shoe",
         "right shoe", "face", "left leg", "right leg", "left arm", "right arm", "a bag", "a scarf"),
        upper=(4,), lower=(5, 6, 8), whole=(7,), arms=(14, 15), legs=(12, 13), face=11, kept=(1, 2, 3, 9, 10, 11, 16, 17),
    ),
}  # fmt: skip


def labels_of(labels: Labels, named: ParseLabels | None, what: str) -> ParseLabels:
    """Whose labels a map has: what the user says, or what its numbers leave no doubt of. ScdError where they contradict or leave doubt."""
    most = int(labels.max())
    if named is not None and most >= len(SETS[named].names):
        other = f"--parse-labels lip, whose end at {len(SETS['lip'].names) - 1}" if named == "atr" else "another map"
        raise ScdError(f"{what} has labels up to {most}, but {named.upper()}'s end at {len(SETS[named].names) - 1}", f"use {other}")
    if named is not None:
        return named
    if most >= len(SETS["atr"].names):
        return "lip"
    raise ScdError(f"{what} has labels up to {most}, as both LIP and ATR have them", "add --parse-labels lip or --parse-labels atr")


def as_worn(labels: Labels, kind: ParseLabels) -> Labels:
    """The map without CIHP's neck: label 10 that is hardly larger than the face is no jumpsuit but bare skin, here the left arm's."""
    if kind == "atr" or (labels == JUMPSUIT).sum() > 2 * (labels == SETS[kind].face).sum():
        return labels
    return np.where(labels == JUMPSUIT, np.uint8(SETS[kind].arms[0]), labels)


def worn_garment(labels: Labels, kind: ParseLabels, category: Category, what: str) -> Mask:
    """Where the garments of a category are. ScdError says what there is instead."""
    own = SETS[kind]
    worn = np.isin(labels, own.garments(category))
    if worn.mean() >= FEWEST:
        return worn
    counts = np.bincount(labels.ravel(), minlength=len(own.names)) / labels.size
    others = [own.names[n] for n in own.garments("dress") if counts[n] >= FEWEST]
    has = f"it has {' and '.join(others)}" if others else "it has no garment at all"
    raise ScdError(f"{what} shows no garment of --category {category}; {has}", "use another --category, or another map with --parse")


def room(labels: Labels, kind: ParseLabels, worn: Mask, category: Category, points: Points | None) -> Mask:
    """What another cut may cover: bare limbs, and where the pose is known neck, waist and the room between the legs."""
    out = worn | np.isin(labels, SETS[kind].limbs(category))
    body = None if points is None else body_of(points)
    if body is None or points is None:
        below = np.isin(labels, (*SETS[kind].lower, *SETS[kind].legs, *SETS[kind].whole))
        return out if category == "upper" or not below.any() else out | Canvas(labels).hull(np.argwhere(below)[:, ::-1].astype(np.float32))
    found, someone = regions(labels, points, body), labels > 0
    above, under = (found.neck | found.waist) & someone, found.legs | (found.waist & someone)
    return out | {"upper": above, "lower": under, "dress": above | under}[category]


def parse_mask(
    labels: Labels, kind: ParseLabels, category: Category, style: MaskStyle, grow: int, points: Points | None, what: str
) -> Mask:
    """Where to repaint, (H, W) as the map; `grow` in pixels. `points` (133, 3) in its pixels protect hands, which are arms in both lists.

    "shape" is the garment's labels, "limbs" adds the arms or legs, neck and waist, "box" is the rectangle around those. Head,
    accessories and shoes are kept; the neck, which parsers call face, is free below the jaw where the pose is known. ScdError where
    there is no garment of the category.
    """
    plain = as_worn(labels, kind)
    mask = worn_garment(plain, kind, category, what)
    if style != "shape":
        mask = room(plain, kind, mask, category, points)
    if style == "box":
        mask = boxed(mask)
    kept = np.isin(plain, SETS[kind].kept)
    return grown(mask, grow) & ~(kept if points is None else kept_by(points, plain, kind, category, kept))


def kept_by(points: Points, labels: Labels, kind: ParseLabels, category: Category, kept: Mask) -> Mask:
    """What is kept where the pose is known: hands as far as they are bare, too, but not the neck below the jaw."""
    out, body = kept, body_of(points)
    sure = face_and_hands(labels.shape, points)
    if body is None:
        return out | sure
    if category != "lower":
        out = out & ~(regions(labels, points, body).neck & (labels == SETS[kind].face))
    edges = grown(sure, round(HAND_EDGE * body.width)) & np.isin(labels, SETS[kind].arms)
    return out | sure | edges
