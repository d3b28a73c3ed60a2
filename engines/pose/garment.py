"""Where on a person garments may be: regions of a picture from keypoints, and what masks of garments have in common.

What a garment covers of them is decided by colour (engines.pose.labelling) or a parse map (engines.pose.parse).
"""

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from engines.core.garments import Category, MaskStyle
from engines.core.keypoints import DRAWN_FROM, FACE, LEFT_HAND, RIGHT_HAND

Picture = NDArray[np.uint8]
Mask = NDArray[np.bool_]
Points = NDArray[np.float32]
Point = NDArray[np.float64]
SHOULDERS, ELBOWS, WRISTS, HIPS, KNEES, ANKLES = (5, 6), (7, 8), (9, 10), (11, 12), (13, 14), (15, 16)
WIDE = 16  # pixels to grow by, from where on a distance is faster than a disc, whose time grows with its area
TORSO = 1.4  # of the shoulders' width, where hips are not seen
# Of the picture's height, where --mask-grow says nothing: edges that are found are a little off, and a box has room in it.
GROWN: dict[MaskStyle, float] = {"shape": 0.004, "limbs": 0.004, "box": 0.0}


@dataclass(frozen=True)
class Body:
    """The joints that a mask is built on, in pixels, left before right; lengths in pixels; `across` and `down` are the body's own axes."""

    joints: dict[tuple[int, int], Point]
    across: Point
    down: Point
    width: float
    length: float

    def middle(self, pair: tuple[int, int]) -> Point:
        out: Point = self.joints[pair].mean(0)
        return out


def body_of(points: Points) -> Body | None:
    """None where the shoulders are not seen. Hips, knees and ankles that are not seen lie straight below what is;
    arms end where they are seen no more."""
    if (points[[*SHOULDERS], 2] < DRAWN_FROM).any():
        return None
    xy = points[:, :2].astype(np.float64)
    for hip, shoulder in zip(HIPS, SHOULDERS, strict=True):
        if points[hip, 2] < DRAWN_FROM:
            xy[hip] = xy[shoulder] + TORSO * np.array([0, np.linalg.norm(np.diff(xy[[*SHOULDERS]], axis=0))])
    joints = {pair: xy[list(pair)] for pair in (SHOULDERS, ELBOWS, WRISTS, HIPS, KNEES, ANKLES)}
    spine = joints[HIPS].mean(0) - joints[SHOULDERS].mean(0)
    length = float(np.linalg.norm(spine))
    side = joints[SHOULDERS][0] - joints[SHOULDERS][1]
    if length < 1:
        return None
    down = spine / length
    for pair, above, share in ((KNEES, HIPS, 0.9), (ANKLES, KNEES, 0.9), (ELBOWS, SHOULDERS, 0.0), (WRISTS, ELBOWS, 0.0)):
        hidden = points[list(pair), 2] < DRAWN_FROM
        joints[pair][hidden] = joints[above][hidden] + share * length * down
    across = side / max(float(np.linalg.norm(side)), 1e-6)
    return Body(joints, across, down, max(float(np.linalg.norm(side)), 0.45 * length), length)


class Canvas:
    """Draws regions of one size, (H, W) each."""

    def __init__(self, picture: Picture) -> None:
        self.shape = picture.shape[:2]

    def polygon(self, *corners: Point) -> Mask:
        out = np.zeros(self.shape, np.uint8)
        cv2.fillPoly(out, [np.round(np.array(corners)).astype(np.int32)], 1)
        return out > 0

    def hull(self, points: NDArray[np.floating]) -> Mask:
        return self.polygon(*cv2.convexHull(np.asarray(points, np.float32))[:, 0])

    def strokes(self, body: Body, pairs: tuple[tuple[int, int], ...], width: float) -> Mask:
        """Both limbs along these joints."""
        out = np.zeros(self.shape, np.uint8)
        for side in (0, 1):
            line = np.round([body.joints[pair][side] for pair in pairs]).astype(np.int32)
            cv2.polylines(out, [line], False, 1, max(1, round(width)))
            for x, y in line.tolist():
                cv2.circle(out, (x, y), max(1, round(width / 2)), 1, -1)
        return out > 0

    def seen_hull(self, points: Points) -> Mask:
        """The hull of the points that are seen; nothing below three."""
        seen = points[points[:, 2] >= DRAWN_FROM, :2]
        return self.hull(seen) if len(seen) >= 3 else np.zeros(self.shape, bool)


@dataclass(frozen=True)
class Regions:
    """Where garments may be, (H, W) each: `torso` for sure; `chest` and `thighs` show their colours; `face` and `hands` show skin."""

    torso: Mask
    chest: Mask
    neck: Mask
    arms: Mask
    waist: Mask
    hem: Mask
    legs: Mask
    thighs: Mask
    face: Mask
    hands: Mask


