"""Reads the body joints of a drawn skeleton back from its pixels, and moves skeleton pictures as a whole onto a reference's body.

OpenPose and its kin draw each of 18 joints as a dot of its own hue at full brightness, and each limb as a slim ellipse of its own hue at
0.6. Dots are candidates; which of them belong together is what the limbs between them say. The limbs form a tree, so the best choice is
found exactly, as a sum over joints and limbs (OpenPose's own way of assembling people, with colours in place of affinity fields).
"""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from engines.core.keypoints import COUNT, DRAWN_FROM, LIMBS, OPENPOSE_FROM_COCO
from engines.media.video import read_frames
from engines.pose.draw import LIMB_RADIUS, LIMB_SHADE, REFERENCE_HEIGHT
from engines.pose.retarget import retarget

Picture = NDArray[np.uint8]
Points = NDArray[np.float32]
JOINTS = len(OPENPOSE_FROM_COCO)
NOSE, NECK, EARS = 0, 1, (16, 17)
WRISTS = (4, 7)  # the hands' own dots, pure blue, are drawn over them
BLUE = 12  # the joint whose hue hands' dots have
HUE_STEP = 360 / JOINTS
RADIUS = 3.0  # of dots and limbs, in pixels of the picture as it is worked on
LIT = 48  # the brightest channel of what is not black
MOST_LIT = 0.4  # share of a drawing's pixels that are lit
SURE_DOT = 0.15  # share of a dot's disc that has its hue and brightness: hands and faces hide much of some
MOST_DOTS = 64  # candidates of one joint, the best ones
BESIDE, HIDDEN = 1.0, 0.3  # what it costs when a limb is not where it should be, and when something brighter hides it
DOT_WORTH = 8 * RADIUS  # a dot beside limbs, in pixels of their length
COVERED = 0.3  # worth of a hand's dot as a wrist, where a forearm ends
NEAR_END = 2.5 * RADIUS  # how far from where a forearm is seen to end its wrist may be
HEAD = 2.0  # how far from the nose an ear may be, in lengths from neck to nose
WHOLE_DOT = 0.5  # share that says of itself that a dot is one, and no line of a hand
FEWEST = 4  # joints of a skeleton
MOST_PIECES = 8  # of one limb, into which other limbs cut it, or of several people's
FEWEST_LIMBS, SHORTEST = 3, 5 * RADIUS  # limbs of such a length between them, in pixels as worked on: confetti has none
STEPS = 32  # looks along a limb


@dataclass(frozen=True)
class Candidates:
    """Places (n, 2) where a joint may be, in pixels as worked on, and how much each is worth (n,), from 0 to 1."""

    places: NDArray[np.float64]
    worth: NDArray[np.float64]

    def with_more(self, places: NDArray[np.float64], worth: NDArray[np.float64]) -> "Candidates":
        return Candidates(np.concatenate([self.places, places]), np.concatenate([self.worth, worth]))


@dataclass(frozen=True)
class Colours:
    """Of every pixel uint8 (H, W): `hue` in 256ths of a turn, and, up to 255, how much it looks like a limb and like a dot of whatever
    hue, and like what is drawn over limbs (dots, hands, face), all of which is brighter."""

    hue: Picture
    limb: Picture
    dot: Picture
    cover: Picture

    def limbs(self, number: int) -> Picture:
        return self.of_hue(self.limb, number)

    def dots(self, number: int) -> Picture:
        return self.of_hue(self.dot, number)

    def of_hue(self, likely: Picture, number: int) -> Picture:
        """The map where the hue is that of a joint or limb, falling to 0 towards its neighbours'."""
        apart = np.abs((np.arange(256) * 360 / 256 - number * HUE_STEP + 180) % 360 - 180)
        found: Picture = cv2.multiply(likely, cv2.LUT(self.hue, levels(apart, 16, 9)), scale=1 / 255).astype(np.uint8)
        return found


def levels(values: NDArray[np.floating], zero: float, full: float) -> Picture:
    """0 up to `zero`, 255 from `full` on, a ramp between them (which falls where `full` is the lower), uint8."""
    out: Picture = np.round(255 * np.clip((values - zero) / (full - zero), 0, 1)).astype(np.uint8)
    return out


def colours_of(picture: Picture) -> Colours:
    hue, pure, bright = cv2.split(cv2.cvtColor(picture, cv2.COLOR_RGB2HSV_FULL))
    share = np.arange(256) / 255
    shades = np.minimum(levels(share, 0.2, 0.35), levels(share, 0.9, 0.75))  # limbs' tips are thin, and mix with the black
    limb = cv2.multiply(cv2.LUT(bright, shades), cv2.LUT(pure, levels(share, 0.3, 0.5)), scale=1 / 255)
    cover = cv2.LUT(bright, levels(share, LIMB_SHADE + 0.05, 0.85))
    dot = cv2.multiply(cover, cv2.LUT(pure, levels(share, 0.4, 0.6)), scale=1 / 255)
    return Colours(hue.astype(np.uint8), limb.astype(np.uint8), dot.astype(np.uint8), cover.astype(np.uint8))


