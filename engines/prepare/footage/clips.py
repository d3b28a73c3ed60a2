"""From one recording to its clips on disk: poses, filters, pictures cut and shrunk, keypoints, and a record of what was dropped and why."""

import json
import os
import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from engines.media.crop import Window
from engines.pose.detector import Detector
from engines.prepare.footage.crop import cut_picture, cut_points, window_of
from engines.prepare.footage.filters import Measures, judged, measure, refusal, sharpness
from engines.prepare.footage.overlap import look
from engines.prepare.footage.poses import GIVEN, Scan, Stretch, company, scan, stretches
from engines.prepare.footage.reel import Picture, Reel, content, open_reel
from engines.prepare.footage.request import Dropped, FootageRequest, Recording
from engines.prepare.writing import save_png

LOOKS = 3  # pictures of a clip that tell whether another shows the same


@dataclass(frozen=True)
class Candidate:
    """A stretch that met all limits but sharpness, and the part of the pictures that is kept of it."""

    stretch: Stretch
    measures: Measures
    people: int
    window: Window


@dataclass(frozen=True)
class Taken:
    """What a recording came to: the records of its clips, and what was dropped."""

    clips: list[dict[str, Any]]
    dropped: list[Dropped]


def take(request: FootageRequest, recording: Recording, label: tuple[str, str], detector: Detector | None) -> Taken:
    """Write the clips of a recording; `label`: what their ids begin with, and the split. ScdError where it cannot be read; then no clip of
    it is listed."""
    reel = open_reel(recording, request.fps)
    if reel.seconds < float(request.limits.seconds):
        why = f"{reel.seconds:.2f} s, less than --min-seconds {float(request.limits.seconds):g}"
        return Taken([], [Dropped(recording.name, "too short", why, (0.0, reel.seconds))])
    found = scan(reel, detector)
    if found.drawing is not None:
        why = f"it shows no real person but is {found.drawing} in every frame that was looked at"
        return Taken([], [Dropped(recording.name, "no film", why, (0.0, reel.seconds))])
    chosen, dropped = candidates(request, reel, found)
    facts = {"sha256": content(recording), "pose": found.how, "split": label[1]} if chosen else {}
    clips = []
    for number, (candidate, pictures) in enumerate(zip(chosen, cut_up(reel, chosen), strict=True)):
        made = write_clip(request, reel, candidate, pictures, f"{label[0]}-{number:03d}", facts)
        dropped += [made] if isinstance(made, Dropped) else []
        clips += [made] if isinstance(made, dict) else []
    return Taken(clips, dropped)


def candidates(request: FootageRequest, reel: Reel, found: Scan) -> tuple[list[Candidate], list[Dropped]]:
    """What is worth cutting out, in the order of time, and what is not."""
    fps, name = float(reel.fps), reel.recording.name
    chosen: list[Candidate] = []
    dropped: list[Dropped] = []
    for start, stop in found.shots:
        span = start / fps, stop / fps
        people = company(found.people[start:stop])
        if people == 0:
            dropped.append(Dropped(name, "nobody", "nobody is seen for long enough", span))
            continue
        if people > request.limits.people:
            dropped.append(Dropped(name, "several people", f"{people} people, more than --max-people {request.limits.people}", span))
            continue
        for stretch in stretches(found.people[start:stop], start, fps, found.how != GIVEN):
            measures = measure(stretch.points, fps)
            why = refusal(measures, request.limits)
            if why:
                dropped.append(Dropped(name, *why, (stretch.start / fps, stretch.stop / fps)))
            else:
                chosen.append(Candidate(stretch, measures, people, window_of(stretch.points, reel.size, request.size)))
    return chosen, dropped


def cut_up(reel: Reel, chosen: list[Candidate]) -> Iterator[Iterator[Picture]]:
    """The pictures of each candidate, in one pass over the film; what is left of one is skipped when the next is asked for."""
    if not chosen:
        return
    first = chosen[0].stretch.start
    numbered = enumerate(reel.pictures(first, chosen[-1].stretch.stop), first)
    for candidate in chosen:
        pictures = between(numbered, candidate.stretch.start, candidate.stretch.stop)
        yield pictures
        for _ in pictures:
            pass


