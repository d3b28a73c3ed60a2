"""Puts a driver's motion on the body of a reference picture: the size of the whole person, then the length of every limb.

The recipes it learned from (MimicMotion: one linear fit over all frames; MusePose, UniAnimate: ratios of limbs from one frame; Wan:
bone lengths, the longer of left and right) fail where one frame's limb points at the camera. Here the driver's limbs are measured over
the clip, and the reference's are believed only as far as they are plausible: see limbs.py. numpy only, cv2 for the picture to look at.
"""

from dataclasses import dataclass, field
from typing import Literal

import cv2
import numpy as np
from numpy.typing import NDArray

from engines.core.keypoints import COUNT, DRAWN_FROM, LEFT_HAND, LIMBS, RIGHT_HAND, openpose_body
from engines.pose.draw import REFERENCE_HEIGHT, SHIFT, Picture, draw_body, fitted, fixed
from engines.pose.limbs import (
    FACE_GROUPS,
    LEGS,
    LIMB_GROUPS,
    MID_HIP,
    NECK,
    UNSEEN,
    UPRIGHT,
    Fit,
    Measured,
    Numbers,
    Points,
    compare,
    extended,
    measured,
)

Align = Literal["none", "global", "limbs"]
ANKLES = [15, 16]
GROUND_QUANTILE = 0.8  # of the lower ankle's height over the frames: the floor, though somebody jumps or steps nearer
ANCHORS = (MID_HIP, NECK, 0, *range(1, COUNT))
USUAL = 0.1  # how far, as a logarithm, the person's size may be from the clip's median
SMALL, LARGE = 0.1, 0.2  # corrections of the floor, in lengths from ankle to neck
FEWEST = 3  # limbs that both bodies show, for fitting them one by one
NOTHING_COMMON = "the driver's and the reference's keypoints have too little in common: the driver's picture is fitted as a whole"
FEW_COMMON = "too few limbs are seen in both the driver and the reference: only the whole person is fitted"
# (child, parent, group whose ratio the way from parent to child takes), parents first, from the root.
TREE: tuple[tuple[int, int, str], ...] = (
    (NECK, MID_HIP, "torso"), (5, NECK, "shoulders"), (6, NECK, "shoulders"), (7, 5, "upper arms"), (8, 6, "upper arms"),
    (9, 7, "forearms"), (10, 8, "forearms"), (11, MID_HIP, "hips"), (12, MID_HIP, "hips"), (13, 11, "thighs"), (14, 12, "thighs"),
    (15, 13, "shins"), (16, 14, "shins"), (0, NECK, "neck"), *((n, 0, "face") for n in (1, 2, 3, 4, *range(23, 91))),
    *((n, 15, "shins") for n in (17, 18, 19)), *((n, 16, "shins") for n in (20, 21, 22)),
    *((n, 9, "forearms") for n in range(LEFT_HAND.start, LEFT_HAND.stop)),
    *((n, 10, "forearms") for n in range(RIGHT_HAND.start, RIGHT_HAND.stop)),
)  # fmt: skip


@dataclass(frozen=True)
class Retargeted:
    """`points` float32 (F, 133, 3) in pixels of the reference picture, the driver's scores; `notes` for people, one sentence each.

    `align` is what was done, which may be less than was asked for. `scale`: driver pixels to reference pixels; `ratios`: by group of
    limbs, what its length is multiplied by beside the scale (empty unless `align` is "limbs")."""

    points: Points
    notes: list[str]
    align: Align
    scale: float
    ratios: dict[str, float] = field(default_factory=dict)


def retarget(track: Points, size: tuple[int, int], reference: Points, reference_size: tuple[int, int], align: Align) -> Retargeted:
    """Put a driver's points (F, 133, 3), pixels of a picture of `size` (width, height), on the person of a reference (133, 3).

    "none" fits the driver's picture into the reference's; "global" scales and moves the whole clip once; "limbs" also gives every limb
    the reference's length, keeping its direction, how it foreshortens, and how high the feet are above the floor. Points below
    DRAWN_FROM measure nothing but move along; absent ones (score 0 at the origin, or no numbers) stay absent. Raises nothing for odd
    points: where too little is common to the two bodies less is done, and a note says so.
    """
    plain = cleaned(track)
    if align == "none" or not len(plain):
        return unaligned(plain, size, reference_size, [])
    driver, still = extended(plain), extended(reference)
    body = measured(driver)
    fit = compare(body, still)
    if fit is None:
        return unaligned(plain, size, reference_size, [NOTHING_COMMON])
    notes, done, moved = missing_legs(body, still), align, scaled(driver, fit.scale)
    if align == "limbs" and not can_grow(driver, fit):
        notes, done = [FEW_COMMON, *notes], "global"
    if done == "limbs":
        notes, moved = doubts_of(fit) + notes, grown(driver, fit)
    shift = settling(moved, still, body, fit.scale)
    if shift is None:
        return unaligned(plain, size, reference_size, [NOTHING_COMMON])
    moved[..., :2] += shift
    points = kept_absent(moved[:, :COUNT], plain)
    return Retargeted(points, notes + leaving(points, reference_size), done, fit.scale, fit.ratios if done == "limbs" else {})


