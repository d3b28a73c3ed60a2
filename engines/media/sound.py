"""The driver's sound beside the clip: cut and padded to the frames' time, decoded and encoded in step with them, in flat memory."""

from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np
from av.error import FFmpegError
from numpy.typing import NDArray

from engines.media.encoding import APPLE
from engines.media.video import clock_start, plain

Block = NDArray[np.float32]  # (channels, samples), -1 .. 1
BIT_RATE = "192k"
AAC_RATES = (44100, 48000)  # samples a second that are kept; all others become USUAL_RATE
USUAL_RATE = 48000  # the only one of Opus
OUT_OF_STEP = Fraction(1, 50)  # seconds by which samples may lie off their timestamps before they are moved to them
EARLIER = 2  # seconds before the part that is wanted at which decoding begins, for codecs that look back
SEEKABLE = ("mov,mp4,m4a,3gp,3g2,mj2", "matroska,webm")  # containers that find a time exactly


@dataclass(frozen=True, slots=True)
class Sound:
    """A part of a file's first audio stream: `duration` seconds from `start`, 0 being when the file's first frame is shown.

    Of a file without pictures 0 is where its clock begins.
    """

    path: Path
    start: Fraction
    duration: Fraction


def audio_of(container: av.container.InputContainer) -> av.AudioStream | None:
    return next(iter(container.streams.audio), None)


def origin_of(path: Path) -> Fraction:
    with av.open(str(path)) as container:
        return clock_start(container)


def frames_of(container: av.container.InputContainer, stream: av.AudioStream, damage: list[str]) -> Iterator[av.AudioFrame]:
    """Decoded frames; packets that cannot be decoded are left out and their errors noted."""
    packets = container.demux(stream)
    while True:
        try:
            packet = next(packets, None)  # after an error of its own it ends
            frames = [] if packet is None else packet.decode()
        except (FFmpegError, ValueError) as error:
            damage.append(plain(error))
            continue
        if packet is None:
            return
        yield from frames


def kind_of(frame: av.AudioFrame) -> tuple[str, str, int]:
    return frame.format.name, frame.layout.name, frame.sample_rate


class Run:
    """Samples of one kind that follow each other without a gap, converted to `rate` and `layout` together."""

    def __init__(self, first: av.AudioFrame, begins: Fraction, rate: int, layout: str) -> None:
        self.kind, self.begins, self.samples = kind_of(first), begins, 0
        self.resampler = av.AudioResampler(format="fltp", layout=layout, rate=rate)
        self.place = round(begins * rate)

    @property
    def ends(self) -> Fraction:
        return self.begins + Fraction(self.samples, self.kind[2])

    def continued_by(self, frame: av.AudioFrame, at: Fraction) -> bool:
        return kind_of(frame) == self.kind and abs(at - self.ends) <= OUT_OF_STEP

    def convert(self, frame: av.AudioFrame | None) -> Iterator[tuple[int, Block]]:
        """What a frame gives, or with None what was held back: blocks and their places."""
        if frame is not None:
            self.samples += frame.samples
            frame.pts = None  # the run counts for itself
        for out in self.resampler.resample(frame):
            block = np.asarray(out.to_ndarray(), np.float32) if out is not None and out.samples else None
            if block is not None:
                yield self.place, block
                self.place += block.shape[1]


def placed(frames: Iterator[av.AudioFrame], origin: Fraction, rate: int, layout: str) -> Iterator[tuple[int, Block]]:
    """Blocks of samples with the place of their first one, counted from `origin` (seconds of the file's clock); gaps stay gaps."""
    run: Run | None = None
    for frame in frames:
        if frame.pts is None or frame.time_base is None:  # no time of its own: it follows what came before
            at = run.ends if run is not None else -origin
        else:
            at = frame.pts * frame.time_base - origin
        if run is None or not run.continued_by(frame, at):
            if run is not None:
                yield from run.convert(None)
            run = Run(frame, at, rate, layout)
        yield from run.convert(frame)
    if run is not None:
        yield from run.convert(None)


