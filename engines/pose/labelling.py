"""Whose pixel it is: in a picture of one person, each goes to background, skin, hair, the garment above, the one below, or shoes.

Places say what may be where (engines.pose.garment's regions); colours decide, by a histogram for each kind. Histograms begin where a
kind is for sure (face, hands, chest, top of the thighs, crown, feet) and are learnt again from what was found, so that legs that are
lit otherwise than the face, and the folds of a sleeve, come in. Neighbours of one colour pull each other to one kind.
"""

from dataclasses import dataclass

import cv2
import numpy as np

from engines.core.garments import Category
from engines.core.keypoints import DRAWN_FROM
from engines.pose.colours import BINS, FOLDS, LAMPS, Colours, Floats, Neighbours, softmax
from engines.pose.garment import ANKLES, ELBOWS, HIPS, KNEES, SHOULDERS, WRISTS, Body, Canvas, Mask, Picture, Points, Regions

Pair = tuple[int, int]
KINDS = ("background", "skin", "hair", "upper", "lower", "shoes")
BACKGROUND, SKIN, HAIR, UPPER, LOWER, SHOES = range(6)
FEWEST = 50  # pixels that tell a colour
LEARNT = 0.5  # of a histogram, once it is learnt again; the rest stays what it began with
TURNS, ROUNDS = 3, 3  # of learning the colours, and of asking the neighbours in each
BARE_FOREARM = 1.8  # log-probability that a forearm before the torso is skin rather than more of the garment
SETTLED = 1.5  # log-probability that a piece of a limb is what its colours are like
UNLIKE, CLEARLY = 0.35, 0.05  # of 1: so little a bare shin has in common with what covers the thighs; by so much one likeness wins


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
    cv2.circle(out, (x, y), max(1, round(0.55 * body.width)), 1, -1)
    return out > 0


def forearms_of(draw: Canvas, body: Body) -> Mask:
    """Thin strokes from elbow to wrist; nothing where arms are not seen."""
    if np.allclose(body.joints[ELBOWS], body.joints[WRISTS]):
        return np.zeros(draw.shape, bool)
    return draw.strokes(body, (ELBOWS, WRISTS), 0.22 * body.width)


def piece_of(draw: Canvas, body: Body, pair: Pair, end: Pair, shares: tuple[float, float], width: float) -> Mask:
    """Both limbs between two shares of the way from one pair of joints to another."""
    along = body.joints[end] - body.joints[pair]
    joints = {pair: body.joints[pair] + shares[0] * along, end: body.joints[pair] + shares[1] * along}
    return draw.strokes(Body(joints, body.across, body.down, body.width, body.length), (pair, end), width * body.width)


def thighs_of(draw: Canvas, body: Body) -> Mask:
    """Where even short trousers cover the thighs, and long shirts do not."""
    return piece_of(draw, body, HIPS, KNEES, (0.2, 0.42), 0.18)


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
    if (points[[*HIPS], 2] < DRAWN_FROM).any():  # nothing says where one garment ends: what has the chest's colours goes on
        kinds[2][found.hem | found.legs], thighs = np.maximum(kinds[2], 0.5)[found.hem | found.legs], np.zeros_like(thighs)
    if category == "dress":
        kinds[2], kinds[3] = np.maximum(kinds[2], kinds[3]), 1e-4
        chest, thighs = chest | thighs, np.zeros_like(thighs)
    there = np.clip(person, 0.02, 0.98)
    likely = np.log(np.concatenate([(1 - there)[None], there * kinds / kinds.sum(0)]) + 1e-6)
    crown = head & ~found.face & ~found.torso & someone
    sure = [person < 0.1, (found.face | found.hands) & someone, crown, chest, thighs, feet & (person > 0.3)]
    bare = settle(Colours(picture), draw, body, sure, likely, someone & ~found.face & ~found.hands)
    if bare:
        likely[SKIN][forearms & found.torso & ~found.face] += BARE_FOREARM
    return Places(tuple(sure), likely)


def settle(colours: Colours, draw: Canvas, body: Body, sure: list[Mask], likely: Floats, free: Mask) -> bool:
    """Decide for the pieces of limbs, both sides together, whether cloth covers them: clothes are alike on both sides, and one colour
    from top to end. What is decided joins `sure` and raises `likely`; returns whether forearms are bare as far as can be told."""
    cloth = {LOWER: sure[LOWER] if sure[LOWER].any() else sure[UPPER], UPPER: sure[UPPER]}
    skin, garment_below = sure[SKIN], LOWER if sure[LOWER].any() else UPPER
    pieces = ((SHOULDERS, ELBOWS, (0.35, 0.85), UPPER), (ELBOWS, WRISTS, (0.2, 0.8), UPPER), (KNEES, ANKLES, (0.25, 0.75), garment_below))
    bare = True
    for pair, end, part, garment in pieces:
        if np.allclose(body.joints[pair], body.joints[end]):
            continue
        piece = piece_of(draw, body, pair, end, part, 0.16) & free & (~sure[UPPER] if pair != KNEES else ~sure[LOWER])
        if min(place.sum() for place in (piece, cloth[garment], skin)) < FEWEST:
            continue
        worn, shown = colours.likeness(piece, cloth[garment]), colours.likeness(piece, skin)
        wide = piece_of(draw, body, pair, end, (0.1, 0.9), 0.4) & free
        if worn > shown + CLEARLY and worn > UNLIKE:
            sure[garment] = sure[garment] | piece
            likely[garment][wide] += SETTLED
            bare = bare and pair != ELBOWS
        elif shown > worn + CLEARLY or (pair == KNEES and worn < UNLIKE):
            sure[SKIN] = sure[SKIN] | piece
            likely[SKIN][wide] += SETTLED
    return bare


def kinds_of(picture: Picture, points: Points, body: Body, person: Floats, found: Regions, category: Category) -> Floats:
    """(6, H, W), in the order of KINDS: the share of each kind in each pixel of a picture (H, W, 3), which sum to 1.

    `person` (H, W) is 0 background .. 1 person. For the category "dress" both garments are one: upper.
    """
    places, colours, neighbours = places_of(picture, points, body, person, found, category), Colours(picture), Neighbours(picture)
    even = np.full((BINS,) * 3, BINS**-3, np.float32)
    known = [colours.shares(sure) if sure.sum() >= FEWEST else None for sure in places.sure]
    models = [even if own is None else own for own in known]
    for turn in range(TURNS):
        logs = places.likely + np.stack(
            [colours.log_likelihood(model, LAMPS if kind == SKIN else FOLDS) for kind, model in enumerate(models)]
        )
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
