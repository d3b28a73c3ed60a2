"""Whose pixel it is: in a picture of one person, each goes to background, skin, hair, the garment above, the one below, or shoes.

Places say what may be where (engines.pose.garment's regions); colours decide, by a histogram for each kind. Histograms begin where a
kind is for sure (face, hands, chest, top of the thighs, crown, feet) and are learnt again from what was found, so that legs that are
lit otherwise than the face, and the folds of a sleeve, come in. Neighbours of one colour pull each other to one kind.
"""

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from engines.core.garments import Category
from engines.core.keypoints import DRAWN_FROM
from engines.pose.garment import ANKLES, ELBOWS, HIPS, KNEES, SHOULDERS, WRISTS, Body, Canvas, Mask, Picture, Points, Regions

Floats = NDArray[np.float32]
KINDS = ("background", "skin", "hair", "upper", "lower", "shoes")
BACKGROUND, SKIN, HAIR, UPPER, LOWER, SHOES = range(6)
BINS = 16  # of each channel of Lab
FEWEST = 50  # pixels that tell a colour
LEARNT = 0.5  # of a histogram, once it is learnt again; the rest stays what it began with
TURNS, ROUNDS = 3, 3  # of learning the colours, and of asking the neighbours in each
PULL, LIKE = 1.5, 12.0  # of a neighbour in log-probability; Lab levels within which it counts as of one colour
BARE_FOREARM = 1.8  # log-probability that a forearm before the torso is skin rather than more of the garment


@dataclass(frozen=True)
class Places:
    """Where each kind is for sure, (H, W) each, and how likely every kind is at each pixel before colours are seen: (6, H, W) logs."""

    sure: tuple[Mask, ...]
    likely: Floats


def depth(body: Body, shape: tuple[int, int]) -> Floats:
    """(H, W): how far down the body a pixel lies: -1 at the shoulders, 0 at the hips, about 1 at the knees."""
    y, x = np.mgrid[: shape[0], : shape[1]].astype(np.float32)
    hip = body.middle(HIPS)
    out: Floats = (((x - hip[0]) * body.down[0] + (y - hip[1]) * body.down[1]) / body.length).astype(np.float32)
    return out


def feet_of(draw: Canvas, points: Points, body: Body) -> Mask:
    """Around ankles, toes and heels that are seen."""
    out = np.zeros(draw.shape, np.uint8)
    for side, (ankle, foot) in enumerate(zip(ANKLES, (slice(17, 20), slice(20, 23)), strict=True)):
        if points[ankle, 2] >= DRAWN_FROM:
            toes = points[foot][points[foot, 2] >= DRAWN_FROM, :2]
            line = np.round([*toes, body.joints[ANKLES][side]]).astype(np.int32)
            cv2.polylines(out, [line], True, 1, max(1, round(0.3 * body.width)))
    return out > 0


def head_of(draw: Canvas, body: Body) -> Mask:
    """A disc around the head, hair included."""
    out = np.zeros(draw.shape, np.uint8)
    x, y = np.round(body.middle(SHOULDERS) - 0.55 * body.width * body.down).astype(int).tolist()
    return cv2.circle(out, (x, y), max(1, round(0.55 * body.width)), 1, -1) > 0


def forearms_of(draw: Canvas, body: Body) -> Mask:
    """Thin strokes from elbow to wrist; nothing where arms are not seen."""
    if np.allclose(body.joints[ELBOWS], body.joints[WRISTS]):
        return np.zeros(draw.shape, bool)
    return draw.strokes(body, (ELBOWS, WRISTS), 0.22 * body.width)


def thighs_of(draw: Canvas, body: Body) -> Mask:
    """The top of the thighs, which the shortest trousers cover."""
    along = body.joints[KNEES] - body.joints[HIPS]
    joints = {HIPS: body.joints[HIPS] + 0.08 * along, KNEES: body.joints[HIPS] + 0.35 * along}
    return draw.strokes(Body(joints, body.across, body.down, body.width, body.length), (HIPS, KNEES), 0.18 * body.width)


def chances(found: Regions, down: Floats, head: Mask, feet: Mask) -> Floats:
    """(5, H, W): how likely skin, hair, upper, lower and shoes are at each pixel of a person."""
    out = np.full((5, *down.shape), 0.003, np.float32)
    skin, hair, upper, lower, shoes = out
    legs = found.legs & ~found.torso
    reach = found.hem | found.waist
    skin[:], upper[:], lower[:] = 0.05, 0.01, 0.01
    upper[legs] = 0.1 * np.clip(1 - down, 0, 1)[legs] + 0.01  # a coat
    upper[found.arms | found.neck] = 0.45
    below = reach & ~found.torso
    upper[below] = np.maximum(upper, 0.55 * np.clip(1 - down / 0.55, 0, 1))[below]
    upper[found.torso] = (0.9 - 0.35 * np.clip(1 + 4 * down, 0, 1))[found.torso]
    lower[found.torso] = (0.02 + 0.5 * np.clip(1 + down / 0.3, 0, 1))[found.torso]
    lower[legs] = 0.8
    lower[reach] = np.maximum(lower, 0.6)[reach]
    skin[found.arms], skin[found.neck], skin[found.torso] = 0.45, 0.5, 0.06
    skin[legs] = (0.08 + 0.3 * np.clip((down - 0.3) / 0.9, 0, 1))[legs]
    hair[head | (down < -1.12)] = 0.4
    hair[found.neck], hair[found.torso & (down < -0.5)] = 0.15, 0.03
    shoes[feet], lower[feet], skin[feet] = 0.6, np.minimum(lower, 0.3)[feet], np.minimum(skin, 0.2)[feet]
    for place, bare, cloth in ((found.hands, 0.95, 0.03), (found.face, 0.97, 0.01)):
        skin[place], upper[place], lower[place], hair[place] = bare, cloth, cloth, 0.03
    return out


