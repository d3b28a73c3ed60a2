"""Layouts: which recordings a data set holds, by its folders alone. Nothing is decoded here."""

import json
import os
import re
from fractions import Fraction
from pathlib import Path
from typing import Any

from engines.core.errors import ScdError
from engines.prepare.footage.request import Dropped, FootageRequest, Listing, Recording

FILMS = (".mp4", ".m4v", ".mov", ".webm", ".mkv", ".avi", ".gif")
PICTURES = (".png", ".jpg", ".jpeg", ".webp", ".bmp")
BESIDE = (".npz", ".json", "_keypoints.npz", "_keypoints.json")  # keypoint files by the name of the film
TIKTOK_FPS = Fraction(30)
TIKTOK_TEST = tuple(f"{number:05d}" for number in range(335, 340))  # what DisCo's loader of the raw folders holds out
TIKTOK_POSES = "openpose_json"  # a folder that DisCo adds
HINT = "name another with --from, or choose the source that it is"


def list_recordings(request: FootageRequest) -> Listing:
    """The recordings of a data set. ScdError where the place is missing, empty, or in another layout."""
    origin = request.origin
    if not origin.exists():
        raise ScdError(f"the data set {origin} does not exist", "check the path given with --from")
    if request.source == "moore-json":
        found = moore_json(origin)
    elif not origin.is_dir():
        raise ScdError(f"the data set {origin} is a file", "name a folder with --from")
    else:
        found = {"folder": folder, "tiktok": tiktok, "ubc-fashion": ubc_fashion}[request.source](origin, request.source_fps)
    if not found.recordings and not found.dropped:
        raise ScdError(f"{origin} holds no recording in the layout of {request.source}", HINT)
    found.recordings.sort(key=lambda recording: natural(recording.name))
    return found


def natural(name: str) -> list[tuple[int, int | str]]:
    """dance_9 before dance_10."""
    return [(0, int(part)) if part.isdigit() else (1, part) for part in re.split(r"(\d+)", name) if part]


def entries(path: Path) -> list[Path]:
    """What a folder holds, hidden things left out. ScdError where it may not be read."""
    try:
        return [path / name for name in sorted(os.listdir(path), key=natural) if not name.startswith(".")]
    except OSError as error:
        raise ScdError(f"the folder {path} cannot be read ({error.strerror})", "check its permissions") from error


def pictures_in(path: Path) -> tuple[Path, ...]:
    return tuple(p for p in entries(path) if p.suffix.lower() in PICTURES)


def is_film(path: Path) -> bool:
    return path.suffix.lower() in FILMS and path.is_file()


def keypoints_beside(path: Path) -> Path | None:
    """NAME.npz, NAME.json ... beside the film or folder NAME."""
    stem = path.name if path.is_dir() else path.stem
    return next((p for ending in BESIDE if (p := path.with_name(stem + ending)).is_file()), None)


def folder(origin: Path, fps: Fraction) -> Listing:
    """Films and folders of frames at any depth. Everything in one folder of `origin` counts as one identity; what lies in `origin` itself
    has an identity each."""
    found = Listing()
    if len(pictures_in(origin)) > 1:
        raise ScdError(f"{origin} is itself a folder of frames", f"name the folder around it: --from {origin.absolute().parent}")
    walk(origin, origin, fps, found)
    return found


def walk(path: Path, origin: Path, fps: Fraction, found: Listing) -> None:
    try:
        here = entries(path)
        frames = pictures_in(path)
    except ScdError as error:
        found.dropped.append(Dropped(path.relative_to(origin).as_posix(), "unreadable", str(error)))
        return
    films = [p for p in here if is_film(p)]
    if len(frames) > 1 and not films:
        found.recordings.append(recording(path, origin, frames, fps))
    found.recordings += [recording(film, origin) for film in films]
    for child in (p for p in here if p.is_dir() and not p.is_symlink()):
        walk(child, origin, fps, found)


def recording(path: Path, origin: Path, frames: tuple[Path, ...] = (), fps: Fraction | None = None) -> Recording:
    name = path.relative_to(origin)
    identity = name.parts[0] if len(name.parts) > 1 or frames else name.as_posix()
    return Recording(name.as_posix(), path, identity, None, frames, fps if frames else None, keypoints_beside(path))


