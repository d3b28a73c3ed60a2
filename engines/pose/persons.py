"""From detections to one steady person: linking over frames, choosing, filling what was lost, smoothing. numpy only.

A person is absent in a frame when no point of theirs scores DRAWN_FROM.
"""

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from engines.core.errors import ScdError
from engines.core.keypoints import BODY, COUNT, DRAWN_FROM, FACE, LEFT_HAND, MIRRORED, RIGHT_HAND

Points = NDArray[np.float32]
LOOSE = 0.35  # of a person's size: how far the body may move between two frames and still be theirs
LOOSER = 0.05  # more a frame in which they were not seen
MEMORY = 30  # frames after which somebody unseen is given up
ALIKE = 2.0  # sizes that differ by less may be one person who was lost for longer
CARRIERS = ((LEFT_HAND, 9), (RIGHT_HAND, 10), (FACE, 0))  # what hands and face move with: wrists and nose
LIMBS = slice(5, 17)
OTHER_SIDE, HANDS_CHANGED = list(MIRRORED[: FACE.start]), list(MIRRORED[FACE.stop :])  # the face mesh is never turned round
SWAPPED = 0.015  # of a person's size: what a frame with changed sides costs beside its movement
LEAP = 0.3  # of a person's size, by half of the body's points between two frames: a cut, not a movement


@dataclass(slots=True)
class Track:
    """One person: frame -> points (133, 3)."""

    seen: dict[int, Points] = field(default_factory=dict)

    @property
    def first(self) -> int:
        return min(self.seen)

    @property
    def last(self) -> int:
        return max(self.seen)

    def weight(self) -> float:
        """Area times presence: the sum of the areas of all frames."""
        return sum(size_of(points) ** 2 for points in self.seen.values())


def shown(points: Points) -> NDArray[np.bool_]:
    """Which points (..., 133) are there."""
    return np.asarray(points[..., 2] >= DRAWN_FROM)


def size_of(points: Points) -> float:
    """Diagonal in pixels of the box about the drawn points of (133, 3); 0 for nobody."""
    there = points[shown(points), :2]
    return float(np.hypot(*(there.max(0) - there.min(0)))) if len(there) else 0.0


def distance(a: Points, b: Points) -> float:
    """Between two poses (133, 3): mean over body points drawn in both, in sizes of the larger; infinite where none is."""
    both = shown(a)[BODY] & shown(b)[BODY]
    if not both.any():
        return np.inf
    apart = np.hypot(*(a[BODY, :2] - b[BODY, :2])[both].T)
    return float(apart.mean()) / max(size_of(a), size_of(b), 1.0)


def linked(people: list[Points]) -> list[Track]:
    """Frames of (P, 133, 3) as tracks: the nearest pairs of a frame are matched first."""
    tracks: list[Track] = []
    for number, found in enumerate(people):
        rows = [row for row in found if shown(row).any()]
        alive = [t for t in tracks if number - t.last <= MEMORY]
        for row, track in matched(rows, alive, number):
            if track is None:
                track = Track()
                tracks.append(track)
            track.seen[number] = row
    return tracks


def matched(rows: list[Points], tracks: list[Track], number: int) -> list[tuple[Points, Track | None]]:
    """Each person of a frame with their track, or None for somebody new."""
    costs = sorted((distance(row, track.seen[track.last]), r, t) for r, row in enumerate(rows) for t, track in enumerate(tracks))
    chosen: dict[int, int] = {}
    for cost, r, t in costs:
        loose = min(1.0, LOOSE + LOOSER * (number - tracks[t].last - 1))
        if cost < loose and r not in chosen and t not in chosen.values():
            chosen[r] = t
    return [(row, tracks[chosen[r]] if r in chosen else None) for r, row in enumerate(rows)]


def stitched(tracks: list[Track]) -> list[Track]:
    """Pieces that never overlap in time and are alike in size become one: somebody lost for long, or before and after a cut."""
    out: list[Track] = []
    for piece in sorted(tracks, key=lambda t: t.first):
        ended = [t for t in out if t.last < piece.first and similar(t.seen[t.last], piece.seen[piece.first])]
        if ended:
            nearest = min(ended, key=lambda t: distance(t.seen[t.last], piece.seen[piece.first]))
            nearest.seen.update(piece.seen)
        else:
            out.append(Track(dict(piece.seen)))
    return out


def similar(a: Points, b: Points) -> bool:
    sizes = sorted((size_of(a), size_of(b)))
    return sizes[1] < ALIKE * sizes[0]


