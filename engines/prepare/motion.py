"""Motion: DeepMimic's clips, resampled in time and put on the rig as global rotations.

DeepMimic: x forward, y up, z right; the rig: -y forward, z up, x to the person's left.
"""

import json
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from engines.prepare.assets import PYBULLET, locate
from engines.prepare.body import BaseBody, Shape

TRAIN_MOTIONS = ("dance_a", "walk", "run", "jump", "kick", "punch", "spin", "spinkick")
HELD_OUT_MOTIONS = ("dance_b",)
MOTION_SHARES = (0.34, 0.16, 0.12, 0.08, 0.1, 0.1, 0.05, 0.05)

Matrix = NDArray[np.float64]
AXES = np.array([[0, 0, -1], [-1, 0, 0], [0, 1, 0]], float)


@dataclass(frozen=True)
class MotionFrame:
    """Root place (3,) and rotations by joint, in DeepMimic's axes."""

    root_place: Matrix
    rotations: dict[str, Matrix]


def from_quaternion(q: NDArray[np.float64]) -> Matrix:
    w, x, y, z = q / np.linalg.norm(q)
    turn: Matrix = np.array(
        [
            [1 - 2 * (y * y + z * z), 2 * (x * y - z * w), 2 * (x * z + y * w)],
            [2 * (x * y + z * w), 1 - 2 * (x * x + z * z), 2 * (y * z - x * w)],
            [2 * (x * z - y * w), 2 * (y * z + x * w), 1 - 2 * (x * x + y * y)],
        ]
    )
    return turn


def about(axis: NDArray[np.float64], angle: float) -> Matrix:
    """Rotation by `angle` radians about an axis (Rodrigues)."""
    x, y, z = axis / max(float(np.linalg.norm(axis)), 1e-12)
    cross = np.array([[0, -z, y], [z, 0, -x], [-y, x, 0]])
    turn: Matrix = np.eye(3) + np.sin(angle) * cross + (1 - np.cos(angle)) * cross @ cross
    return turn


def onto(a: NDArray[np.float64], b: NDArray[np.float64]) -> Matrix:
    """The smallest rotation that turns direction a onto b."""
    a, b = a / np.linalg.norm(a), b / np.linalg.norm(b)
    v = np.cross(a, b)
    cross = np.array([[0, -v[2], v[1]], [v[2], 0, -v[0]], [-v[1], v[0], 0]])
    turn: Matrix = np.eye(3) + cross + cross @ cross / (1 + float(a @ b))
    return turn


def blend(a: Matrix, b: Matrix, share: float) -> Matrix:
    """A rotation between a (share 0) and b (share 1): the nearest rotation to the mixed matrices."""
    u, _, vt = np.linalg.svd((1 - share) * a + share * b)
    turn: Matrix = u @ vt
    return turn


QUATERNIONS = {"root": 3, "chest": 7, "neck": 11, "rhip": 15, "rankle": 20, "rshoulder": 24, "lhip": 29, "lankle": 34, "lshoulder": 38}
HINGES = {"rknee": 19, "relbow": 28, "lknee": 33, "lelbow": 42}


@lru_cache(maxsize=16)
def clip_frames(name: str) -> tuple[NDArray[np.float64], float]:
    """The 43 numbers a frame (duration split off) and seconds a frame."""
    path = locate(PYBULLET) / "pybullet_data" / "data" / "motions" / f"humanoid3d_{name}.txt"
    table = np.array(json.loads(path.read_text())["Frames"], float)
    return table[:, 1:], float(np.median(table[:, 0]))


def sample(table: NDArray[np.float64], position: float) -> NDArray[np.float64]:
    """The clip at a fractional frame; numbers are mixed linearly, quaternions with signs aligned (they are normalised later)."""
    low = int(np.floor(position)) % len(table)
    a, b, share = table[low], table[min(low + 1, len(table) - 1)].copy(), position - np.floor(position)
    for start in QUATERNIONS.values():
        if float(a[start : start + 4] @ b[start : start + 4]) < 0:
            b[start : start + 4] *= -1
    mixed: Matrix = (1 - share) * a + share * b
    return mixed


def motion_track(name: str, fps: float, frames: int, start: float, speed: float) -> list[MotionFrame]:
    """`frames` poses at `fps`; the clip is played forth and back where it is too short, so that nothing jumps."""
    table, seconds = clip_frames(name)
    last = len(table) - 1
    positions = start * last + np.arange(frames) * speed / fps / seconds
    folded = np.abs((positions + last) % (2 * last) - last)  # 0..last..0
    return [as_frame(sample(table, float(p))) for p in folded]


