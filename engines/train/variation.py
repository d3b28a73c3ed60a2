"""Training clips seen anew: mirrored, closer up, in other colours.

All frames of a clip alike, reference and targets, so the task stays what it was.
"""

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from engines.core.keypoints import MIRRORED
from engines.pose.draw import fitted
from engines.train.frames import TrainingClip
from engines.train.recipe import Augmentation


@dataclass(frozen=True)
class Variation:
    """`mirror`; `zoom` >= 1 about a crop whose corner lies at `corner` (shares, 0 to 1, of what the crop leaves over);
    `colour` (3, 4): RGB in 0 .. 255 and a constant 1 to RGB."""

    mirror: bool
    zoom: float
    corner: tuple[float, float]
    colour: NDArray[np.float32]

    def matrix(self, size: tuple[int, int]) -> NDArray[np.float64]:
        """(2, 3): places of a picture of `size` (width, height; pixel edges are whole numbers) to places of the new one."""
        left, top = (c * n * (1 - 1 / self.zoom) for c, n in zip(self.corner, size, strict=True))
        out = np.array([[self.zoom, 0, -left * self.zoom], [0, self.zoom, -top * self.zoom]])
        if self.mirror:
            out[0] = -out[0]
            out[0, 2] += size[0]
        return out


def draw_variation(rng: np.random.Generator, spec: Augmentation) -> Variation:
    corner = (float(rng.random()), float(rng.random()))
    return Variation(bool(rng.random() < 0.5), float(rng.uniform(1, spec.zoom)), corner, draw_colour(rng, spec))


def draw_colour(rng: np.random.Generator, spec: Augmentation) -> NDArray[np.float32]:
    """A turn of the hue about the grey axis by up to `spec.hue` degrees, then contrast and brightness by up to `spec.light`."""
    angle = np.radians(rng.uniform(-spec.hue, spec.hue))
    axis = np.ones(3) / np.sqrt(3)
    across = np.cross(np.eye(3), axis)
    turn = np.cos(angle) * np.eye(3) + np.sin(angle) * across + (1 - np.cos(angle)) * np.outer(axis, axis)
    contrast, brightness = 1 + rng.uniform(-spec.light, spec.light), 127.5 * rng.uniform(-spec.light, spec.light)
    shift = np.full((3, 1), 127.5 * (1 - contrast) + brightness)
    return np.concatenate([turn * contrast, shift], axis=1).astype(np.float32)


def vary_frame(frame: NDArray[np.uint8], variation: Variation) -> NDArray[np.uint8]:
    """(H, W, 3) to (H, W, 3)."""
    size = (frame.shape[1], frame.shape[0])
    matrix = variation.matrix(size)
    matrix[:, 2] += matrix[:, :2].sum(1) * 0.5 - 0.5  # cv2 counts from the centre of the first pixel
    return recoloured(cv2.warpAffine(frame, matrix, size, flags=cv2.INTER_CUBIC, borderMode=cv2.BORDER_REPLICATE), variation.colour)


def recoloured(frame: NDArray[np.generic], colour: NDArray[np.float32]) -> NDArray[np.uint8]:
    """RGB (H, W, 3) in 0 .. 255 under a colour change (3, 4)."""
    coloured = frame.astype(np.float32) @ colour[:, :3].T + colour[:, 3]
    out: NDArray[np.uint8] = np.clip(np.rint(coloured), 0, 255).astype(np.uint8)
    return out


def vary_points(points: NDArray[np.float32], size: tuple[int, int], variation: Variation) -> NDArray[np.float32]:
    """Points (..., 133, 3) of a picture of `size`; left and right change names in the mirror, what leaves the picture becomes absent."""
    matrix = variation.matrix(size)
    out = points[..., MIRRORED, :] if variation.mirror else points.copy()
    out[..., :2] = out[..., :2] @ matrix[:, :2].T + matrix[:, 2]
    inside = ((out[..., :2] >= 0) & (out[..., :2] < size)).all(axis=-1)
    out[..., 2] *= inside
    return out.astype(np.float32)


def vary_clip(clip: TrainingClip, frames: list[int], variation: Variation) -> tuple[NDArray[np.uint8], NDArray[np.float32]]:
    """Pictures (n, H, W, 3) of these frames and their points (n, P, 133, 3) in pixels of the pictures."""
    size = (clip.frames.shape[2], clip.frames.shape[1])
    pictures = np.stack([vary_frame(np.ascontiguousarray(clip.frames[i]), variation) for i in frames])
    return pictures, vary_points(fitted(clip.points[frames], clip.points_size, size), size, variation)
