"""Metrics of where people stand and how: the predicted pose against the true one, by PCK and OKS over COCO's 17 body joints.

Poses are found again in both videos by one and the same detector, or the truth's come from a keypoint file. Figures of different
detectors do not compare: say its name beside them.
"""

from collections.abc import Iterable
from typing import get_args

import numpy as np
from numpy.typing import NDArray

from engines.core.keypoints import BODY, BODY_NAMES, DRAWN_FROM, PoseTrack
from engines.evaluate.frames import Crop, cropped
from engines.pose.detector import Detector, Picture, Points
from engines.pose.persons import size_of

SHARE = 0.1  # of the torso: PCK@0.1
SIGMAS = np.array(
    [0.026, 0.025, 0.025, 0.035, 0.035, 0.079, 0.079, 0.072, 0.072, 0.062, 0.062, 0.107, 0.107, 0.087, 0.087, 0.089, 0.089]
)  # COCO's, in the order of BODY_NAMES
FILLED = 0.53  # of a person's box that the person covers: the factor of xtcocotools, MMPose and Ultralytics where there is no mask
# left shoulder to right hip; the other one stands in where that is hidden
TORSOS = tuple((BODY_NAMES.index(a), BODY_NAMES.index(b)) for a, b in (("left_shoulder", "right_hip"), ("right_shoulder", "left_hip")))


def body(person: Points) -> NDArray[np.float64]:
    """COCO's 17 joints (17, 3) of (133, 3)."""
    return np.asarray(person[BODY], np.float64)


def seen(joints: NDArray[np.float64]) -> NDArray[np.bool_]:
    """(17,) True for joints that are there."""
    return np.asarray(joints[:, 2] >= DRAWN_FROM)


def apart(pred: NDArray[np.float64], truth: NDArray[np.float64]) -> NDArray[np.float64]:
    """(17,) distances in pixels."""
    return np.asarray(np.hypot(*(pred[:, :2] - truth[:, :2]).T), np.float64)


def torso(truth: Points) -> float | None:
    """The torso's diameter in pixels: from the left shoulder to the right hip, else from the right shoulder to the left hip.

    The former is that of MMPose's JhmdbPCKAccuracy (tPCK) and of PDJ (Toshev and Szegedy 2014). None where both are hidden, or below
    1 pixel: no other length is put in its place, since PCK by another is another metric.
    """
    joints = body(truth)
    there = seen(joints)
    for a, b in TORSOS:
        length = float(np.hypot(*(joints[a, :2] - joints[b, :2])))
        if there[a] and there[b] and length >= 1:
            return length
    return None


def covered(truth: Points) -> float:
    """Square pixels that a person (133, 3) covers, without a mask: FILLED of the box about the body joints that are there.

    COCO's box also holds the hair and the feet, so this is smaller and OKS a little lower than with COCO's areas.
    """
    joints = body(truth)
    places = joints[seen(joints), :2]
    return float(np.prod(places.max(0) - places.min(0))) * FILLED if len(places) else 0.0


def similarity(pred: Points, truth: Points, area: float | None = None) -> float | None:
    """OKS of two people (133, 3); see `oks`."""
    a, b = body(pred), body(truth)
    there = seen(b)
    area = covered(truth) if area is None else area
    if not there.any() or area <= 0:
        return None
    likeness = np.exp(-(apart(a, b) ** 2) / (2 * area * (2 * SIGMAS) ** 2))
    return float(np.where(a[:, 2] > 0, likeness, 0.0)[there].mean())


def largest(people: Points) -> Points | None:
    """The person (133, 3) with the largest box among (P, 133, 3); None where nobody's body is there."""
    there = [person for person in people if seen(body(person)).any()]
    return max(there, key=size_of) if there else None


def counterpart(pred: Points, truth: Points, area: float | None = None) -> Points | None:
    """Of the people (P, 133, 3) the one with the highest OKS to the true person (133, 3), as COCO matches them; None where nobody is."""
    there = [person for person in pred if seen(body(person)).any()]
    return max(there, key=lambda person: similarity(person, truth, area) or 0.0) if there else None


