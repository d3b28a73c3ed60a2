"""Keypoint files: this project's .npz, and OpenPose JSON (a file a frame, or one file)."""

import json
import re
import zipfile
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from engines.core.errors import ScdError
from engines.core.keypoints import COUNT, FACE, LEFT_HAND, OPENPOSE_FROM_COCO, RIGHT_HAND, PoseTrack
from engines.media.images import need_file
from engines.media.output import atomic

Points = NDArray[np.float32]
BODY_25_FEET = {17: 19, 18: 20, 19: 21, 20: 22, 21: 23, 22: 24}  # COCO-WholeBody foot number -> BODY_25 number
BODY_25_TO_18 = (0, 1, 2, 3, 4, 5, 6, 7, 9, 10, 11, 12, 13, 14, 15, 16, 17, 18)


def load_track(path: Path) -> PoseTrack:
    """Read keypoints from a .npz, an OpenPose .json, or a folder of OpenPose .json files. ScdError says what is wrong where."""
    if path.is_dir():
        files = sorted(path.glob("*.json"), key=natural)
        if not files:
            raise ScdError(f"the folder {path} holds no OpenPose .json files", "name a folder with one a frame")
        return from_openpose([read_json(file) for file in files], path)
    need_file(path, "the keypoint file")
    return load_npz(path) if path.suffix == ".npz" else from_openpose(as_frames(read_json(path)), path)


def natural(path: Path) -> list[int | str]:
    """frame_9 before frame_10."""
    return [int(part) if part.isdigit() else part for part in re.split(r"(\d+)", path.name)]


def load_npz(path: Path) -> PoseTrack:
    try:
        with np.load(path, allow_pickle=False) as data:
            points, size = np.asarray(data["points"], np.float32), tuple(int(x) for x in data["size"])
            fps = Fraction(str(data["fps"])) if "fps" in data and str(data["fps"]) else None
        if points.ndim == 3:
            points = points[:, None]
        return PoseTrack(points, (size[0], size[1]), fps)
    except (KeyError, ValueError, IndexError, OSError, zipfile.BadZipFile) as error:
        hint = f"it must hold points (frames, people, {COUNT}, 3) and size (width, height)"
        raise ScdError(f"the keypoint file {path} cannot be read ({error})", hint) from error


def save_track(path: Path, track: PoseTrack, overwrite: bool) -> None:
    """Write a .npz that load_track reads, atomically."""
    fps = "" if track.fps is None else f"{track.fps.numerator}/{track.fps.denominator}"
    with atomic(path, overwrite) as temporary, temporary.open("wb") as file:
        np.savez(file, points=track.points, size=np.array(track.size), fps=np.array(fps))


def read_json(path: Path) -> Any:
    try:
        return json.loads(path.read_text())
    except (OSError, UnicodeDecodeError, json.JSONDecodeError) as error:
        raise ScdError(f"{path} is not a JSON file ({error})", "name OpenPose keypoints or a .npz") from error


def as_frames(data: Any) -> list[Any]:
    return data if isinstance(data, list) else [data]


def triples(values: list[float]) -> Points:
    return np.asarray(values, np.float32).reshape(-1, 3)


def person_points(person: dict[str, list[float]]) -> Points:
    """One OpenPose person (18 or 25 body points, hands, face) -> (133, 3)."""
    out = np.zeros((COUNT, 3), np.float32)
    body = triples(person.get("pose_keypoints_2d", []))
    if len(body) == 25:
        for number, source in BODY_25_FEET.items():
            out[number] = body[source]
        body = body[list(BODY_25_TO_18)]
    for number, coco in enumerate(OPENPOSE_FROM_COCO):
        if coco >= 0 and number < len(body):
            out[coco] = body[number]
    for key, place in (("face_keypoints_2d", FACE), ("hand_left_keypoints_2d", LEFT_HAND), ("hand_right_keypoints_2d", RIGHT_HAND)):
        part = triples(person.get(key) or [])[: place.stop - place.start]
        out[place.start : place.start + len(part)] = part
    return out


def canvas_of(frames: list[Any], points: Points, path: Path) -> tuple[int, int]:
    """canvas_width and canvas_height where the files say them; coordinates up to 1 are shares of a 512x768 canvas (stated assumption)."""
    first = frames[0]
    if "canvas_width" in first and "canvas_height" in first:
        return int(first["canvas_width"]), int(first["canvas_height"])
    raise ScdError(f"{path} does not say the size of its picture", "add canvas_width and canvas_height to the first JSON file")


def from_openpose(frames: list[Any], path: Path) -> PoseTrack:
    try:
        people = [[person_points(p) for p in frame.get("people", [])] for frame in frames]
    except (AttributeError, TypeError, ValueError) as error:
        raise ScdError(f"{path} is not OpenPose JSON ({error})", "each file needs a list 'people' with 'pose_keypoints_2d'") from error
    most = max((len(p) for p in people), default=0)
    if most == 0:
        raise ScdError(f"{path} holds no person in any frame", "name other keypoints")
    points = np.zeros((len(frames), most, COUNT, 3), np.float32)
    for index, frame in enumerate(people):
        points[index, : len(frame)] = np.stack(frame) if frame else 0
    size = canvas_of(frames, points, path)
    if float(points[..., :2].max()) <= 1.0:
        points[..., :2] *= np.asarray(size, np.float32)
    return PoseTrack(points, size)
