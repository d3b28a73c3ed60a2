"""Keypoint files: this project's .npz, other plain numpy files (see arrays.py), and OpenPose JSON (a file a frame, or one file)."""

import json
import math
import re
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from engines.core.errors import ScdError
from engines.core.keypoints import COUNT, FACE, LEFT_HAND, OPENPOSE_FROM_COCO, RIGHT_HAND, PoseTrack
from engines.media.images import need_file
from engines.media.output import atomic
from engines.pose.arrays import BROKEN, LAYOUTS, NPY, PICKLE, fps_in, in_shares, one_line, people_of, read_arrays, size_in

Points = NDArray[np.float32]
ZIP = b"PK\x03\x04"  # how a .npz begins
ARRAYS = (".npz", ".npy")
ABSURD = 20  # picture sizes
BODY_COUNTS, HAND_COUNTS, FACE_COUNTS = (0, 18, 25), (0, 21), (0, 68, 70)  # OpenPose's face adds the two pupils
BODY_25_FEET = {17: 19, 18: 20, 19: 21, 20: 22, 21: 23, 22: 24}  # COCO-WholeBody foot number -> BODY_25 number
BODY_25_TO_18 = (0, 1, 2, 3, 4, 5, 6, 7, 9, 10, 11, 12, 13, 14, 15, 16, 17, 18)


def load_track(path: Path) -> PoseTrack:
    """Read keypoints: a .npz or .npy of plain arrays, an OpenPose .json, or a folder with one of these a frame.

    ScdError says what is wrong where. Coordinates in shares of the picture (0 to 1) need its size in the file."""
    if path.is_dir():
        return load_folder(path)
    need_file(path, "the keypoint file")
    return load_arrays([path], path) if is_arrays(path) else from_openpose(as_frames(read_json(path)), path)


def load_folder(path: Path) -> PoseTrack:
    """One file a frame, in the order of the numbers in their names; OpenPose JSON goes before arrays."""
    files = sorted(path.glob("*.json"), key=natural)
    if files:
        return from_openpose([read_json(file) for file in files], path)
    files = sorted((file for file in path.iterdir() if file.suffix.lower() in ARRAYS), key=natural)
    if not files:
        raise ScdError(f"the folder {path} holds no OpenPose .json files and no .npz or .npy", "name a folder with one a frame")
    return load_arrays(files, path)


def is_arrays(path: Path) -> bool:
    """A .npz or .npy, by how it begins or by its name."""
    with path.open("rb") as file:
        return file.read(len(NPY)).startswith((ZIP, NPY, PICKLE)) or path.suffix.lower() in ARRAYS


def natural(path: Path) -> list[int | str]:
    """frame_9 before frame_10."""
    return [int(part) if part.isdigit() else part for part in re.split(r"(\d+)", path.name)]


def load_arrays(files: list[Path], path: Path) -> PoseTrack:
    """A track from one file of a whole clip, or from files of one frame each; errors name the file, or `path` when all are meant."""
    frames: list[Points] = []
    size = fps = None
    pixels = False  # as this project's own points always are
    for file in files:
        arrays = read_arrays(file)
        try:
            points, found = people_of(arrays, len(files) > 1), size_in(arrays)
            pixels = pixels or "points" in arrays
            if found is None and pixels:
                raise ValueError("size is not in it")
            frames += list(points)
            size, fps = size or found, fps or fps_in(arrays)
        except BROKEN as error:
            raise ScdError(f"the keypoint file {file} cannot be read ({one_line(error)})", LAYOUTS) from error
    whole = stacked(frames)
    return sized_track(whole, size, fps, path, in_shares(whole) and not pixels)


def stacked(frames: list[Points]) -> Points:
    """Frames (P, 133, 3) of different numbers of people -> (F, most people, 133, 3), the missing ones absent."""
    out = np.zeros((len(frames), max((len(frame) for frame in frames), default=0), COUNT, 3), np.float32)
    for index, frame in enumerate(frames):
        out[index, : len(frame)] = frame
    return out


def sized_track(points: Points, size: tuple[int, int] | None, fps: Fraction | None, path: Path, in_parts: bool) -> PoseTrack:
    """Shares of the picture, where `in_parts`, become pixels; an unknown size is assumed as for OpenPose's JSON (canvas_of)."""
    if size is None and not (points[..., 2] > 0).any():
        raise ScdError(f"{path} holds no person in any frame", "name other keypoints")
    if in_parts and size is None:
        hint = "save a .npz that also holds size=(width, height), or width and height"
        raise ScdError(f"{path} gives shares of the picture (0 to 1) but does not say its size", hint)
    found = size or assumed_size(points)
    if in_parts:
        points[..., :2] *= np.asarray(found, np.float32)
    return PoseTrack(usable(points, found), found, fps, assumed=size is None)


def usable(points: Points, size: tuple[int, int]) -> Points:
    """Points that are no numbers, or lie absurdly far outside the picture, become absent (score 0)."""
    points = np.array(points, np.float32)
    far = ABSURD * max(size)
    with np.errstate(invalid="ignore"):
        good = np.isfinite(points).all(axis=-1) & (np.abs(points[..., :2]) < far).all(axis=-1)
    points[~good] = 0
    return points


