"""Drivers: what gives the poses of a clip. The kind is recognised by looking, and what is no driver is refused by name."""

import itertools
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Literal

import cv2
import numpy as np
from numpy.typing import NDArray

from engines.core.errors import ScdError
from engines.core.keypoints import DRAWN_FROM, PoseTrack
from engines.media.fit import fit_and_pad
from engines.media.images import need_file, read_image
from engines.media.video import frame_times, probe, read_frames
from engines.pose.draw import DrawStyle, draw_pose
from engines.pose.files import load_track

Picture = NDArray[np.uint8]
Kind = Literal["filmed person", "photo", "skeleton video", "skeleton picture", "keypoints"]
Content = Literal["skeleton", "densepose", "filled", "empty", "filmed"]
# How files begin tells what they are; the name decides only for what begins like none of these.
PICTURE_STARTS = (b"\x89PNG", b"\xff\xd8\xff", b"BM", b"II*\x00", b"MM\x00*")
KEYPOINT_STARTS = (b"PK\x03\x04", b"{", b"[", b"\x93NUMPY", b"\x80")  # the last begins a pickle, refused by its name
PICTURES = {".png", ".jpg", ".jpeg", ".webp", ".bmp", ".tif", ".tiff"}
KEYPOINTS = {".npz", ".npy", ".json"}
LOOKED_AT = 8  # frames that decide the kind
COLOURED = 0.1  # share of a drawing's lit pixels that have a full colour; of DWPose's about 0.9, the rest being the white face
BLACK = 48  # the brightest channel of what counts as black
ACCEPTED = "a filmed person, a skeleton video (OpenPose or DWPose) or keypoints"
DENSEPOSE_GROUND = np.array([68, 1, 84])  # the purple that DensePose clips have behind the person


def content_of(picture: Picture) -> Content:
    """What a picture shows: a thin drawing on black, a filled body, nothing, or the real world."""
    small = cv2.resize(picture, (192, 256), interpolation=cv2.INTER_AREA)
    if float((np.abs(small.astype(int) - DENSEPOSE_GROUND).max(axis=2) < 24).mean()) > 0.3:
        return "densepose"
    lit = (small.max(axis=2) >= BLACK).astype(np.uint8)
    share = float(lit.mean())
    if share < 0.0005:
        return "empty"
    if share > 0.4:
        return "filmed"
    if coloured(small, lit) < COLOURED:
        return "filmed"
    thick = cv2.erode(lit, cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (11, 11)))
    return "filled" if float(thick.sum()) > 0.2 * float(lit.sum()) else "skeleton"


def coloured(picture: Picture, lit: Picture) -> float:
    """Share of the lit pixels that are more colour than grey, as OpenPose's hues are and skin, cloth and text are not."""
    brightest = picture.max(axis=2).astype(int)
    full = (brightest - picture.min(axis=2) > 0.6 * brightest) & (lit > 0)
    return float(full.sum()) / max(1.0, float(lit.sum()))


REFUSALS: dict[Content, tuple[str, str]] = {
    "densepose": ("is a DensePose clip", f"DensePose cannot drive scd: give {ACCEPTED}"),
    "filled": ("shows filled body parts such as DensePose, not a skeleton", f"give {ACCEPTED}"),
    "empty": ("shows neither a person nor a skeleton in any frame", "give a clip with one in it"),
}


def accepted(name: str, pictures: list[Picture], later: Iterable[Picture] = ()) -> Literal["skeleton", "filmed"]:
    """What drives the clip; ScdError says that `name`, such as "the driver dance.mp4", is something else."""
    kinds = [content_of(p) for p in pictures]
    if kinds and set(kinds) <= {"empty"}:
        kinds += [content_of(p) for p in later]
    if "skeleton" in kinds and "filmed" not in kinds and "densepose" not in kinds:
        return "skeleton"
    order: tuple[Content, ...] = ("densepose", "filmed", "filled", "empty")
    worst: Content = next((k for k in order if k in kinds), "empty")
    if worst == "filmed":
        return "filmed"
    what, hint = REFUSALS[worst]
    raise ScdError(f"{name} {what}", hint)


PEOPLE: tuple[Kind, ...] = ("filmed person", "photo")  # what needs pose detection


