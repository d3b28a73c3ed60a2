"""One clip of a synthetic person: frames, labels, keypoints, garment pictures."""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from engines.prepare import scenery
from engines.prepare.body import BODY_VERTICES
from engines.prepare.garments import LABELS
from engines.prepare.landmarks import keypoints_3d
from engines.prepare.mesh import Floats
from engines.prepare.motion import HELD_OUT_MOTIONS, MOTION_SHARES, TRAIN_MOTIONS, MotionFrame, about, motion_track, rig_rotations
from engines.prepare.people import Person, random_person
from engines.prepare.raster import Light, Scene, render

OVERSAMPLING = 2
UP = np.array([0.0, 0.0, 1.0])
JOINT_DEPTH = 0.13  # metres a joint may lie behind the surface in front of it and still count as seen
SKIN_DEPTH = 0.02


@dataclass(frozen=True)
class ClipSpec:
    """What a clip is made from: its number, split, picture size (width, height), frames at `fps`, and the data set's seed."""

    number: int
    split: str
    size: tuple[int, int]
    frames: int
    fps: float
    seed: int

    def part(self, name: str) -> np.random.SeedSequence:
        """A seed of its own for identity, clothes, motion, camera and background."""
        order = ("identity", "clothes", "motion", "camera", "background")
        return np.random.SeedSequence([self.seed, self.number, order.index(name)])


@dataclass(frozen=True)
class Frame:
    """picture uint8 (H, W, 3), labels uint8 (H, W), keypoints float32 (133, 3)."""

    picture: NDArray[np.uint8]
    labels: NDArray[np.uint8]
    keypoints: Floats


@dataclass(frozen=True)
class Posed:
    points: Floats
    places: NDArray[np.float64]
    transforms: Floats


def random_motion(spec: ClipSpec) -> tuple[str, list[MotionFrame], dict[str, float]]:
    """A motion of the split's own clips, its frames, and the hands."""
    rng = np.random.default_rng(spec.part("motion"))
    held_out = spec.split != "train"
    name = str(HELD_OUT_MOTIONS[0] if held_out else rng.choice(TRAIN_MOTIONS, p=MOTION_SHARES))
    track = motion_track(name, spec.fps, spec.frames, float(rng.random()), float(rng.uniform(0.7, 1.15)))
    curl = {"relaxed": (0.25, 0.5), "fist": (1.0, 1.3), "open": (0.0, 0.15)}[
        str(rng.choice(["relaxed", "fist", "open"], p=[0.65, 0.15, 0.2]))
    ]
    return name, track, {"L": float(rng.uniform(*curl)), "R": float(rng.uniform(*curl)), "thumb": float(rng.uniform(0.05, 0.4))}


def face_camera(track: list[MotionFrame]) -> NDArray[np.float64]:
    """Turn about the vertical that makes the first frame face the camera (-y)."""
    forward = track[0].rotations["root"] @ np.array([0.0, -1.0, 0.0])
    return about(UP, -float(np.arctan2(forward[0], -forward[1])))


def pose_frames(person: Person, track: list[MotionFrame], hands: dict[str, float]) -> list[Posed]:
    turn, base, shape = face_camera(track), person.base, person.shape
    scale = float(shape.heads[base.index["upperleg01.L"]][2]) / 0.9
    out = []
    for frame in track:
        rotations = {name: turn @ r for name, r in rig_rotations(base, shape, frame, hands).items()}
        out.append(Posed(*base.pose(shape, rotations, turn @ frame.root_place * scale)))
    return out


def random_camera(rng: np.random.Generator, posed: list[Posed], size: tuple[int, int]) -> tuple[scenery.Camera, float]:
    """A camera that keeps the whole clip in the picture (or, for one clip in six, cuts at the knees). Also its azimuth."""
    body = np.concatenate([p.points[:BODY_VERTICES:40] for p in posed])
    low, high = body.min(0), body.max(0)
    middle = (low + high) / 2
    azimuth, distance = float(rng.uniform(-0.55, 0.55)), float(rng.uniform(2.7, 4.2))
    camera = scenery.look_at(middle, azimuth, distance, float(rng.uniform(-0.25, 0.55)), 1.0, size)
    seen = camera.project(body)
    spans = np.ptp(seen[:, :2], axis=0)
    focal = float(min(size[0] * 0.94 / spans[0], size[1] * rng.uniform(0.78, 0.93) / spans[1]))
    if rng.random() < 1 / 6:
        focal, middle = focal * 1.3, middle + np.array([0, 0, 0.17 * (high[2] - low[2])])
    return scenery.look_at(middle, azimuth, distance, float(camera.eye[2] - (low + high)[2] / 2), focal, size), azimuth