def lit_box(picture: Picture) -> tuple[slice, slice] | None:
    """Rows and columns that hold what is drawn, with a margin; None where the picture is black, or too full to be a drawing."""
    lit = cv2.max(cv2.max(picture[..., 0], picture[..., 1]), picture[..., 2]) >= LIT
    if not 0 < float(lit.mean()) <= MOST_LIT:
        return None
    rows, columns = (np.flatnonzero(lit.any(axis=axis)) for axis in (1, 0))
    margin = max(4, len(picture) // 64)
    return slice(max(0, rows[0] - margin), rows[-1] + 1 + margin), slice(max(0, columns[0] - margin), columns[-1] + 1 + margin)


def limb_radius(colours: Colours, height: int) -> float:
    """Half the width of the limbs in pixels: tools draw it in proportion to the picture, or fixed in pixels whatever its size."""
    masks = [(colours.limbs(number) > 127).astype(np.uint8) for number in range(len(LIMBS))]
    areas = np.array([cv2.countNonZero(mask) for mask in masks])
    large = [masks[n] for n in np.flatnonzero(areas >= max(8, 0.3 * areas.max()))]
    usual = LIMB_RADIUS * height / REFERENCE_HEIGHT
    if not large:
        return usual
    found = float(np.median([cv2.distanceTransform(mask, cv2.DIST_L2, 5).max() for mask in large])) - 0.5
    return float(np.clip(found, usual / 3, usual * 3))


def dots(colours: Colours, number: int) -> Candidates:
    """Where dots of a joint's hue are, the most certain first."""
    likely = colours.dots(number).astype(np.float32) / 255
    size = 2 * int(RADIUS) - 1
    disc = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (size, size))
    share = cv2.filter2D(likely, -1, disc.astype(np.float32) / disc.sum(), borderType=cv2.BORDER_CONSTANT)
    peaks = ((share >= SURE_DOT) & (share >= cv2.dilate(share, disc) - 1e-4)).astype(np.uint8)
    middles = cv2.connectedComponentsWithStats(peaks)[3][1:]  # of plateaus too, as in the thick of a hand
    columns, rows = np.rint(middles).astype(int).T
    best = np.argsort(-share[rows, columns])[:MOST_DOTS]
    places = [centre(likely, rows[n], columns[n]) for n in best]
    return Candidates(np.array(places).reshape(-1, 2), np.minimum(1, share[rows, columns][best].astype(np.float64)))


def centre(likely: NDArray[np.floating], row: int, column: int) -> tuple[float, float]:
    """The middle (x, y) of what looks like a dot around a pixel."""
    reach = int(RADIUS) + 1
    top, left = max(0, row - reach), max(0, column - reach)
    part = 1e-6 + likely[top : row + reach + 1, left : column + reach + 1].astype(np.float64)
    down, along = np.mgrid[: part.shape[0], : part.shape[1]]
    return left + float((along * part).sum() / part.sum()), top + float((down * part).sum() / part.sum())


def limb_ends(colours: Colours, number: int) -> list[NDArray[np.float64]]:
    """Both ends (x, y) of the largest pieces of a limb that can be seen."""
    mask = (colours.limbs(number) > 127).astype(np.uint8)
    _, labels, facts, _ = cv2.connectedComponentsWithStats(mask)
    areas = facts[1:, cv2.CC_STAT_AREA]
    ends = []
    for label in (n + 1 for n in np.argsort(-areas)[:MOST_PIECES] if areas[n] >= RADIUS**2):
        rows, columns = np.nonzero(labels == label)
        places = np.stack([columns, rows], axis=1).astype(np.float64)
        axis = np.linalg.eigh(np.cov(places.T))[1][:, -1]
        along = places @ axis
        ends += [places[along.argmin()], places[along.argmax()]]
    return ends


