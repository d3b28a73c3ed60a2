"""Video in: facts about a file, and its frames one after the other in flat memory."""

from collections.abc import Iterator
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
from av.error import FFmpegError
from av.stream import Disposition
from numpy.typing import NDArray

from engines.core.errors import ScdError
from engines.media.images import check_size, need_file

Picture = NDArray[np.uint8]
UNKNOWN_FPS = Fraction(25)  # for files that tell no rate at all
REMEDY = "convert it again or use another"
NO_VIDEO = {"tty"}  # FFmpeg takes a plain .txt for a film of a terminal


@dataclass(frozen=True, slots=True)
class VideoInfo:
    """Upright size (width, height), rational frames a second, exact number of frames."""

    size: tuple[int, int]
    fps: Fraction
    frames: int


def open_video(path: Path, what: str) -> av.container.InputContainer:
    """An open container with a moving picture. ScdError for what is missing, damaged or has sound only."""
    need_file(path, what)
    try:
        container = av.open(str(path))
    except (FFmpegError, ValueError) as error:
        raise ScdError(f"{what} {path} is not a video that can be read ({plain(error)})", "convert it to MP4 or use another") from error
    if container.format.name in NO_VIDEO:
        container.close()
        raise ScdError(f"{what} {path} is a text, not a video", "convert it to MP4 or use another")
    if moving(container) is None:
        container.close()
        raise ScdError(f"{what} {path} has no moving picture in it, only sound or other data", "use a file with a video stream")
    return container


def moving(container: av.container.InputContainer) -> av.VideoStream | None:
    """The first video stream that is no cover picture of a piece of music."""
    films = (s for s in container.streams.video if not s.disposition & Disposition.attached_pic)
    return next(films, None)


def film(container: av.container.InputContainer) -> av.VideoStream:
    stream = moving(container)
    assert stream is not None  # open_video has looked
    return stream


def plain(error: Exception) -> str:
    return str(getattr(error, "strerror", None) or error).split("\n")[0]


def rotation_of(frame: av.VideoFrame) -> int:
    """Degrees counter-clockwise that set a frame upright."""
    return int(getattr(frame, "rotation", 0) or 0) % 360


def upright(frame: av.VideoFrame) -> Picture:
    picture: Picture = np.asarray(frame.to_ndarray(format="rgb24"), np.uint8)
    turns = rotation_of(frame) // 90
    out: Picture = np.ascontiguousarray(np.rot90(picture, turns)) if turns else picture
    return out


def probe(path: Path, what: str = "the video") -> VideoInfo:
    """Facts of a video; frames are counted exactly, without decoding them. ScdError when there is no frame or the file is cut off."""
    with open_video(path, what) as container:
        stream = film(container)
        fps = stream.average_rate or stream.guessed_rate or UNKNOWN_FPS
        try:
            first = next(container.decode(stream), None)
        except FFmpegError as error:
            raise ScdError(f"{what} {path} is damaged ({plain(error)})", REMEDY) from error
        if first is None:
            raise ScdError(f"{what} {path} holds no frames", "use another")
        height, width = upright(first).shape[:2]
    check_size(path, (width, height), what)
    return VideoInfo((width, height), Fraction(fps), count_frames(path, what))


def count_frames(path: Path, what: str) -> int:
    """Frames that decoding gives: packets, without those that an edit list hides. ScdError when the file ends before its own index does."""
    shown = found = 0
    with open_video(path, what) as container:
        stream = film(container)
        try:
            for packet in container.demux(stream):
                found += bool(packet.size)
                shown += bool(packet.size and not packet.is_discard)
                if packet.is_corrupt and found < stream.frames:
                    raise ScdError(f"{what} {path} is cut off after {found - 1} of its {stream.frames} frames", REMEDY)
        except FFmpegError as error:
            raise ScdError(f"{what} {path} is damaged ({plain(error)})", REMEDY) from error
    return shown


def read_frames(path: Path, start: int = 0, stop: int | None = None, what: str = "the video") -> Iterator[Picture]:
    """Frames start .. stop - 1 as upright uint8 (H, W, 3), decoded as they are asked for."""
    with open_video(path, what) as container:
        stream = film(container)
        stream.thread_type = "AUTO"
        try:
            for index, frame in enumerate(container.decode(stream)):
                if stop is not None and index >= stop:
                    return
                if index >= start:
                    yield upright(frame)
        except FFmpegError as error:
            raise ScdError(f"{what} {path} is damaged ({plain(error)})", REMEDY) from error
