"""Video out: frames are encoded as they come; the file appears whole at the end or not at all, the same bytes for the same frames."""

import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np
from av.error import FFmpegError
from numpy.typing import NDArray

from engines.core.errors import ScdError
from engines.media.encoding import APPLE, Encoding, Plan, check_encoding, plan
from engines.media.output import atomic
from engines.media.resample import MOST_FPS
from engines.media.sink import Sink, described
from engines.media.sound import Sound, SoundTrack, open_track
from engines.media.stills import GIF_MOST, FolderSink, GifSink
from engines.media.video import plain

Picture = NDArray[np.uint8]
# FFmpeg's codes of matrix, primaries, transfer and range
BT709 = 1
MATRIX_RGB = 0
SRGB = 13
LIMITED_RANGE, FULL_RANGE = 1, 2
CONTAINER = {"fflags": "+bitexact"}  # no creation time, no random ids, no version of the library


def padded(picture: Picture, size: tuple[int, int]) -> Picture:
    """Sides grown to `size` (width, height) with their own last row or column."""
    height, width = picture.shape[:2]
    if (width, height) == size:
        return picture
    return np.pad(picture, ((0, size[1] - height), (0, size[0] - width), (0, 0)), mode="edge")


def container_options(path: Path, metadata: Mapping[str, str]) -> dict[str, str]:
    if path.suffix.lower() not in APPLE:
        return CONTAINER
    return CONTAINER | {"movflags": "+faststart+use_metadata_tags" if metadata else "+faststart"}  # the tags: keys of any name


class VideoSink(Sink):
    """One video stream, tagged and converted as BT.709 in limited range, or exact RGB; beside it the sound, up to the frames' time."""

    def __init__(
        self, path: Path, fps: Fraction, size: tuple[int, int], how: Plan, sound: Sound | None, metadata: Mapping[str, str]
    ) -> None:
        super().__init__(size)
        self.plan, self.fps, self.size = how, fps, how.size(size)
        os.environ.setdefault("SVT_LOG", "1")  # SVT-AV1 tells its life on stderr: errors alone
        self.container = av.open(str(path), "w", options=container_options(path, metadata))
        self.container.metadata.update(described(metadata))
        self.stream = self.add_video()
        self.track: SoundTrack | None = None if sound is None else open_track(self.container, path, sound, self.warnings)

    def add_video(self) -> Any:
        stream: Any = self.container.add_stream(self.plan.encoder, rate=self.fps, options=dict(self.plan.settings))
        stream.width, stream.height = self.size
        stream.pix_fmt = self.plan.pix_fmt
        if self.plan.tag:
            stream.codec_context.codec_tag = self.plan.tag
        self.colours(stream.codec_context)
        return stream

    def colours(self, target: Any) -> None:
        """Say of a stream or a frame what its colours mean."""
        target.colorspace, target.color_trc = (MATRIX_RGB, SRGB) if self.plan.rgb else (BT709, BT709)
        target.color_primaries, target.color_range = BT709, FULL_RANGE if self.plan.rgb else LIMITED_RANGE

    def converted(self, picture: Picture) -> av.VideoFrame:
        frame = av.VideoFrame.from_ndarray(padded(picture, self.size), format="rgb24")
        matrix: dict[str, Any] = {
            "src_colorspace": "ITU709",
            "dst_colorspace": "ITU709",
            "src_color_range": "JPEG",
            "dst_color_range": "MPEG",
        }
        # one thread: swscale's slices write over each other's rows in some widths, and the bytes then differ from run to run
        out = frame.reformat(format=self.plan.pix_fmt, threads=1, **({} if self.plan.rgb else matrix))
        self.colours(out)
        return out

    def put(self, picture: Picture) -> None:
        for packet in self.stream.encode(self.converted(picture)):
            self.container.mux(packet)
        if self.track is not None:
            self.track.advance((self.count + 1) / self.fps)

    def finish(self) -> None:
        for packet in self.stream.encode():
            self.container.mux(packet)
        if self.track is not None:
            self.track.finish(self.count / self.fps)
        self.close()

    def close(self) -> None:
        if self.track is not None:
            self.track.close()
        self.container.close()


def most_fps(path: Path) -> Fraction:
    """The highest frame rate that the format of an output can hold."""
    return GIF_MOST if path.suffix.lower() == ".gif" else Fraction(MOST_FPS)


def open_sink(
    path: Path, fps: Fraction, size: tuple[int, int], encoding: Encoding, sound: Sound | None, metadata: Mapping[str, str]
) -> Sink:
    ending = path.suffix.lower()
    if ending == ".png":
        return FolderSink(path, size, metadata)
    if ending == ".gif":
        return GifSink(path, fps, size, metadata)
    return VideoSink(path, fps, size, plan(path, encoding), sound, metadata)


@contextmanager
def encoder_errors(path: Path) -> Iterator[None]:
    """What an encoder refuses becomes a sentence; files' errors pass."""
    try:
        yield
    except FFmpegError as error:
        if isinstance(error, OSError):
            raise
        raise ScdError(f"{path} cannot be encoded ({plain(error)})", "use another --codec, --pix-fmt or --fps") from error


@contextmanager
def open_writer(
    path: Path,
    fps: Fraction,
    size: tuple[int, int],
    overwrite: bool,
    *,
    encoding: Encoding | None = None,
    sound: Sound | None = None,
    metadata: Mapping[str, str] | None = None,
    workspace: Path | None = None,
) -> Iterator[Sink]:
    """Write a clip of `size` (width, height) at `fps`: .mp4 .mov .mkv (H.264), .webm (VP9), .gif, or .png for a folder of pictures.

    `encoding` chooses otherwise; `sound` goes beside the frames, exactly as long as they last, and nowhere in .gif and .png; `metadata` are
    written into the file, all of them as JSON in its comment too. The file is made in the folder `workspace`, of the same disk, or beside
    `path`. The same frames, sound and metadata give the same bytes. Read the sink's `warnings` at the end. UsageError for an encoding that
    cannot be, ScdError for an output that cannot be written or would hold no frames.
    """
    encoding = encoding or Encoding()
    check_encoding(path, encoding)
    with atomic(path, overwrite, workspace) as temporary, encoder_errors(path):
        sink = open_sink(temporary, fps, size, encoding, sound, metadata or {})
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