def drift(rng: np.random.Generator, frames: int, size: tuple[int, int]) -> list[NDArray[np.float64]]:
    """Slow hand-held motion of the picture as (2, 3) similarity matrices, at most about 1 % of the picture."""
    if rng.random() < 0.5:
        return [np.array([[1.0, 0, 0], [0, 1.0, 0]])] * frames
    t, (width, height), phase = np.arange(frames), size, rng.uniform(0, 6.3, 4)
    out = []
    for i in t:
        dx, dy = 0.008 * width * np.sin(0.16 * i + phase[0]), 0.006 * height * np.sin(0.13 * i + phase[1])
        scale, angle = 1 + 0.006 * np.sin(0.1 * i + phase[2]), 0.004 * np.sin(0.12 * i + phase[3])
        matrix = scale * np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
        centre = np.array([width / 2, height / 2])
        out.append(np.column_stack([matrix, centre - matrix @ centre + [dx, dy]]))
    return out


def moved(screen: Floats, matrix: NDArray[np.float64]) -> Floats:
    out = screen.copy()
    out[:, :2] = screen[:, :2] @ matrix[:, :2].T + matrix[:, 2]
    return out


def scored(keypoints: Floats, depth: Floats) -> Floats:
    """Screen keypoints (133, 3: x, y, depth) -> x, y, score: 1 seen, 0.5 hidden, 0 outside the picture."""
    height, width = depth.shape
    out = keypoints.copy()
    x, y = np.floor(keypoints[:, 0] * OVERSAMPLING).astype(int), np.floor(keypoints[:, 1] * OVERSAMPLING).astype(int)
    inside = (x >= 0) & (y >= 0) & (x < width) & (y < height)
    surface = depth[np.clip(y, 0, height - 1), np.clip(x, 0, width - 1)]
    slack = np.where((np.arange(133) >= 17) & (np.arange(133) < 91), SKIN_DEPTH, JOINT_DEPTH)
    slack[91:] = 0.03
    seen = inside & np.isfinite(surface) & (keypoints[:, 2] <= surface + slack)
    out[:, 2] = np.where(seen, 1.0, np.where(inside, 0.5, 0.0))
    return out


def kept_points(scene: Scene) -> NDArray[np.int64]:
    """Numbers of the points between which something is drawn."""
    return np.unique(scene.faces[(scene.cut[scene.faces] > 0).all(axis=1)])