def as_frame(numbers: NDArray[np.float64]) -> MotionFrame:
    turn = {joint: from_quaternion(numbers[i : i + 4]) for joint, i in QUATERNIONS.items()}
    hinge = {joint: about(np.array([0.0, 0.0, 1.0]), float(numbers[i])) for joint, i in HINGES.items()}
    chest = turn["root"] @ turn["chest"]
    out = {"root": turn["root"], "chest": chest, "neck": chest @ turn["neck"]}
    for side in "rl":
        out[f"{side}hip"] = turn["root"] @ turn[f"{side}hip"]
        out[f"{side}knee"] = out[f"{side}hip"] @ hinge[f"{side}knee"]
        out[f"{side}ankle"] = out[f"{side}knee"] @ turn[f"{side}ankle"]
        out[f"{side}shoulder"] = chest @ turn[f"{side}shoulder"]
        out[f"{side}elbow"] = out[f"{side}shoulder"] @ hinge[f"{side}elbow"]
    return MotionFrame(AXES @ numbers[:3], {joint: AXES @ r @ AXES.T for joint, r in out.items()})


def limb(base: BaseBody, shape: Shape, side: str, upper: str, lower: str, end: str) -> tuple[Matrix, Matrix]:
    """Rotations that bring the rest pose's two limb segments to hang straight down, DeepMimic's zero pose."""
    head = {name: shape.heads[base.index[f"{name}.{side}"]] for name in (upper, lower, end)}
    down = np.array([0.0, 0.0, -1.0])
    return onto(head[lower] - head[upper], down), onto(head[end] - head[lower], down)


def rig_rotations(base: BaseBody, shape: Shape, frame: MotionFrame, hands: dict[str, float]) -> dict[str, Matrix]:
    """Global rotation of each driven bone. `hands`: finger curl per side in radians, thumb apart ("L", "R", "thumb")."""
    r = frame.rotations
    out: dict[str, Matrix] = {"root": r["root"]}
    for k, bone in enumerate(("spine05", "spine04", "spine03", "spine02", "spine01")):
        out[bone] = blend(r["root"], r["chest"], (k + 1) / 5)
    for k, bone in enumerate(("neck01", "neck02", "neck03", "head")):
        out[bone] = blend(r["chest"], r["neck"], (k + 1) / 4)
    for side, prefix in (("L", "l"), ("R", "r")):
        upper_arm, lower_arm = limb(base, shape, side, "upperarm01", "lowerarm01", "wrist")
        upper_leg, lower_leg = limb(base, shape, side, "upperleg01", "lowerleg01", "foot")
        arm, forearm = r[f"{prefix}shoulder"] @ upper_arm, r[f"{prefix}elbow"] @ lower_arm
        thigh, shin = r[f"{prefix}hip"] @ upper_leg, r[f"{prefix}knee"] @ lower_leg
        turns = {
            "upperarm01": arm, "upperarm02": arm, "lowerarm01": forearm, "lowerarm02": forearm, "wrist": forearm,
            "shoulder01": blend(r["chest"], arm, 0.35), "clavicle": blend(r["chest"], arm, 0.12),
            "upperleg01": thigh, "upperleg02": thigh, "lowerleg01": shin, "lowerleg02": shin,
            "foot": r[f"{prefix}ankle"], "pelvis": blend(r["root"], thigh, 0.1),
        }  # fmt: skip
        out |= {f"{bone}.{side}": turn for bone, turn in turns.items()}
        out |= finger_rotations(base, shape, side, forearm, hands[side], hands["thumb"])
    return out


def finger_rotations(base: BaseBody, shape: Shape, side: str, hand: Matrix, curl: float, thumb: float) -> dict[str, Matrix]:
    """Fingers bent towards the palm by `curl` a joint."""

    def head(name: str) -> NDArray[np.float64]:
        place: Matrix = shape.heads[base.index[f"{name}.{side}"]]
        return place

    across = head("finger5-1") - head("finger2-1")
    along = head("finger3-1") - head("wrist")
    palm = np.cross(across, along) * (1 if side == "L" else -1)
    out: dict[str, Matrix] = {}
    for finger in range(1, 6):
        turn = hand
        for joint in range(1, 4):
            name = f"finger{finger}-{joint}"
            direction = (
                head(f"finger{finger}-{joint + 1}") - head(name) if joint < 3 else shape.tails[base.index[f"{name}.{side}"]] - head(name)
            )
            axis = np.cross(direction, palm) * (1.0 if finger > 1 else 0.6)
            turn = turn @ about(axis, thumb if finger == 1 else curl)
            out[f"{name}.{side}"] = turn
    return out
