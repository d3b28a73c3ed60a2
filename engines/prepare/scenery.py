"""Backgrounds, floor shadow, camera and light of a clip."""

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from engines.prepare.mesh import Floats
from engines.prepare.raster import Light

Picture = NDArray[np.float32]


@dataclass(frozen=True)
class Camera:
    """Pinhole camera: `eye` and rotation rows (right, down, forward) in world axes; `focal` pixels at the picture's own size."""

    eye: NDArray[np.float64]
    rows: NDArray[np.float64]
    focal: float
    size: tuple[int, int]

    def project(self, points: NDArray[np.floating]) -> Floats:
        """World points (n, 3) -> x, y in pixels and depth in metres, (n, 3)."""
        local = (points - self.eye) @ self.rows.T
        depth = np.maximum(local[:, 2], 0.05)
        x = self.size[0] / 2 + self.focal * local[:, 0] / depth
        y = self.size[1] / 2 + self.focal * local[:, 1] / depth
        return np.stack([x, y, depth], axis=1).astype(np.float32)


def look_at(target: NDArray[np.float64], azimuth: float, distance: float, rise: float, focal: float, size: tuple[int, int]) -> Camera:
    """A level camera at `distance` metres and `azimuth` radians around the target, `rise` metres above it."""
    eye = target + np.array([np.sin(azimuth) * distance, -np.cos(azimuth) * distance, rise])
    forward = (target - eye) / np.linalg.norm(target - eye)
    right = np.cross(forward, [0.0, 0.0, 1.0])
    right /= np.linalg.norm(right)
    down = np.cross(forward, right)
    return Camera(eye, np.stack([right, down, forward]), focal, size)


def random_light(rng: np.random.Generator, azimuth: float) -> Light:
    def direction(turn: float, rise: float) -> NDArray[np.float64]:
        vector = np.array([np.sin(azimuth + turn), -np.cos(azimuth + turn), rise])
        unit: NDArray[np.float64] = vector / np.linalg.norm(vector)
        return unit

    side = 1.0 if rng.random() < 0.5 else -1.0
    directions = [
        direction(side * rng.uniform(0.3, 1.0), rng.uniform(0.7, 1.5)),
        direction(-side * rng.uniform(0.6, 1.2), 0.4),
        direction(np.pi + side * 0.4, 0.9),
    ]
    warmth = rng.uniform(-0.05, 0.06)
    key = rng.uniform(0.54, 0.74) * np.array([1 + warmth, 1.0, 1 - warmth])
    colours = [key, np.full(3, rng.uniform(0.12, 0.22)), np.full(3, rng.uniform(0.08, 0.2))]
    above = rng.uniform(0.46, 0.58)
    ambient = np.array([[above, above, above * 1.04], [above * 0.72, above * 0.7, above * 0.68]])
    return Light(np.array(directions, np.float32), np.array(colours, np.float32), ambient.astype(np.float32))


def soft_colour(rng: np.random.Generator) -> NDArray[np.float64]:
    """Mostly muted, sometimes strong."""
    colour = rng.uniform(45, 240, 3)
    return colour if rng.random() < 0.25 else 0.35 * colour + 0.65 * np.full(3, colour.mean() * rng.uniform(0.8, 1.15))


def clutter(rng: np.random.Generator, width: int, height: int) -> Picture:
    """Something like a blurred room or street: boxes, bars and lights out of focus."""
    top, low = soft_colour(rng), soft_colour(rng)
    picture = (top + (low - top) * np.linspace(0, 1, height)[:, None, None]) * np.ones((1, width, 1))
    picture = np.ascontiguousarray(picture, np.float32)
    for _ in range(int(rng.integers(8, 22))):
        x, y = int(rng.uniform(-0.1, 1) * width), int(rng.uniform(-0.05, 0.8) * height)
        w, h = int(rng.uniform(0.04, 0.35) * width), int(rng.uniform(0.05, 0.5) * height)
        cv2.rectangle(picture, (x, y), (x + w, y + h), [float(v) for v in soft_colour(rng)], -1)
    if rng.random() < 0.4:
        for _ in range(int(rng.integers(4, 14))):
            centre = (int(rng.uniform(0, width)), int(rng.uniform(0, 0.7 * height)))
            cv2.circle(picture, centre, int(rng.uniform(0.01, 0.04) * width) + 1, [float(v) for v in rng.uniform(150, 255, 3)], -1)
    blurred: Picture = cv2.GaussianBlur(picture, (0, 0), float(rng.uniform(4.0, 10.0)) * height / 512).astype(np.float32, copy=False)
    return blurred