def one_person(people: list[Points], person: int | None) -> Points:
    """Frames of detections (P, 133, 3) -> one person's (F, 133, 3), all zero where they are absent. `person` counts from 1 (None is 1),
    by area x presence: 1 is the largest steady one. ScdError when there are fewer."""
    tracks = sorted(stitched(linked(people)), key=lambda t: -t.weight())
    wanted = 1 if person is None else person
    if not 1 <= wanted <= len(tracks):
        have = f"only {len(tracks)}" if tracks else "none"
        hint = f"choose --person between 1 and {len(tracks)}" if tracks else "use another clip or give keypoints"
        raise ScdError(f"there is no person {wanted}: {have} can be followed", hint)
    out = np.zeros((len(people), COUNT, 3), np.float32)
    for number, points in tracks[wanted - 1].seen.items():
        out[number] = points
    return out


@dataclass(frozen=True, slots=True)
class Gaps:
    """Ranges of frames (first, last), both included, in which the person was absent: drawn between neighbours, or held from one."""

    interpolated: tuple[tuple[int, int], ...] = ()
    held: tuple[tuple[int, int], ...] = ()


def runs(off: NDArray[np.bool_]) -> list[tuple[int, int]]:
    """(first, last) of every run of True."""
    edges = np.flatnonzero(np.diff(np.concatenate([[False], off, [False]]).astype(np.int8)))
    return [(int(a), int(b) - 1) for a, b in zip(edges[::2], edges[1::2], strict=True)]


def filled(points: Points, limit: int) -> tuple[Points, Gaps]:
    """(F, 133, 3) without frames that lack the person, and which frames those were.

    Gaps of up to `limit` frames are interpolated; longer ones and those at both ends hold the nearest pose. Single joints that are lost for
    up to `limit` frames are interpolated too; those hidden for longer stay absent. ValueError if nobody is there at all.
    """
    out = points.copy()
    absent = np.asarray(~shown(points).any(1))
    if absent.all():
        raise ValueError("nobody is in any frame")
    interpolated, held = [], []
    for first, last in runs(absent):
        inner = first > 0 and last < len(points) - 1
        if inner and last - first < limit:
            between(out, first, last, np.arange(COUNT))
            interpolated.append((first, last))
        else:
            hold(out, first, last)
            held.append((first, last))
    fill_joints(out, limit)
    return out, Gaps(tuple(interpolated), tuple(held))


def between(points: Points, first: int, last: int, joints: NDArray[np.intp]) -> None:
    """Joints of frames first .. last on the line from the frame before to the frame after; a joint absent in either stays absent."""
    a, b = points[first - 1, joints], points[last + 1, joints]
    for number in range(first, last + 1):
        share = np.float32((number - first + 1) / (last - first + 2))
        points[number, joints] = a + (b - a) * share
        points[number, joints, 2] = np.minimum(a[:, 2], b[:, 2])


def carried(points: Points, first: int, last: int, joint: int) -> None:
    """`between` for one joint; that of a hand or of the face moves with the wrist or the nose, where those are seen all the while."""
    base = next((base for part, base in CARRIERS if part.start <= joint < part.stop), None)
    span = slice(first - 1, last + 2)
    if base is None or not shown(points[span, base]).all():
        return between(points, first, last, np.array([joint]))
    offsets = points[:, [joint]].copy()
    offsets[span, 0, :2] -= points[span, base, :2]
    between(offsets, first, last, np.array([0]))
    points[first : last + 1, joint] = offsets[first : last + 1, 0]
    points[first : last + 1, joint, :2] += points[first : last + 1, base, :2]


def hold(points: Points, first: int, last: int) -> None:
    """Every frame of a gap takes the nearer of its neighbours."""
    for number in range(first, last + 1):
        back, ahead = first - 1, last + 1
        use_back = back >= 0 and (ahead >= len(points) or number - back <= ahead - number)
        points[number] = points[back if use_back else ahead]


def fill_joints(points: Points, limit: int) -> None:
    there = shown(points)
    leaps = cuts(points)
    for joint in range(COUNT):
        for first, last in runs(~there[:, joint]):
            inner = first > 0 and last < len(points) - 1
            if inner and last - first < limit and not leaps[first : last + 2].any():
                carried(points, first, last, joint)


def cuts(points: Points) -> NDArray[np.bool_]:
    """(F,) True where frame f does not continue frame f - 1."""
    return np.array([number > 0 and leapt(points[number - 1], points[number]) for number in range(len(points))], bool)


def leapt(a: Points, b: Points) -> bool:
    """Whether the middle one of the body's points went too far from pose a to b (133, 3) for a movement."""
    both = shown(a)[BODY] & shown(b)[BODY]
    if not both.any():
        return True
    apart = np.hypot(*(a[BODY, :2] - b[BODY, :2])[both].T)
    return float(np.median(apart)) > LEAP * max(size_of(a), size_of(b), 1.0)


