"""Clothes and hair: parts of the scene that ride on the body.

A garment is a piece of MakeHuman's tights or skirt helper, pushed out along its normals. Where it ends (hem, neck, sleeve) is a
scalar field over the surface: a fragment with a negative field is not drawn, so edges are smooth without fine meshes.
"""

from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import scipy.sparse as sp
from numpy.typing import NDArray
from scipy.spatial import cKDTree

from engines.prepare.body import BODY_VERTICES, SKIRT, TIGHTS, BaseBody, Shape, base_body, skinned
from engines.prepare.mesh import Floats, Ints, compact, normals, smoothing, subdivision, triangles

LABELS = {"background": 0, "skin": 1, "hair": 2, "upper": 3, "lower": 4, "dress": 5, "shoes": 6}


@dataclass
class Part:
    """One textured surface. Geometry is `matrix` @ posed base vertices, or own `rest` points with own `weights`.

    `corner` maps drawn vertices to geometry vertices (texture seams); `offset` (metres, per geometry vertex) goes along the normal.
    """

    name: str
    texture: NDArray[np.uint8]
    gloss: float
    faces: Ints
    uv: Floats
    cut: Floats
    matrix: sp.csr_matrix | None = None
    rest: Floats | None = None
    weights: sp.csr_matrix | None = None
    offset: Floats | None = None
    corner: Ints | None = None
    geometry_faces: Ints | None = None

    def posed(self, points: Floats, transforms: Floats) -> tuple[Floats, Floats]:
        """Drawn vertices and their normals for posed base vertices (19158, 3)."""
        if self.matrix is not None:
            own: Floats = np.asarray(self.matrix @ points)
        else:
            assert self.rest is not None
            assert self.weights is not None
            own = skinned(self.rest, self.weights, transforms)
        faces = self.faces if self.geometry_faces is None else self.geometry_faces
        facing = normals(own, faces)
        if self.offset is not None:
            own = own + facing * self.offset[:, None]
            facing = normals(own, faces)
        if self.corner is not None:
            own, facing = own[self.corner], facing[self.corner]
        return own.astype(np.float32), facing


@dataclass(frozen=True)
class Cut:
    """How clothes are cut: the numbers that, with the textures, make a set of clothes."""

    sleeve: float  # along the arm: 0 shoulder, 1 elbow, 2 wrist
    hem: float  # shirt's end below the waist, metres
    lower: str  # trousers, shorts, skirt or dress
    leg: float  # shorts' end above the knee, or the share of the skirt's length that is cut off
    loose: float  # metres between skin and shirt
    neck: float  # lower (more open) neck, metres


def random_cut(rng: np.random.Generator, female: bool) -> Cut:
    lower = rng.choice(["trousers", "shorts", "skirt", "dress"], p=[0.45, 0.2, 0.18, 0.17] if female else [0.72, 0.28, 0, 0])
    sleeve = {0: 0.12, 1: float(rng.uniform(0.45, 0.85)), 2: 1.88}[int(rng.choice(3, p=[0.18, 0.42, 0.4]))]
    leg = float(rng.uniform(0.03, 0.2)) if lower == "shorts" else float(rng.uniform(0.0, 0.55))
    return Cut(sleeve, float(rng.uniform(0.06, 0.16)), str(lower), leg, float(rng.uniform(0.016, 0.026)), float(rng.uniform(0.0, 0.05)))


def arm_share(base: BaseBody, shape: Shape) -> Floats:
    """How far along the arm a vertex lies: 0 shoulder, 1 elbow, 2 wrist; 0 elsewhere."""
    out = np.zeros(len(shape.vertices))
    for side in "LR":
        a, b, c = (shape.heads[base.index[f"{bone}.{side}"]] for bone in ("upperarm01", "lowerarm01", "wrist"))
        upper = base.bone_mask(f"upperarm01.{side}", f"upperarm02.{side}")
        lower = base.bone_mask(f"lowerarm01.{side}", f"lowerarm02.{side}", f"wrist.{side}")
        out[upper] = (shape.vertices[upper] - a) @ (b - a) / ((b - a) @ (b - a))
        out[lower] = 1 + (shape.vertices[lower] - b) @ (c - b) / ((c - b) @ (c - b))
    return out.astype(np.float32)


