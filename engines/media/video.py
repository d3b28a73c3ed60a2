"""Video in: facts about a file, when its frames are shown, and the frames one after the other in flat memory.

Time 0 of a file is when its first frame is shown, wherever the container's own clock begins.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from fractions import Fraction
from functools import lru_cache
from pathlib import Path
from typing import Any

import av
import numpy as np
from av.error import FFmpegError
from av.stream import Disposition
from numpy.typing import NDArray

from engines.core.errors import ScdError
from engines.media.images import check_size, need_file
from engines.media.packets import Awaited, Counter, missing_bytes
from engines.media.timing import nominal_rate, seconds, steady, steady_rate

Picture = NDArray[np.uint8]
UNKNOWN_FPS = Fraction(25)  # for files that tell no rate at all
REMEDY = "convert it again or use another"
NO_VIDEO = {"tty"}  # FFmpeg takes a plain .txt for a film of a terminal
UNSPECIFIED = 2  # FFmpeg's code of a matrix that is not told
HD = 720  # rows from which on video is BT.709 by custom
REORDERED = 64  # packets among which the first frame to be shown is found, far more than any B-frame pyramid


@dataclass(frozen=True, slots=True)
class VideoInfo:
    """Facts of a file: `fps` is its rate, or of a variable one the rate that it is meant to have.

    `size` is upright (width, height) in pixels, `frames` their exact number, `duration` in seconds from the first frame's showing to the
    last one's end. `variable`: gaps between frames differ by more than 1 % and more than rounding. `sound`: there is an audio stream.
    """

    size: tuple[int, int]
    fps: Fraction
    frames: int
    variable: bool
    duration: Fraction
    sound: bool


@dataclass(frozen=True, slots=True)
class Scan:
    """What the packets tell: timestamps of the shown frames in the order of showing, None where there are none, in ticks of seconds."""

    frames: int
    ticks: list[int] | None
    tick: Fraction
    last: int  # ticks that the last frame stays, 0 where unknown
    claims: tuple[Fraction, ...]  # frames a second, by the file's own words; at least one
    sound: bool

    def variable(self) -> bool:
        return self.ticks is not None and not steady(self.ticks)

    def fps(self) -> Fraction:
        if self.ticks is None:
            return self.claims[0]
        return (nominal_rate if self.variable() else steady_rate)(self.ticks, self.tick, self.claims)

    def times(self) -> list[Fraction]:
        fps = self.fps()
        return [index / fps for index in range(self.frames)] if self.ticks is None else seconds(self.ticks, self.tick, fps)

    def facts(self, size: tuple[int, int]) -> VideoInfo:
        fps, times, variable = self.fps(), self.times(), self.variable()
        stays = self.last * self.tick
        stays = stays if variable and 2 * stays * fps >= 1 else 1 / fps  # many writers give the last frame a single tick
        return VideoInfo(size, fps, self.frames, variable, times[-1] + stays, self.sound)


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
    # players take a large picture that says nothing of its colours for BT.709, FFmpeg takes any for BT.601
    matrix: dict[str, Any] = {"src_colorspace": "ITU709"} if frame.colorspace == UNSPECIFIED and frame.height >= HD else {}
    # one thread: swscale's slices write over each other's rows in some widths (seen in FFmpeg 8.1 with 10 bits and odd widths)
    picture: Picture = np.asarray(frame.to_ndarray(format="rgb24", threads=1, **matrix), np.uint8)
    turns = rotation_of(frame) // 90
    out: Picture = np.ascontiguousarray(np.rot90(picture, turns)) if turns else picture
    return out


def probe(path: Path, what: str = "the video") -> VideoInfo:
    """Facts of a video; frames are counted exactly, without decoding them. ScdError when there is no frame or the file is cut off."""
    with open_video(path, what) as container:
        try:
            first = next(container.decode(film(container)), None)
        except FFmpegError as error:
            raise ScdError(f"{what} {path} is damaged ({plain(error)})", REMEDY) from error
        if first is None:
            raise ScdError(f"{what} {path} holds no frames", "use another")
        height, width = upright(first).shape[:2]
    check_size(path, (width, height), what)
    return scan(path, what).facts((width, height))


def frame_times(path: Path, what: str = "the video") -> list[Fraction]:
    """Seconds at which each frame that `read_frames` gives is shown, in its order, rising from 0 at the first.

    Read from packets, without decoding. Timestamps of a steady rate are freed of the container's rounding: frame n is at n / fps exactly;
    so are frames of files that hold no timestamps. ScdError as of `probe`.
    """
    return scan(path, what).times()


def scan(path: Path, what: str) -> Scan:
    """Go through the packets, once while the file stays the same. ScdError when it ends before its own index does, or gives no frame."""
    need_file(path, what)
    facts = path.stat()
    return scanned(path, what, (facts.st_dev, facts.st_ino, facts.st_size, facts.st_mtime_ns))


@lru_cache(maxsize=8)
def scanned(path: Path, what: str, state: tuple[int, ...]) -> Scan:
    """`scan` of a file in a state."""
    found = 0
    with open_video(path, what) as container:
        if missing := missing_bytes(path):
            raise ScdError(f"{what} {path} is cut off: {missing} bytes are missing at its end", REMEDY)
        stream = film(container)
        counter = Counter(stream.codec_context.name)
        try:
            for packet in (p for p in container.demux(stream) if p.size):
                found += 1
                if packet.is_corrupt and found <= stream.frames:
                    raise ScdError(f"{what} {path} is cut off after {found - 1} of its {stream.frames} frames", REMEDY)
                counter.see(packet)
        except FFmpegError as error:
            raise ScdError(f"{what} {path} is damaged behind frame {len(counter.shown)} ({plain(error)})", REMEDY) from error
        claims = tuple(Fraction(rate) for rate in (stream.average_rate, stream.guessed_rate, stream.base_rate) if rate) or (UNKNOWN_FPS,)
        tick, sound = stream.time_base, bool(container.streams.audio)
    shown = counter.shown
    if not shown:
        raise ScdError(f"{what} {path} holds no frames", "use another")
    stamps = sorted((pts, stays) for pts, stays in shown if pts is not None)
    if tick is None or len(stamps) < len(shown):
        return Scan(len(shown), None, Fraction(1), 0, claims, sound)
    return Scan(len(shown), [pts for pts, _ in stamps], Fraction(tick), stamps[-1][1], claims, sound)


def clock_start(container: av.container.InputContainer) -> Fraction:
    """When the first frame is shown by the container's own clock, in seconds; 0 of a file without pictures. Uses the container up."""
    stream = moving(container)
    if stream is None or stream.time_base is None:
        return Fraction(0)
    counter = Counter(stream.codec_context.name)
    for packet in (p for p in container.demux(stream) if p.size):
        counter.see(packet)
        if counter.begun and len(counter.shown) >= REORDERED:
            break
    return min((pts for pts, _ in counter.shown if pts is not None), default=0) * Fraction(stream.time_base)


