"""Triangle meshes in numpy: reading the base mesh, subdivision and smoothing as sparse matrices, normals."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import scipy.sparse as sp
from numpy.typing import NDArray

Floats = NDArray[np.float32]
Ints = NDArray[np.int64]


@dataclass(frozen=True)
class Group:
    """One named part of the base mesh: quads of vertex numbers and of texture-coordinate numbers, both (n, 4)."""

    quads: Ints
    uv_quads: Ints


def to_metres(points: NDArray[np.float64]) -> NDArray[np.float64]:
    """MakeHuman's decimetres with y up and z to the front -> metres with z up and -y to the front."""
    return 0.1 * np.stack([points[:, 0], -points[:, 2], points[:, 1]], axis=1)


def read_obj(path: Path) -> tuple[NDArray[np.float64], NDArray[np.float64], dict[str, Group]]:
    """Vertices (n, 3) in metres, texture coordinates (m, 2), groups by name."""
    vertices: list[list[float]] = []
    coordinates: list[list[float]] = []
    faces: dict[str, list[list[list[int]]]] = {}
    name = ""
    for line in path.read_text().splitlines():
        kind, _, rest = line.partition(" ")
        if kind == "v":
            vertices.append([float(x) for x in rest.split()[:3]])
        elif kind == "vt":
            coordinates.append([float(x) for x in rest.split()[:2]])
        elif kind == "g":
            name = rest.strip()
        elif kind == "f":
            faces.setdefault(name, []).append([[int(i) - 1 for i in corner.split("/")] for corner in rest.split()])
    groups = {}
    for key, value in faces.items():
        corners = np.array(value)
        groups[key] = Group(corners[:, :, 0], corners[:, :, 1])
    return to_metres(np.array(vertices)), np.array(coordinates), groups


def triangles(quads: Ints) -> Ints:
    return np.concatenate([quads[:, [0, 1, 2]], quads[:, [0, 2, 3]]])


def subdivision(faces: Ints, vertices: int, times: int) -> tuple[sp.csr_matrix, Ints]:
    """Midpoint subdivision as a matrix: (S, faces') with new vertices = S @ old ones; rows 0..vertices-1 are the old vertices."""
    matrix = sp.identity(vertices, format="csr", dtype=np.float32)
    for _ in range(times):
        edges = np.sort(np.concatenate([faces[:, [0, 1]], faces[:, [1, 2]], faces[:, [2, 0]]]), axis=1)
        unique, inverse = np.unique(edges, axis=0, return_inverse=True)
        count, old = len(faces), matrix.shape[0]
        half = np.full(len(unique) * 2, 0.5, np.float32)
        middle = sp.coo_matrix((half, (np.repeat(np.arange(len(unique)), 2), unique.ravel())), shape=(len(unique), old))
        matrix = sp.vstack([matrix, middle.tocsr() @ matrix]).tocsr()
        ab, bc, ca = (inverse.ravel()[i * count : (i + 1) * count] + old for i in range(3))
        a, b, c = faces.T
        faces = np.concatenate([np.stack(t, axis=1) for t in ((a, ab, ca), (ab, b, bc), (ca, bc, c), (ab, bc, ca))])
    return matrix, faces


def compact(matrix: sp.csr_matrix, faces: Ints) -> tuple[sp.csr_matrix, Ints]:
    """Keep only the vertices that the faces use."""
    used, inverse = np.unique(faces, return_inverse=True)
    return matrix[used], inverse.reshape(-1, 3)


def smoothing(faces: Ints, vertices: int, times: int, share: float) -> sp.csr_matrix:
    """`times` steps of Laplacian smoothing as one matrix; `share` is the weight of the neighbours' mean."""
    ends = np.concatenate([faces[:, [0, 1]], faces[:, [1, 2]], faces[:, [2, 0]]])
    ends = np.concatenate([ends, ends[:, ::-1]])
    ones = np.ones(len(ends), np.float32)
    adjacency = (sp.coo_matrix((ones, (ends[:, 0], ends[:, 1])), shape=(vertices, vertices)).tocsr() > 0).astype(np.float32)
    mean = sp.diags(1.0 / np.maximum(np.asarray(adjacency.sum(1)).ravel(), 1.0)) @ adjacency
    step = sp.identity(vertices, format="csr", dtype=np.float32) * (1 - share) + mean.astype(np.float32) * share
    out = sp.identity(vertices, format="csr", dtype=np.float32)
    for _ in range(times):
        out = step @ out
    return out.tocsr()


def normals(points: Floats, faces: Ints) -> Floats:
    """Area-weighted vertex normals (n, 3), unit length."""
    a, b, c = points[faces[:, 0]], points[faces[:, 1]], points[faces[:, 2]]
    face = np.cross(b - a, c - a)
    out = np.zeros((len(points), 3), np.float32)
    for axis in range(3):
        for corner in range(3):
            out[:, axis] += np.bincount(faces[:, corner], face[:, axis], len(points)).astype(np.float32)
    length = np.maximum(np.linalg.norm(out, axis=1, keepdims=True), 1e-12)
    unit: Floats = out / length
    return unit