def garment_fields(base: BaseBody, shape: Shape, cut: Cut) -> dict[str, Floats]:
    """Fields of upper, lower, shoes over all base vertices."""
    z = shape.vertices[:, 2]

    def height(bone: str) -> float:
        return float(shape.heads[base.index[bone]][2])

    hip, neck, knee, ankle = height("upperleg01.L"), height("neck01"), height("lowerleg01.L"), height("foot.L")
    arms = base.bone_mask("upperarm", "lowerarm", "wrist", "finger", "metacarpal")
    waist = hip + 0.1
    leg_end = {"trousers": ankle + 0.015, "shorts": knee + cut.leg}.get(cut.lower, hip - 0.14)
    upper = np.where(arms, (cut.sleeve - arm_share(base, shape)) * 0.3, np.minimum(z - (waist - cut.hem), neck + 0.03 - cut.neck - z))
    lower = np.where(arms, -1.0, np.minimum(waist + 0.07 - z, z - leg_end))
    shoes = np.where(arms, -1.0, ankle + 0.045 - z)
    return {"upper": upper.astype(np.float32), "lower": lower.astype(np.float32), "shoes": shoes.astype(np.float32)}


@lru_cache(maxsize=4)
def helper_surface(name: str, smooth: int) -> tuple[sp.csr_matrix, sp.csr_matrix, Ints]:
    """(points matrix with smoothing, plain matrix for attributes, faces) of a helper mesh, subdivided once."""
    base = base_body()
    matrix, faces = subdivision(triangles(base.group(name).quads), len(base.vertices), 1)
    matrix, faces = compact(matrix, faces)
    return (smoothing(faces, matrix.shape[0], smooth, 0.6) @ matrix).tocsr(), matrix, faces


def planar_uv(places: NDArray[np.float64], shape: Shape, span: float) -> Floats:
    """Texture coordinates by projection to the front plane: `span` metres are one texture, and its middle lies on the chest, so that a
    garment has its print and its stripes at the same place on every body."""
    chest = float(shape.heads[base_body().index["spine01"]][2]) - 0.02
    return np.stack([places[:, 0] / span + 0.5, (places[:, 2] - chest) / span + 0.5], axis=1).astype(np.float32)


def cloth(
    name: str, texture: NDArray[np.uint8], values: Floats, shape: Shape, offset: float, surface: str = "helper-tights", flare: float = 0.0
) -> Part:
    """A garment part; `flare` metres are added at its lower end."""
    smoothed, plain, faces = helper_surface(surface, 5)
    places = plain @ shape.vertices
    cut = np.asarray(plain @ values, np.float32)
    wrinkle = np.sin(places[:, 2] * 38 + 5 * np.sin(places[:, 0] * 17)) * np.sin(places[:, 0] * 29 + 2 * np.sin(places[:, 2] * 19))
    inside = cut > 0
    low, high = (places[inside, 2].min(), places[inside, 2].max()) if inside.any() else (0.0, 1.0)
    down = np.clip((high - places[:, 2]) / max(high - low, 1e-6), 0, 1)
    push = offset + flare * down**2 + 0.0022 * wrinkle
    return Part(name, texture, 0.03, faces, planar_uv(places, shape, 1.1), cut, matrix=smoothed, offset=push.astype(np.float32))


def covered(base: BaseBody, shape: Shape, fields: list[Floats]) -> Floats:
    """Cut field of the skin: negative where clothes hide it, so that it never shows through."""
    tree = cKDTree(shape.vertices[TIGHTS])
    distance, nearest = tree.query(shape.vertices[:BODY_VERTICES])
    deepest = np.max([f[TIGHTS][nearest] for f in fields], axis=0)
    free = base.bone_mask("head", "neck03", "wrist", "finger", "metacarpal", "eye", "jaw", "oris", "tongue", "special", "levator")[
        :BODY_VERTICES
    ]
    hidden = np.where(free | (distance > 0.06), -1.0, deepest)
    out = np.ones(len(shape.vertices), np.float32)
    out[:BODY_VERTICES] = 0.014 - hidden
    return out


