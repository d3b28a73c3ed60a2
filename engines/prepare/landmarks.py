"""The 133 keypoints of COCO-WholeBody on a body: from bones and from chosen vertices of the base mesh.

The vertices are found once, geometrically, on the base mesh; its topology is the same for everybody.
"""

from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from engines.prepare.body import BODY_VERTICES, BaseBody, base_body
from engines.prepare.mesh import Floats
from engines.prepare.textures import SIZE, uv_mask

Matrix = NDArray[np.float64]
BODY_BONES = {
    5: "upperarm01.L", 6: "upperarm01.R", 7: "lowerarm01.L", 8: "lowerarm01.R", 9: "wrist.L", 10: "wrist.R", 11: "upperleg01.L",
    12: "upperleg01.R", 13: "lowerleg01.L", 14: "lowerleg01.R", 15: "foot.L", 16: "foot.R",
}  # fmt: skip


def vertex_mask(base: BaseBody, name: str) -> NDArray[np.bool_]:
    """Body vertices that a texture mask covers by more than half."""
    mask, group = uv_mask(base, name), base.group("body")
    x = np.clip((base.uv[group.uv_quads.ravel(), 0] * SIZE).astype(int), 0, SIZE - 1)
    y = np.clip(((1 - base.uv[group.uv_quads.ravel(), 1]) * SIZE).astype(int), 0, SIZE - 1)
    out = np.zeros(len(base.vertices), bool)
    out[group.quads.ravel()[mask[y, x] > 0.5]] = True
    return out


class Finder:
    """Finds face vertices near places given in the face's own frame (x to the person's left, z up; metres from between the eyes)."""

    def __init__(self, base: BaseBody) -> None:
        heads = base.head_points @ base.vertices
        self.points = base.vertices[:BODY_VERTICES]
        self.left, self.right = heads[base.index["eye.L"]], heads[base.index["eye.R"]]
        self.middle = (self.left + self.right) / 2
        head = base.bone_mask(
            "head", "jaw", "eye", "oris", "levator", "oculi", "orbicularis", "special", "temporalis", "risorius", "neck03"
        )[:BODY_VERTICES]
        inner = vertex_mask(base, "inside-mouth")[:BODY_VERTICES]
        self.face = head & ~inner & (self.points[:, 1] < self.middle[1] + 0.09)
        self.numbers = np.flatnonzero(self.face)
        self.lips = np.flatnonzero(vertex_mask(base, "lips")[:BODY_VERTICES] & ~inner)
        self.chin = float(
            self.points[self.face & (np.abs(self.points[:, 0]) < 0.01) & (self.points[:, 1] < self.middle[1] + 0.02), 2].min()
        )

    def near(self, x: float, z: float) -> int:
        """The front-most of the face vertices close to (x, z) metres from between the eyes."""
        place = self.points[self.numbers]
        distance = np.hypot(place[:, 0] - x, place[:, 2] - self.middle[2] - z) + 0.15 * (place[:, 1] - place[:, 1].min())
        return int(self.numbers[distance.argmin()])

    def jaw(self) -> list[int]:
        """17 points from the person's right ear over the chin to the left ear."""
        depth, out = self.middle[2] - self.chin, []
        for angle in np.linspace(-np.pi / 2, np.pi / 2, 17):
            x, z = 0.068 * np.sin(angle), -depth * np.cos(angle) ** 0.8 if abs(angle) < np.pi / 2 - 1e-6 else 0.0
            place = self.points[self.numbers]
            distance = np.hypot(place[:, 0] - x, place[:, 2] - self.middle[2] - z)
            out.append(int(self.numbers[distance.argmin()]))
        return out

    def lip_ring(self, outer: bool, count: int) -> list[int]:
        """Points around the mouth from the person's right corner over the top."""
        place = self.points[self.lips]
        middle = place.mean(0)
        flat = np.stack([place[:, 0] - middle[0], (place[:, 2] - middle[2]) * 2.2], axis=1)
        angle, radius = np.arctan2(flat[:, 1], flat[:, 0]), np.hypot(flat[:, 0], flat[:, 1])
        out = []
        for k in range(count):
            wanted = np.pi - 2 * np.pi * k / count
            apart = np.abs(np.angle(np.exp(1j * (angle - wanted))))
            close = apart < 0.35
            score = np.where(close, radius if outer else -radius, -np.inf) - 0.02 * apart
            out.append(int(self.lips[score.argmax()]))
        return out

    def eye_ring(self, centre: float) -> list[int]:
        """Six points of the eye at x = `centre`, from its outer-right corner over the upper lid (300-W order)."""
        shifts = [(-0.015, 0.0), (-0.006, 0.006), (0.006, 0.006), (0.015, 0.0), (0.006, -0.006), (-0.006, -0.006)]
        return [self.near(centre + x, z) for x, z in shifts]


