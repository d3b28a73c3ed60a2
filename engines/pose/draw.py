"""Draws poses as DWPose does: coloured limbs and joints, thin rainbow hands, white face dots, on black."""

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from engines.core.keypoints import (
    BODY_COLOURS,
    DRAWN_FROM,
    FACE,
    FACE_DOT,
    HAND_BONES,
    HAND_COLOURS,
    HAND_DOT,
    LEFT_HAND,
    LIMBS,
    RIGHT_HAND,
    openpose_body,
)  # fmt: skip

Picture = NDArray[np.uint8]
OVERSAMPLING = 2
SHIFT = 4  # fractional bits of cv2's coordinates
REFERENCE_HEIGHT = 704  # DWPose's sizes below are those of a picture of this height
LIMB_RADIUS, DOT_RADIUS, HAND_WIDTH, FACE_RADIUS = 4.0, 4.0, 2.0, 3.0
LIMB_SHADE = 0.6


@dataclass(frozen=True, slots=True)
class DrawStyle:
    """`width` multiplies all line widths (1 is DWPose's); hands and face can be left out."""

    width: float = 1.0
    hands: bool = True
    face: bool = True


def fixed(point: NDArray[np.floating]) -> tuple[int, int]:
    return round(float(point[0]) * 2**SHIFT), round(float(point[1]) * 2**SHIFT)


def dot(picture: Picture, point: NDArray[np.floating], radius: float, colour: tuple[int, int, int]) -> None:
    cv2.circle(picture, fixed(point), max(1, round(radius * 2**SHIFT)), colour, -1, cv2.LINE_8, SHIFT)


def limb(picture: Picture, a: NDArray[np.floating], b: NDArray[np.floating], radius: float, colour: tuple[int, int, int]) -> None:
    """A filled ellipse from a to b, `radius` pixels at its widest."""
    along = b - a
    length = float(np.hypot(along[0], along[1])) / 2
    if length < 1e-3:
        return
    turn = np.linspace(0, 2 * np.pi, 24, endpoint=False)
    unit = along / (2 * length)
    across = np.array([-unit[1], unit[0]])
    outline = (a + b) / 2 + np.outer(np.cos(turn) * length, unit) + np.outer(np.sin(turn) * radius, across)
    cv2.fillConvexPoly(picture, np.round(outline * 2**SHIFT).astype(np.int32), colour, cv2.LINE_8, SHIFT)


def draw_body(picture: Picture, points: NDArray[np.float32], scale: float) -> None:
    body = openpose_body(points)
    shown = body[:, 2] >= DRAWN_FROM
    for (a, b), colour in zip(LIMBS, BODY_COLOURS, strict=False):
        if shown[a] and shown[b]:
            limb(picture, body[a, :2], body[b, :2], LIMB_RADIUS * scale, tuple(int(c * LIMB_SHADE) for c in colour))  # type: ignore[arg-type]
    for point, on, colour in zip(body, shown, BODY_COLOURS, strict=True):
        if on:
            dot(picture, point, DOT_RADIUS * scale, colour)


def draw_hand(picture: Picture, points: NDArray[np.float32], scale: float) -> None:
    shown = points[:, 2] >= DRAWN_FROM
    width = max(1, round(HAND_WIDTH * scale))
    for (a, b), colour in zip(HAND_BONES, HAND_COLOURS, strict=True):
        if shown[a] and shown[b]:
            cv2.line(picture, fixed(points[a]), fixed(points[b]), colour, width, cv2.LINE_8, SHIFT)
    for point in points[shown]:
        dot(picture, point, DOT_RADIUS * scale, HAND_DOT)


def fitted(points: NDArray[np.float32], points_size: tuple[int, int], canvas_size: tuple[int, int]) -> NDArray[np.float32]:
    """Scale uniformly and centre points of one picture size in another; never stretched."""
    scale = min(canvas_size[0] / points_size[0], canvas_size[1] / points_size[1])
    out = points.copy()
    for axis in range(2):
        out[..., axis] = points[..., axis] * scale + (canvas_size[axis] - points_size[axis] * scale) / 2
    return out


def draw_pose(points: NDArray[np.float32], points_size: tuple[int, int], canvas_size: tuple[int, int], style: DrawStyle) -> Picture:
    """Pose picture uint8 (H, W, 3) of people (P, 133, 3) whose pixels are those of `points_size` (width, height).

    Drawn at twice the size and averaged down, so that a DWPose video shrunk to `canvas_size` looks the same.
    """
    large = (canvas_size[0] * OVERSAMPLING, canvas_size[1] * OVERSAMPLING)
    picture = np.zeros((large[1], large[0], 3), np.uint8)
    scale = style.width * large[1] / REFERENCE_HEIGHT
    for person in fitted(points, points_size, large):
        draw_body(picture, person, scale)
        if style.hands:
            draw_hand(picture, person[LEFT_HAND], scale)
            draw_hand(picture, person[RIGHT_HAND], scale)
        if style.face:
            for point in person[FACE]:
                if point[2] >= DRAWN_FROM:
                    dot(picture, point, FACE_RADIUS * scale, FACE_DOT)
    small: Picture = cv2.resize(picture, canvas_size, interpolation=cv2.INTER_AREA).astype(np.uint8)
    return small