def skirt_part(texture: NDArray[np.uint8], shape: Shape, cut_off: float, name: str) -> Part:
    z = shape.vertices[:, 2]
    top, low = z[SKIRT].max(), z[SKIRT].min()
    values = np.full(len(z), -1.0, np.float32)
    values[SKIRT] = z[SKIRT] - (low + (top - low) * cut_off)
    return cloth(name, texture, values, shape, 0.016, "helper-skirt")


def body_part(base: BaseBody, skin: NDArray[np.uint8], cut: Floats) -> Part:
    group = base.group("body")
    pairs = np.stack([triangles(group.quads).ravel(), triangles(group.uv_quads).ravel()], axis=1)
    unique, inverse = np.unique(pairs, axis=0, return_inverse=True)
    vertices = sp.identity(len(base.vertices), format="csr", dtype=np.float32)[:BODY_VERTICES]
    uv = base.uv[unique[:, 1]].astype(np.float32)
    return Part(
        "skin", skin, 0.12, inverse.reshape(-1, 3), uv, cut[unique[:, 0]], matrix=vertices, corner=unique[:, 0],
        geometry_faces=triangles(group.quads),
    )  # fmt: skip


def eye_part(base: BaseBody, shape: Shape, texture: NDArray[np.uint8], side: str) -> Part:
    faces = triangles(base.group(f"helper-{side}-eye").quads)
    used = np.unique(faces)
    places = shape.vertices[used]
    middle = places.mean(0)
    radius = float(np.linalg.norm(places - middle, axis=1).max())
    uv = ((places - middle)[:, [0, 2]] / radius * 0.5 + 0.5).astype(np.float32)
    uv = np.where((places[:, 1:2] < middle[1]), uv, 0.02).astype(np.float32)
    matrix = sp.identity(len(base.vertices), format="csr", dtype=np.float32)[used]
    return Part("skin", texture, 0.5, np.searchsorted(used, faces), uv, np.ones(len(used), np.float32), matrix=matrix)


def lash_part(base: BaseBody) -> Part:
    quads = np.concatenate([base.group(name).quads for name in sorted(base.groups) if "eyelashes" in name])
    faces = triangles(quads)
    used = np.unique(faces)
    matrix = sp.identity(len(base.vertices), format="csr", dtype=np.float32)[used]
    dark = np.full((8, 8, 3), 12, np.uint8)
    uv = np.zeros((len(used), 2), np.float32)
    return Part("skin", dark, 0.0, np.searchsorted(used, faces), uv, np.ones(len(used), np.float32), matrix=matrix)


def hairline(base: BaseBody, shape: Shape, ears: NDArray[np.bool_]) -> Floats:
    """Field of the scalp over all base vertices: forehead above, sideburns before the ears, nape behind."""
    eye = shape.heads[base.index["eye.L"]]
    back = shape.vertices[:, 1] - eye[1]
    line = np.interp(back, [0.0, 0.035, 0.075, 0.1, 0.12], [0.062, 0.055, 0.0, -0.03, -0.085])
    values = shape.vertices[:, 2] - (eye[2] + line)
    values[~base.bone_mask("head", "neck", "temporalis", "oculi", "special")] = -1
    values[BODY_VERTICES:] = -1
    values[ears] = -1
    field: Floats = np.clip(values, -0.05, 1).astype(np.float32)
    return field


def scalp_part(base: BaseBody, shape: Shape, ears: NDArray[np.bool_], texture: NDArray[np.uint8], thickness: float) -> Part:
    """A shell over the scalp, thinner towards the hairline."""
    values = hairline(base, shape, ears)
    faces = triangles(base.group("body").quads)
    faces = faces[(values[faces] > -0.049).any(1)]
    matrix, faces = subdivision(faces, len(base.vertices), 1)
    matrix, faces = compact(matrix, faces)
    cut = np.asarray(matrix @ values, np.float32)
    places = matrix @ shape.vertices
    rough = 1 + 0.18 * np.sin(places[:, 0] * 160 + 9 * np.sin(places[:, 1] * 60)) * np.sin(places[:, 2] * 70)
    offset = 0.003 + thickness * np.clip(cut / 0.035, 0, 1) ** 0.7 * rough
    uv = np.stack([np.arctan2(places[:, 0], places[:, 1] + 0.05) / 2.2, places[:, 2] * 1.5], axis=1).astype(np.float32)
    smoothed = (smoothing(faces, matrix.shape[0], 2, 0.5) @ matrix).tocsr()
    return Part("hair", texture, 0.25, faces, uv, cut, matrix=smoothed, offset=offset.astype(np.float32))