def regions(picture: Picture, points: Points, body: Body) -> Regions:
    """All in shares of the shoulders' width and the torso's length."""
    draw, w, length = Canvas(picture), body.width, body.length
    across, down = body.across, body.down
    left, right = body.joints[SHOULDERS]
    top, hip = body.middle(SHOULDERS), body.middle(HIPS)
    half = max(float(np.linalg.norm(np.diff(body.joints[HIPS], axis=0))) / 2, 0.3 * w)
    wide = half + 0.22 * w
    hips = (hip - across * wide, hip + across * wide)
    torso = draw.polygon(
        left + 0.13 * w * across - 0.08 * w * down, top - 0.1 * w * down, right - 0.13 * w * across - 0.08 * w * down, *hips
    )
    inner = (top + 0.6 * (left - top) + 0.15 * length * down, top + 0.6 * (right - top) + 0.15 * length * down)
    chest = draw.polygon(*inner, hip - 0.5 * half * across - 0.15 * length * down, hip + 0.5 * half * across - 0.15 * length * down)
    collar = (top - 0.3 * w * down + 0.2 * w * across, top - 0.3 * w * down - 0.2 * w * across)
    neck = draw.polygon(left - 0.15 * w * down, *collar, right - 0.15 * w * down)
    above, below = -0.08 * length * down, 0.45 * length * down
    flare = 0.1 * w * across
    hem = draw.polygon(hips[0] + above, hips[1] + above, hips[1] + flare + below, hips[0] - flare + below)
    over = 0.22 * length * down
    waist = draw.polygon(hips[0] + 2 * above, hips[1] + 2 * above, hips[1] + over, hips[0] + over)
    skirt = draw.hull(np.concatenate([[*hips], *(body.joints[p] + 0.2 * w * s * across for p in (KNEES, ANKLES) for s in (-1, 1))]))
    hips_to_knees = body.joints[KNEES] - body.joints[HIPS]
    upper_legs = {HIPS: body.joints[HIPS] + 0.25 * hips_to_knees, KNEES: body.joints[HIPS] + 0.55 * hips_to_knees}
    knees = Body(upper_legs, across, down, w, length)
    return Regions(
        torso=torso, chest=chest, neck=neck, arms=draw.strokes(body, (SHOULDERS, ELBOWS, WRISTS), 0.6 * w),
        waist=waist, hem=hem,
        legs=skirt | draw.strokes(body, (HIPS, KNEES, ANKLES), 0.55 * w), thighs=draw.strokes(knees, (HIPS, KNEES), 0.15 * w),
        face=draw.seen_hull(points[FACE]), hands=draw.seen_hull(points[LEFT_HAND]) | draw.seen_hull(points[RIGHT_HAND]),
    )  # fmt: skip


def with_limbs(found: Regions, worn: Mask, someone: Mask, category: Category) -> Mask:
    """The garment that is worn, and what another cut may cover: arms, neck and waist, or waist, legs and the room between them."""
    above, below = (found.torso | found.arms | found.neck | found.waist) & someone, found.legs | (found.waist & someone)
    return worn | {"upper": above, "lower": below, "dress": above | below}[category]


def cleaned(mask: Mask) -> Mask:
    """Without specks, and with small holes closed."""
    opened = cv2.morphologyEx(mask.view(np.uint8), cv2.MORPH_OPEN, np.ones((3, 3), np.uint8))
    return np.asarray(cv2.morphologyEx(opened, cv2.MORPH_CLOSE, np.ones((7, 7), np.uint8)) > 0, np.bool_)


def grown(mask: Mask, pixels: int) -> Mask:
    """Wider by so many pixels all around."""
    if pixels < 1:
        return mask
    if pixels > WIDE:
        return np.asarray(cv2.distanceTransform((~mask).view(np.uint8), cv2.DIST_L2, cv2.DIST_MASK_PRECISE) <= pixels, np.bool_)
    disc = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (2 * pixels + 1, 2 * pixels + 1))
    return np.asarray(cv2.dilate(mask.view(np.uint8), disc) > 0, np.bool_)


def growth(style: MaskStyle, grow: int | None, height: int) -> int:
    """Pixels to grow a mask by in a picture of this height: what is asked for, else what the style needs (GROWN)."""
    return round(GROWN[style] * height) if grow is None else grow


def boxed(mask: Mask) -> Mask:
    """The rectangle around a mask; nothing around nothing."""
    out = np.zeros_like(mask)
    rows, columns = np.flatnonzero(mask.any(1)), np.flatnonzero(mask.any(0))
    if len(rows):
        out[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1] = True
    return out


def face_and_hands(shape: tuple[int, ...], points: Points) -> Mask:
    """The hulls of what is seen of a face and of hands in a picture of this shape: no mask covers them."""
    draw = Canvas(np.zeros(shape[:2], np.uint8))
    return draw.seen_hull(points[FACE]) | draw.seen_hull(points[LEFT_HAND]) | draw.seen_hull(points[RIGHT_HAND])