def tiktok(origin: Path, fps: Fraction) -> Listing:
    """NNNNN/images/*.png at 30 frames a second, an identity each; 00335 to 00339 are the test part, as in DisCo's loader."""
    found = Listing()
    for path in (p for p in entries(origin) if p.is_dir()):
        frames = pictures_in(path / "images") if (path / "images").is_dir() else ()
        if not frames:
            found.dropped.append(Dropped(path.name, "layout", f"{path} holds no images/ with pictures"))
            continue
        poses = path / TIKTOK_POSES
        given = poses if poses.is_dir() and any(poses.glob("*.json")) else keypoints_beside(path)
        split = "test" if path.name in TIKTOK_TEST else None
        found.recordings.append(Recording(path.name, path, path.name, split, frames, TIKTOK_FPS, given))
    if not found.recordings:
        raise ScdError(f"{origin} is not in the layout of tiktok: no folder NNNNN/images with pictures", HINT)
    return found


def ubc_fashion(origin: Path, fps: Fraction) -> Listing:
    """train/*.mp4 and test/*.mp4, or films in one folder (of its own or of `fashion/`); an identity each."""
    found = Listing()
    for part, split in (("", None), ("fashion", None), ("train", "train"), ("val", "val"), ("test", "test")):
        place = origin / part
        for film in (p for p in (entries(place) if place.is_dir() else ()) if is_film(p)):
            name = film.relative_to(origin).as_posix()
            found.recordings.append(Recording(name, film, film.stem, split, keypoints=keypoints_beside(film)))
    seen: dict[str, Recording] = {}
    for one in list(found.recordings):
        if one.identity in seen:  # the same id in two parts: the set would test on what it trained on
            found.recordings.remove(one)
            found.dropped.append(Dropped(one.name, "overlap", f"{one.name} has the name of {seen[one.identity].name}"))
        seen.setdefault(one.identity, one)
    return found


def moore_json(origin: Path) -> Listing:
    """A list of {"video_path", "kps_path"}: of the films named an identity each. Drawn skeletons (kps_path to a film) are not used: poses
    are detected anew; a .npz or .json there is."""
    path = only_json(origin)
    found, taken = Listing(), set()
    for number, item in enumerate(read_list(path)):
        name = item.get("video_path") if isinstance(item, dict) else None
        if not isinstance(name, str) or not name:
            found.dropped.append(Dropped(f"{path.name} item {number}", "layout", f"item {number} of {path} names no video_path"))
            continue
        film = placed(name, path.parent)
        label = os.path.relpath(film, path.parent).replace(os.sep, "/")
        if film in taken:
            found.dropped.append(Dropped(label, "duplicate", f"item {number} of {path} names {name} again"))
            continue
        taken.add(film)
        kps = item.get("kps_path")
        given = placed(kps, path.parent) if isinstance(kps, str) and kps.lower().endswith((".npz", ".npy", ".json")) else None
        found.recordings.append(Recording(label, film, label, keypoints=given or keypoints_beside(film)))
    return found


def only_json(origin: Path) -> Path:
    """The list itself, or the only .json of a folder."""
    if origin.is_file():
        return origin
    lists = [p for p in entries(origin) if p.suffix.lower() == ".json" and p.is_file()]
    if len(lists) != 1:
        raise ScdError(f"{origin} holds {len(lists)} JSON files", "name the list of films itself with --from")
    return lists[0]


def read_list(path: Path) -> list[Any]:
    try:
        items = json.loads(path.read_text(encoding="utf-8-sig"))
    except (OSError, ValueError, RecursionError) as error:
        raise ScdError(f"{path} is no JSON that can be read ({error})".replace("\n", " "), "name another list with --from") from error
    if not isinstance(items, list):
        raise ScdError(f"{path} is JSON, but no list of films", 'name another list with --from, of [{"video_path": ...}, ...]')
    return items


def placed(name: str, folder: Path) -> Path:
    """A path of the list, which counts from the list's folder, or else from the working directory as Moore's scripts do."""
    inside = folder / name
    return inside if inside.exists() or not Path(name).exists() else Path(name).absolute()
