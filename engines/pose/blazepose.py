"""BlazePose as a detector: bodies followed from frame to frame, with their hands and faces, as the 133 points of COCO-WholeBody.

The body's landmark network runs in the square that the frame before left; the detector only when somebody was lost, after a cut, and
now and then to find newcomers.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from engines.core.keypoints import COUNT, DRAWN_FROM, FACE, LEFT_HAND, RIGHT_HAND
from engines.pose.bodies import SAME, SURE, Bodies, Body
from engines.pose.detector import MOST, Picture, Points
from engines.pose.extremities import Faces, Found, Hands
from engines.pose.litert import Floats, Pyramid
from engines.pose.networks import PACKAGE, VERSION

REVISION = 3  # of this code: results of another are not taken from the cache
SURE_AMONG = 0.95  # presence that somebody new needs whose head lies within somebody known
NEWCOMERS_EVERY = 15  # frames
PATIENCE = 5  # frames between searches of the tiles while nobody is there
FAST = 0.06  # of its side: a square that moved further is read a second time
CUT = 0.18  # mean difference of two frames' thumbnails, in shares of white, that only a new scene makes
THUMB = (16, 12)
# COCO's 17 as BlazePose's numbers, then big toe, little toe (made below) and heel of each foot
BODY_FROM_33 = (0, 2, 5, 7, 8, 11, 12, 13, 14, 15, 16, 23, 24, 25, 26, 27, 28)
HEAD, TRUNK = [0, 2, 5, 7, 8], [11, 12, 23, 24]  # nose, eyes and ears; shoulders and hips
SAME_HEAD, SAME_TRUNK = 0.06, 0.1  # of a body's square: nearer ones are one person's
FEET_FROM_33 = (31, 31, 29, 32, 32, 30)
WRISTS = (9, 10)
HIDDEN_BEHIND = 0.25  # the most that nose and eyes score when the head is seen from behind


@dataclass(frozen=True, slots=True)
class Person:
    """What is known of somebody in one frame."""

    body: Body
    hands: tuple[Found | None, Found | None]
    face: Found | None


class BlazePose:
    """Detector over the networks of a folder (see engines.pose.networks). Not for two threads at once."""

    name = f"blazepose-{PACKAGE}-{VERSION}-r{REVISION}"

    def __init__(self, folder: Path) -> None:
        self.bodies, self.hands, self.faces = Bodies(folder), Hands(folder), Faces(folder)

    def track(self, pictures: Iterable[Picture], most: int = MOST) -> Iterator[Points]:
        """See Detector."""
        people: list[Person] = []
        before: Floats | None = None
        for number, picture in enumerate(pictures):
            pyramid = Pyramid(picture)
            now = thumbnail(pyramid)
            new_scene = before is not None and float(np.abs(now - before).mean()) > CUT
            before = now
            followed = [] if new_scene else self.follow(pyramid, people)
            lost = new_scene or len(followed) < len(people)
            if lost or not people or number % NEWCOMERS_EVERY == 0:
                followed = self.newcomers(pyramid, followed, most, thorough=lost or number % PATIENCE == 0)
            people = followed[:most]
            yield table(people)

    def follow(self, picture: Pyramid, people: list[Person]) -> list[Person]:
        """Those of the frame before who are still there."""
        out: list[Person] = []
        for person in people:
            square = person.body.square
            body = self.bodies.read(picture, square)
            if body.presence >= SURE and body.square.distance(square) > FAST:
                body = self.bodies.read(picture, body.square)
            if body.presence >= SURE and not any(alike(body, other.body) for other in out):
                out.append(self.complete(picture, body, person))
        return out

    def newcomers(self, picture: Pyramid, known: list[Person], most: int, thorough: bool) -> list[Person]:
        """The known and whoever the detector finds beside them, at most `most` in all."""
        out = list(known)
        for square in self.bodies.search(picture, thorough):
            if len(out) >= most or any(square.distance(person.body.square) < SAME for person in out):
                continue
            body = self.bodies.settle(picture, square)
            needed = SURE_AMONG if any(covers(other.body, body) for other in out) else SURE
            if body.presence >= needed and not any(alike(body, other.body) for other in out):
                out.append(self.complete(picture, body, None))
        return out

    def complete(self, picture: Pyramid, body: Body, last: Person | None) -> Person:
        """The body with its hands and its face, looked for first where they were."""
        left, right = (self.hands.find(picture, body, side, last.hands[side] if last else None) for side in (0, 1))
        left, right = apart(body, left, right)
        return Person(body, (left, right), self.faces.find(picture, body, last.face if last else None))


def thumbnail(picture: Pyramid) -> Floats:
    small = cv2.resize(picture.level(2), THUMB, interpolation=cv2.INTER_AREA)
    return np.asarray(small / 255, np.float32)


def alike(a: Body, b: Body) -> bool:
    """Whether two bodies are one person found twice: their heads or their trunks are in one place."""
    side = min(a.square.side, b.square.side)
    head = np.hypot(*(a.points[HEAD].mean(0) - b.points[HEAD].mean(0)))
    trunk = np.hypot(*(a.points[TRUNK] - b.points[TRUNK]).T).mean()
    return bool(head < SAME_HEAD * side or trunk < SAME_TRUNK * side)


def covers(known: Body, new: Body) -> bool:
    """Whether the head of somebody new lies within the box about somebody known: tiles make monsters out of parts of people."""
    there = known.points[known.score >= DRAWN_FROM]
    head = new.points[HEAD].mean(0)
    return len(there) > 0 and bool((head >= there.min(0)).all() and (head <= there.max(0)).all())


def apart(body: Body, left: Found | None, right: Found | None) -> tuple[Found | None, Found | None]:
    """Two finds of one and the same hand: the one whose wrist is nearer to the body's stays."""
    if left is None or right is None or float(np.hypot(*(left.points - right.points).T).mean()) > 0.15 * left.square.side:
        return left, right
    off = [float(np.hypot(*(hand.points[0] - body.points[wrist]))) for hand, wrist in ((left, 15), (right, 16))]
    return (left, None) if off[0] <= off[1] else (None, right)