def cleaned(track: Points) -> Points:
    """A copy whose points that are no numbers are absent."""
    out = np.array(track, np.float32)
    out[~np.isfinite(out).all(axis=-1)] = 0
    return out


def kept_absent(moved: Numbers, before: Points) -> Points:
    """Moved points (F, 133, 3) with the scores from before; what was absent (all zero) stays at the origin."""
    out = moved.astype(np.float32)
    out[..., 2] = before[..., 2]
    out[(before == 0).all(axis=-1)] = 0
    return out


def unaligned(track: Points, size: tuple[int, int], reference_size: tuple[int, int], notes: list[str]) -> Retargeted:
    scale = min(reference_size[0] / size[0], reference_size[1] / size[1])
    points = kept_absent(fitted(track, size, reference_size).astype(np.float64), track)
    return Retargeted(points, notes, "none", scale)


def scaled(points: Numbers, scale: float) -> Numbers:
    """(..., 2 or 3) with x and y multiplied."""
    out = points.copy()
    out[..., :2] *= scale
    return out


def settling(moved: Numbers, still: Numbers, body: Measured, scale: float) -> Numbers | None:
    """The shift (2,) that brings a clip (F, 135, 3) of the right size to where the reference (135, 3) is.

    Median hips go on the reference's, else neck, nose, or another point. Down, where ankles are seen in both, the floor: the lower ankle
    over the clip on the lower of the reference's, moved towards what hips and neck say where these nearly agree. Near feet are low in
    a picture, so ankles alone err by steps towards the camera; hips and neck alone err where somebody crouches. None without a
    common point.
    """
    shown, usual = moved[..., 2] >= DRAWN_FROM, np.abs(np.log(body.size)) < USUAL
    common = [n for n in ANCHORS if still[n, 2] >= DRAWN_FROM and shown[:, n].any()]
    if not common:
        return None
    upper = {
        n: still[n, :2] - np.median(moved[some(shown[:, n], usual), n, :2], axis=0) for n in common[:1] + [n for n in common if n >= COUNT]
    }
    shift = np.array(upper[common[0]])
    floor, standing = low_ankle(moved), low_ankle(still[None])[0]
    if np.isfinite(floor).any() and np.isfinite(standing):
        shift[1] = standing - np.quantile(floor[some(np.isfinite(floor), usual)], GROUND_QUANTILE)
        others = [upper[n][1] - shift[1] for n in (MID_HIP, NECK) if n in upper]
        if others:
            shift[1] += agreed(float(np.mean(others)), float(np.nansum(body.length[UPRIGHT])) * scale) * len(others) / (len(others) + 1)
    return shift


def agreed(correction: float, tall: float) -> float:
    """A correction as it is while small beside the person, fading to nothing where it is too large for a step nearer."""
    share = abs(correction) / max(tall, 1e-9)
    return correction * float(np.clip((LARGE - share) / (LARGE - SMALL), 0, 1))


