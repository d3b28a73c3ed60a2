"""A small software rasteriser: z-buffer over triangles, then deferred shading. numba, one thread, deterministic.

Chosen over pyrender on OSMesa: no system library, no memory growth, exact label maps and depth in the same pass, same bytes everywhere.
"""

from dataclasses import dataclass

import numpy as np
from numba import njit
from numpy.typing import NDArray

from engines.prepare.mesh import Floats, Ints

Doubles = NDArray[np.float64]
SHADOW_MAP = 384  # pixels a side
SHADOW_SPAN = 2.8  # metres that the shadow map covers
SHADOW_SLACK = 0.03  # metres a point may lie behind the shadow map without being in shadow


@dataclass(frozen=True)
class Scene:
    """All meshes of a frame in one set of arrays. V vertices, T triangles, M materials.

    points (V, 3) metres; normals (V, 3); uv (V, 2) in texture units; cut (V,): a fragment is dropped where it interpolates below 0;
    faces (T, 3); material (T,) index; label (T,) of the label map; textures (M, S, S, 3) uint8; gloss (M,) 0..1.
    """

    points: Floats
    normals: Floats
    uv: Floats
    cut: Floats
    faces: Ints
    material: NDArray[np.int32]
    label: NDArray[np.uint8]
    textures: NDArray[np.uint8]
    gloss: Floats


@dataclass(frozen=True)
class Light:
    """directions (L, 3) towards the lights, the first casts shadows; colours (L, 3); ambient from above and below (2, 3)."""

    directions: Floats
    colours: Floats
    ambient: Floats


@njit(cache=True)
def fill(screen: Floats, faces: Ints, cut: Floats, depth: Floats, hit: NDArray[np.int32], weights: Floats) -> None:
    """Nearest triangle and its barycentric weights at every pixel centre. screen (V, 3): x, y in pixels, z growing away."""
    height, width = depth.shape
    for t in range(faces.shape[0]):
        a, b, c = faces[t, 0], faces[t, 1], faces[t, 2]
        ax, ay, bx, by, cx, cy = screen[a, 0], screen[a, 1], screen[b, 0], screen[b, 1], screen[c, 0], screen[c, 1]
        area = (bx - ax) * (cy - ay) - (by - ay) * (cx - ax)
        if abs(area) < 1e-9 or (cut[a] < 0 and cut[b] < 0 and cut[c] < 0):
            continue
        x0 = max(0, int(np.ceil(min(ax, bx, cx) - 0.5)))
        x1 = min(width - 1, int(np.floor(max(ax, bx, cx) - 0.5)))
        y0 = max(0, int(np.ceil(min(ay, by, cy) - 0.5)))
        y1 = min(height - 1, int(np.floor(max(ay, by, cy) - 0.5)))
        inverse = 1.0 / area
        for y in range(y0, y1 + 1):
            py = y + 0.5
            for x in range(x0, x1 + 1):
                px = x + 0.5
                u = ((bx - px) * (cy - py) - (by - py) * (cx - px)) * inverse
                v = ((cx - px) * (ay - py) - (cy - py) * (ax - px)) * inverse
                w = 1.0 - u - v
                if u < 0 or v < 0 or w < 0:
                    continue
                z = u * screen[a, 2] + v * screen[b, 2] + w * screen[c, 2]
                if z < depth[y, x] and u * cut[a] + v * cut[b] + w * cut[c] >= 0:
                    depth[y, x] = z
                    hit[y, x] = t
                    weights[y, x, 0] = u
                    weights[y, x, 1] = v


@njit(cache=True)
def lookup(texture: NDArray[np.uint8], u: float, v: float, out: Doubles) -> None:
    """Bilinear texture sample, wrapped; v grows upwards."""
    size = texture.shape[0]
    x, y = (u - np.floor(u)) * size - 0.5, (1.0 - (v - np.floor(v))) * size - 0.5
    x0, y0 = int(np.floor(x)), int(np.floor(y))
    fx, fy = x - x0, y - y0
    for channel in range(3):
        top = texture[y0 % size, x0 % size, channel] * (1 - fx) + texture[y0 % size, (x0 + 1) % size, channel] * fx
        low = texture[(y0 + 1) % size, x0 % size, channel] * (1 - fx) + texture[(y0 + 1) % size, (x0 + 1) % size, channel] * fx
        out[channel] = (top * (1 - fy) + low * fy) / 255.0


@njit(cache=True)
def lit_share(point: Doubles, shadow_rows: Doubles, shadow_depth: Floats) -> float:
    """Share of a 3x3 neighbourhood of the shadow map that sees the key light."""
    size = shadow_depth.shape[0]
    x = shadow_rows[0, 0] * point[0] + shadow_rows[0, 1] * point[1] + shadow_rows[0, 2] * point[2] + shadow_rows[0, 3]
    y = shadow_rows[1, 0] * point[0] + shadow_rows[1, 1] * point[1] + shadow_rows[1, 2] * point[2] + shadow_rows[1, 3]
    z = shadow_rows[2, 0] * point[0] + shadow_rows[2, 1] * point[1] + shadow_rows[2, 2] * point[2] + shadow_rows[2, 3]
    seen = 0.0
    for dy in range(-1, 2):
        for dx in range(-1, 2):
            cx, cy = min(max(int(x) + dx, 0), size - 1), min(max(int(y) + dy, 0), size - 1)
            if shadow_depth[cy, cx] > z - SHADOW_SLACK:
                seen += 1.0
    return seen / 9.0


