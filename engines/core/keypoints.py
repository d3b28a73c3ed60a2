"""Keypoints: the 133 of COCO-WholeBody, the 18 that OpenPose draws, and the track that carries them. numpy only.

Left and right are the person's. Score convention of this project's own data: 1 seen, 0.5 hidden but inside the picture, 0 absent;
detectors give their own scores. Points below DRAWN_FROM are not drawn.
"""

import colorsys
from dataclasses import dataclass
from fractions import Fraction

import numpy as np
from numpy.typing import NDArray

COUNT = 133
BODY, FEET, FACE = slice(0, 17), slice(17, 23), slice(23, 91)
LEFT_HAND, RIGHT_HAND = slice(91, 112), slice(112, 133)
DRAWN_FROM = 0.3

BODY_NAMES = (
    "nose", "left_eye", "right_eye", "left_ear", "right_ear", "left_shoulder", "right_shoulder", "left_elbow", "right_elbow",
    "left_wrist", "right_wrist", "left_hip", "right_hip", "left_knee", "right_knee", "left_ankle", "right_ankle",
)  # fmt: skip
FEET_NAMES = ("left_big_toe", "left_small_toe", "left_heel", "right_big_toe", "right_small_toe", "right_heel")
NAMES = (
    *BODY_NAMES, *FEET_NAMES, *(f"face_{i}" for i in range(68)),
    *(f"left_hand_{i}" for i in range(21)), *(f"right_hand_{i}" for i in range(21)),
)  # fmt: skip


def mirrored_numbers() -> tuple[int, ...]:
    """For each of the 133 points the number of the point that takes its place when the picture is mirrored."""
    body = [0, *(n + 1 if n % 2 else n - 1 for n in range(1, 17))]
    feet = [20, 21, 22, 17, 18, 19]
    jaw, brows, bridge, nostrils = range(16, -1, -1), range(26, 16, -1), range(27, 31), range(35, 30, -1)
    eyes = [45, 44, 43, 42, 47, 46, 39, 38, 37, 36, 41, 40]
    mouth = [*range(54, 47, -1), *range(59, 54, -1), *range(64, 59, -1), *range(67, 64, -1)]
    face = [n + FACE.start for n in (*jaw, *brows, *bridge, *nostrils, *eyes, *mouth)]
    return (*body, *feet, *face, *range(112, 133), *range(91, 112))


MIRRORED = mirrored_numbers()

# OpenPose's 18 points as numbers of COCO's 17; -1 is the neck, midway between the shoulders.
OPENPOSE_FROM_COCO = (0, -1, 6, 8, 10, 5, 7, 9, 12, 14, 16, 11, 13, 15, 2, 1, 4, 3)
LIMBS = (
    (1, 2), (1, 5), (2, 3), (3, 4), (5, 6), (6, 7), (1, 8), (8, 9), (9, 10), (1, 11), (11, 12), (12, 13),
    (1, 0), (0, 14), (14, 16), (0, 15), (15, 17),
)  # fmt: skip
HAND_BONES = tuple((0 if joint == 0 else finger * 4 + joint, finger * 4 + joint + 1) for finger in range(5) for joint in range(4))
HAND_DOT = (0, 0, 255)
FACE_DOT = (255, 255, 255)


def wheel(count: int, upto: float) -> tuple[tuple[int, int, int], ...]:
    """`count` saturated hues from red on, RGB."""
    return tuple(tuple(round(255 * c) for c in colorsys.hsv_to_rgb(upto * i / count, 1, 1)) for i in range(count))  # type: ignore[misc]


BODY_COLOURS = wheel(18, 1.0)
HAND_COLOURS = wheel(20, 1.0)


@dataclass(frozen=True, slots=True)
class PoseTrack:
    """points float32 (F, P, 133, 3): x, y in pixels of a picture of `size` (width, height), and score; `fps` None for stills.

    `assumed`: the file did not say the size, which is a guess; where the picture is at hand, the points are in its own pixels.
    """

    points: NDArray[np.float32]
    size: tuple[int, int]
    fps: Fraction | None = None
    assumed: bool = False

    def __post_init__(self) -> None:
        if self.points.ndim != 4 or self.points.shape[2:] != (COUNT, 3):
            raise ValueError(f"points must be (frames, people, {COUNT}, 3), not {self.points.shape}")


def openpose_body(points: NDArray[np.float32]) -> NDArray[np.float32]:
    """(133, 3) -> OpenPose's 18 body points (18, 3); the neck takes the lower of the shoulders' scores."""
    neck = np.append((points[5, :2] + points[6, :2]) / 2, min(points[5, 2], points[6, 2]))
    rows = [neck if number < 0 else points[number] for number in OPENPOSE_FROM_COCO]
    return np.stack(rows).astype(np.float32)
