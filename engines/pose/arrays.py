"""Keypoints as people save them in numpy's files: DWPose's candidate and subset, whole-body arrays, OpenPose's 18. Never unpickled.

DWPose (IDEA-Research/DWPose, annotator/dwpose/__init__.py): candidate (N*18, 2) in shares of the picture, subset (N, 18) numbers of rows
or -1, hands (2N, 21, 2) all left ones first, faces (N, 68, 2); -1 stands for a point that was not found. numpy only.
"""

import zipfile
import zlib
from collections.abc import Mapping
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from engines.core.errors import ScdError
from engines.core.keypoints import COUNT, FACE, FEET, LEFT_HAND, OPENPOSE_FROM_COCO, RIGHT_HAND
from engines.media.resample import MOST_FPS

Points = NDArray[np.float32]
Arrays = Mapping[str, NDArray[Any]]
NPY = b"\x93NUMPY"
PICKLE = b"\x80"  # how Python's pickles begin
WHOLE = ("points", "keypoints", "kpts", "poses", "pose")
WHOLE_SCORES = ("scores", "keypoint_scores", "keypoints_scores", "kpts_scores", "score")
CANDIDATE = ("candidate", "bodies.candidate", "bodies_candidate", "bodies", "body")
SUBSET = ("subset", "bodies.subset", "bodies_subset")
BODY_SCORES = ("score", "bodies.score", "bodies_score", "body_score", "body_scores")
HANDS, HANDS_SCORES = ("hands", "hand"), ("hands_score", "hands_scores", "hand_score", "hand_scores")
FACES, FACES_SCORES = ("faces", "face"), ("faces_score", "faces_scores", "face_score", "face_scores")
SIZES = ("size", "canvas", "canvas_size")  # (width, height)
SIDES = (("width", "height"), ("canvas_width", "canvas_height"), ("W", "H"))
COUNTS = (COUNT, 134, 18, 17)  # COCO-WholeBody; the same as DWPose has it, with a neck; OpenPose's body; COCO's body
CONVERT = "save plain arrays instead: np.savez('new.npz', keypoints=xy_of_frames, scores=scores, size=(width, height))"
LAYOUTS = f"it must hold points (frames, people, {COUNT}, 3) and size (width, height), or DWPose's candidate and subset"
BROKEN = (
    KeyError, ValueError, TypeError, AttributeError, IndexError, ZeroDivisionError, OverflowError, EOFError, OSError, NotImplementedError,
    RuntimeError, zipfile.BadZipFile, zlib.error,
)  # fmt: skip


def read_arrays(path: Path) -> dict[str, NDArray[Any]]:
    """All arrays of a .npz, or the one of a .npy as "keypoints". ScdError for pickled objects, which are never loaded, and broken files."""
    with path.open("rb") as file:
        start = file.read(len(NPY))
    pickled = start.startswith(PICKLE)
    try:
        if not pickled:
            loaded = np.load(path, allow_pickle=False)
            if isinstance(loaded, np.ndarray):
                return {"keypoints": loaded}
            with loaded:
                return {name: np.asarray(loaded[name]) for name in loaded.files}
    except BROKEN as error:
        if "Object arrays" not in str(error):
            why = "it is neither a .npz nor a .npy" if "allow_pickle" in str(error) else one_line(error)
            raise ScdError(f"the keypoint file {path} cannot be read ({why})", LAYOUTS) from error
    raise ScdError(f"the keypoint file {path} holds pickled Python objects, which could run code and are never loaded", CONVERT)


def one_line(error: Exception) -> str:
    text = str(error.args[0]) if isinstance(error, KeyError) and error.args else str(error)
    return text.split("\n")[0].rstrip(".")


def first(arrays: Arrays, names: tuple[str, ...]) -> NDArray[Any] | None:
    return next((arrays[name] for name in names if name in arrays), None)


def people_of(arrays: Arrays, one_frame: bool) -> Points:
    """(F, P, 133, 3) in the file's own units. `one_frame`: three axes are people, not frames. ValueError says what does not fit."""
    whole = first(arrays, WHOLE)
    if whole is not None:
        if "points" in arrays and whole.shape[-2:] != (COUNT, 3):
            raise ValueError(f"its points are {whole.shape}")
        return whole_bodies(whole, first(arrays, WHOLE_SCORES), one_frame)
    if first(arrays, CANDIDATE) is None:
        raise ValueError(f"it has {', '.join(sorted(arrays)) or 'nothing'} but neither points, keypoints nor candidate")
    return dwpose(arrays)


def whole_bodies(points: NDArray[Any], scores: NDArray[Any] | None, one_frame: bool) -> Points:
    """(K, C), (F or P, K, C) or (F, P, K, C) with K of COUNTS, C 2 or 3 -> (F, P, 133, 3)."""
    if not 2 <= points.ndim <= 4 or points.shape[-1] not in (2, 3) or points.shape[-2] not in COUNTS:
        known = ", ".join(str(count) for count in COUNTS)
        raise ValueError(f"its keypoints are {points.shape}, not (frames, people, n, 2 or 3) with n one of {known}")
    points = scored(points, scores)
    while points.ndim < 4:
        points = points[None] if points.ndim == 2 or one_frame else points[:, None]
    return placed(points)