def blocks_of(sound: Sound, rate: int, layout: str, damage: list[str]) -> Iterator[tuple[int, Block]]:
    """Decoded blocks from shortly before the sound's start until its end; what goes wrong is noted in `damage` and ends them."""
    try:
        origin = origin_of(sound.path) + sound.start
        with av.open(str(sound.path)) as container:
            stream = audio_of(container)
            if stream is None or stream.time_base is None:
                return
            if sound.start > EARLIER and container.format.name in SEEKABLE:
                with suppress(FFmpegError):  # where seeking fails, all that comes before is decoded
                    container.seek(int((origin - EARLIER) / stream.time_base), stream=stream)
            for place, block in placed(frames_of(container, stream, damage), origin, rate, layout):
                if place >= sound.duration * rate:
                    return
                yield place, block
    except (FFmpegError, ValueError) as error:
        damage.append(plain(error))


class Reel:
    """Blocks laid out in time: `take` gives the next samples, silence where no block lies and behind `end`."""

    def __init__(self, blocks: Iterator[tuple[int, Block]], channels: int, end: int) -> None:
        self.blocks, self.channels, self.end = blocks, channels, end
        self.cursor = 0
        self.held: tuple[int, Block] | None = None

    def take(self, count: int) -> Block:
        """The next `count` samples, float32 (channels, count)."""
        out = np.zeros((self.channels, count), np.float32)
        until = self.cursor + count
        while (self.held is not None or self.advance()) and self.held is not None:
            place, block = self.held
            start, stop = max(place, self.cursor), min(place + block.shape[1], until, self.end)
            if start < stop:
                out[:, start - self.cursor : stop - self.cursor] = block[:, start - place : stop - place]
            if place + block.shape[1] > until:
                break
            self.held = None
        self.cursor = until
        return out

    def advance(self) -> bool:
        self.held = next(self.blocks, None)
        return self.held is not None

    def close(self) -> None:
        close = getattr(self.blocks, "close", None)
        if close is not None:
            close()


class SoundTrack:
    """An audio stream of a container being written: AAC, or Opus where `opus`, up to the time that its video has reached."""

    def __init__(self, container: Any, opus: bool, sound: Sound, source: av.AudioStream, warnings: list[str]) -> None:
        self.rate = source.rate if source.rate in AAC_RATES and not opus else USUAL_RATE
        self.layout = "mono" if source.codec_context.layout.nb_channels == 1 else "stereo"
        self.format, self.step = ("flt", 960) if opus else ("fltp", 1024)  # samples that the encoder takes at once
        self.container, self.sound, self.warnings = container, sound, warnings
        self.stream = container.add_stream("libopus" if opus else "aac", rate=self.rate, options={"b": BIT_RATE})
        self.stream.layout, self.stream.format = self.layout, self.format
        self.damage: list[str] = []
        channels = 1 if self.layout == "mono" else 2
        self.reel = Reel(blocks_of(sound, self.rate, self.layout, self.damage), channels, round(sound.duration * self.rate))

    def advance(self, until: Fraction) -> None:
        """Encode whole frames up to `until` seconds."""
        while self.reel.cursor + self.step <= until * self.rate:
            self.encode(self.step)

    def finish(self, until: Fraction) -> None:
        """Encode the rest up to `until` seconds to the sample, and say what was damaged."""
        self.advance(until)
        rest = round(until * self.rate) - self.reel.cursor
        if rest > 0:
            self.encode(rest)
        self.container.mux(self.stream.encode(None))
        if self.damage:
            self.warnings.append(f"the sound of {self.sound.path} is damaged ({self.damage[0]}) and may be silent in places")

    def encode(self, count: int) -> None:
        place, block = self.reel.cursor, self.reel.take(count)
        if self.format == "flt":
            block = np.ascontiguousarray(block.T).reshape(1, -1)
        frame = av.AudioFrame.from_ndarray(block, format=self.format, layout=self.layout)
        frame.sample_rate, frame.pts, frame.time_base = self.rate, place, Fraction(1, self.rate)
        self.container.mux(self.stream.encode(frame))

    def close(self) -> None:
        self.reel.close()


def open_track(container: Any, path: Path, sound: Sound, warnings: list[str]) -> SoundTrack | None:
    """A track in a container for `path`; None where the file has no sound, or none that can be read, which is said in `warnings`."""
    try:
        with av.open(str(sound.path)) as source:
            stream = audio_of(source)
            if stream is None:
                return None
            if stream.codec_context is None or not stream.rate:
                warnings.append(f"the sound of {sound.path} is of a kind that cannot be read and was left out")
                return None
            return SoundTrack(container, path.suffix.lower() not in APPLE, sound, stream, warnings)
    except (FFmpegError, ValueError) as error:
        warnings.append(f"the sound of {sound.path} cannot be read ({plain(error)}) and was left out")
        return None