def bone_rows(base: BaseBody, names: list[str], shares: NDArray[np.float64]) -> sp.csr_matrix:
    """Skinning weights (n, bones) from shares (n, len(names))."""
    out = sp.lil_matrix((len(shares), len(base.names)), dtype=np.float32)
    for column, name in enumerate(names):
        out[:, base.index[name]] = shares[:, column : column + 1]
    return out.tocsr()


def curtain_part(base: BaseBody, shape: Shape, texture: NDArray[np.uint8], length: float, wave: float) -> Part:
    """Long hair: a closed surface around the back of the head, from above the ears down past the chin by `length` metres."""
    head = shape.vertices[:BODY_VERTICES][base.bone_mask("head")[:BODY_VERTICES]]
    eye = shape.heads[base.index["eye.L"]]
    half, front, rear = np.abs(head[:, 0]).max() * 0.93, eye[1], head[:, 1].max()
    middle, depth = (front + rear) / 2 + 0.01, (rear - front) / 2
    angles, steps = np.linspace(-1.9, 1.9, 41), np.linspace(0, 1, 22)
    theta, down = np.meshgrid(angles, steps, indexing="ij")
    z = eye[2] + 0.075 - down * (0.2 + length)
    swell = 1.1 + 0.05 * np.sin(down * np.pi) + 0.03 * np.sin(theta * 11 + wave) * down + 0.12 * down * (length > 0.1)
    x, y = np.sin(theta) * half * swell, middle + np.cos(theta) * depth * swell
    places = np.stack([x, y, z], axis=-1).reshape(-1, 3)
    low = np.clip((down.ravel() - 0.45) / 0.55, 0, 1) * min(1.0, length / 0.2)
    weights = bone_rows(base, ["head", "spine01"], np.stack([1 - 0.55 * low, 0.55 * low], axis=1))
    rows, columns = theta.shape
    corner = (np.arange(rows - 1)[:, None] * columns + np.arange(columns - 1)[None]).ravel()
    faces = triangles(np.stack([corner, corner + 1, corner + columns + 1, corner + columns], axis=1))
    uv = np.stack([theta.ravel() / 2.2, z.ravel() * 1.5], axis=1).astype(np.float32)
    return Part("hair", texture, 0.25, faces, uv, np.ones(len(places), np.float32), rest=places.astype(np.float32), weights=weights)


def bun_part(base: BaseBody, shape: Shape, texture: NDArray[np.uint8], radius: float) -> Part:
    head = shape.vertices[:BODY_VERTICES][base.bone_mask("head")[:BODY_VERTICES]]
    eye = shape.heads[base.index["eye.L"]]
    middle = np.array([0.0, head[:, 1].max() + radius * 0.4, eye[2] + 0.05])
    u, v = np.meshgrid(np.linspace(0, 2 * np.pi, 25), np.linspace(0.01, np.pi - 0.01, 13), indexing="ij")
    places = middle + radius * np.stack([np.sin(v) * np.cos(u), np.sin(v) * np.sin(u), np.cos(v)], axis=-1).reshape(-1, 3)
    corner = (np.arange(24)[:, None] * 13 + np.arange(12)[None]).ravel()
    faces = triangles(np.stack([corner, corner + 13, corner + 14, corner + 1], axis=1))
    uv = np.stack([u.ravel(), v.ravel()], axis=1).astype(np.float32)
    weights = bone_rows(base, ["head"], np.ones((len(places), 1)))
    return Part("hair", texture, 0.25, faces, uv, np.ones(len(places), np.float32), rest=places.astype(np.float32), weights=weights)