def wrist(own: Candidates, hands: Candidates, ends: NDArray[np.float64]) -> Candidates:
    """Where a wrist may be: its own dots, and the hand's, which hide them, where the forearm ends (n, 2).

    A hand's lines have the wrist's hue too, so that elsewhere nothing less than a whole dot counts."""
    whole = np.flatnonzero(own.worth >= WHOLE_DOT)
    found = Candidates(own.places[whole], own.worth[whole])
    if not len(ends):
        return found
    for dots_there, rest, worth in ((own, own.worth < WHOLE_DOT, own.worth), (hands, True, np.full(len(hands.worth), COVERED))):
        apart = np.linalg.norm(dots_there.places[:, None] - ends[None], axis=2).min(axis=1) / NEAR_END
        near = np.flatnonzero((apart < 1) & rest)
        found = found.with_more(dots_there.places[near], (worth * (1 - apart))[near])
    return found


def candidates_of(colours: Colours) -> list[Candidates]:
    """By joint its dots, and, worth nothing, the ends of its limbs, should the dot be hidden."""
    found = [dots(colours, number) for number in range(JOINTS)]
    hands = found[BLUE]
    for number, limb in enumerate(LIMBS):
        ends = np.array(limb_ends(colours, number)).reshape(-1, 2)
        if limb[1] in WRISTS:
            found[limb[1]] = wrist(found[limb[1]], hands, ends)
        for joint in limb:
            found[joint] = found[joint].with_more(ends, np.zeros(len(ends)))
    return found


def limb_worth(a: Candidates, b: Candidates, likely: NDArray[np.floating], cover: NDArray[np.floating]) -> NDArray[np.float64]:
    """(n, m): how much of a limb lies between each two places, in pixels, -inf where more speaks against it."""
    ways = b.places[None] - a.places[:, None]
    length = np.linalg.norm(ways, axis=2)
    share = np.linspace(0, 1, STEPS)
    looks = np.rint(a.places[:, None, None] + ways[:, :, None] * share[None, None, :, None]).astype(int)
    seen, hidden = (image[looks[..., 1], looks[..., 0]] for image in (likely, cover))
    good = seen - HIDDEN * np.minimum(hidden, 1 - seen) - BESIDE * np.maximum(0, 1 - seen - hidden)
    along = share * length[..., None]
    between = (along > 1.2 * RADIUS) & (length[..., None] - along > 1.2 * RADIUS)  # the dots hide the ends
    found = np.where(between, good, 0).sum(axis=2) / np.maximum(1, between.sum(axis=2))
    worth = np.where(found > 0, length * found, -np.inf)
    return np.where(length < 2.5 * RADIUS, 0.0, worth)  # a limb that points at the camera is hidden by its dots


def assembled(candidates: list[Candidates], colours: Colours) -> dict[int, int]:
    """The connected choice of candidates worth most, by joint: what a joint and all beyond it are worth is known before its parent's."""
    worth = [DOT_WORTH * c.worth for c in candidates]
    cover = colours.cover.astype(np.float32) / 255
    next_choice: dict[tuple[int, int], tuple[NDArray[np.intp], NDArray[np.bool_]]] = {}
    for number, (parent, child) in reversed(list(enumerate(LIMBS))):
        if not (len(worth[parent]) and len(worth[child])):
            continue
        likely = cv2.dilate(colours.limbs(number), np.ones((3, 3), np.uint8)).astype(np.float32) / 255
        total = limb_worth(candidates[parent], candidates[child], likely, cover) + worth[child][None]
        most = total.max(axis=1)
        next_choice[parent, child] = total.argmax(axis=1), most > 0
        worth[parent] = worth[parent] + np.maximum(0, most)
    top = max(range(JOINTS), key=lambda joint: worth[joint].max(initial=0))
    if not len(worth[top]):
        return {}
    chosen = {top: int(worth[top].argmax())}
    for parent, child in LIMBS:
        if parent in chosen and (parent, child) in next_choice:
            best, good = next_choice[parent, child]
            if good[chosen[parent]]:
                chosen[child] = int(best[chosen[parent]])
    return chosen


def with_ears(chosen: dict[int, int], candidates: list[Candidates]) -> dict[int, int]:
    """The choice and its ears, from which the face's dots hide the way: whole dots of their hue beside the nose."""
    if not {NOSE, NECK} <= chosen.keys():
        return chosen
    nose, neck = (candidates[joint].places[chosen[joint]] for joint in (NOSE, NECK))
    out = dict(chosen)
    for ear in (ear for ear in EARS if ear not in chosen):
        near = np.linalg.norm(candidates[ear].places - nose, axis=1) < HEAD * np.linalg.norm(nose - neck)
        for which in np.flatnonzero((candidates[ear].worth >= WHOLE_DOT) & near)[:1]:
            out[ear] = int(which)
    return out


