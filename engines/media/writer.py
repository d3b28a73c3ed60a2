"""Video out: frames are encoded as they come; the file appears whole at the end or not at all."""

import itertools
from abc import ABC, abstractmethod
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np
from av.error import FFmpegError
from numpy.typing import NDArray
from PIL import Image

from engines.core.errors import ScdError, UsageError
from engines.media.output import atomic
from engines.media.resample import MOST_FPS

Picture = NDArray[np.uint8]
FORMATS = (".mp4", ".webm", ".gif", ".png")
CODECS: dict[str, tuple[str, dict[str, str], dict[str, str]]] = {
    ".mp4": ("libx264", {"crf": "16", "preset": "medium"}, {"movflags": "+faststart"}),
    ".webm": ("libvpx-vp9", {"crf": "24", "b:v": "0", "cpu-used": "4"}, {}),
}
GIF_MOST = Fraction(50)  # frames a second: players slow a delay below two hundredths of a second down
BT709 = 1  # the code of BT.709 in matrix, primaries and transfer fields alike
LIMITED_RANGE = 1


class Sink(ABC):
    """What the formats share: frames of one size, counted. `finish` completes the file, `close` lets go of it; both may be called."""

    def __init__(self, size: tuple[int, int]) -> None:
        self.shape = (size[1], size[0], 3)
        self.count = 0

    def write(self, picture: Picture) -> None:
        """Take one frame, uint8 (H, W, 3)."""
        if picture.shape != self.shape or picture.dtype != np.uint8:
            raise ValueError(f"a {picture.dtype} frame of shape {picture.shape} in a clip of {self.shape}")
        self.put(picture)
        self.count += 1

    @abstractmethod
    def put(self, picture: Picture) -> None: ...

    def finish(self) -> None:
        self.close()

    def close(self) -> None:
        return None


def even(picture: Picture) -> Picture:
    """Sides padded to even numbers with their own last row or column: 4:2:0 video has no odd sizes."""
    height, width = picture.shape[:2]
    return np.pad(picture, ((0, height % 2), (0, width % 2), (0, 0)), mode="edge") if height % 2 or width % 2 else picture


class VideoSink(Sink):
    """One H.264 or VP9 stream, yuv420p, BT.709 tagged and converted."""

    def __init__(self, path: Path, fps: Fraction, size: tuple[int, int]) -> None:
        super().__init__(size)
        codec, settings, container = CODECS[path.suffix.lower()]
        self.container = av.open(str(path), "w", options=container)
        stream: Any = self.container.add_stream(codec, rate=fps, options=settings)
        stream.width, stream.height = (side + side % 2 for side in size)
        stream.pix_fmt = "yuv420p"
        context = stream.codec_context
        context.colorspace = context.color_primaries = context.color_trc = BT709
        context.color_range = LIMITED_RANGE
        self.stream = stream

    def put(self, picture: Picture) -> None:
        frame = av.VideoFrame.from_ndarray(even(picture), format="rgb24")
        frame = frame.reformat(
            format="yuv420p", src_colorspace="ITU709", dst_colorspace="ITU709", src_color_range="JPEG", dst_color_range="MPEG"
        )
        for packet in self.stream.encode(frame):
            self.container.mux(packet)

    def finish(self) -> None:
        for packet in self.stream.encode():
            self.container.mux(packet)
        self.close()

    def close(self) -> None:
        self.container.close()


class FolderSink(Sink):
    """A folder of 000000.png, 000001.png ..."""

    def __init__(self, path: Path, size: tuple[int, int]) -> None:
        super().__init__(size)
        path.mkdir()
        self.path = path

    def put(self, picture: Picture) -> None:
        Image.fromarray(picture).save(self.path / f"{self.count:06d}.png")


class GifSink(Sink):
    """Palette frames, kept until the end (a GIF is short), a byte a pixel.

    Delays are whole hundredths of a second, spread so that their sum stays true to the frame rate, which is at most `GIF_MOST`.
    """

    def __init__(self, path: Path, fps: Fraction, size: tuple[int, int]) -> None:
        super().__init__(size)
        self.path, self.fps = path, fps
        self.frames: list[Image.Image] = []

    def put(self, picture: Picture) -> None:
        self.frames.append(Image.fromarray(picture).quantize(256, method=Image.Quantize.MEDIANCUT, dither=Image.Dither.FLOYDSTEINBERG))

    def finish(self) -> None:
        edges = [round(100 * index / self.fps) for index in range(len(self.frames) + 1)]  # hundredths of a second
        delays = [(b - a) * 10 for a, b in itertools.pairwise(edges)]
        self.frames[0].save(self.path, format="GIF", save_all=True, append_images=self.frames[1:], duration=delays, loop=0)


def check_format(path: Path) -> None:
    if path.suffix.lower() not in FORMATS:
        raise UsageError(f"the output {path} has no known ending", f"end it in one of {', '.join(FORMATS)}")


def most_fps(path: Path) -> Fraction:
    """The highest frame rate that the format of an output can hold."""
    return GIF_MOST if path.suffix.lower() == ".gif" else Fraction(MOST_FPS)


def open_sink(path: Path, fps: Fraction, size: tuple[int, int]) -> Sink:
    ending = path.suffix.lower()
    if ending == ".png":
        return FolderSink(path, size)
    return GifSink(path, fps, size) if ending == ".gif" else VideoSink(path, fps, size)


@contextmanager
def open_writer(path: Path, fps: Fraction, size: tuple[int, int], overwrite: bool) -> Iterator[Sink]:
    """Write a clip of `size` (width, height): .mp4 (H.264), .webm (VP9), .gif, or .png for a folder of numbered pictures."""
    check_format(path)
    with atomic(path, overwrite) as temporary:
        sink = open_sink(temporary, fps, size)
        try:
            yield sink
        except BaseException:
            with suppress(OSError, FFmpegError):  # what failed first is what counts
                sink.close()
            raise
        if sink.count == 0:
            with suppress(OSError, FFmpegError):
                sink.close()
            raise ScdError(f"{path} would hold no frames and was not written", "choose a range with frames in it")
        sink.finish()
