"""Tiny films of a figure that walks on a textured ground, with the keypoints that are true of it beside them."""

from fractions import Fraction
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from engines.core.keypoints import BODY_NAMES, COUNT, PoseTrack
from engines.media.images import write_png
from engines.media.writer import open_writer
from engines.pose.files import save_track
from engines.prepare.footage.request import FootageRequest, Limits
from tests.e2e.running import STANDING

SIZE = (96, 128)  # of the films; the figure is 99 pixels high
FPS = Fraction(12)
LIMITS = Limits(seconds=Fraction(1), height=40, people=1, joints=8, sharpness=6.0, motion=0.02)
BONES = (
    ("left_shoulder", "right_shoulder"), ("left_shoulder", "left_elbow"), ("left_elbow", "left_wrist"), ("right_shoulder", "right_elbow"),
    ("right_elbow", "right_wrist"), ("left_hip", "right_hip"), ("left_shoulder", "left_hip"), ("right_shoulder", "right_hip"),
    ("left_hip", "left_knee"), ("left_knee", "left_ankle"), ("right_hip", "right_knee"), ("right_knee", "right_ankle"),
)  # fmt: skip


def request_of(origin: Path, out: Path, source: str = "folder", **changes: Any) -> FootageRequest:
    plain: dict[str, Any] = {
        "size": (48, 64), "fps": FPS, "source_fps": FPS, "limits": LIMITS, "split_seed": 0, "val_share": 0.2, "test_share": 0.2,
    }  # fmt: skip
    return FootageRequest(source=source, origin=origin, out=out, **(plain | changes))


def figure(frames: int, speed: float = 0.4, scale: float = 1.0, shift: float = 0.0) -> NDArray[np.float32]:
    """(F, 133, 3): somebody who goes to the right by `speed` pixels a frame and lifts the arms; `scale` of 1 fills the picture."""
    points = np.zeros((frames, COUNT, 3), np.float32)
    for number, name in enumerate(BODY_NAMES):
        x, y = STANDING[name]
        points[:, number] = ((x - 48) * scale + 42 + shift, (y - 64) * scale + 64, 1.0)
        points[:, number, 0] += np.arange(frames) * speed
        if name.endswith("wrist"):
            points[:, number, 1] -= np.arange(frames) * speed
    return points


def pictures(people: list[NDArray[np.float32]], seed: int) -> NDArray[np.uint8]:
    """uint8 (F, H, W, 3): figures of (F, 133, 3) on a ground that the seed decides, the nose a bright green dot."""
    rng = np.random.default_rng(seed)
    ground = cv2.resize(rng.integers(60, 200, (16, 12, 3), np.uint8), SIZE, interpolation=cv2.INTER_CUBIC)
    cloth = rng.integers(0, 255, (SIZE[1], SIZE[0], 3), np.uint8)
    out = np.repeat(ground[None], len(people[0]), axis=0)
    for number, frame in enumerate(out):
        mask = np.zeros(SIZE[::-1], np.uint8)
        for points in people:
            place = {name: tuple(int(v) for v in points[number, index, :2]) for index, name in enumerate(BODY_NAMES)}
            for a, b in BONES:
                cv2.line(mask, place[a], place[b], 1, 7)
            cv2.circle(mask, place["nose"], 9, 1, -1)
        frame[mask > 0] = cloth[mask > 0]
        for points in people:
            cv2.circle(frame, tuple(int(v) for v in points[number, 0, :2]), 3, (0, 255, 0), -1)
    return out


def write_film(path: Path, shots: list[NDArray[np.uint8]], people: list[NDArray[np.float32]] | None, fps: Fraction = FPS) -> Path:
    """The shots one after the other; keypoints of `people`, (F, 133, 3) each over all shots, beside it."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with open_writer(path, fps, SIZE, False) as sink:
        for shot in shots:
            for picture in shot:
                sink.write(picture)
    if people is not None:
        save_track(path.with_suffix(".npz"), PoseTrack(np.stack(people, axis=1), SIZE, fps), False)
    return path


def write_walk(path: Path, seed: int, frames: int = 24, **how: Any) -> Path:
    """One shot of one figure."""
    points = figure(frames, **how)
    return write_film(path, [pictures([points], seed)], [points])


def write_frames(folder: Path, seed: int, frames: int = 24) -> Path:
    """The same as a folder of PNGs, keypoints beside it."""
    points = figure(frames)
    folder.mkdir(parents=True)
    for number, picture in enumerate(pictures([points], seed)):
        write_png(folder / f"{number + 1:04d}.png", picture, False)
    return folder
