"""Measures pose detection: how often the limbs of rendered people are found where they are, and how many frames a second it takes.

python docs/make_pose.py [--people 100] [--frames 2] [--size 576x768] [--seed 77] [--data DATA] [--film FILM]

Renders people with known joints (or takes a data set of `scd prepare-data`), detects each picture by itself, and prints JSON. A limb
joint (shoulders, elbows, wrists, hips, knees, ankles; inside the picture) is right within 5 % of the person's height, the longer side of
the box about their true points in the picture. --film adds the speed over a video file, decoding included.
"""

import argparse
import json
import os
import tempfile
import time
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from engines.core.keypoints import FACE, LEFT_HAND, RIGHT_HAND
from engines.core.manifest import read_manifest
from engines.core.report import NullReport, Report
from engines.media.images import read_image
from engines.pose.detector import Detector, people
from engines.pose.detectors import open_detector
from engines.pose.filmed import detect_film
from engines.prepare.synthetic import SyntheticRequest, prepare_synthetic

LIMBS = slice(5, 17)
NEAR, PARTS_NEAR = 0.05, 0.03  # of the person's height: a limb joint; the mean of a hand or face
PARTS = {"left hand": LEFT_HAND, "right hand": RIGHT_HAND, "face": FACE}
Points = NDArray[np.float32]


class Console(NullReport):
    def note(self, text: str) -> None:
        print(text, flush=True)


def truths(data: Path) -> list[tuple[Path, Points]]:
    """Picture and true points (133, 3) of every frame of a data set."""
    out = []
    for clip in read_manifest(data):
        with np.load(data / clip.keypoints, allow_pickle=False) as arrays:
            points = arrays["points"].reshape(clip.frames, -1, 133, 3)[:, 0]
        out += [(data / clip.frame_path(number), points[number]) for number in range(clip.frames)]
    return out


def height_of(truth: Points) -> float:
    there = truth[truth[:, 2] > 0, :2]
    return float((there.max(0) - there.min(0)).max())


def errors(found: Points, truth: Points, size: tuple[int, int]) -> NDArray[np.float64]:
    """Of the limb joints (12,), in heights; NaN for those outside the picture, infinite where nobody was found."""
    true = truth[LIMBS]
    inside = (true[:, 2] > 0) & (true[:, :2] >= 0).all(1) & (true[:, :2] < size).all(1)
    if not len(found):
        return np.where(inside, np.inf, np.nan)
    off = np.hypot(*(found[0, LIMBS, :2] - true[:, :2]).T) / height_of(truth)
    return np.where(inside, off, np.nan)


def parts(found: Points, truth: Points) -> dict[str, bool]:
    """For each hand and face that the picture shows: whether it was found, near its place."""
    shown = {name: part for name, part in PARTS.items() if (truth[part, 2] >= 0.9).mean() > 0.7}
    if not len(found):
        return dict.fromkeys(shown, False)
    off = {name: float(np.hypot(*(found[0, part, :2] - truth[part, :2]).T).mean()) for name, part in shown.items()}
    return {
        name: bool(off[name] < PARTS_NEAR * height_of(truth) and (found[0, part, 2] >= 0.3).mean() > 0.5) for name, part in shown.items()
    }


def measure(data: Path, detector: Detector) -> dict[str, Any]:
    """Figures over all frames of a data set, each as a picture of its own."""
    off, seen = [], {name: list[bool]() for name in PARTS}
    for path, truth in truths(data):
        picture = read_image(path)
        found = people(detector, picture)
        off.append(errors(found, truth, (picture.shape[1], picture.shape[0])))
        for name, right in parts(found, truth).items():
            seen[name].append(right)
    table = np.array(off)
    known = table[~np.isnan(table)]
    return {
        "pictures": len(table),
        "people missed": int(np.isinf(np.nan_to_num(table, nan=0)).any(1).sum()),
        "limb joints": len(known),
        "share right": round(float((known < NEAR).mean()), 4),
        "median error": round(float(np.median(known)), 4),
        **{f"{name}s shown and right": f"{sum(rights)} of {len(rights)}" for name, rights in seen.items()},
    }


def speed(data: Path, detector: Detector) -> float:
    """Frames a second over the longest clip as a film, from memory."""
    clip = max(read_manifest(data), key=lambda c: c.frames)
    frames = [read_image(data / clip.frame_path(number)) for number in range(clip.frames)]
    start = time.perf_counter()
    done = sum(1 for _ in detector.track(frames))
    return round(done / (time.perf_counter() - start), 1)


def film_speed(film: Path, detector: Detector) -> float:
    """Frames a second of a file, decoding included, with an empty cache."""
    with tempfile.TemporaryDirectory() as cache:
        os.environ["SCD_CACHE"] = cache
        start = time.perf_counter()
        done = len(detect_film(film, 0, None, detector, NullReport()))
        return round(done / (time.perf_counter() - start), 1)


def rendered(folder: Path, identities: int, frames: int, size: tuple[int, int], seed: int, report: Report) -> Path:
    report.note(f"rendering {identities} people")
    prepare_synthetic(
        SyntheticRequest(out=folder, identities=identities, frames=frames, size=size, fps=Fraction(24), seed=seed, workers=1), report
    )
    return folder


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--people", type=int, default=100)
    parser.add_argument("--frames", type=int, default=2)
    parser.add_argument("--size", default="576x768")
    parser.add_argument("--seed", type=int, default=77)
    parser.add_argument("--data", type=Path, help="a data set to measure on instead of rendering one")
    parser.add_argument("--film", type=Path, help="a video for the speed with decoding")
    args = parser.parse_args()
    size = tuple(int(side) for side in args.size.split("x"))
    report = Console()
    detector = open_detector(None, report)
    with tempfile.TemporaryDirectory() as folder:
        data = args.data or rendered(Path(folder) / "stills", args.people, args.frames, (size[0], size[1]), args.seed, report)
        clip = rendered(Path(folder) / "clip", 1, 48, (size[0], size[1]), args.seed + 1, report)
        figures = measure(data, detector) | {
            "frames/s as a film": speed(clip, detector),
            "detector": detector.name,
            "cores": os.cpu_count(),
        }
    if args.film:
        figures[f"frames/s of {args.film.name}"] = film_speed(args.film, detector)
    print(json.dumps(figures, indent=2))


if __name__ == "__main__":
    main()
