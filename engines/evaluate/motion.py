"""Metrics of two consecutive frames: whether the prediction changes as the truth does, flickers, and follows the motion."""

from collections.abc import Callable
from functools import lru_cache

import cv2
import numpy as np
from numpy.typing import NDArray

from engines.evaluate.pixel import Compared as Step

Flow = NDArray[np.float32]
LEAST_FLOW = 16  # pixels of a side of the halved frame
STILL = 2  # grey levels: a pixel of the truth that changes by no more stands still


def dtssd(before: Step, now: Step) -> float:
    """dtSSD (Erofeev et al. 2015) of one transition: root of the mean square difference of the two temporal changes, in grey levels.

    `before` and `now` are two consecutive frames, each the prediction with its truth.
    """
    pairs = ((before.pred, now.pred), (before.truth, now.truth))
    changes = [cv2.subtract(b, a, dtype=cv2.CV_16S) for a, b in pairs]
    difference = cv2.subtract(*changes).astype(np.float32)  # at most 510
    return float(np.sqrt(np.square(difference).mean(dtype=np.float64)))


def flicker(before: Step, now: Step) -> float | None:
    """Mean absolute change of the prediction, in grey levels, where the truth stands still (by `STILL` in every channel); None where
    all of it moves."""
    moved = cv2.split(cv2.absdiff(before.truth, now.truth))
    still = cv2.max(cv2.max(*moved[:2]), moved[2]) <= STILL
    return float(cv2.absdiff(before.pred, now.pred)[still].mean()) if still.any() else None


def flow_engine() -> cv2.DISOpticalFlow:
    """DIS (Kroeger et al. 2016), OpenCV's fast preset, but down to the finest size and lighter."""
    engine = cv2.DISOpticalFlow.create(cv2.DISOPTICAL_FLOW_PRESET_FAST)
    engine.setFinestScale(0)
    engine.setVariationalRefinementIterations(0)
    engine.setGradientDescentIterations(8)
    engine.setPatchStride(5)
    return engine


@lru_cache(maxsize=4)
def places(height: int, width: int) -> Flow:
    """Column and row of every pixel (H, W, 2)."""
    out: Flow = np.stack(np.meshgrid(np.arange(width), np.arange(height)), axis=2).astype(np.float32)
    return out


def warped(picture: NDArray[np.float32], targets: Flow) -> NDArray[np.float32]:
    """The picture (H, W, C) as seen from the places where the pixels went."""
    out: NDArray[np.float32] = cv2.remap(picture, targets, None, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
    return out


def length2(vectors: Flow) -> NDArray[np.float32]:
    """Squared lengths (H, W) of vectors (H, W, 2)."""
    x, y = cv2.split(vectors)
    out: NDArray[np.float32] = x * x + y * y
    return out


def seen_in_both(forward: Flow, backward: Flow) -> NDArray[np.bool_]:
    """Pixels that are neither covered nor on the edge of a motion, by the two tests of Ruder et al. 2016 (the mask of Lai et al. 2018).

    Both flows (H, W, 2) are of pictures of half the size, in their pixels; the tests' constants are of whole pixels.
    """
    targets = forward + places(*forward.shape[:2])
    back = warped(backward, targets)
    length = 4 * length2(forward)
    consistent = 4 * length2(forward + back) <= 0.01 * (length + 4 * length2(back)) + 0.5
    slopes = [cv2.Sobel(forward, cv2.CV_32F, dx, 1 - dx, ksize=1, scale=0.5) for dx in (1, 0)]
    smooth = length2(slopes[0]) + length2(slopes[1]) <= 0.01 * length + 0.002
    height, width = length.shape
    x, y = cv2.split(targets)
    inside = (x >= 0) & (x <= width - 1) & (y >= 0) & (y <= height - 1)
    out: NDArray[np.bool_] = consistent & smooth & inside
    return out


def warping_error(before: Step, now: Step) -> float | None:
    """Warping error (Lai et al. 2018) of one transition, 0..1: mean square difference of the predicted frame and the next one brought
    back by the truth's optical flow, where that is seen in both; None where nothing is.

    The flow is DIS at half the frames' size, not the paper's FlowNet 2: figures compare among themselves only.
    """
    engine, (height, width) = flow_engine(), before.truth.shape[:2]
    start, end = before.half_grey, now.half_grey
    if min(start.shape) < LEAST_FLOW:
        return None
    forward, backward = engine.calc(start, end, None), engine.calc(end, start, None)
    seen = cv2.resize(seen_in_both(forward, backward).view(np.uint8), (width, height), interpolation=cv2.INTER_NEAREST) > 0
    if not seen.any():
        return None
    scale = np.array([width / start.shape[1], height / start.shape[0]], np.float32)
    targets = cv2.resize(forward * scale, (width, height)) + places(height, width)
    apart = cv2.absdiff(before.pred.astype(np.float32), warped(now.pred.astype(np.float32), targets))
    return float(np.square(apart[seen]).mean(dtype=np.float64)) / 255**2


TRANSITION_METRICS: dict[str, Callable[[Step, Step], float | None]] = {
    "dtssd": dtssd,
    "flicker": flicker,
    "warping_error": warping_error,
}