def table(people: list[Person]) -> Points:
    """(P, 133, 3)."""
    out = np.zeros((len(people), COUNT, 3), np.float32)
    for row, person in zip(out, people, strict=True):
        fill_body(row, person)
        for part, found in ((LEFT_HAND, person.hands[0]), (RIGHT_HAND, person.hands[1]), (FACE, person.face)):
            if found is not None:
                row[part] = np.column_stack([found.points, found.score])
        for wrist, found in zip(WRISTS, person.hands, strict=True):
            if found is not None:
                row[wrist, :2] = found.points[0]  # within 2 % of a person's height at 97 % of rendered hands, the body's own at 88 %
    return out


def fill_body(row: Points, person: Person) -> None:
    """Body and feet into a row (133, 3)."""
    body = person.body
    scored = np.column_stack([body.points, body.score])
    row[:17] = scored[list(BODY_FROM_33)]
    if person.face is None and from_behind(body):
        row[:3, 2] = np.minimum(row[:3, 2], HIDDEN_BEHIND)
    row[17:23] = scored[list(FEET_FROM_33)]
    for toe, heel, ankle in ((18, 19, 15), (21, 22, 16)):
        row[toe, :2] = little_toe(row[toe, :2], row[heel, :2], row[ankle, :2])


def from_behind(body: Body) -> bool:
    """The nose lies farther from the camera than the ears."""
    return bool(body.depth[0] > body.depth[[7, 8]].mean())


def little_toe(tip: NDArray[np.float32], heel: NDArray[np.float32], ankle: NDArray[np.float32]) -> NDArray[np.float32]:
    """BlazePose knows no little toe. The shares are the least-squares ones on rendered people with known toes."""
    return np.asarray(tip + 0.09 * (heel - tip) + 0.23 * (ankle - heel), np.float32)