class Clip:
    """A clip ready to be drawn, frame by frame. `change` (another clip's spec, upper, lower or dress): the person wears that garment of
    the other clip's person; body, motion, camera, light and background stay."""

    def __init__(self, spec: ClipSpec, change: tuple[ClipSpec, str] | None = None) -> None:
        self.spec = spec
        other = None if change is None else (change[0].part("clothes"), change[1])
        self.person = random_person(spec.part("identity"), spec.part("clothes"), other)
        self.motion, track, hands = random_motion(spec)
        self.posed = pose_frames(self.person, track, hands)
        rng = np.random.default_rng(spec.part("camera"))
        self.camera, azimuth = random_camera(rng, self.posed, spec.size)
        self.light: Light = scenery.random_light(rng, azimuth)
        self.drift = drift(rng, spec.frames, spec.size)
        self.ground = float(min(p.points[:BODY_VERTICES, 2].min() for p in self.posed))
        self.shadow = float(rng.uniform(0.25, 0.6))
        back = np.array(
            [[self.camera.eye[0] + self.camera.rows[2, 0] * 5.5, self.camera.eye[1] + self.camera.rows[2, 1] * 5.5, self.ground]]
        )
        horizon = int(np.clip(self.camera.project(back)[0, 1], 0.45 * spec.size[1], 1.2 * spec.size[1]))
        self.background, self.scene_kind = scenery.random_background(np.random.default_rng(spec.part("background")), spec.size, horizon)
        self.azimuth = azimuth

    def frames(self) -> Iterator[Frame]:
        for posed, matrix in zip(self.posed, self.drift, strict=True):
            yield self.draw(posed, matrix)

    def draw(self, posed: Posed, matrix: NDArray[np.float64]) -> Frame:
        person, (width, height) = self.person, self.spec.size
        scene = person.scene(posed.points, posed.transforms)
        screen = moved(self.camera.project(scene.points), matrix)
        large = screen * np.array([OVERSAMPLING, OVERSAMPLING, 1], np.float32)
        colours, labels, depth = render(scene, large, (width * OVERSAMPLING, height * OVERSAMPLING), self.camera.eye, self.light)
        share = cv2.resize((labels > 0).astype(np.float32), (width, height), interpolation=cv2.INTER_AREA)[..., None]
        front = cv2.resize(colours, (width, height), interpolation=cv2.INTER_AREA)
        back = self.background * scenery.contact_shadow(self.camera, posed.points[:BODY_VERTICES], self.ground, self.shadow)[..., None]
        behind = cv2.warpAffine(back, matrix, (width, height), flags=cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
        picture = np.clip(behind * (1 - share) + front * 255, 0, 255).round().astype(np.uint8)
        small = labels[OVERSAMPLING // 2 :: OVERSAMPLING, OVERSAMPLING // 2 :: OVERSAMPLING]
        places = keypoints_3d(person.base, posed.points, posed.places, posed.transforms, person.shape.tails)
        keypoints = scored(moved(self.camera.project(places), matrix), depth)
        return Frame(picture, np.ascontiguousarray(small), keypoints)

    def garment_pictures(self) -> dict[str, NDArray[np.uint8]]:
        """Each garment alone, seen from the front at rest, on white."""
        names = sorted({p.name for p in self.person.parts} & {"upper", "lower", "dress", "shoes"})
        return {name: self.garment(name)[0] for name in names}

    def garment(self, name: str) -> tuple[NDArray[np.uint8], NDArray[np.bool_]]:
        """The picture (H, W, 3) of one garment, and where in it the garment is, (H, W)."""
        width, height = self.spec.size
        scene, camera = self.at_rest(name)
        screen = camera.project(scene.points) * np.array([OVERSAMPLING, OVERSAMPLING, 1], np.float32)
        light = scenery.random_light(np.random.default_rng(0), 0.0)
        colours, labels, _ = render(scene, screen, (width * OVERSAMPLING, height * OVERSAMPLING), camera.eye, light)
        colours[labels == 0] = 1.0
        picture: NDArray[np.uint8] = (
            np.clip(cv2.resize(colours, (width, height), interpolation=cv2.INTER_AREA) * 255, 0, 255).round().astype(np.uint8)
        )
        share = cv2.resize((labels > 0).astype(np.float32), (width, height), interpolation=cv2.INTER_AREA)
        return picture, share > 0.5

    def at_rest(self, name: str) -> tuple[Scene, scenery.Camera]:
        """One garment alone at rest, and the camera that its picture is taken with."""
        shape, (width, height) = self.person.shape, self.spec.size
        still = np.tile(np.concatenate([np.eye(3).ravel(), np.zeros(3)]).astype(np.float32), (len(self.person.base.names), 1))
        scene = self.person.scene(shape.vertices.astype(np.float32), still, only=name)
        kept = scene.points[kept_points(scene)]
        low, high = kept.min(0), kept.max(0)
        camera = scenery.look_at(((low + high) / 2).astype(float), 0.0, 6.0, 0.0, 1.0, (width, height))
        spans = np.ptp(camera.project(kept)[:, :2], axis=0)
        return scene, replace(camera, focal=float(0.9 * min(width / spans[0], height / spans[1])))

    def facts(self) -> dict[str, Any]:
        """What goes into the clip's metadata."""
        names = sorted({p.name for p in self.person.parts} & {"upper", "lower", "dress", "shoes"})
        body = {k: v for k, v in self.person.facts.items() if k not in ("cut", "print")}
        return {
            "identity": f"id{self.spec.number:06d}", "motion": self.motion, "label_ids": LABELS, "garments": names, "body": body,
            "clothes": {k: self.person.facts[k] for k in ("cut", "print")},
            "camera": {"azimuth": round(self.azimuth, 4), "focal": round(self.camera.focal, 2), "background": self.scene_kind},
        }  # fmt: skip