def pck(pred: Points, truth: Points, share: float = SHARE) -> float | None:
    """PCK (Yang and Ramanan 2013) of one frame, 0..1: of the body joints of the truth's largest person that are there (score from
    DRAWN_FROM), how many lie within `share` of the torso (see `torso`) in the prediction.

    Both are (P, 133, 3) in pixels of one size. A joint that the prediction lacks (score below DRAWN_FROM) is missed; nobody in the
    prediction is 0. None, a frame that does not count, where nobody is in the truth or the torso is hidden.
    """
    true = largest(truth)
    reach = None if true is None else torso(true)
    if true is None or reach is None:
        return None
    found = counterpart(pred, true)
    if found is None:
        return 0.0
    a, b = body(found), body(true)
    return float((seen(a) & (apart(a, b) <= share * reach))[seen(b)].mean())


def oks(pred: Points, truth: Points, area: float | None = None) -> float | None:
    """Object keypoint similarity (COCO's computeOks) of one frame, 0..1, with the truth's largest person: the mean over their body
    joints that are there of exp(-d^2 / (2 area (2 sigma)^2)).

    Both are (P, 133, 3) in pixels of one size; `area` is the person's in square pixels, None is `covered`. As in COCO a predicted
    joint counts where it lies, whatever its score, but one that is absent (score 0) counts 0; nobody in the prediction is 0. None, a
    frame that does not count, where nobody is in the truth or only a single joint or a line of them is (no area).
    """
    true = largest(truth)
    if true is None or (covered(true) if area is None else area) <= 0:
        return None
    found = counterpart(pred, true, area)
    return 0.0 if found is None else similarity(found, true, area)


def placed(track: PoseTrack, size: tuple[int, int], crop: Crop = "none") -> Points:
    """A keypoint file's points (F, P, 133, 3) in pixels of the protocol's frames of `size` (width, height).

    `crop` is the protocol's: "centre-square" cuts the largest square out of the middle before the resize. ValueError for another.
    """
    if crop not in get_args(Crop):
        raise ValueError(f"crop must be one of {', '.join(get_args(Crop))}, not {crop}")
    inner = np.array(cropped(track.size, crop))
    out = track.points.copy()
    out[..., :2] = (out[..., :2] - (np.array(track.size) - inner) // 2) * (np.array(size) / inner)
    return out


def inside(people: Points, size: tuple[int, int]) -> Points:
    """(..., 133, 3) in which joints outside a picture of `size` (width, height) are absent: nothing in a frame can show them."""
    out = np.array(people, np.float32)
    out[~((out[..., :2] >= 0) & (out[..., :2] <= size)).all(-1), 2] = 0
    return out


class PoseJudge:
    """Judges frames of `size` (width, height) by what `detector` finds in them. Not for two threads at once."""

    def __init__(self, detector: Detector, size: tuple[int, int]) -> None:
        self.detector, self.size = detector, size

    @property
    def name(self) -> str:
        """The detector's networks and version, to be printed beside its figures."""
        return self.detector.name

    def video(self, pred: Iterable[Picture], truth: Iterable[Picture] | Points) -> dict[str, list[float | None]]:
        """ "pck" and "oks" of each frame of one video, None where a frame does not count.

        Frames are uint8 (H, W, 3) RGB, taken one pair after the other. The truth may be keypoints instead, float (F, P, 133, 3) in
        pixels of the frames (see `placed`). ValueError when the numbers of frames differ.
        """
        known = isinstance(truth, np.ndarray) and truth.dtype.kind == "f"
        poses: Iterable[Points] = truth if known else self.detector.track(truth)  # type: ignore[assignment]
        out: dict[str, list[float | None]] = {"pck": [], "oks": []}
        for found, people in zip(self.detector.track(pred), poses, strict=True):
            true = inside(people, self.size)
            out["pck"].append(pck(found, true))
            out["oks"].append(oks(found, true))
        return out
