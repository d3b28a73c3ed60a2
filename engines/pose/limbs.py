"""How long a person's limbs are in pictures: measured over a driver's clip and in one reference picture, and compared.

In a picture a limb is never longer than in the flesh, but often shorter (it points at the camera). So the clip gives a high quantile
over its frames, in units of how large the person is in that frame; the one reference picture gives its longer side, which is believed
less the shorter it looks. numpy only.
"""

import warnings
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from engines.core.keypoints import COUNT, DRAWN_FROM

Points = NDArray[np.float32]
Numbers = NDArray[np.float64]
MID_HIP, NECK = COUNT, COUNT + 1  # two more points, midway between the hips and between the shoulders
# Pairs of points a group measures, the person's left before the right; the length of a group is that of its longer side.
GROUPS: dict[str, tuple[tuple[int, int], ...]] = {
    "torso": ((NECK, MID_HIP),), "shoulders": ((5, 6),), "hips": ((11, 12),), "upper arms": ((5, 7), (6, 8)),
    "forearms": ((7, 9), (8, 10)), "thighs": ((11, 13), (12, 14)), "shins": ((13, 15), (14, 16)), "neck": ((NECK, 0),),
    "eyes": ((1, 2),), "ears": ((3, 4),), "face": ((50, 31),),
}  # fmt: skip
NAMES = tuple(GROUPS)
FACE_GROUPS = ("eyes", "ears", "face")
LIMB_GROUPS = tuple(name for name in NAMES if name not in FACE_GROUPS)
LEGS = [NAMES.index("thighs"), NAMES.index("shins")]
UPRIGHT = [NAMES.index("torso"), *LEGS]
UNSEEN = "not seen in both"
# How much a group's ratio says about the size of the whole person: long bones that mostly stand upright say most.
SAYS = dict(zip(NAMES, (4.0, 1.5, 0.7, 1.5, 1.2, 3.0, 3.0, 1.0, 0.4, 0.4, 0.6), strict=True))
CLIP_QUANTILE = 0.9  # of a limb's lengths over the frames: nearly its longest, without the outliers
SIZE_QUANTILE = 0.6  # of the ratios reference to driver, the true one being hidden below by limbs that point at the camera
PLAUSIBLE = (0.75, 1.4)  # of a limb's ratio to the whole person's; people differ less, pictures mislead more
PLAUSIBLE_AGREED = (0.65, 1.4)  # where left and right say the same
PLAUSIBLE_FACE = (0.5, 2.0)  # faces do not foreshorten so; drawn figures have large ones
# The powers to which ratios are taken: slopes of true over seen ratios of synthetic people, logarithms, rounded.
TRUST_LONG, TRUST_AGREED, TRUST_SHORT = 0.85, 0.6, 0.4
AGREE = 0.9  # of the longer side, for two sides to be of one length
FEW_FRAMES = 2  # a driver of so many frames is believed by half
ZOOM_FROM = 1.2  # by how much the person's size changes in a clip before it counts as coming nearer


def extended(points: Points) -> Numbers:
    """(..., 133, 3) -> (..., 135, 3) float64: the middle of the hips and the neck appended, with the lower score of the two ends.

    Points that are no numbers become absent (0, 0, 0)."""
    out = np.array(points, np.float64)
    out[~np.isfinite(out).all(axis=-1)] = 0
    middles = []
    for a, b in ((11, 12), (5, 6)):
        middle = (out[..., a, :] + out[..., b, :]) / 2
        middle[..., 2] = np.minimum(out[..., a, 2], out[..., b, 2])
        middles.append(middle)
    return np.concatenate([out, np.stack(middles, axis=-2)], axis=-2)


def lengths(points: Numbers) -> Numbers:
    """(F, 135, 3) -> (F, groups, 2): pixels of both sides of every group, NaN where an end is missing or there is one side only."""
    out = np.full((len(points), len(GROUPS), 2), np.nan)
    for row, pairs in enumerate(GROUPS.values()):
        for side, (a, b) in enumerate(pairs):
            length = np.linalg.norm(points[:, a, :2] - points[:, b, :2], axis=-1)
            shown = (points[:, a, 2] >= DRAWN_FROM) & (points[:, b, 2] >= DRAWN_FROM)
            out[:, row, side] = np.where(shown & (length > 0), length, np.nan)
    return out