def save_track(path: Path, track: PoseTrack, overwrite: bool) -> None:
    """Write a .npz that load_track reads, atomically."""
    fps = "" if track.fps is None else f"{track.fps.numerator}/{track.fps.denominator}"
    with atomic(path, overwrite) as temporary, temporary.open("wb") as file:
        np.savez(file, points=track.points, size=np.array(track.size), fps=np.array(fps))


def read_json(path: Path) -> Any:
    try:
        return json.loads(path.read_text(encoding="utf-8-sig"))
    except (OSError, UnicodeDecodeError, json.JSONDecodeError, RecursionError) as error:
        raise ScdError(f"{path} is not a JSON file ({one_line(error)})", "name OpenPose keypoints or a .npz") from error


def as_frames(data: Any) -> list[Any]:
    return data if isinstance(data, list) else [data]


def triples(person: dict[str, list[float] | None], key: str, counts: tuple[int, ...]) -> Points:
    """The points (n, 3) under a key; a missing key or null is none. ValueError when there are more or fewer than OpenPose writes."""
    points = np.asarray(person.get(key) or [], np.float32).reshape(-1, 3)
    if len(points) not in counts:
        raise ValueError(f"{key} has {len(points)} points, not {' or '.join(str(c) for c in counts if c)}")
    return points


def person_points(person: dict[str, list[float] | None]) -> Points:
    """One OpenPose person (18 or 25 body points, hands of 21, face of 68 or 70) -> (133, 3)."""
    out = np.zeros((COUNT, 3), np.float32)
    body = triples(person, "pose_keypoints_2d", BODY_COUNTS)
    if len(body) == 25:
        for number, source in BODY_25_FEET.items():
            out[number] = body[source]
        body = body[list(BODY_25_TO_18)]
    for number, coco in enumerate(OPENPOSE_FROM_COCO):
        if coco >= 0 and number < len(body):
            out[coco] = body[number]
    hands = (("hand_left_keypoints_2d", LEFT_HAND, HAND_COUNTS), ("hand_right_keypoints_2d", RIGHT_HAND, HAND_COUNTS))
    for key, place, counts in (("face_keypoints_2d", FACE, FACE_COUNTS), *hands):
        part = triples(person, key, counts)[: place.stop - place.start]
        out[place.start : place.start + len(part)] = part
    return out


def canvas_of(frames: list[Any], points: Points, path: Path) -> tuple[int, int]:
    """(width, height) of the picture that the points lie in: canvas_width and canvas_height where the first frame says them.

    OpenPose itself writes neither. Then the people are ASSUMED to be centred over the whole clip: as much room right of and below
    all points as there is left of and above them. Points that are shares of the picture (0 to 1) cannot be placed so: ScdError.
    """
    first = frames[0]
    if says_size(first):
        size = int(first["canvas_width"]), int(first["canvas_height"])
        if min(size) < 1:
            raise ScdError(f"{path} says that its picture is {size[0]}x{size[1]} pixels", "correct canvas_width and canvas_height")
        return size
    if shares(points):
        raise ScdError(f"{path} does not say the size of its picture", "add canvas_width and canvas_height to the first JSON file")
    return assumed_size(points)


def says_size(frame: Any) -> bool:
    return "canvas_width" in frame and "canvas_height" in frame


def assumed_size(points: Points) -> tuple[int, int]:
    """The picture in whose middle all people (F, P, 133, 3) would lie, but for points absurdly far from the others."""
    seen = points[points[..., 2] > 0][:, :2]
    seen = seen[(np.abs(seen) <= ABSURD * max(1.0, float(np.median(np.abs(seen))))).all(axis=1)]
    low, high = np.maximum(seen.min(axis=0), 0), seen.max(axis=0)
    width, height = (max(1, math.ceil(float(side))) for side in low + high)
    return width, height


def shares(points: Points) -> bool:
    """Are the coordinates parts of the picture's sides, 0 to 1, instead of pixels?"""
    return float(np.abs(points[..., :2]).max()) <= 1.0


def from_openpose(frames: list[Any], path: Path) -> PoseTrack:
    try:
        people = [[person_points(p) for p in frame.get("people", [])] for frame in frames]
    except (AttributeError, TypeError, ValueError, OverflowError) as error:
        raise ScdError(
            f"{path} is not OpenPose JSON ({one_line(error)})", "each file needs a list 'people' with 'pose_keypoints_2d'"
        ) from error
    most = max((len(p) for p in people), default=0)
    if not any((points[:, 2] > 0).any() for frame in people for points in frame):
        raise ScdError(f"{path} holds no person in any frame", "name other keypoints")
    points = np.zeros((len(frames), most, COUNT, 3), np.float32)
    for index, frame in enumerate(people):
        points[index, : len(frame)] = np.stack(frame) if frame else 0
    points[~np.isfinite(points).all(axis=-1)] = 0
    size = canvas_of(frames, points, path)
    if shares(points):
        points[..., :2] *= np.asarray(size, np.float32)
    return PoseTrack(usable(points, size), size, assumed=not says_size(frames[0]))
