"""Who is in a recording: everybody's points in every kept frame, and the stretches of a shot in which one person can be followed."""

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from engines.core.errors import ScdError
from engines.core.keypoints import BODY
from engines.pose.detector import Detector
from engines.pose.drivers import LOOKED_AT, Content, content_of
from engines.pose.files import load_track
from engines.pose.filmed import LIMIT_SECONDS, WINDOW
from engines.pose.persons import Points, Track, cuts, filled, linked, one_person, runs, shown, sides_kept, size_of, smoothed, stitched
from engines.prepare.footage.reel import Picture, Reel
from engines.prepare.footage.shots import Shots

Flags = NDArray[np.bool_]
GIVEN = "keypoint file"
PRESENT = 0.2  # of a shot's frames: who is there for less counts for nobody
BESIDE = 0.4  # of the main person's size: who is smaller is part of the background
PLAUSIBLE = 0.5  # of a detection's body points seen on average, for it to count as somebody beside the main person


@dataclass(frozen=True)
class Scan:
    """`people`: for every kept frame (P, 133, 3) in the source's pixels; `shots`: (start, stop) in kept frames; `how`: what found them;
    `drawing`: what it is where it shows no real person, as a skeleton video."""

    people: list[Points]
    shots: list[tuple[int, int]]
    how: str
    drawing: str | None


@dataclass(frozen=True)
class Stretch:
    """One person's points (F, 133, 3), there in every one of the kept frames start .. stop - 1."""

    start: int
    stop: int
    points: Points


def scan(reel: Reel, detector: Detector | None) -> Scan:
    """One pass over the frames: cuts, and the poses of all, unless a keypoint file has them. ScdError for frames or keypoints that cannot
    be read or do not belong together."""
    given = None if reel.recording.keypoints is None else given_people(reel, reel.recording.keypoints)
    shots, kinds = Shots(), set[Content]()
    pictures = watched(reel.pictures(0, len(reel.kept)), shots, max(1, len(reel.kept) // LOOKED_AT), kinds)
    if given is None:
        assert detector is not None  # opened where a recording has no keypoints
        people, how = list(detector.track(pictures)), detector.name
    else:
        people, how = given, GIVEN
        for _ in pictures:
            pass
    if len(shots.changes) != len(reel.kept):
        raise ScdError(f"{reel.recording.path} gave {len(shots.changes)} of its {len(reel.kept)} frames", "convert it again")
    return Scan(people, shots.ranges(), how, None if "filmed" in kinds else " and ".join(sorted(kinds)))


def watched(pictures: Iterator[Picture], shots: Shots, every: int, kinds: set[Content]) -> Iterator[Picture]:
    """The pictures, each seen by `shots`; of some it is found out what they show."""
    for number, picture in enumerate(pictures):
        shots.see(picture)
        if number % every == 0:
            kinds.add(content_of(picture))
        yield picture


def given_people(reel: Reel, path: Path) -> list[Points]:
    """From a file with a pose for every frame of the source, brought to the source's pixels. ScdError where their numbers differ."""
    track = load_track(path)
    if len(track.points) != reel.frames:
        what = f"the keypoints {path} are of {len(track.points)} frames, and {reel.recording.path} has {reel.frames}"
        raise ScdError(what, "remove the keypoint file, so that poses are detected")
    scale = np.ones(3, np.float32) if track.assumed else np.array([a / b for a, b in zip((*reel.size, 1), (*track.size, 1), strict=True)])
    return [np.asarray(track.points[number] * scale, np.float32) for number in reel.kept]


def company(people: list[Points]) -> int:
    """How many people of about one size a shot shows, each for a while: the main one, and who is not part of the background."""
    tracks = sorted(stitched(linked(people)), key=lambda track: -track.weight())
    least = PRESENT * len(people)
    lasting = [track for track in tracks if len(track.seen) >= least]
    return sum(track is lasting[0] or beside(track, lasting[0]) for track in lasting)


def beside(track: Track, main: Track) -> bool:
    seen = np.mean([shown(points)[BODY].mean() for points in track.seen.values()])
    return bool(seen >= PLAUSIBLE and typical(track) >= BESIDE * typical(main))


def typical(track: Track) -> float:
    return float(np.median([size_of(points) for points in track.seen.values()]))


def stretches(people: list[Points], start: int, fps: float, smooth: bool) -> list[Stretch]:
    """The main person of a shot that begins at kept frame `start`, without the times at which they are away for more than half a second
    and without leaps; shorter gaps are interpolated, and detected poses smoothed."""
    main = sides_kept(one_person(people, None)) if smooth else one_person(people, None)
    limit, present = max(1, round(fps * LIMIT_SECONDS)), np.asarray(shown(main).any(1))
    leaps = cuts(main) & present & np.append(False, present[:-1])
    out = []
    for first, stop in spans(present, leaps, limit):
        points, _ = filled(main[first:stop], limit)
        out.append(Stretch(start + first, start + stop, smoothed(points, WINDOW if smooth else 0)))
    return out


def spans(present: Flags, leaps: Flags, limit: int) -> Iterator[tuple[int, int]]:
    """(start, stop) of times that begin and end with the person, hold no gap of more than `limit` frames and no leap."""
    away = runs(~present)
    breaks = {first for first, last in away if last - first >= limit} | {int(n) for n in np.flatnonzero(leaps)}
    edges = sorted({0, len(present), *breaks})
    for a, b in pairwise(edges):
        there = np.flatnonzero(present[a:b])
        if len(there):
            yield a + int(there[0]), a + int(there[-1]) + 1
