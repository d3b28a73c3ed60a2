"""Finding videos in whatever layout a folder has: films, folders of frames, flat names, and the trees of public data sets."""

import os.path
import re
from collections.abc import Sequence
from fractions import Fraction
from pathlib import Path

from engines.core.errors import ScdError
from engines.core.manifest import Clip, read_manifest
from engines.evaluate.tryon_layouts import find_pictures, is_tryon
from engines.evaluate.videos import FILMS, PICTURES, Contents, Found, Video, by_number, few, film_video, frames_video, look
from engines.media.images import need_file
from engines.media.video import film, open_video

KNOWN = (
    "known are: a video, a folder of videos, video/0001.png, split/video/0001.png, video/images/0001.png (TikTok), "
    "TiktokDance_00001_0001.png (DisCo), 000/ beside 000_reference.png (One-to-All), and data sets of scd prepare-data"
)
TIKTOK = "images"  # the folder with the frames, in a folder a video
REFERENCE = "_reference"
EXACT = {"ffv1 bgr0", "ffv1 gbrp", "png rgb24", "apng rgb24", "rawvideo rgb24", "qtrle rgb24"}  # what FFmpeg stores RGB in as it is
# Video and frame number in a flat name: DisCo, tool/metrics/metric_center.py and its dataset loaders. Their PNGs are named after the
# pictures they came from, as TiktokDance_00337_0133png.png; the videos gathered beside TikTok have TiktokDance_203_006_1x1_00348jpg.png.
FLAT = tuple(
    re.compile(pattern + r"[^0-9]*")
    for pattern in (
        r"(TiktokDance_[0-9]+_[0-9]+_1x1)_([0-9]+)",
        r"(TiktokDance_[0-9]+)_([0-9]+)(?:_1x1)?",
        r"(S[0-9]{3}C[0-9]{3}P[0-9]{3}R[0-9]{3}A[0-9]{3})_([0-9]+)",
    )
)


def find_videos(path: Path, what: str, pictures: bool = False) -> Found:
    """The videos of a file or folder. `what` names its role in messages, as "the truth".

    `pictures`: every picture is a video of one frame by itself, as in try-on (see engines.evaluate.tryon_layouts).
    ScdError for what is missing, damaged, ambiguous or in no known layout; frames are not decoded here.
    """
    found = Found(path, what)
    if os.path.isdir(path):
        here = look(path, what)
        find_pictures(here, found) if pictures else in_folder(here, found)
    else:
        need_file(path, what)
        single_file(path, found)
    found.warnings += [*left_out(found), *lossy(found)]
    return found


def single_file(path: Path, found: Found) -> None:
    ending = path.suffix.lower()
    if ending in PICTURES:
        found.layout = "one picture"
        found.add(Video(path.stem, (0,), (path,), None, None))
    elif ending in FILMS:
        found.layout = "one video"
        found.add(film_video(path, found.what, path.stem))
    else:
        raise ScdError(f"{found.what} {path} is neither a picture nor a video by its ending", "name a video or a folder of frames")


def in_folder(here: Contents, found: Found) -> None:
    """The layout of a folder: what it has directly in it decides."""
    if is_data_set(here):
        return data_set(here, found)
    if is_tryon(here):
        raise ScdError(f"{found.what} {here.path} is a try-on data set", "add --protocol vitonhd-catvton, vitonhd-ladi or vitonhd-hrviton")
    if TIKTOK in here.names():
        found.layout = "TikTok tree, one video"
        return add_frames(look(here.path / TIKTOK, found.what), folder_id(here.path), found)
    if here.films:
        return films(here, "", found)
    if here.folders:
        return folders(here, found)
    if not here.pictures:
        raise ScdError(f"{found.what} {here.path} {nothing(here)}", "name a video or a folder of frames")
    found.others += here.others
    if all(flat_name(picture) for picture in here.pictures):
        return flat(here.pictures, found)
    found.layout = "one folder of frames"
    found.add(frames_video(here.pictures, found.what, folder_id(here.path)))


def nothing(here: Contents) -> str:
    return f"holds no pictures or videos, only {few(p.name for p in here.others)}" if here.others else "is an empty folder"


def folder_id(path: Path) -> str:
    """The folder's name; of one that `scd animate -o NAME.png` wrote, NAME."""
    path = Path(os.path.abspath(path))
    return path.stem if path.suffix.lower() in (*PICTURES, *FILMS) else path.name


def films(here: Contents, prefix: str, found: Found) -> None:
    beside = [*here.pictures, *here.folders]
    if beside:
        message = f"{found.what} {here.path} holds both videos and frames, as {here.films[0].name} and {beside[0].name}"
        raise ScdError(message, "keep videos and folders of frames apart")
    found.others += here.others
    found.layout = "folders of videos" if prefix else "folder of videos"
    for path in here.films:
        found.add(film_video(path, found.what, prefix + path.stem))


def folders(here: Contents, found: Found) -> None:
    """Folders that each hold a video, or one level down several."""
    found.references = references(here, found.what)
    inside = [look(folder, found.what) for folder in here.folders]
    kinds: dict[str, str] = {}
    for child in inside:
        kinds.setdefault(form(child, found.what), child.path.name)
    if len(kinds) > 1:
        first, second = list(kinds.values())[:2]
        raise ScdError(f"{found.what} {here.path} is in no known layout: {first} and {second} are of different kinds", KNOWN)
    found.layout = "One-to-All tree" if found.references else next(iter(kinds))
    found.others += here.others
    for child in inside:
        add_child(child, next(iter(kinds)), found)