def read_frames(path: Path, start: int = 0, stop: int | None = None, what: str = "the video") -> Iterator[Picture]:
    """Frames start .. stop - 1 as upright uint8 (H, W, 3), decoded as they are asked for.

    ScdError names the frame that cannot be decoded, also where a decoder would leave it out without a word.
    """
    with open_video(path, what) as container:
        for index, frame in enumerate(decoded(container, f"{what} {path}")):
            if stop is not None and index >= stop:
                return
            if index >= start:
                yield upright(frame)


def decoded(container: av.container.InputContainer, name: str) -> Iterator[av.VideoFrame]:
    """Every frame of the film, or an ScdError about `name` that tells the number of the first one that is damaged."""
    stream = film(container)
    stream.thread_type = "AUTO"
    awaited = Awaited(stream.codec_context.name)
    lost: int | None = None
    try:
        for packet in container.demux(stream):
            awaited.announce(packet)
            for frame in packet.decode():
                lost = awaited.come(frame)
                if lost is not None:
                    break
                yield frame
            if lost is not None:
                break
    except FFmpegError as error:
        raise ScdError(f"{name} is damaged at frame {awaited.frames} ({plain(error)})", REMEDY) from error
    lost = awaited.ended() if lost is None else lost
    if lost is not None:
        raise ScdError(f"{name} is damaged at frame {lost}, which cannot be decoded", REMEDY)