@dataclass(frozen=True)
class Driver:
    """A recognised driver: its kind, size (width, height), frames, and rational fps (None for a still).

    `variable`: its frames do not follow each other evenly, and only `times` tells when each is shown. `track` are a keypoint file's.
    """

    path: Path
    kind: Kind
    size: tuple[int, int]
    frames: int
    fps: Fraction | None
    track: PoseTrack | None = None
    name: str = "the driver"  # in errors
    variable: bool = False
    sound: bool = False

    @property
    def is_video(self) -> bool:
        return self.kind in ("skeleton video", "filmed person")

    def times(self, fps: Fraction) -> list[Fraction]:
        """Seconds at which each frame appears, from 0; `fps` is the rate of drivers that have none."""
        if self.is_video:
            return frame_times(self.path, self.name)
        return [index / (self.fps or fps) for index in range(self.frames)]

    def shots(self, start: int, stop: int) -> Iterator[Picture]:
        """Frames start .. stop - 1 as they are in the file, uint8 (H, W, 3). Keypoints have none."""
        if self.is_video:
            yield from read_frames(self.path, start, stop, self.name)
        elif self.track is None:
            yield read_image(self.path, self.name)

    def pictures(self, start: int, stop: int, size: tuple[int, int]) -> Iterator[Picture]:
        """Pose pictures uint8 (H, W, 3) of frames start .. stop - 1, fit into `size` (width, height) on black: of drivers that are drawn
        already, or that are keypoints."""
        if self.track is None:
            for picture in self.shots(start, stop):
                yield fit_and_pad(picture, size, "black")[0]
            return
        for points in self.track.points[start:stop]:
            yield draw_pose(points, self.track.size, size, DrawStyle())


def guess(path: Path) -> Literal["keypoints", "picture", "video"]:
    if path.is_dir():
        return "keypoints"
    with path.open("rb") as file:
        start = file.read(16).lstrip()
    ending = path.suffix.lower()
    if start.startswith(PICTURE_STARTS) or start[8:12] == b"WEBP":
        return "picture"
    if start.startswith(KEYPOINT_STARTS) or ending in KEYPOINTS:
        return "keypoints"
    return "picture" if ending in PICTURES and b"ftyp" not in start else "video"


def open_driver(path: Path, kind: Kind | None = None, name: str = "the driver") -> Driver:
    """Recognise and check a driver, which errors call `name`. `kind` skips both. ScdError for what cannot drive a clip."""
    if not path.exists():
        raise ScdError(f"{name} {path} does not exist", "check the path given with --poses")
    if not path.is_dir():
        need_file(path, name)
    if kind == "keypoints" or (kind is None and guess(path) == "keypoints"):
        return keypoint_driver(path, name)
    if kind in ("skeleton picture", "photo") or (kind is None and guess(path) == "picture"):
        return picture_driver(path, kind, name)
    return video_driver(path, kind, name)


def keypoint_driver(path: Path, name: str) -> Driver:
    track = load_track(path)
    if not (track.points[..., 2] >= DRAWN_FROM).any():
        raise ScdError(f"the keypoints {path} hold no point that could be drawn", f"give a track with scores of {DRAWN_FROM} or more")
    return Driver(path, "keypoints", track.size, len(track.points), track.fps, track, name)


def picture_driver(path: Path, kind: Kind | None, name: str) -> Driver:
    picture = read_image(path, name)
    if kind is None:
        kind = "skeleton picture" if accepted(f"{name} {path}", [picture]) == "skeleton" else "photo"
    return Driver(path, kind, (picture.shape[1], picture.shape[0]), 1, None, name=name)


def video_driver(path: Path, kind: Kind | None, name: str) -> Driver:
    info = probe(path, name)
    if kind is None:
        seen = accepted(f"{name} {path}", looked_at(path, info.frames), first_lit(path))
        kind = "skeleton video" if seen == "skeleton" else "filmed person"
    return Driver(path, kind, info.size, info.frames, info.fps, name=name, variable=info.variable, sound=info.sound)


def first_lit(path: Path) -> Iterator[Picture]:
    """The first frame that is not black, for clips that fade in; nothing when all are."""
    lit = (p for p in read_frames(path, 0, None, "the driver") if content_of(p) != "empty")
    return itertools.islice(lit, 1)


def looked_at(path: Path, frames: int) -> list[Picture]:
    """A few frames spread over the first hundred."""
    step = max(1, min(frames, 100) // LOOKED_AT)
    found = read_frames(path, 0, step * LOOKED_AT, "the driver")
    return [picture for index, picture in enumerate(found) if index % step == 0]
