"""Hands and faces of a person whose body is known: where to look, what the networks find there, and how sure it is.

Hands: Zhang et al. 2020, "MediaPipe Hands"; faces: Kartynnik et al. 2019, "Real-time Facial Surface Geometry". Squares follow from the
landmarks of the frame before, or from those of the body when there are none.
"""

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from engines.core.keypoints import DRAWN_FROM
from engines.pose.bodies import SURE, Body, inside
from engines.pose.litert import Floats, Network, Pyramid, Square, between, sigmoid
from engines.pose.networks import FACES, HAND, RECROP

# BlazePose's numbers: (wrist, little finger, index finger) of the person's left and right hand, and the elbow
HAND_POINTS, ELBOWS = ((15, 17, 19), (16, 18, 20)), (13, 14)
PALM = (0, 1, 2, 3, 5, 6, 9, 10, 13, 14, 17, 18)  # hand points that frame the next square: fingertips would make it jump
FAR = 0.6  # hand and body must agree about the wrist within this share of the hand's square
# 300-W's 68 points among the 468 of the mesh: jaw, brows, nose, eyes, mouth; from the picture's left (the person's right)
FACE_68 = (
    127, 234, 93, 132, 58, 172, 150, 176, 152, 400, 379, 397, 288, 361, 323, 454, 356,
    70, 63, 105, 66, 107, 336, 296, 334, 293, 300,
    168, 197, 5, 4, 98, 97, 2, 326, 327,
    33, 160, 158, 133, 153, 144, 362, 385, 387, 263, 373, 380,
    61, 40, 37, 0, 267, 270, 291, 321, 314, 17, 84, 91, 78, 81, 13, 311, 308, 402, 14, 178,
)  # fmt: skip
RIGHT_EYE, LEFT_EYE = 33, 263  # outer corners in the mesh


@dataclass(frozen=True, slots=True)
class Found:
    """points (n, 2) in pixels, score (n,) 0..1, and the square for the next frame."""

    points: Floats
    score: Floats
    square: Square


class Hands:
    """The hand network, and the one that frames a hand by the body's three points of it."""

    def __init__(self, folder: Path) -> None:
        self.frame, self.landmarks = Network(folder / RECROP), Network(folder / HAND)

    def find(self, picture: Pyramid, body: Body, side: int, last: Found | None) -> Found | None:
        """21 points of the left (0) or right (1) hand. None where the wrist is hidden or no hand is seen."""
        wrist = HAND_POINTS[side][0]
        if body.score[wrist] < DRAWN_FROM:
            return None
        guess = hand_square(body, side)
        if last is not None and last.square.distance(guess) < FAR:
            found = self.read(picture, last.square, body, side)
            if found is not None:
                return found
        for square in (self.reframed(picture, guess), arm_square(body, side), guess):
            first = self.read(picture, square, body, side)
            if first is not None:
                return self.read(picture, first.square, body, side) or first
        return None

    def reframed(self, picture: Pyramid, square: Square) -> Square:
        """The framing network's two points in its 256-pixel view: the hand's centre, and the bottom of its square."""
        (points,) = self.frame(picture.cut(square, self.frame.side), "output_crop")
        centre, bottom = square.to_picture(points.reshape(2, 2) / self.frame.side)
        better = between(centre, 2 * centre - bottom, 2.0)
        return better if 0.3 * square.side < better.side < 2 * square.side else square

    def read(self, picture: Pyramid, square: Square, body: Body, side: int) -> Found | None:
        raw, presence = self.landmarks(picture.cut(square, self.landmarks.side), "Identity", "Identity_1")
        points = square.to_picture(raw.reshape(21, 3)[:, :2] / self.landmarks.side)
        wrist = body.points[HAND_POINTS[side][0]]
        if presence[0] < SURE or np.hypot(*(points[0] - wrist)) > FAR * square.side:
            return None
        score = float(presence[0]) * float(body.score[HAND_POINTS[side][0]]) * inside(points, picture.size)
        return Found(points, score.astype(np.float32), palm_square(points))


def hand_square(body: Body, side: int) -> Square:
    """By wrist, little and index finger of the body."""
    wrist, little, index = (body.points[n] for n in HAND_POINTS[side])
    middle = (2 * index + little) / 3
    return turned_at(middle, middle - wrist, 2 * float(np.hypot(*(middle - wrist)))).scaled(2.7, -0.1)


def arm_square(body: Body, side: int) -> Square:
    """By elbow and wrist: fists and hands seen from the side have no width at the knuckles to go by."""
    wrist, elbow = body.points[HAND_POINTS[side][0]], body.points[ELBOWS[side]]
    return turned_at(wrist + 0.25 * (wrist - elbow), wrist - elbow, 0.9 * float(np.hypot(*(wrist - elbow))))


def palm_square(points: Floats) -> Square:
    """About the palm of 21 hand points, its up from the wrist to the middle knuckles."""
    knuckles = (points[5] + points[13]) / 4 + points[9] / 2
    return framed(points[list(PALM)], knuckles - points[0]).scaled(2.0, -0.1)


def turned_at(centre: Floats, up: Floats, side: float) -> Square:
    return Square(float(centre[0]), float(centre[1]), max(side, 1.0), float(np.arctan2(up[0], -up[1])))


def framed(points: Floats, up: Floats) -> Square:
    """The smallest square about points whose up is `up`."""
    turn = float(np.arctan2(up[0], -up[1]))
    right, down = Square(0, 0, 1, turn).axes()
    along = np.stack([points @ right, points @ down], axis=1)
    low, high = along.min(0), along.max(0)
    centre = (low + high) @ np.stack([right, down]) / 2
    return Square(float(centre[0]), float(centre[1]), max(float((high - low).max()), 1.0), turn)


class Faces:
    """The face mesh."""

    def __init__(self, folder: Path) -> None:
        self.mesh = Network(folder / FACES)

    def find(self, picture: Pyramid, body: Body, last: Found | None) -> Found | None:
        """The 68 points of 300-W. None where no face is seen."""
        if body.score[0] < DRAWN_FROM:
            return None
        guess = face_square(body)
        if last is not None and last.square.distance(guess) < FAR:
            found = self.read(picture, last.square)
            if found is not None:
                return found
        first = self.read(picture, guess)
        return first and (self.read(picture, first.square) or first)

    def read(self, picture: Pyramid, square: Square) -> Found | None:
        raw, logit = self.mesh(picture.cut(square, self.mesh.side), "conv2d_21", "conv2d_31")
        presence = float(sigmoid(logit.ravel())[0])
        if presence < SURE:
            return None
        points = square.to_picture(raw.reshape(468, 3)[:, :2] / self.mesh.side)
        across = points[LEFT_EYE] - points[RIGHT_EYE]
        following = framed(points, np.array([across[1], -across[0]], np.float32)).scaled(1.5)
        chosen = points[list(FACE_68)]
        return Found(chosen, (presence * inside(chosen, picture.size)).astype(np.float32), following)


def face_square(body: Body) -> Square:
    """By eyes and mouth of the body."""
    left, right = body.points[2], body.points[5]
    eyes, mouth = (left + right) / 2, (body.points[9] + body.points[10]) / 2
    across = left - right
    size = max(float(np.hypot(*across)), float(np.hypot(*(mouth - eyes))))
    up = np.array([across[1], -across[0]], np.float32)
    if abs(float(up @ (eyes - mouth))) < 0.3 * size * float(np.hypot(*up)):  # a profile: the line of the eyes says little
        up = eyes - mouth
    return turned_at((eyes + mouth) / 2, up, 4.2 * size)