def between(numbered: Iterator[tuple[int, Picture]], start: int, stop: int) -> Iterator[Picture]:
    for number, picture in numbered:
        if number >= start:
            yield picture
        if number + 1 >= stop:
            return


def write_clip(
    request: FootageRequest, reel: Reel, candidate: Candidate, pictures: Iterator[Picture], clip_id: str, facts: dict[str, Any]
) -> dict[str, Any] | Dropped:
    """A whole clip in its place and its record, or why it was not kept: then nothing of it is left."""
    temporary = request.out / "clips" / f".{clip_id}.{os.getpid()}"
    shutil.rmtree(temporary, ignore_errors=True)
    (temporary / "frames").mkdir(parents=True)
    try:
        points = cut_points(candidate.stretch.points, candidate.window, request.size)
        sharp, looks = write_frames(temporary / "frames", pictures, points, candidate.window, request.size)
        if sharp < request.limits.sharpness:
            span = candidate.stretch.start / float(reel.fps), candidate.stretch.stop / float(reel.fps)
            why = f"sharpness {sharp:.2f}, less than --min-sharpness {request.limits.sharpness:g}"
            return Dropped(reel.recording.name, "blurred", why, span)
        record = record_of(request, reel, candidate, clip_id, facts | {"sharpness": round(sharp, 3), "look": looks})
        track = points[:, None].astype(np.float32)
        np.savez(temporary / "keypoints.npz", points=track, size=np.array(request.size), fps=np.array(record["fps"]))
        (temporary / "clip.json").write_text(json.dumps(record))
        shutil.rmtree(final := request.out / "clips" / clip_id, ignore_errors=True)
        os.replace(temporary, final)
        return record
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


def write_frames(folder: Path, pictures: Iterator[Picture], points: Any, window: Window, size: tuple[int, int]) -> tuple[float, list[str]]:
    """All frames as PNG; their median sharpness, and the looks of a few (see overlap)."""
    measured, looks, watch = [], [], judged(len(points))
    seen = {int(n) for n in np.linspace(0, len(points) - 1, min(LOOKS, len(points))).round()}
    for index, picture in enumerate(pictures):
        small = cut_picture(picture, window, size)
        save_png(folder / f"{index:04d}.png", np.ascontiguousarray(small[..., ::-1]))
        if index in watch:
            measured.append(sharpness(small, points[index]))
        if index in seen:
            looks.append(look(small))
    return float(np.median(measured)), looks


def record_of(request: FootageRequest, reel: Reel, candidate: Candidate, clip_id: str, facts: dict[str, Any]) -> dict[str, Any]:
    """The clip's line of metadata.jsonl; the split may still be changed by the list. `labels` None: nobody drew any."""
    stretch, window, measures, recording = candidate.stretch, candidate.window, candidate.measures, reel.recording
    return {
        "clip_id": clip_id, "split": facts["split"], "file_name": f"clips/{clip_id}/frames/0000.png",
        "frames": stretch.stop - stretch.start,
        "size": list(request.size), "fps": f"{reel.fps.numerator}/{reel.fps.denominator}", "keypoints": f"clips/{clip_id}/keypoints.npz",
        "labels": None, "label_ids": {}, "identity": recording.identity, "motion": recording.name,
        "crop": [window.left, window.top, window.width, window.height], "source_size": list(reel.size),
        "source_frames": [reel.kept[stretch.start], reel.kept[stretch.stop - 1]],
        "measures": {
            "seconds": round(measures.seconds, 3), "height": round(measures.height, 1), "joints": measures.joints,
            "motion": round(measures.motion, 4), "people": candidate.people, "sharpness": facts["sharpness"],
        },
        "look": facts["look"],
        "provenance": {"source": request.source, "file": recording.name, "sha256": facts["sha256"], "pose": facts["pose"]},
    }  # fmt: skip