def scored(points: NDArray[Any], scores: NDArray[Any] | None) -> Points:
    """(..., 2 or 3) -> (..., 3): given scores, else the third number, else 1 but at 0, 0; 0 where a point is no number or -1, -1."""
    points = np.asarray(points, np.float32)
    if points.shape[-1] == 2 or scores is not None:
        if scores is None:
            scores = (points != 0).any(axis=-1)
        elif scores.size != points[..., 0].size:
            raise ValueError(f"there are scores {scores.shape} for points {points.shape}")
        points = np.concatenate([points[..., :2], np.asarray(scores, np.float32).reshape(*points.shape[:-1], 1)], axis=-1)
    else:
        points = points.copy()
    points[~np.isfinite(points).all(axis=-1) | (points[..., :2] == -1).all(axis=-1)] = 0
    return points


def placed(points: Points) -> Points:
    """(F, P, K, 3) -> (F, P, 133, 3)."""
    count = points.shape[2]
    if count == COUNT:
        return points
    out = np.zeros((*points.shape[:2], COUNT, 3), np.float32)
    if count == 17:
        out[:, :, :17] = points
        return out
    for number, coco in enumerate(OPENPOSE_FROM_COCO):
        if coco >= 0:
            out[:, :, coco] = points[:, :, number]
    if count == 134:
        out[:, :, FEET.start :] = points[:, :, 18:]
    return out


def dwpose(arrays: Arrays) -> Points:
    """candidate ([F,] N*18 or N, 18, 2 or 3), subset ([F,] N, 18), hands ([F,] 2N, 21, 2), faces ([F,] N, 68, 2) -> (F, N, 133, 3)."""
    candidate, subset = np.asarray(first(arrays, CANDIDATE)), first(arrays, SUBSET)
    if not candidate.size:
        return np.zeros((1, 0, COUNT, 3), np.float32)  # nobody in this frame
    rows = candidate.shape[-2] if candidate.ndim > 1 and candidate.shape[-1] in (2, 3) else 0
    if not rows or rows % 18 or candidate.ndim > 4:
        raise ValueError(f"its candidate is {candidate.shape}, not (people * 18, 2)")
    with_frames = is_clip(arrays, candidate, subset)
    frames = len(candidate) if with_frames else 1
    body = candidate.reshape(frames, -1, candidate.shape[-1])
    chosen = None if subset is None else np.asarray(subset, np.float64).reshape(frames, -1, np.asarray(subset).shape[-1])[..., :18]
    bodies = picked(body, chosen, first(arrays, BODY_SCORES))
    out, people = placed(bodies), bodies.shape[1]
    for names, scores, places in ((HANDS, HANDS_SCORES, (LEFT_HAND, RIGHT_HAND)), (FACES, FACES_SCORES, (FACE,))):
        part = first(arrays, names)
        if part is not None and part.size:
            count = places[0].stop - places[0].start
            if part.size != frames * len(places) * people * count * part.shape[-1] or part.shape[-1] not in (2, 3):
                raise ValueError(f"its {names[0]} are {part.shape} for {people} people in {frames} frames")
            whole = scored(part, first(arrays, scores)).reshape(frames, len(places), people, count, 3)
            for index, place in enumerate(places):
                out[:, :, place] = whole[:, index]
    return out


def is_clip(arrays: Arrays, candidate: NDArray[Any], subset: NDArray[Any] | None) -> bool:
    """Is the first axis frames? So it is where there is one more axis, or where every row of subset counts from 0 again."""
    parts = [part for part in (first(arrays, HANDS), first(arrays, FACES)) if part is not None]
    if candidate.ndim == 4 or any(part.ndim == 4 for part in parts) or (subset is not None and subset.ndim == 3):
        return True
    if candidate.ndim < 3:
        return False
    if subset is None:
        return int(candidate.shape[1]) != 18
    return len(candidate) == len(subset) > 1 and bool(np.asarray(subset, np.float64).max(initial=-1) < 18)


def picked(body: NDArray[Any], subset: NDArray[np.float64] | None, scores: NDArray[Any] | None) -> Points:
    """Rows (F, N*18, C) by their numbers in subset (F, N, 18), -1 being none -> (F, N, 18, 3)."""
    frames = len(body)
    if subset is None:
        return scored(body.reshape(frames, -1, 18, body.shape[-1]), scores)
    if subset.shape[-1] != 18 or not np.isfinite(subset).all() or subset.max(initial=-1) >= body.shape[1]:
        raise ValueError(f"its subset {subset.shape} does not number rows of its candidate")
    number = subset.astype(int)
    found = np.stack([rows[np.maximum(numbers, 0)] for rows, numbers in zip(body, number, strict=True)])
    points = scored(found, scores)
    points[number < 0] = 0
    return points


def size_in(arrays: Arrays) -> tuple[int, int] | None:
    """(width, height) where the file says it, else None. ValueError for what is no size."""
    given = first(arrays, SIZES)
    if given is None:
        pair = next((names for names in SIDES if all(name in arrays for name in names)), None)
        if pair is None:
            return None
        given = np.array([arrays[name].reshape(-1)[0] for name in pair])
    size = tuple(int(side) for side in given)
    if len(size) != 2 or min(size) < 1:
        raise ValueError(f"its size is {size}")
    return size[0], size[1]


def fps_in(arrays: Arrays) -> Fraction | None:
    if not str(arrays.get("fps", "")):
        return None
    fps = Fraction(str(arrays["fps"]))
    if not 0 < fps <= MOST_FPS:
        raise ValueError(f"its fps is {fps}")
    return fps


def in_shares(points: Points) -> bool:
    """Are the coordinates shares of the picture's sides instead of pixels? Some may lie a little outside of it."""
    found = points[points[..., 2] > 0][:, :2]
    return bool(len(found)) and float(np.median(np.abs(found))) <= 1.0
