"""The drivers that a studio really has: each is animated with the right length and sound, or refused in one sentence."""

from collections.abc import Callable
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from engines.core.keypoints import LEFT_HAND, RIGHT_HAND, PoseTrack
from engines.media.encoding import Encoding
from engines.media.video import probe
from engines.media.writer import open_writer
from engines.pose.draw import DrawStyle, draw_pose
from engines.pose.files import save_track
from tests.e2e.running import scd, waving_track, write_person, write_skeletons

SIZE = (192, 256)
FPS = Fraction(24)


@dataclass(frozen=True)
class Case:
    """How the driver is made in a folder; and what comes of it: frames and rate, or the words of the refusal."""

    make: Callable[[Path], Path]
    frames: int = 0
    fps: Fraction = FPS
    says: str = ""
    warns: str = ""
    sound: float | None = None  # seconds of it in the result


def skeletons(frames: int = 8, size: tuple[int, int] = SIZE, people: int = 1) -> list[NDArray[np.uint8]]:
    track = waving_track(frames)
    points = np.concatenate([track.points * np.array([0.4, 1, 1], np.float32) + np.array([30 * n, 0, 0]) for n in range(people)], axis=1)
    return [draw_pose(frame.astype(np.float32), track.size, size, DrawStyle()) for frame in points]


def film(path: Path, pictures: list[NDArray[np.uint8]], fps: Fraction = FPS, codec: str | None = None) -> Path:
    with open_writer(path, fps, (pictures[0].shape[1], pictures[0].shape[0]), True, encoding=Encoding(codec)) as sink:
        for picture in pictures:
            sink.write(picture)
    return path


def blank(folder: Path) -> Path:
    return film(folder / "d.mp4", [np.zeros((256, 192, 3), np.uint8)] * 6)