@lru_cache(maxsize=1)
def face_vertices() -> tuple[int, ...]:
    """68 vertex numbers in 300-W order: jaw, brows, nose, eyes, mouth; from the picture's left (the person's right)."""
    finder = Finder(base_body())
    eye = float(finder.left[0] - finder.middle[0])
    brows = [
        finder.near(x, 0.021 + 0.006 * (1 - abs(abs(x) - eye) / 0.02))
        for x in (*np.linspace(-eye - 0.018, -eye + 0.018, 5), *np.linspace(eye - 0.018, eye + 0.018, 5))
    ]
    tip = finder.numbers[finder.points[finder.numbers, 1].argmin()]
    drop = float(finder.points[tip, 2] - finder.middle[2])
    nose = [finder.near(0.0, z) for z in np.linspace(0.0, drop, 4)] + [finder.near(x, drop - 0.012) for x in np.linspace(-0.013, 0.013, 5)]
    eyes = finder.eye_ring(-eye) + finder.eye_ring(eye)
    return (*finder.jaw(), *brows, *nose, *eyes, *finder.lip_ring(True, 12), *finder.lip_ring(False, 8))


@lru_cache(maxsize=1)
def ear_vertices() -> tuple[int, int]:
    """The outermost vertex of the left and of the right ear."""
    base = base_body()
    ears = np.flatnonzero(vertex_mask(base, "ears")[:BODY_VERTICES])
    x = base.vertices[ears, 0]
    return int(ears[x.argmax()]), int(ears[x.argmin()])


@lru_cache(maxsize=1)
def foot_vertices() -> tuple[int, ...]:
    """Left big toe, little toe, heel; right big toe, little toe, heel."""
    base = base_body()
    out = []
    for sign in (1.0, -1.0):
        feet = np.flatnonzero(base.bone_mask("foot", "toe")[:BODY_VERTICES] & (base.vertices[:BODY_VERTICES, 0] * sign > 0))
        place = base.vertices[feet]
        low = place[:, 2] < place[:, 2].min() + 0.04
        inner, front = place[:, 0] * sign, -place[:, 1]
        out += [
            int(feet[np.where(low, front - 0.5 * inner, -9).argmax()]),
            int(feet[np.where(low, front * 0.6 + inner, -9).argmax()]),
            int(feet[np.where(low, -front, -9).argmax()]),
        ]
    return tuple(out)


def keypoints_3d(base: BaseBody, points: Floats, places: Matrix, transforms: Floats, tails: Matrix) -> Matrix:
    """(133, 3) metres of a posed body: points (19158, 3), bone heads (bones, 3), bone transforms, bone tails at rest."""
    out = np.zeros((133, 3))
    face = points[list(face_vertices())]
    out[23:91] = face
    out[0] = face[30]
    out[1], out[2] = places[base.index["eye.L"]], places[base.index["eye.R"]]
    out[3], out[4] = points[list(ear_vertices())]
    for number, bone in BODY_BONES.items():
        out[number] = places[base.index[bone]]
    out[17:23] = points[list(foot_vertices())]
    for start, side in ((91, "L"), (112, "R")):
        out[start] = places[base.index[f"wrist.{side}"]]
        for finger in range(5):
            for joint in range(3):
                out[start + 1 + finger * 4 + joint] = places[base.index[f"finger{finger + 1}-{joint + 1}.{side}"]]
            last = base.index[f"finger{finger + 1}-3.{side}"]
            out[start + 4 + finger * 4] = transforms[last, :9].reshape(3, 3) @ tails[last] + transforms[last, 9:]
    return out
