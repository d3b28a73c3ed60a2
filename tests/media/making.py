"""Small files for the tests of video and sound, made with PyAV where the writer under test could not or should not make them."""

from collections.abc import Sequence
from fractions import Fraction
from pathlib import Path

import av
import numpy as np

RATE = 48000


def grey(value: int, width: int = 64, height: int = 48) -> np.ndarray:
    return np.full((height, width, 3), value, np.uint8)


def film(
    path: Path,
    pts: Sequence[int],
    tick: Fraction,
    codec: str = "libx264",
    size: tuple[int, int] = (64, 48),
    sound: np.ndarray | None = None,
    sound_begins: int = 0,
    options: dict[str, str] | None = None,
) -> Path:
    """A clip whose frame n has the grey 8 n (modulo 240) and the timestamp pts[n] in ticks; beside it `sound` (channels, n) at RATE."""
    with av.open(str(path), "w") as container:
        stream = container.add_stream(codec, rate=Fraction(30), options=options or {})
        stream.width, stream.height, stream.pix_fmt = *size, "yuv420p"
        stream.codec_context.time_base = tick
        heard = None if sound is None else container.add_stream("aac" if path.suffix in (".mp4", ".mov", ".ts") else "flac", rate=RATE)
        if heard is not None and sound is not None:
            heard.layout = {1: "mono", 2: "stereo", 6: "5.1"}[len(sound)]
        for index, time in enumerate(pts):
            frame = av.VideoFrame.from_ndarray(grey(8 * index % 240, *size), format="rgb24")
            frame.pts, frame.time_base, frame.duration = time, tick, round(Fraction(1, 30) / tick)
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
        if heard is not None and sound is not None:
            for start in range(0, sound.shape[1], 1024):
                container.mux(heard.encode(samples(sound[:, start : start + 1024], sound_begins + start)))
            container.mux(heard.encode(None))
    return path


def samples(block: np.ndarray, place: int) -> av.AudioFrame:
    layout = {1: "mono", 2: "stereo", 6: "5.1"}[len(block)]
    frame = av.AudioFrame.from_ndarray(np.ascontiguousarray(block, np.float32), format="fltp", layout=layout)
    frame.sample_rate, frame.pts, frame.time_base = RATE, place, Fraction(1, RATE)
    return frame


def beeps(seconds: float, *times: float, channels: int = 1) -> np.ndarray:
    """Silence with tones of 50 ms that begin at these times; float32 (channels, samples)."""
    time = np.arange(round(seconds * RATE)) / RATE
    tone = sum(np.sin(2 * np.pi * 1000 * (time - at)) * ((time >= at) & (time < at + 0.05)) for at in times)
    return np.repeat((0.7 * np.asarray(tone, np.float32) + np.zeros_like(time, np.float32))[None], channels, axis=0)


def hear(path: Path) -> tuple[np.ndarray, int, list[str]]:
    """Samples (channels, n) of a file's sound laid out from its time 0, their rate, and the names of layouts met."""
    with av.open(str(path)) as container:
        stream = container.streams.audio[0]
        frames = list(container.decode(stream))
        out = np.zeros((stream.codec_context.layout.nb_channels, 0), np.float32)
        for frame in frames:
            block = frame.to_ndarray().astype(np.float32)
            block = block if frame.format.is_planar else block.reshape(-1, len(out)).T
            place = round(float((frame.pts or 0) * (frame.time_base or 0)) * stream.rate)
            if place > out.shape[1]:
                out = np.pad(out, ((0, 0), (0, place - out.shape[1])))
            out = np.concatenate([out, block], axis=1)
        return out, stream.rate, sorted({frame.layout.name for frame in frames})


def onsets(path: Path) -> list[float]:
    """Seconds at which tones begin in a file's sound: loud after 100 ms of quiet."""
    heard, rate, _ = hear(path)
    loud = np.flatnonzero(np.abs(heard).max(axis=0) > 0.2) / rate
    return [float(t) for t, gap in zip(loud, np.diff(loud, prepend=-1.0), strict=True) if gap > 0.1]