def is_person(chosen: dict[int, int], candidates: list[Candidates]) -> bool:
    """Are there enough dots among the chosen, and limbs between them?"""
    places = {joint: candidates[joint].places[which] for joint, which in chosen.items()}
    dots_seen = sum(candidates[joint].worth[which] > 0 for joint, which in chosen.items())
    long = [np.linalg.norm(places[a] - places[b]) > SHORTEST for a, b in LIMBS if a in places and b in places]
    return bool(dots_seen >= FEWEST and sum(long) >= FEWEST_LIMBS)


def read_skeleton(picture: Picture) -> Points:
    """The body joints float32 (133, 3) of the largest skeleton drawn in a picture uint8 (H, W, 3) RGB, in its pixels.

    Score 1 where a joint's dot was found, for wrists also where a hand's dot hides it, and limbs lead there (ears may stand alone beside a
    head). All else is 0: the whole array where nothing is drawn, or the picture is no skeleton on black. Face, hands and feet are not
    read. Raises nothing."""
    out = np.zeros((COUNT, 3), np.float32)
    box = lit_box(picture)
    if box is None:
        return out
    part = np.ascontiguousarray(picture[box])
    factor = RADIUS / limb_radius(colours_of(part), len(picture))
    size = max(1, round(part.shape[1] * factor)), max(1, round(part.shape[0] * factor))
    colours = colours_of(cv2.resize(part, size, interpolation=cv2.INTER_AREA if factor < 1 else cv2.INTER_CUBIC).astype(np.uint8))
    candidates = candidates_of(colours)
    chosen = with_ears(assembled(candidates, colours), candidates)
    if not is_person(chosen, candidates):
        return out
    seen = {joint: which for joint, which in chosen.items() if candidates[joint].worth[which] > 0}
    for joint, which in seen.items():
        number = OPENPOSE_FROM_COCO[joint]
        if number >= 0:
            x, y = (candidates[joint].places[which] + 0.5) * [part.shape[1] / size[0], part.shape[0] / size[1]] - 0.5
            out[number] = x + box[1].start, y + box[0].start, 1
    return out


def skeleton_track(path: Path, start: int, stop: int, name: str, most: int = 20) -> Points:
    """`read_skeleton` of at most `most` frames spread evenly over start .. stop - 1 of a video: float32 (F, 133, 3), F rising in time.

    Frames are decoded one after the other and not kept. ScdError as of `read_frames`, which calls the video `name`."""
    wanted = set(np.unique(np.linspace(start, stop - 1, max(0, min(most, stop - start))).round().astype(int)).tolist())
    frames: Iterator[tuple[int, Picture]] = enumerate(read_frames(path, start, stop, name), start)
    found = [read_skeleton(picture) for index, picture in frames if index in wanted]
    return np.stack(found) if found else np.zeros((0, COUNT, 3), np.float32)


def picture_fit(
    track: Points, size: tuple[int, int], reference: Points, reference_size: tuple[int, int]
) -> tuple[float, tuple[float, float], list[str]] | None:
    """How to bring skeleton pictures onto a reference's body: scale, shift in the reference's pixels, and notes for people.

    track (F, 133, 3) in pixels of pictures of `size` (width, height), reference (133, 3) in those of `reference_size`; a point p goes to
    scale * p + shift. None where the two have too little in common."""
    done = retarget(track, size, reference, reference_size, "global")
    shown = np.asarray(track)[..., 2] >= DRAWN_FROM
    if done.align != "global" or not shown.any():
        return None
    shift = np.median(done.points[shown][:, :2].astype(np.float64) - done.scale * np.asarray(track, np.float64)[shown][:, :2], axis=0)
    return done.scale, (float(shift[0]), float(shift[1])), done.notes


def warped(picture: Picture, scale: float, shift: tuple[float, float], out_size: tuple[int, int]) -> Picture:
    """A picture uint8 (H, W, 3) on a black canvas of `out_size` (width, height): what is at p goes to scale * p + shift.

    `scale` above 0. Lines become wider and thinner with it; where it shrinks by more than 2 areas are averaged, so that none breaks."""
    height, width = picture.shape[:2]
    step = max(1, int(1 / scale))
    size = max(1, width // step), max(1, height // step)
    if step > 1:
        picture = cv2.resize(picture, size, interpolation=cv2.INTER_AREA).astype(np.uint8)
    wide, high = (width / size[0], height / size[1]) if step > 1 else (1.0, 1.0)
    # the middle of pixel i is at i: of an averaged picture's pixel i it is at (i + 0.5) * wide - 0.5
    rows = [[scale * wide, 0, shift[0] + scale * (wide - 1) / 2], [0, scale * high, shift[1] + scale * (high - 1) / 2]]
    out: Picture = cv2.warpAffine(picture, np.array(rows), out_size, flags=cv2.INTER_LINEAR, borderMode=cv2.BORDER_CONSTANT).astype(
        np.uint8
    )
    return out