def nobody(folder: Path) -> Path:
    rows, columns = np.mgrid[0:256, 0:192]
    street = np.stack([rows // 2 + 60, columns // 2 + 50, 120 + 0 * rows], -1).astype(np.uint8)
    return film(folder / "d.mp4", [np.roll(street, n, axis=1) for n in range(6)])


def track(folder: Path, change: Callable[[NDArray[np.float32]], NDArray[np.float32]], frames: int = 8) -> Path:
    made = waving_track(frames)
    save_track(folder / "d.npz", PoseTrack(change(made.points.copy()).astype(np.float32), made.size, FPS), True)
    return folder / "d.npz"


def three_people(points: NDArray[np.float32]) -> NDArray[np.float32]:
    return np.concatenate([points * np.array([s, s, 1]) + np.array([20 * n, 0, 0]) for n, s in enumerate((0.4, 1.0, 0.6))], axis=1)


def hands_cut(points: NDArray[np.float32]) -> NDArray[np.float32]:
    points[..., 9:11, :] = 0
    points[..., LEFT_HAND, :] = points[..., RIGHT_HAND, :] = 0
    return points


def not_numbers(points: NDArray[np.float32]) -> NDArray[np.float32]:
    points[2] = np.nan
    points[5, :, 7:11, :2] = np.inf
    return points


def one_picture(folder: Path) -> Path:
    Image.fromarray(skeletons(1)[0]).save(folder / "d.png")
    return folder / "d.png"


def variable(folder: Path) -> Path:
    """Eight frames within 0.7 s: at 24 fps, but for a pause of 0.4 s in the middle."""
    path, ticks = folder / "d.mkv", [0, 42, 83, 125, 525, 567, 608, 650]
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", rate=24)
        stream.width, stream.height, stream.pix_fmt = (*SIZE, "yuv420p")
        stream.time_base = stream.codec_context.time_base = Fraction(1, 1000)
        for tick, picture in zip(ticks, skeletons(8), strict=True):
            frame = av.VideoFrame.from_ndarray(picture, format="rgb24")
            frame.pts, frame.time_base = tick, Fraction(1, 1000)
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    return path


def with_sound(folder: Path, seconds: float) -> Path:
    """A skeleton video of 24 frames (1 s) and a tone of so many seconds."""
    path = folder / "d.mp4"
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", rate=24)
        stream.width, stream.height, stream.pix_fmt = (*SIZE, "yuv420p")
        tone = container.add_stream("aac", rate=48000, layout="mono")
        for picture in skeletons(24):
            container.mux(stream.encode(av.VideoFrame.from_ndarray(picture, format="rgb24")))
        container.mux(stream.encode(None))
        wave = np.sin(np.arange(int(48000 * seconds)) * 0.05).astype(np.float32)
        for start in range(0, len(wave) - 1023, 1024):
            frame = av.AudioFrame.from_ndarray(wave[None, start : start + 1024], format="fltp", layout="mono")
            frame.sample_rate, frame.pts = 48000, start
            container.mux(tone.encode(frame))
        container.mux(tone.encode(None))
    return path


def cut_off(folder: Path) -> Path:
    """The moov atom leads, so that the file opens; its last third is missing."""
    path = write_skeletons(folder / "d.mp4", 40)
    path.write_bytes(path.read_bytes()[: path.stat().st_size * 2 // 3])
    return path


def spoilt_tail(folder: Path) -> Path:
    """All bytes are there, but those of the last frames are noise."""
    path = write_skeletons(folder / "d.mp4", 40)
    data = bytearray(path.read_bytes())
    noise = np.random.default_rng(0).integers(0, 256, len(data) // 5, dtype=np.uint8).tobytes()
    path.write_bytes(bytes(data[: len(data) - len(noise)]) + noise)
    return path


CASES = {
    "blank frames": Case(blank, says="shows neither a person nor a skeleton in any frame"),
    "nobody": Case(nobody, says="shows nobody in any of its 6 frames"),
    "three people drawn": Case(lambda f: film(f / "d.mp4", skeletons(8, people=3)), 8),
    "three people as keypoints": Case(lambda f: track(f, three_people), 8),
    "hands cut": Case(lambda f: track(f, hands_cut), 8),
    "NaN keypoints": Case(lambda f: track(f, not_numbers), 8),
    "one frame": Case(lambda f: film(f / "d.mp4", skeletons(1)), 1),
    "one picture": Case(one_picture, 1, Fraction(25)),
    "8 fps": Case(lambda f: film(f / "d.mp4", skeletons(5), Fraction(8)), 5, Fraction(8)),
    "120 fps": Case(lambda f: film(f / "d.mp4", skeletons(20), Fraction(120)), 20, Fraction(120)),
    "variable rate": Case(variable, round(24 * (0.650 + 1 / 24)), FPS),
    "HEVC": Case(lambda f: film(f / "d.mp4", skeletons(6), codec="hevc"), 6),
    "odd sizes": Case(lambda f: film(f / "d.mkv", skeletons(6, (131, 97)), codec="ffv1"), 6),
    "sound longer": Case(lambda f: with_sound(f, 2.5), 24, sound=1.0),
    "sound shorter": Case(lambda f: with_sound(f, 0.4), 24, sound=1.0),
    "sound absent": Case(lambda f: write_skeletons(f / "d.mp4", 5, FPS), 5),
    "cut off": Case(cut_off, says="is cut off after"),
    "corrupt tail": Case(spoilt_tail, says="is damaged"),
}


def sound_seconds(path: Path) -> float | None:
    with av.open(str(path)) as container:
        if not container.streams.audio:
            return None
        stream = container.streams.audio[0]
        samples = sum(frame.samples for frame in container.decode(stream))
        return samples / stream.rate


@pytest.mark.parametrize("name", CASES)
def test_driver(name: str, tiny: Path, tmp_path: Path) -> None:
    case, out = CASES[name], tmp_path / "out" / "clip.mp4"
    out.parent.mkdir()
    driver, reference = case.make(tmp_path), write_person(tmp_path / "me.png")
    save_track(tmp_path / "me_pose.npz", waving_track(1), False)
    words = ("--model", tiny, "--steps", 1, "--ref-pose", tmp_path / "me_pose.npz")
    ran = scd("animate", reference, "--poses", driver, "-o", out, *words)
    if case.says:
        errors = [line for line in ran.err.splitlines() if line.startswith("error:")]
        assert (ran.code, len(errors)) == (1, 1), ran.err
        assert case.says in errors[0]
        assert str(driver) in errors[0]
        assert list(out.parent.iterdir()) == []
        return
    assert ran.code == 0, ran.err
    info = probe(out)
    assert (info.frames, info.fps) == (case.frames, case.fps)
    length = sound_seconds(out)
    assert (length is None) == (case.sound is None)
    if length is not None and case.sound is not None:
        assert length == pytest.approx(case.sound, abs=0.05)


def test_the_pause_of_a_variable_rate_is_kept(tmp_path: Path) -> None:
    """0.4 s at 24 fps: the frame before the pause is shown ten times, none is lost."""
    from engines.generate.animate import span_of
    from engines.generate.request import AnimateRequest
    from engines.pose.drivers import open_driver

    driver = open_driver(variable(tmp_path))
    request = AnimateRequest(reference=tmp_path, poses=driver.path, output=tmp_path / "o.mp4", model="mini")
    indices = span_of(request, driver).indices
    assert driver.variable
    assert [indices.count(n) for n in range(8)] == [1, 1, 1, indices.count(3), 1, 1, 1, 1]
    assert indices.count(3) in (9, 10)
