"""Video in: facts about a file, and its frames one after the other in flat memory."""

from collections.abc import Iterator
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
from av.error import FFmpegError
from numpy.typing import NDArray

from engines.core.errors import ScdError
from engines.media.images import check_size, need_file

Picture = NDArray[np.uint8]


@dataclass(frozen=True, slots=True)
class VideoInfo:
    """Upright size (width, height), rational frames a second, exact number of frames."""

    size: tuple[int, int]
    fps: Fraction
    frames: int


def open_video(path: Path, what: str) -> av.container.InputContainer:
    """An open container with a video stream. ScdError for what is missing, damaged or has no picture."""
    need_file(path, what)
    try:
        container = av.open(str(path))
    except (FFmpegError, ValueError) as error:
        raise ScdError(f"{what} {path} is not a video that can be read ({plain(error)})", "convert it to MP4 or use another") from error
    if not container.streams.video:
        container.close()
        raise ScdError(f"{what} {path} has no picture, only {container.format.long_name}", "use a file with a video stream")
    return container


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
    """Facts of a video; frames are counted by decoding nothing but packets. ScdError when there is no frame."""
    with open_video(path, what) as container:
        stream = container.streams.video[0]
        fps = stream.average_rate or stream.guessed_rate or Fraction(25)
        try:
            first = next(container.decode(stream), None)
        except FFmpegError as error:
            raise ScdError(f"{what} {path} is damaged ({plain(error)})", "convert it again or use another") from error
        if first is None:
            raise ScdError(f"{what} {path} holds no frames", "use another")
        height, width = upright(first).shape[:2]
    check_size(path, (width, height), what)
    return VideoInfo((width, height), Fraction(fps), count_frames(path, what))


def count_frames(path: Path, what: str) -> int:
    with open_video(path, what) as container:
        return sum(1 for packet in container.demux(container.streams.video[0]) if packet.size)


def read_frames(path: Path, start: int = 0, stop: int | None = None, what: str = "the video") -> Iterator[Picture]:
    """Frames start .. stop - 1 as upright uint8 (H, W, 3), decoded as they are asked for."""
    with open_video(path, what) as container:
        stream = container.streams.video[0]
        stream.thread_type = "AUTO"
        try:
            for index, frame in enumerate(container.decode(stream)):
                if stop is not None and index >= stop:
                    return
                if index >= start:
                    yield upright(frame)
        except FFmpegError as error:
            raise ScdError(f"{what} {path} is damaged ({plain(error)})", "convert it again or use another") from error