def floor(rng: np.random.Generator, picture: Picture, line: int) -> Picture:
    """A floor below row `line`, with a soft edge at the wall."""
    height = len(picture)
    colour = picture[min(max(line, 0), height - 1)].mean(0) * rng.uniform(0.55, 0.85) if rng.random() < 0.6 else soft_colour(rng)
    ramp = np.linspace(0.88, 1.1, height)[:, None, None]
    share = np.clip((np.arange(height) - line) / max(2.0, height * 0.006), 0, 1)[:, None, None]
    return (picture * (1 - share) + colour * ramp * share).astype(np.float32)


def random_background(rng: np.random.Generator, size: tuple[int, int], horizon: int) -> tuple[Picture, str]:
    """A background (H, W, 3) 0..255 and its kind: flat, gradient, studio, blotches or clutter."""
    width, height = size
    kind = str(rng.choice(["flat", "gradient", "studio", "blotches", "clutter"], p=[0.16, 0.14, 0.32, 0.13, 0.25]))
    a, b = soft_colour(rng), soft_colour(rng)
    ramp = np.linspace(0, 1, height)[:, None, None]
    picture: NDArray[np.floating] = np.ones((height, width, 3), np.float32) * a.astype(np.float32)
    if kind == "gradient":
        picture = (a * (1 - ramp) + b * ramp) * np.ones((1, width, 1))
    elif kind == "studio":
        glow = np.exp(-(((np.arange(width) / width - 0.5) ** 2)[None, :, None] + (ramp - 0.35) ** 2) / 0.25)
        picture = floor(rng, (a * (0.82 + 0.22 * glow)).astype(np.float32), horizon)
    elif kind == "blotches":
        noise = sum(cv2.resize(rng.standard_normal((n, n)), size, interpolation=cv2.INTER_CUBIC) for n in (2, 5, 9))
        share = np.clip(0.5 + 0.25 * noise, 0, 1)[..., None]
        picture = a * (1 - share) + b * share
    elif kind == "clutter":
        picture = floor(rng, clutter(rng, width, height), horizon)
    return np.clip(picture, 0, 255).astype(np.float32), kind


def contact_shadow(camera: Camera, points: Floats, ground: float, strength: float) -> Picture:
    """Factor (H, W) that darkens the floor under the person: points near the ground cast more and sharper."""
    width, height = camera.size
    near = points[points[:, 2] < ground + 0.9][::3]
    above = np.clip(near[:, 2] - ground, 0, None)
    place = camera.project(np.stack([near[:, 0], near[:, 1], np.full(len(near), ground)], axis=1))
    out = np.zeros((height // 4, width // 4), np.float32)
    x, y = (place[:, 0] / 4).astype(int), (place[:, 1] / 4).astype(int)
    inside = (x >= 0) & (y >= 0) & (x < out.shape[1]) & (y < out.shape[0])
    np.add.at(out, (y[inside], x[inside]), np.exp(-above[inside] / 0.3))
    wide = 2.2 * cv2.GaussianBlur(np.minimum(out, 2.0), (0, 0), 0.035 * height / 4) + 0.6 * cv2.GaussianBlur(
        np.minimum(out, 2.0), (0, 0), 0.012 * height / 4
    )
    full = cv2.resize(np.clip(wide * 1.2, 0, 1), (width, height), interpolation=cv2.INTER_LINEAR)
    factor: Picture = (1 - strength * full).astype(np.float32)
    return factor