@njit(cache=True)
def shade(
    hit: NDArray[np.int32], weights: Floats, points: Floats, normals: Floats, uv: Floats, faces: Ints, material: NDArray[np.int32],
    textures: NDArray[np.uint8], gloss: Floats, eye: Doubles, directions: Doubles, colours: Floats, ambient: Floats, shadow_rows: Doubles,
    shadow_depth: Floats, out: Floats,
) -> None:  # fmt: skip
    """Colour of every hit pixel into out (H, W, 3), linear mix of ambient, wrapped diffuse and a little gloss."""
    height, width = hit.shape
    base, normal, point, view = np.zeros(3), np.zeros(3), np.zeros(3), np.zeros(3)
    for y in range(height):
        for x in range(width):
            t = hit[y, x]
            if t < 0:
                continue
            a, b, c = faces[t, 0], faces[t, 1], faces[t, 2]
            u, v = weights[y, x, 0], weights[y, x, 1]
            w = 1.0 - u - v
            for k in range(3):
                normal[k] = u * normals[a, k] + v * normals[b, k] + w * normals[c, k]
                point[k] = u * points[a, k] + v * points[b, k] + w * points[c, k]
                view[k] = eye[k] - point[k]
            normal /= np.sqrt((normal * normal).sum()) + 1e-9
            view /= np.sqrt((view * view).sum())
            if (normal * view).sum() < 0:
                normal *= -1.0
            lookup(textures[material[t]], u * uv[a, 0] + v * uv[b, 0] + w * uv[c, 0], u * uv[a, 1] + v * uv[b, 1] + w * uv[c, 1], base)
            up = 0.5 + 0.5 * normal[2]
            lit = lit_share(point, shadow_rows, shadow_depth)
            shine = gloss[material[t]]
            for k in range(3):
                out[y, x, k] = base[k] * (up * ambient[0, k] + (1 - up) * ambient[1, k])
            for light in range(directions.shape[0]):
                facing = (normal * directions[light]).sum()
                diffuse = max(0.0, (facing + 0.15) / 1.15)
                share = lit if light == 0 else 1.0
                halfway = directions[light] + view
                halfway /= np.sqrt((halfway * halfway).sum()) + 1e-9
                spark = shine * max(0.0, (normal * halfway).sum()) ** 24
                for k in range(3):
                    out[y, x, k] += share * colours[light, k] * (base[k] * diffuse + 0.25 * spark)


def shadow_projection(points: Floats, direction: Floats, size: int) -> NDArray[np.float64]:
    """Rows (3, 4) that map a point to shadow-map pixels and to the distance along the key light."""
    side = np.cross(direction, [0.0, 0.0, 1.0])
    side /= np.linalg.norm(side)
    above = np.cross(side, direction)
    middle = points.mean(0)
    scale = size / SHADOW_SPAN
    rows = np.zeros((3, 4))
    for i, (axis, factor) in enumerate(((side, scale), (above, -scale), (-direction, 1.0))):
        rows[i, :3] = axis * factor
        rows[i, 3] = -float(axis @ middle) * factor + (size / 2 if i < 2 else 0.0)
    return rows


def render(scene: Scene, screen: Floats, size: tuple[int, int], eye: Doubles, light: Light) -> tuple[Floats, NDArray[np.uint8], Floats]:
    """Colours (H, W, 3) in 0..1, labels (H, W) with 0 where nothing is, depth (H, W) with inf there. screen as in `fill`."""
    width, height = size
    depth, hit, weights = buffers(height, width)
    fill(screen, scene.faces, scene.cut, depth, hit, weights)
    rows = shadow_projection(scene.points, light.directions[0], SHADOW_MAP)
    shadow, shadow_hit, shadow_weights = buffers(SHADOW_MAP, SHADOW_MAP)
    above = (scene.points @ rows[:, :3].T + rows[:, 3]).astype(np.float32)
    fill(above, scene.faces, scene.cut, shadow, shadow_hit, shadow_weights)
    out = np.zeros((height, width, 3), np.float32)
    shade(
        hit, weights, scene.points, scene.normals, scene.uv, scene.faces, scene.material, scene.textures, scene.gloss,
        eye.astype(np.float64), light.directions.astype(np.float64), light.colours, light.ambient, rows, shadow, out,
    )  # fmt: skip
    labels = np.where(hit >= 0, scene.label[np.maximum(hit, 0)], 0).astype(np.uint8)
    return out, labels, depth


def buffers(height: int, width: int) -> tuple[Floats, NDArray[np.int32], Floats]:
    return np.full((height, width), np.inf, np.float32), np.full((height, width), -1, np.int32), np.zeros((height, width, 2), np.float32)