def quantile(values: Numbers, share: float, axis: int | tuple[int, ...] | None = None) -> Numbers:
    """A quantile without the NaN; NaN where there is nothing else."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)  # "All-NaN slice"
        return np.asarray(np.nanquantile(values, share, axis=axis))


def weighted_quantile(values: Numbers, weights: Numbers, share: float) -> float:
    """The value below which `share` of the weight lies, mixed linearly between neighbours."""
    order = np.argsort(values)
    values, weights = values[order], weights[order]
    middles = (np.cumsum(weights) - weights / 2) / weights.sum()
    return float(np.interp(share, middles, values))


def smoothed(values: Numbers) -> Numbers:
    """Running median over a quarter of the clip, at least 9 frames; NaN are bridged first."""
    good = np.isfinite(values)
    if not good.any():
        return np.ones(len(values))
    frames = np.arange(len(values))
    whole = np.interp(frames, frames[good], values[good])
    reach = max(4, len(values) // 8)
    return np.array([np.median(whole[max(0, i - reach) : i + reach + 1]) for i in frames])


def sizes(length: Numbers) -> Numbers:
    """(F, groups, 2) -> (F,): how large the person is in each frame, 1 being the clip's median; all 1 unless it changes clearly."""
    longest = quantile(length, CLIP_QUANTILE, (0, 2))
    relative = length / longest[None, :, None]
    size = smoothed(quantile(relative, 0.8, (1, 2)))
    low, high = np.quantile(size, (0.05, 0.95))
    return size / np.median(size) if low > 0 and high > ZOOM_FROM * low else np.ones(len(size))


@dataclass(frozen=True)
class Measured:
    """A driver's body: `length` (groups,) pixels at the clip's median size, NaN where never seen, `size` (F,), frames that say so."""

    length: Numbers
    size: Numbers
    seen: NDArray[np.intp]


def measured(track: Numbers) -> Measured:
    """Measure a clip (F, 135, 3)."""
    length = lengths(track)
    size = sizes(length)
    level = length / size[:, None, None]
    return Measured(quantile(level, CLIP_QUANTILE, (0, 2)), size, np.isfinite(level).any(axis=2).sum(axis=0))


@dataclass(frozen=True)
class Fit:
    """`scale`: driver pixels to reference pixels for the whole person. `ratios`: by group, what its limbs are multiplied by on top;
    `doubts`: by group, why it falls back to the whole person's scale."""

    scale: float
    ratios: dict[str, float]
    doubts: dict[str, str]


def compare(driver: Measured, reference: Numbers) -> Fit | None:
    """The reference (135, 3) against the driver; None where they have no measure in common."""
    seen = lengths(reference[None])[0]
    ratio = quantile(seen, 1.0, 1) / driver.length
    common = np.isfinite(ratio)
    if not common.any():
        return None
    weights = np.array([SAYS[name] for name in NAMES])
    body = common & np.array([name in LIMB_GROUPS for name in NAMES])
    used = body if body.any() else common
    scale = weighted_quantile(ratio[used], weights[used], SIZE_QUANTILE)
    return believed(scale, ratio / scale, seen, driver.seen)


def believed(scale: float, ratio: Numbers, seen: Numbers, frames: NDArray[np.intp]) -> Fit:
    """What to make of each group's ratio to the whole person's (groups,), its sides (groups, 2) in the reference and the clip's frames."""
    ratios, doubts = dict.fromkeys(NAMES, 1.0), {}
    for row, name in enumerate(NAMES):
        value, agree = float(ratio[row]), sides_agree(name, seen[row])
        low, high = PLAUSIBLE_FACE if name in FACE_GROUPS else (PLAUSIBLE_AGREED if agree else PLAUSIBLE)
        if not np.isfinite(value):
            doubts[name] = UNSEEN
        elif not low <= value <= high:
            doubts[name] = f"a ratio of {value:.2f} to it is implausible"
        else:
            power = TRUST_LONG if value >= 1 else TRUST_AGREED if agree else TRUST_SHORT * (value - low) / (1 - low)
            ratios[name] = value ** (power * int(frames[row]) / (int(frames[row]) + FEW_FRAMES))
    return Fit(scale, ratios, doubts)


def sides_agree(name: str, sides: Numbers) -> bool:
    """Is a group as long on the left (2,) as on the right, which it hardly is when it points at the camera? The torso mostly stands."""
    return name == "torso" or bool(np.isfinite(sides).all() and sides.min() >= AGREE * sides.max())
