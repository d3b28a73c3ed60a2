"""Where the chest of a garment lies on somebody: a small network over their keypoints (chest.json, made by docs/make_chest.py).

Joints alone say where a shirt hangs, and not how far its front is turned or leans towards the camera: the face and the arms tell of that.
"""

import json
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from engines.core.keypoints import DRAWN_FROM
from engines.pose.garment import HIPS, SHOULDERS, Body, Points

Floats = NDArray[np.float64]
LOOKED_AT = (0, 1, 2, 3, 4, *SHOULDERS, 7, 8, *HIPS)  # face, shoulders, elbows, hips
MIRRORED = (0, 2, 1, 4, 3, 6, 5, 8, 7, 10, 9)  # the places of LOOKED_AT with left and right in each other's
FARTHEST = 4.0  # standard deviations of what was learnt on: a point beyond counts as that far
WEIGHTS = Path(__file__).with_name("chest.json")


@dataclass(frozen=True)
class Torso:
    """A body's own coordinates: from between the shoulders, `axes` (2, 2) across and down, in `unit` pixels."""

    origin: Floats
    axes: Floats
    unit: float

    def own(self, places: NDArray[np.floating]) -> Floats:
        """Pixels (n, 2) in these coordinates."""
        return np.asarray((places - self.origin) @ self.axes.T / self.unit)


def torso_of(body: Body) -> Torso:
    """The unit is the length of a torso and of its shoulders together, so that neither a bow nor a turn makes it vanish."""
    shoulders = float(np.linalg.norm(np.diff(body.joints[SHOULDERS], axis=0)))
    down = body.down
    return Torso(body.middle(SHOULDERS), np.array([[down[1], -down[0]], down]), float(np.hypot(body.length, shoulders)))


def looked_at(points: Points, body: Body) -> tuple[Floats, NDArray[np.bool_]]:
    """The keypoints that the network looks at in the torso's coordinates, (11, 2), and which of them are known, (11,)."""
    places = points[:, :2].astype(np.float64)
    places[list(HIPS)] = body.joints[HIPS]
    return torso_of(body).own(places[list(LOOKED_AT)]), np.asarray(points[list(LOOKED_AT), 2] >= DRAWN_FROM)


@lru_cache(maxsize=1)
def weights() -> dict[str, Floats]:
    read: dict[str, Any] = json.loads(WEIGHTS.read_text())
    return {name: np.array(value) for name, value in read.items() if isinstance(value, list)}


def chest_map(points: Points, body: Body) -> Floats | None:
    """The (3, 2) map A of a garment's front: (x, y, 1) @ A are torso coordinates of what is x trunk widths beside the middle of a flat
    garment and y below where it begins. None for somebody who is seen from behind."""
    places, known = looked_at(points, body)
    if places[LOOKED_AT.index(SHOULDERS[0]), 0] <= places[LOOKED_AT.index(SHOULDERS[1]), 0]:
        return None
    w = weights()
    z = np.clip((places - w["mean"]) / w["deviation"], -FARTHEST, FARTHEST) * known[:, None]
    inputs = np.concatenate([z.ravel(), known])
    inner = w["inner"] @ inputs + w["inner_bias"]
    inner = inner / (1 + np.exp(-inner))  # SiLU
    out = w["outer"] @ inner + w["straight"] @ inputs + w["bias"]
    return np.asarray(out.reshape(3, 2))


def onto_torso(middle: float, top: float, trunk: float, points: Points, body: Body) -> Floats | None:
    """The (2, 3) map from pixels of a flat garment's picture, which begins at `top`, lies around the column `middle` and has a trunk of so
    many pixels, to those of the body's. None for somebody who is seen from behind."""
    learnt = chest_map(points, body)
    if learnt is None:
        return None
    torso = torso_of(body)
    back = torso.axes.T * torso.unit  # from torso coordinates to pixels
    move = back @ learnt[:2].T / trunk
    return np.concatenate([move, (torso.origin + back @ learnt[2] - move @ np.array([middle, top]))[:, None]], axis=1)
