"""Metrics of the person in the frames: pose accuracy, the face's identity, likeness to the reference; judged video by video."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import chain
from pathlib import Path
from typing import Any

from engines.core.errors import ScdError
from engines.core.report import Report
from engines.evaluate.features import Picture
from engines.evaluate.frames import Geometry, settle, size_of
from engines.evaluate.inputs import places_of
from engines.evaluate.pairs import Pair
from engines.evaluate.results import PerFrame
from engines.media.images import read_image
from engines.pose.files import load_track

Row = dict[str, list[float | None]]


@dataclass
class Judged:
    """Values per frame by metric and video, the weights they rest on, and what a reader must know."""

    values: dict[str, PerFrame] = field(default_factory=dict)
    weights: list[dict[str, str]] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)

    def add(self, video: str, row: Row) -> None:
        for name, values in row.items():
            self.values.setdefault(name, {})[video] = values


def counted(frames: Iterator[Picture], bar: Any) -> Iterator[Picture]:
    for frame in frames:
        yield frame
        bar.advance(1)


def run(pairs: Sequence[Pair], geometry: Geometry, report: Report, title: str, judge: Callable[[Pair, Iterator[Picture]], Row]) -> Judged:
    """`judge` gets each video and its predicted frames."""
    out = Judged()
    with report.stage(title, sum(len(pair.numbers) for pair in pairs)) as bar:
        for pair in pairs:
            out.add(pair.id, judge(pair, counted(pair.pred_frames(geometry), bar)))
    return out


def poses(
    pairs: Sequence[Pair], geometry: Geometry, report: Report, models: tuple[Path, Path] | None, keypoints: Mapping[str, Path]
) -> Judged:
    """pck and oks; the truth's poses from `keypoints` by video where they are, else detected like the predictions'."""
    from engines.evaluate.pose import PoseJudge, placed
    from engines.pose.detectors import open_detector

    detector = open_detector(models, report)
    detected = 0

    def judge(pair: Pair, frames: Iterator[Picture]) -> Row:
        nonlocal detected
        first = next(frames)
        size, frames = size_of(first), chain([first], frames)
        if pair.id in keypoints:
            track = load_track(keypoints[pair.id])
            known = placed(track, size, geometry.crop)
            places = places_of(len(known), pair.numbers)
            if max(places) >= len(known):
                raise ScdError(f"{keypoints[pair.id]} has {len(known)} frames and {pair.truth.id} needs frame {max(places)}")
            return PoseJudge(detector, size).video(frames, known[list(places)])
        detected += 1
        return PoseJudge(detector, size).video(frames, pair.truth_frames(geometry))

    out = run(pairs, geometry, report, "pose accuracy", judge)
    how = "detected likewise" if detected == len(pairs) else "from keypoint files" if not detected else f"detected in {detected} videos"
    out.notes.append(f"predicted poses by {detector.name}; the truth's {how}")
    return out


def references_of(pairs: Sequence[Pair], references: Mapping[str, Path], geometry: Geometry) -> dict[str, Picture]:
    """The reference picture of each video, cropped and resized like frames. ScdError for a video without one."""
    for pair in pairs:
        if pair.id not in references:
            raise ScdError(f"the video {pair.id} has no reference picture", "name one a video, or one for all, with --reference")
    return {pair.id: settle(geometry, read_image(references[pair.id], "the reference picture")) for pair in pairs}


def faces(pairs: Sequence[Pair], geometry: Geometry, report: Report, folder: Path | None, references: Mapping[str, Path]) -> Judged:
    """face_similarity and face_detection_rate against each video's reference; a video whose reference shows no face does not count."""
    from engines.evaluate.faces import NoFace, open_faces

    judge, pictures, faceless = open_faces(folder), references_of(pairs, references, geometry), []

    def row(pair: Pair, frames: Iterator[Picture]) -> Row:
        try:
            return judge.video(pictures[pair.id], frames)
        except NoFace:
            faceless.append(pair.id)
            return {}

    out = run(pairs, geometry, report, "faces", row)
    out.weights = [w.entry() for w in judge.weights]
    if faceless:
        out.notes.append(f"{len(faceless)} videos are left out: their reference shows no face, as {faceless[0]}")
    return out


def subjects(
    kind: str, pairs: Sequence[Pair], geometry: Geometry, report: Report, folder: Path | None, references: Mapping[str, Path]
) -> Judged:
    """<kind>_reference, where references are known, and <kind>_consistency."""
    from engines.evaluate.subjects import open_subjects

    judge = open_subjects(kind, folder)
    pictures = references_of(pairs, references, geometry) if references else {}
    out = run(pairs, geometry, report, f"likeness ({kind})", lambda pair, frames: judge.video(pictures.get(pair.id), frames))
    if judge.weights is not None:
        out.weights = [judge.weights.entry()]
    return out