def places_of(picture: Picture, points: Points, body: Body, person: Floats, found: Regions, category: Category) -> Places:
    """For a dress, all that is worn is `upper`."""
    draw, someone = Canvas(picture), person > 0.5
    head, feet, forearms = head_of(draw, body), feet_of(draw, points, body), forearms_of(draw, body)
    kinds = chances(found, depth(body, person.shape), head, feet)
    thighs = thighs_of(draw, body) & someone & ~found.hands & ~forearms
    chest = found.chest & someone & ~found.hands & ~forearms
    if category == "dress":
        kinds[2], kinds[3] = np.maximum(kinds[2], kinds[3]), 1e-4
        chest, thighs = chest | thighs, np.zeros_like(thighs)
    there = np.clip(person, 0.02, 0.98)
    likely = np.log(np.concatenate([(1 - there)[None], there * kinds / kinds.sum(0)]) + 1e-6)
    likely[SKIN][forearms & found.torso & ~found.face] += BARE_FOREARM
    crown = head & ~found.face & ~found.torso & someone
    return Places((person < 0.1, (found.face | found.hands) & someone, crown, chest, thighs, feet & (person > 0.3)), likely)


class Colours:
    """How likely each colour of a picture is for a kind."""

    def __init__(self, picture: Picture) -> None:
        bins = (cv2.cvtColor(picture, cv2.COLOR_RGB2LAB) // (256 // BINS)).astype(np.int64)
        self.bins = (bins[..., 0] * BINS + bins[..., 1]) * BINS + bins[..., 2]

    def shares(self, weights: NDArray[np.generic]) -> Floats:
        """(B, B, B) of the colours in (H, W) weights; they sum to 1."""
        counts = np.bincount(self.bins.ravel(), weights=weights.astype(np.float32).ravel(), minlength=BINS**3)
        out: Floats = (counts / max(counts.sum(), 1e-6)).astype(np.float32).reshape((BINS,) * 3)
        return out

    def log_likelihood(self, shares: Floats, kind: int) -> Floats:
        """(H, W). Skin's lightness is taken wider than others': one lamp lights face and legs differently."""
        smooth = smoothed(shares, (1.6, 0.8, 0.8) if kind == SKIN else (1.2, 0.8, 0.8)) + 3e-6
        out: Floats = np.log(smooth / smooth.sum()).astype(np.float32).ravel()[self.bins]
        return out


def smoothed(shares: Floats, sigmas: tuple[float, float, float]) -> Floats:
    """A histogram (B, B, B) with each bin spread over its neighbours: lightness wider than colour, since folds change it."""
    out = shares
    for axis, sigma in enumerate(sigmas):
        lines = np.moveaxis(out, axis, 0).reshape(BINS, -1)
        blurred = cv2.GaussianBlur(lines, (1, 9), 0, sigmaY=sigma, borderType=cv2.BORDER_CONSTANT).reshape((BINS,) * 3)
        out = np.ascontiguousarray(np.moveaxis(blurred, 0, axis))
    return out


def softmax(logs: Floats) -> Floats:
    """Over the first axis."""
    out: Floats = np.exp(logs - logs.max(0))
    out /= out.sum(0)
    return out


class Neighbours:
    """The pull of a pixel's four neighbours: as much as their colours are alike."""

    def __init__(self, picture: Picture) -> None:
        lab = cv2.cvtColor(picture, cv2.COLOR_RGB2LAB).astype(np.float32)
        self.down = self.alike(lab[1:] - lab[:-1])
        self.right = self.alike(lab[:, 1:] - lab[:, :-1])

    @staticmethod
    def alike(differences: Floats) -> Floats:
        out: Floats = (PULL * np.exp(-(differences**2).sum(-1) / (2 * LIKE**2))).astype(np.float32)
        return out

    def pull(self, shares: Floats) -> Floats:
        """(6, H, W) -> likewise: what is added to the logs of each kind."""
        out = np.zeros_like(shares)
        out[:, 1:] += self.down * shares[:, :-1]
        out[:, :-1] += self.down * shares[:, 1:]
        out[:, :, 1:] += self.right * shares[:, :, :-1]
        out[:, :, :-1] += self.right * shares[:, :, 1:]
        return out


def kinds_of(picture: Picture, points: Points, body: Body, person: Floats, found: Regions, category: Category) -> Floats:
    """(6, H, W), in the order of KINDS: the share of each kind in each pixel of a picture (H, W, 3), which sum to 1.

    `person` (H, W) is 0 background .. 1 person. For the category "dress" both garments are one: upper.
    """
    places, colours, neighbours = places_of(picture, points, body, person, found, category), Colours(picture), Neighbours(picture)
    even = np.full((BINS,) * 3, BINS**-3, np.float32)
    known = [colours.shares(sure) if sure.sum() >= FEWEST else None for sure in places.sure]
    models = [even if own is None else own for own in known]
    for turn in range(TURNS):
        logs = places.likely + np.stack([colours.log_likelihood(model, kind) for kind, model in enumerate(models)])
        shares = softmax(logs)
        for _ in range(ROUNDS):
            shares = softmax(logs + neighbours.pull(shares))
        if turn + 1 < TURNS:
            models = [learnt(colours, share, own, even) for share, own in zip(shares, known, strict=True)]
    return shares


def learnt(colours: Colours, share: Floats, known: Floats | None, even: Floats) -> Floats:
    """The histogram of what was found to be of a kind, mixed with what it began with; `even` where too few pixels tell."""
    found = colours.shares(share) if share.sum() >= FEWEST else even
    return found if known is None else (LEARNT * found + (1 - LEARNT) * known).astype(np.float32)