def form(child: Contents, what: str) -> str:
    """The layout that a folder inside the root speaks for."""
    if TIKTOK in child.names():
        return "TikTok tree"
    if child.films:
        return "folders of videos"
    if child.pictures:
        return "folders of frames"
    if child.folders:
        return "folders of frames, one level down"
    raise ScdError(f"{what} {child.path} {nothing(child)}", "fill it or remove it")


def add_child(child: Contents, layout: str, found: Found) -> None:
    name = folder_id(child.path)
    if layout == "folders of videos":
        return films(child, f"{name}/", found)
    found.others += child.others
    if layout == "TikTok tree":
        add_frames(look(child.path / TIKTOK, found.what), name, found)
    elif layout == "folders of frames":
        found.others += child.folders  # such as thumbnails beside the frames
        found.add(frames_video(child.pictures, found.what, name))
    else:
        for folder in child.folders:
            add_frames(look(folder, found.what), f"{name}/{folder_id(folder)}", found)


def add_frames(here: Contents, id: str, found: Found) -> None:
    """A folder that must hold the frames of one video and no further folders or films."""
    if here.films or here.folders:
        message = f"{found.what} {found.path} is in no known layout: {(here.folders or here.films)[0]} lies too deep"
        raise ScdError(message, KNOWN)
    if not here.pictures:
        raise ScdError(f"{found.what} {here.path} {nothing(here)}", "fill it or remove it")
    found.others += here.others
    found.add(frames_video(here.pictures, found.what, id))


def references(here: Contents, what: str) -> dict[str, Path]:
    """000_reference.png beside the folder 000, by id. ScdError for any other picture beside folders."""
    out = {picture.stem.removesuffix(REFERENCE): picture for picture in here.pictures if picture.stem.endswith(REFERENCE)}
    stray = [p for p in here.pictures if not p.stem.endswith(REFERENCE) or p.stem.removesuffix(REFERENCE) not in here.names()]
    if stray:
        message = f"{what} {here.path} holds both frames and folders, as {stray[0].name} and {here.folders[0].name}"
        raise ScdError(message, "name the folder that holds the videos, or move the picture away")
    return out


def flat_name(picture: Path) -> tuple[str, int] | None:
    """Video and frame number of a flat name, None of any other."""
    found = next((m for m in (pattern.fullmatch(picture.stem) for pattern in FLAT) if m), None)
    return (found[1], int(found[2])) if found else None


def flat(pictures: Sequence[Path], found: Found) -> None:
    found.layout = "flat DisCo names"
    groups: dict[str, list[tuple[int, Path]]] = {}
    for picture in pictures:
        name = flat_name(picture)
        assert name is not None  # the caller has looked
        groups.setdefault(name[0], []).append((name[1], picture))
    for id, numbered in groups.items():
        found.add(by_number(numbered, found.what, id))


def is_data_set(here: Contents) -> bool:
    listed = any(p.name == "metadata.jsonl" for p in here.others)
    return listed or ("clips" in here.names() and next(here.path.glob("clips/[0-9]*/clip.json"), None) is not None)


def data_set(here: Contents, found: Found) -> None:
    """A data set of scd prepare-data: frame 0 of a clip is its reference."""
    found.layout = "scd data set"
    try:
        clips = read_manifest(here.path)
    except (OSError, UnicodeDecodeError) as error:
        raise ScdError(
            f"the list of clips in {here.path} cannot be read ({error})", "make the data set again with scd prepare-data"
        ) from error
    if not clips:
        raise ScdError(f"{found.what} {here.path} is a data set without clips", "make one with scd prepare-data")
    for clip in clips:
        video = clip_video(clip, here.path, found.what)
        found.add(video)
        found.references[clip.clip_id] = video.files[0]
        found.keypoints[clip.clip_id] = here.path / clip.keypoints
        if clip.labels is not None:
            found.labels[clip.clip_id] = here.path / clip.labels


def clip_video(clip: Clip, root: Path, what: str) -> Video:
    paths = tuple(root / clip.frame_path(index) for index in range(clip.frames))
    there = set(look(paths[0].parent, what).pictures)
    missing = [path for path in paths if path not in there]
    if missing:
        message = f"{what} lacks {len(missing)} of the {clip.frames} frames of the clip {clip.clip_id}, the first is {missing[0]}"
        raise ScdError(message, "make the data set again with scd prepare-data")
    return Video(clip.clip_id, tuple(range(clip.frames)), paths, None, Fraction(clip.fps))


def left_out(found: Found) -> list[str]:
    """One warning for all files that are no part of the layout."""
    count = len(found.others)
    names = few(p.relative_to(found.path) for p in found.others)
    return [f"{found.what} {found.path}: {count} other {'file is' if count == 1 else 'files are'} left out, {names}"] if count else []


def lossy(found: Found) -> list[str]:
    """One warning for all films that may not hold the frames exactly."""
    stored: dict[str, Video] = {}
    for video in found.videos.values():
        if video.film:
            with open_video(video.film, found.what) as container:
                context = film(container).codec_context
                stored[f"{context.name} {context.pix_fmt}"] = video
    if stored.keys() <= EXACT:
        return []
    count = sum(v.film is not None for v in found.videos.values())
    which = f"{next(iter(stored.values())).film} is" if count == 1 else f"{count} files are"
    return [f"{found.what}: {which} {few(stored)}, frames are lossy unless encoded without loss; PNG folders are exact"]
