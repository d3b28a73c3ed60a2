"""What a clip must be like to be trained on, and the measures that tell. numpy and cv2 only."""

from dataclasses import dataclass
from itertools import pairwise

import cv2
import numpy as np
from numpy.typing import NDArray

from engines.core.keypoints import BODY
from engines.pose.persons import Points, shown, travelled
from engines.prepare.footage.request import Limits

SHARP_SIDE = 256  # pixels: how high the person is when sharpness is judged, so that it does not depend on the size of the picture
FRAMES_SHARP = 24  # frames of a clip that sharpness is measured in


@dataclass(frozen=True)
class Measures:
    """Of a candidate: seconds, the person's median height in the source's pixels, median number of body points seen (of 17), motion in
    sizes of the person a second; sharpness is known only once the pictures are cut."""

    seconds: float
    height: float
    joints: float
    motion: float


def box_of(points: Points) -> tuple[float, float, float, float] | None:
    """Left, top, right, bottom of the points of (133, 3) that are there."""
    there = points[shown(points), :2]
    return None if not len(there) else (*map(float, there.min(0)), *map(float, there.max(0)))  # type: ignore[return-value]


def measure(points: Points, fps: float) -> Measures:
    """Of one person's points (F, 133, 3), there in every frame."""
    boxes = [box for frame in points if (box := box_of(frame)) is not None]
    height = float(np.median([bottom - top for _, top, _, bottom in boxes])) if boxes else 0.0
    moved = [travelled(a, b) for a, b in pairwise(points)]
    motion = float(np.mean(moved)) * fps if moved else 0.0
    return Measures(len(points) / fps, height, float(np.median(shown(points)[:, BODY].sum(1))), motion)


def refusal(found: Measures, limits: Limits) -> tuple[str, str] | None:
    """Reason and sentence of the first limit that is not met; None where all are."""
    if found.seconds < float(limits.seconds):
        return "too short", f"{found.seconds:.2f} s, less than --min-seconds {float(limits.seconds):g}"
    if found.height < limits.height:
        return "too small", f"the person is {found.height:.0f} pixels high, less than --min-height {limits.height}"
    if found.joints < limits.joints:
        return "too little seen", f"{found.joints:.0f} of 17 points of the body are seen, fewer than --min-joints {limits.joints}"
    if found.motion < limits.motion:
        return "still", f"the person moves {found.motion:.3f} sizes a second, less than --min-motion {limits.motion:g}"
    return None


def sharpness(picture: NDArray[np.uint8], points: Points) -> float:
    """How fine the finest detail of a person is: mean magnitude of the Laplacian (grey, 0 .. 255) in the box around the points, with the
    person brought to SHARP_SIDE pixels where they are larger. About 1 for a smear, above 3 for a sharp picture."""
    box = box_of(points)
    if box is None:
        return 0.0
    left, top, right, bottom = (round(v) for v in box)
    cut = picture[max(0, top) : bottom + 1, max(0, left) : right + 1]
    if min(cut.shape[:2]) < 3:
        return 0.0
    grey = cv2.cvtColor(cut, cv2.COLOR_RGB2GRAY).astype(np.float32)
    scale = SHARP_SIDE / grey.shape[0]
    if scale < 1:
        grey = cv2.resize(grey, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA).astype(np.float32)
    return float(np.abs(cv2.Laplacian(grey, cv2.CV_32F)).mean())


def judged(count: int) -> set[int]:
    """The frames of a clip of `count` in which sharpness is measured, spread evenly."""
    return {int(n) for n in np.linspace(0, count - 1, min(count, FRAMES_SHARP)).round()}
