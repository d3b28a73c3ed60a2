"""Running `scd` in this process, and the small inputs that end-to-end tests are run on."""

import contextlib
import io
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from engines.core.keypoints import BODY_NAMES, COUNT, PoseTrack
from engines.media.writer import open_writer
from engines.pose.draw import DrawStyle, draw_pose
from scd_cli.main import app, guarded

STANDING = {  # body points of a person with raised arms, in a picture of 96x128
    "nose": (48, 22), "left_eye": (51, 19), "right_eye": (45, 19), "left_ear": (54, 21), "right_ear": (42, 21),
    "left_shoulder": (60, 38), "right_shoulder": (36, 38), "left_elbow": (72, 50), "right_elbow": (24, 50),
    "left_wrist": (82, 36), "right_wrist": (14, 36), "left_hip": (55, 72), "right_hip": (41, 72), "left_knee": (57, 94),
    "right_knee": (39, 94), "left_ankle": (58, 118), "right_ankle": (38, 118),
}  # fmt: skip
FPS = Fraction(30000, 1001)
FRAMES = 7


@dataclass(frozen=True)
class Ran:
    """What a run of `scd` left: exit code, stdout, stderr."""

    code: int
    out: str
    err: str


def scd(*arguments: object) -> Ran:
    """Run the command line in this process, through its error boundary."""
    out, err = io.StringIO(), io.StringIO()
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        code = guarded(lambda: app([str(a) for a in arguments], standalone_mode=False))
    return Ran(code, out.getvalue(), err.getvalue())


def waving_track(frames: int = FRAMES) -> PoseTrack:
    """A person who lifts the arms a little more in every frame."""
    points = np.zeros((frames, 1, COUNT, 3), np.float32)
    for number, name in enumerate(BODY_NAMES):
        points[:, 0, number] = (*STANDING[name], 1.0)
    for number, name in enumerate(BODY_NAMES):
        if name.endswith("wrist"):
            points[:, 0, number, 1] -= np.arange(frames) % 20
    return PoseTrack(points, (96, 128), FPS)


def write_skeletons(path: Path, frames: int = FRAMES, fps: Fraction = FPS, size: tuple[int, int] = (192, 256)) -> Path:
    """A skeleton video of the waving person."""
    track = waving_track(frames)
    with open_writer(path, fps, size, True) as sink:
        for points in track.points:
            sink.write(draw_pose(points, track.size, size, DrawStyle()))
    return path


def person_picture(size: tuple[int, int] = (96, 128)) -> NDArray[np.uint8]:
    """Something with a head and a shirt, in colour: uint8 (H, W, 3)."""
    height, width = size[1], size[0]
    rows, columns = np.mgrid[0:height, 0:width].astype(float)
    rows, columns = rows / height, columns / width
    out = np.stack([90 + 80 * rows, 120 + 60 * columns, 150 + 0 * rows], -1)
    out[(rows > 0.28) & (rows < 0.6) & (abs(columns - 0.5) < 0.15)] = (200, 40, 60)
    out[(rows - 0.16) ** 2 + (columns - 0.5) ** 2 < 0.006] = (220, 180, 150)
    return out.astype(np.uint8)


def write_person(path: Path, size: tuple[int, int] = (96, 128)) -> Path:
    Image.fromarray(person_picture(size)).save(path)
    return path
