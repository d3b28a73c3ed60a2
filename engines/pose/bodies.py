"""Bodies in a picture: BlazePose's detector over the whole picture and over tiles, and its 33 landmarks in a square about a person.

Bazarevsky et al. 2020, "BlazePose: On-device Real-time Body Pose tracking"; sizes, anchors and thresholds are those of mediapipe 0.10.21.
"""

from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from engines.pose.litert import Floats, Network, Pyramid, Square, between, sigmoid
from engines.pose.networks import BODIES, LANDMARKS

STRIDES = ((8, 2), (16, 2), (32, 6))  # of the detector's grids, with anchors a cell
SURE = 0.5  # detector's score and landmark network's presence of a person
MARGIN = 1.25  # of the square about a body over the circle that the network gives
SAME = 0.3  # squares whose centres are closer than this share of a side are one person's
SMALL = 0.45  # a person whose square is less than this share of the longer side is looked for in tiles as well
HEATMAP, REACH = 64, 3  # landmarks are refined within 7x7 cells of a 64x64 heatmap
CENTRE, TOP = 33, 34  # two more landmarks: of the square for the next frame
EDGE = 0.02  # of the longer side: how far outside the picture a landmark is still believed; hips on the edge would flicker otherwise


@dataclass(frozen=True, slots=True)
class Body:
    """33 landmarks: points (33, 2) in pixels, depth (33,) towards the camera negative, score (33,) 0..1; presence 0..1 of a person at all;
    `square` is where to look in the next frame."""

    points: Floats
    depth: Floats
    score: Floats
    presence: float
    square: Square


@lru_cache(maxsize=1)
def anchors(side: int = 224) -> NDArray[np.float64]:
    """Centres (2254, 2) of the detector's anchors, in shares of its view."""
    out = []
    for stride, count in STRIDES:
        cells = (np.arange(side // stride) + 0.5) / (side // stride)
        x, y = np.meshgrid(cells, cells)
        out.append(np.repeat(np.stack([x.ravel(), y.ravel()], axis=1), count, axis=0))
    return np.concatenate(out)


def views(size: tuple[int, int], fine: bool) -> list[Square]:
    """Where the detector looks: overlapping squares as high as the picture is short; `fine` gives squares of half that side."""
    short = min(size)
    side = short / 2 if fine else short
    steps = [max(1, int(np.ceil((length - side) / (side / 2)))) + 1 if length > side else 1 for length in size]
    places = [
        np.linspace(side / 2, length - side / 2, n) if n > 1 else np.array([length / 2]) for n, length in zip(steps, size, strict=True)
    ]
    return [Square(float(x), float(y), side) for y in places[1] for x in places[0]]


def whole(size: tuple[int, int]) -> Square:
    return Square(size[0] / 2, size[1] / 2, float(max(size)))


def distinct(found: list[tuple[float, Square]]) -> list[tuple[float, Square]]:
    """The best of every group of squares about one person, best first."""
    kept: list[tuple[float, Square]] = []
    for score, square in sorted(found, key=lambda f: -f[0]):
        if all(square.distance(other) >= SAME for _, other in kept):
            kept.append((score, square))
    return kept


class Bodies:
    """The two body networks. Not for two threads at once."""

    def __init__(self, folder: Path) -> None:
        self.detector, self.landmarks = Network(folder / BODIES), Network(folder / LANDMARKS)

    def look(self, picture: Pyramid, view: Square) -> list[tuple[float, Square]]:
        """People in one view: (score, square about the body), best first."""
        boxes, logits = self.detector(picture.cut(view, self.detector.side) * 2 - 1, "Identity", "Identity_1")
        score = sigmoid(logits[:, 0])
        out = []
        for number in np.flatnonzero(score >= SURE):
            points = boxes[number, 4:12].reshape(4, 2) / self.detector.side + anchors()[number]
            centre, top = view.to_picture(points[:2])
            out.append((float(score[number]), between(centre, top, 2 * MARGIN)))
        return distinct(out)

    def search(self, picture: Pyramid, thorough: bool) -> list[Square]:
        """Squares about everybody, surest first. `thorough` looks into tiles too: the detector was trained on one person a view, and sees
        only people who fill a good part of it."""
        everything = whole(picture.size)
        found = self.look(picture, everything)
        if thorough:
            tiles = views(picture.size, fine=False)
            found = distinct(found + self.look_at(picture, tiles if len(tiles) > 1 else []))
            if all(square.side < SMALL * everything.side for _, square in found):
                found = distinct(found + self.look_at(picture, views(picture.size, fine=True)))
        return [square for _, square in found]

    def look_at(self, picture: Pyramid, tiles: list[Square]) -> list[tuple[float, Square]]:
        return [found for tile in tiles for found in self.look(picture, tile)]

    def read(self, picture: Pyramid, square: Square) -> Body:
        """The landmarks of the person in a square."""
        raw, presence, heat = self.landmarks(picture.cut(square, self.landmarks.side), "Identity", "Identity_1", "Identity_3")
        table = raw.reshape(39, 5)
        shares = refined(table[:, :2] / np.float32(self.landmarks.side), heat)
        points = square.to_picture(shares)
        sure = float(presence[0])
        square = between(points[CENTRE], points[TOP], 2 * MARGIN)
        score = sigmoid(table[:33, 3]) * inside(points[:33], picture.size) * min(1.0, sure / SURE)
        return Body(points[:33], table[:33, 2].copy(), score.astype(np.float32), sure, square)

    def settle(self, picture: Pyramid, square: Square) -> Body:
        """Landmarks of somebody just detected: the second pass has the square that the first one's landmarks ask for."""
        first = self.read(picture, square)
        if first.presence < SURE:
            return first
        second = self.read(picture, first.square)
        return second if second.presence >= SURE else first


def refined(shares: Floats, heat: Floats) -> Floats:
    """Landmarks (39, 2), shares of the square, moved to the centre of mass of their heatmaps (64, 64, 39) near them."""
    cell = np.clip((shares * HEATMAP).astype(int), 0, HEATMAP - 1)
    span = np.arange(-REACH, REACH + 1)
    columns, rows = cell[:, 0, None] + span, cell[:, 1, None] + span  # (39, 7)
    real = ((columns >= 0) & (columns < HEATMAP))[:, None, :] & ((rows >= 0) & (rows < HEATMAP))[:, :, None]
    numbers = np.arange(len(shares))[:, None, None]
    window = sigmoid(heat[rows.clip(0, HEATMAP - 1)[:, :, None], columns.clip(0, HEATMAP - 1)[:, None, :], numbers]) * real
    total = window.sum((1, 2))
    mass = np.stack([(window * columns[:, None, :]).sum((1, 2)), (window * rows[:, :, None]).sum((1, 2))], axis=1)
    sure = window.max((1, 2)) >= 0.5
    moved = mass / np.maximum(total, 1e-6)[:, None] / HEATMAP
    return np.where(sure[:, None], moved, shares).astype(np.float32)


def inside(points: Floats, size: tuple[int, int]) -> Floats:
    """1 for points in the picture or a hair outside, 0.2 for those further out."""
    slack = EDGE * max(size)
    within = (points >= -slack).all(-1) & (points[..., 0] < size[0] + slack) & (points[..., 1] < size[1] + slack)
    return np.where(within, 1.0, 0.2).astype(np.float32)
