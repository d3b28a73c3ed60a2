"""Synthetic people whose joints are known, without drawing them: a driver's clip, a reference picture of somebody else, and the truth.

The truth is the reference's body doing the driver's motion before the reference's camera, around the place where it stands in the
reference. The two cameras look from the same side, but differ in distance, height, focal length, shift and size of the picture.
"""

import copy
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import scipy.sparse as sp
from numpy.typing import NDArray

from engines.core.keypoints import FEET
from engines.prepare.body import BaseBody, Shape, base_body, random_shape, target
from engines.prepare.clip import face_camera
from engines.prepare.landmarks import ear_vertices, face_vertices, foot_vertices, keypoints_3d
from engines.prepare.motion import TRAIN_MOTIONS, MotionFrame, motion_track, rig_rotations
from engines.prepare.scenery import Camera, look_at

Points = NDArray[np.float32]
Joints = NDArray[np.float64]
HANDS = {"L": 0.3, "R": 0.4, "thumb": 0.2}
MOTIONS = (*TRAIN_MOTIONS, "dance_b")
STANDING = ("walk", "dance_a", "dance_b", "punch")  # motions with frames that a reference picture could show
LENGTHS = (
    ("arms/measure-upperarm-length",), ("arms/measure-lowerarm-length",), ("legs/upperlegs-height",), ("legs/lowerlegs-height",),
    ("torso/torso-scale-vert",), ("torso/measure-shoulder-dist",),
)  # fmt: skip
JUDGED = [0, *range(5, 17)]  # nose and limb joints


@lru_cache(maxsize=1)
def light_body() -> BaseBody:
    """The base body, whose skin only moves where keypoints lie: 20 times faster to pose."""
    body = copy.copy(base_body())
    kept = np.zeros(len(body.vertices), np.float32)
    kept[[*face_vertices(), *ear_vertices(), *foot_vertices()]] = 1
    body.weights = (sp.diags(kept) @ body.weights).tocsr()
    body.weights.eliminate_zeros()
    return body


@lru_cache(maxsize=64)
def shape_of(seed: int, varied: bool = False) -> Shape:
    """An adult; `varied` adds longer or shorter arms, legs and torsos than the data set's people have."""
    rng = np.random.default_rng(seed)
    shape = random_shape(rng)
    if not varied:
        return shape
    vertices = shape.vertices.copy()
    for names in LENGTHS:
        strength, ending = float(rng.uniform(0.2, 1.0)), str(rng.choice(["incr", "decr"]))
        for name in names:
            numbers, shifts = target(f"{name}-{ending}")
            vertices[numbers] += strength * shifts
    base = base_body()
    return Shape(vertices, base.head_points @ vertices, base.tail_points @ vertices, shape.female, shape.parameters)


def height(shape: Shape) -> float:
    """Metres from sole to crown."""
    return float(np.ptp(shape.vertices[:13380, 2]))


def joints(shape: Shape, track: list[MotionFrame]) -> Joints:
    """(F, 133, 3) metres, the root's path as long as the legs ask for, facing -y in the first frame, the floor at z = 0."""
    base, turn = light_body(), face_camera(track)
    scale = float(shape.heads[base.index["upperleg01.L"]][2]) / 0.9
    out = []
    for frame in track:
        rotations = {name: turn @ r for name, r in rig_rotations(base, shape, frame, HANDS).items()}
        points, places, transforms = base.pose(shape, rotations, turn @ frame.root_place * scale)
        out.append(keypoints_3d(base, points, places, transforms, shape.tails))
    moved = np.stack(out)
    moved[..., 2] -= np.quantile(moved[:, FEET, 2].min(axis=1), 0.1)
    return moved


def seen_by(camera: Camera, joints: Joints) -> Points:
    """(F, 133, 3): x, y in pixels, score 1 (even out of the picture)."""
    out = camera.project(joints.reshape(-1, 3)).reshape(joints.shape)
    out[..., 2] = 1
    return out


def ground_path(joints: Joints) -> Joints:
    """(F, 3): the hips' middle on the floor."""
    return (joints[:, 11] + joints[:, 12]) / 2 * np.array([1.0, 1.0, 0.0])


@dataclass(frozen=True)
class Pair:
    """driver and truth (F, 133, 3), reference (133, 3), all in pixels of their pictures; `height`: the reference person's, pixels."""

    driver: Points
    size: tuple[int, int]
    reference: Points
    reference_size: tuple[int, int]
    truth: Points
    height: float


def camera(rng: np.random.Generator, azimuth: float, tall: float) -> Camera:
    size = [(512, 768), (768, 512), (640, 640)][int(rng.integers(3))]
    distance = float(rng.uniform(2.7, 5.0))
    focal = float(rng.uniform(0.45, 0.8)) * size[1] * distance / tall
    target = np.array([rng.uniform(-0.35, 0.35), 0.0, rng.uniform(0.75, 1.1)])
    return look_at(target, azimuth, distance, float(rng.uniform(-0.2, 0.5)), focal, size)


def pair(seed: int, frames: int = 24, motion: str | None = None, varied: bool = False) -> Pair:
    """Two different adults, one of MOTIONS, a reference from another motion."""
    rng = np.random.default_rng([seed, 7])
    a, b = shape_of(2 * seed, varied), shape_of(2 * seed + 1, varied)
    name = motion or str(rng.choice(MOTIONS))
    track = motion_track(name, 12, frames, float(rng.random()), float(rng.uniform(0.7, 1.15)))
    other = motion_track(str(rng.choice([m for m in STANDING if m != name])), 12, 24, float(rng.random()), 1.0)
    azimuth = float(rng.uniform(-0.5, 0.5))
    driver, truth, reference = joints(a, track), joints(b, track), joints(b, other)[[int(rng.integers(24))]]
    driver, reference = (x - np.median(ground_path(x), axis=0) for x in (driver, reference))
    truth = truth - np.median(ground_path(truth), axis=0)
    first, second = camera(rng, azimuth, height(a)), camera(rng, azimuth, height(b))
    distance = float(np.linalg.norm(second.eye[:2]))
    return Pair(
        seen_by(first, driver), first.size, seen_by(second, reference)[0], second.size, seen_by(second, truth),
        second.focal * height(b) / distance,
    )  # fmt: skip


def error(points: Points, truth: Pair) -> float:
    """Mean distance of nose and limb joints over the clip, in heights of the reference person."""
    apart = np.linalg.norm(points[:, JUDGED, :2] - truth.truth[:, JUDGED, :2], axis=-1)
    return float(apart.mean()) / truth.height