def some(wanted: NDArray[np.bool_], usual: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """The wanted frames in which the person is about as large as mostly, or all wanted ones if there is none."""
    both = wanted & usual
    return both if both.any() else wanted


def low_ankle(points: Numbers) -> Numbers:
    """(F, 135, 3) -> (F,) how far down the lower seen ankle is, NaN without one."""
    down = np.where(points[:, ANKLES, 2] >= DRAWN_FROM, points[:, ANKLES, 1], np.nan)
    return np.asarray(np.fmax(down[:, 0], down[:, 1]))


def can_grow(driver: Numbers, fit: Fit) -> bool:
    """Are enough limbs common, and hips or neck in some frame, from which a skeleton can grow?"""
    common = sum(name in fit.ratios and fit.doubts.get(name) != UNSEEN for name in LIMB_GROUPS)
    return common >= FEWEST and bool((driver[:, [MID_HIP, NECK], 2] >= DRAWN_FROM).any())


def bridged(values: Numbers, good: NDArray[np.bool_]) -> Numbers:
    """(F, 2) with the frames that are not good filled in between their neighbours; zeros where none is good."""
    if not good.any():
        return np.zeros_like(values)
    frames = np.arange(len(values))
    return np.stack([np.interp(frames, frames[good], values[good, axis]) for axis in range(values.shape[1])], axis=1)


def filled(driver: Numbers) -> Numbers:
    """(F, 135, 3) -> (F, 135, 2): every point somewhere; a missing one keeps to its parent as in the frames around."""
    shown = driver[..., 2] >= DRAWN_FROM
    out = driver[..., :2].copy()
    both = shown[:, MID_HIP] & shown[:, NECK]
    torso = bridged(out[:, NECK] - out[:, MID_HIP], both)
    lonely = ~shown[:, MID_HIP] & shown[:, NECK]
    out[lonely, MID_HIP] = (out[:, NECK] - torso)[lonely]
    out[:, MID_HIP] = bridged(out[:, MID_HIP], shown[:, MID_HIP] | lonely)
    for child, parent, _ in TREE:
        way = bridged(out[:, child] - out[:, parent], shown[:, child] & shown[:, parent])
        out[:, child] = np.where(shown[:, child, None], out[:, child], out[:, parent] + way)
    return out


def grown(driver: Numbers, fit: Fit) -> Numbers:
    """(F, 135, 3) -> the same, grown anew from the hips with the reference's lengths, the lower ankle as high as the driver's."""
    legs = float(np.sqrt(fit.ratios["thighs"] * fit.ratios["shins"]))
    whole = filled(driver)
    goal = scaled(whole, fit.scale * legs)  # longer legs make longer steps and higher jumps
    ratios = fit.ratios | {"face": face_ratio(fit)}
    new, stretch = goal.copy(), np.full(driver.shape[1], fit.scale)
    for child, parent, group in TREE:
        stretch[child] = fit.scale * ratios[group]
        new[:, child] = new[:, parent] + (whole[:, child] - whole[:, parent]) * stretch[child]
    if (driver[:, ANKLES, 2] >= DRAWN_FROM).any():
        new[..., 1] += (goal[:, ANKLES, 1].max(axis=1) - new[:, ANKLES, 1].max(axis=1))[:, None]
    out = driver.copy()
    out[..., :2] = new + (driver[..., :2] - whole) * stretch[:, None]  # points too faint to build on keep their way off
    return out


def face_ratio(fit: Fit) -> float:
    """The size of the face beside the whole person: the middle of its believed measures, else that of the neck."""
    found = [fit.ratios[name] for name in FACE_GROUPS if name not in fit.doubts]
    return float(np.median(found)) if found else fit.ratios["neck"]


def doubts_of(fit: Fit) -> list[str]:
    """Notes on the groups that were not fitted on their own."""
    unseen = [name for name, why in fit.doubts.items() if why == UNSEEN]
    notes = [f"{name} keep to the whole person's scale: {why}" for name, why in fit.doubts.items() if why != UNSEEN]
    return notes + ([f"not seen in both pictures, so kept to the whole person's scale: {', '.join(unseen)}"] if unseen else [])


def missing_legs(body: Measured, still: Numbers) -> list[str]:
    """Notes where one of the two shows no legs."""
    driver, reference = np.isfinite(body.length[LEGS]).any(), (still[11:17, 2] >= DRAWN_FROM).sum() > 2
    if driver and not reference:
        return ["the reference shows no legs, so the driver's feet could not be put on its floor"]
    return ["the driver shows no legs"] if reference and not driver else []


def leaving(points: Points, size: tuple[int, int]) -> list[str]:
    """A note when shown limbs lie outside the reference's picture in many frames."""
    limbs = points[:, :17]
    out = (limbs[..., :2] < 0).any(axis=-1) | (limbs[..., 0] >= size[0]) | (limbs[..., 1] >= size[1])
    frames = int((out & (limbs[..., 2] >= DRAWN_FROM)).any(axis=1).sum())
    return [f"in {frames} of {len(points)} frames the person reaches out of the picture"] if frames else []


def nearest_frame(after: Points, reference: Points) -> int:
    """The frame whose limbs are turned most like the reference's; points (F, 133, 3) and (133, 3)."""
    moved, still = extended(after), extended(reference)
    ways = [(child, parent) for child, parent, group in TREE[:14]]
    best, least = 0, np.inf
    for index, frame in enumerate(moved):
        costs = [
            apart(frame[c] - frame[p], still[c] - still[p])
            for c, p in ways
            if min(x[n, 2] for x in (frame, still) for n in (c, p)) >= DRAWN_FROM
        ]
        cost = float(np.mean(costs)) if costs else np.inf
        if cost < least:
            best, least = index, cost
    return best


def apart(a: Numbers, b: Numbers) -> float:
    """1 - cosine of the angle between two ways (2 or more,), of which the first two numbers count."""
    return 1 - float(a[:2] @ b[:2]) / max(1e-9, float(np.linalg.norm(a[:2]) * np.linalg.norm(b[:2])))


def alignment_picture(reference_picture: Picture, before: Points, after: Points, reference: Points) -> Picture:
    """What aligning did, uint8 (H, 2 W, 3): the reference picture (H, W, 3) darkened, left with the driver's skeleton before, right after.

    before, after (F, 133, 3) and the reference's own (133, 3), drawn as white lines, are in pixels of that picture. The frame shown is
    the one posed most like the reference."""
    frame = nearest_frame(after, reference)
    return np.concatenate([overlaid(reference_picture, points[frame], reference) for points in (before, after)], axis=1)


def overlaid(picture: Picture, points: Points, reference: Points) -> Picture:
    out = np.ascontiguousarray(picture // 3)
    scale = len(picture) / REFERENCE_HEIGHT
    draw_body(out, cleaned(points), scale)
    own = openpose_body(cleaned(reference))
    for a, b in LIMBS:
        if min(own[a, 2], own[b, 2]) >= DRAWN_FROM:
            cv2.line(out, fixed(own[a]), fixed(own[b]), (255, 255, 255), max(1, round(scale)), cv2.LINE_AA, SHIFT)
    return out