def sides_kept(points: Points) -> Points:
    """(F, 133, 3) without moments in which the left and right of somebody who turns were taken for each other.

    The cheapest path through "as found" and "sides changed" over all frames: changing sides costs a jump at both ends, and being
    changed costs SWAPPED a frame, so what the detector says for long stands.
    """
    both = np.stack([points, np.concatenate([points[:, OTHER_SIDE], points[:, FACE], points[:, HANDS_CHANGED]], axis=1)])
    cost, back = np.array([0.0, SWAPPED]), np.zeros((len(points), 2), int)
    for number in range(1, len(points)):
        steps = np.zeros((2, 2))
        if not all(leapt(points[number - 1], both[b, number]) for b in (0, 1)):  # else a cut
            steps = np.array([[travelled(both[a, number - 1], both[b, number]) for a in (0, 1)] for b in (0, 1)])
        total = cost + steps
        back[number] = total.argmin(1)
        cost = total.min(1) + np.array([0.0, SWAPPED])
    state, out = int(cost.argmin()), points.copy()
    for number in range(len(points) - 1, -1, -1):
        out[number] = both[state, number]
        state = int(back[number, state])
    return out


def travelled(a: Points, b: Points) -> float:
    """Mean way of the limbs between two frames (133, 3), in sizes of the person; 0 where nothing can be compared."""
    both = (shown(a) & shown(b))[LIMBS]
    if not both.any():
        return 0.0
    return float(np.hypot(*(a[LIMBS, :2] - b[LIMBS, :2])[both].T).mean()) / max(size_of(a), size_of(b), 1.0)


def smoothed(points: Points, window: int) -> Points:
    """Savitzky-Golay: at every frame and joint a parabola through the `window` frames about it, weighted by score (F, 133, 3).

    Neither absent points nor frames beyond a cut or beyond an absence count. A parabola follows movement without lag. 0 is off, and so is
    anything too short for a parabola. ValueError for an even or negative window.
    """
    if window < 0 or (window and window % 2 == 0):
        raise ValueError(f"the window must be odd or 0, not {window}")
    if window < 5:
        return points.copy()
    there = shown(points)
    moments, sums = gathered(points, there, window // 2)
    shift, solid = parabola_at_zero(moments, sums)
    out = points.copy()
    out[..., :2] += np.where((solid & there)[..., None], shift, 0)
    return out


def gathered(points: Points, there: NDArray[np.bool_], half: int) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Weighted moments of time (5, F, 133), and of position times time (3, F, 133, 2), over the frames that belong together.

    Time is in half windows from the frame itself, and positions are relative to the point itself: large numbers would cost digits.
    """
    moments, sums = np.zeros((5, *there.shape)), np.zeros((3, *there.shape, 2))
    base, leaps = points[..., :2].astype(float), cuts(points)
    weight = np.where(there, points[..., 2], 0).astype(float)
    for direction in (-1, 0, 1):
        joined = there.copy()
        for step in range(1, half + 1) if direction else (0,):
            other, valid = neighbours(len(points), direction * step, leaps)
            joined &= there[other] & valid[:, None]
            use, time = weight[other] * joined, direction * step / half
            for power in range(5):
                moments[power] += use * time**power
            for power in range(3):
                sums[power] += (use * time**power)[..., None] * (base[other] - base)
    return moments, sums


def neighbours(count: int, shift: int, leaps: NDArray[np.bool_]) -> tuple[NDArray[np.intp], NDArray[np.bool_]]:
    """For every frame the one `shift` away, and whether it exists and no cut lies on the step towards it."""
    other = np.arange(count) + shift
    valid = (other >= 0) & (other < count)
    other = other.clip(0, count - 1)
    entered = {-1: leaps[(other + 1).clip(0, count - 1)], 0: np.zeros(count, bool), 1: leaps[other]}[int(np.sign(shift))]
    return other, valid & ~entered


def parabola_at_zero(moments: NDArray[np.float64], sums: NDArray[np.float64]) -> tuple[NDArray[np.float64], NDArray[np.bool_]]:
    """How far the weighted least-squares parabola passes from the point (F, 133, 2), and where there were points enough for one."""
    s0, s1, s2, s3, s4 = moments
    minors = (s2 * s4 - s3 * s3, s1 * s4 - s2 * s3, s1 * s3 - s2 * s2)  # of the first row of the normal equations
    determinant = s0 * minors[0] - s1 * minors[1] + s2 * minors[2]
    solid = determinant > 1e-6
    safe = np.where(solid, determinant, 1.0)
    top = minors[0][..., None] * sums[0] - minors[1][..., None] * sums[1] + minors[2][..., None] * sums[2]
    return top / safe[..., None], solid
