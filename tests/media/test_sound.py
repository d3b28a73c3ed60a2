"""The driver's sound beside the clip: in sync, cut and padded to the sample, in flat memory, and no clip lost for it."""

import tracemalloc
from collections.abc import Callable
from fractions import Fraction
from itertools import pairwise
from pathlib import Path

import av
import numpy as np
import pytest

from engines.media.sound import Reel, Sound
from engines.media.video import probe
from engines.media.writer import open_writer
from tests.media.making import RATE, beeps, film, grey, hear, onsets, samples

FPS = Fraction(25)
FRAME = 1024 / 44100  # seconds of the longest audio frame
VIDEOS = [".mp4", ".mov", ".mkv", ".webm"]


def driver(path: Path, heard: np.ndarray, begins: int = 0, first: int = 0, seconds: float = 3) -> Path:
    """Pictures at 25 fps from `first` (ms of the file's clock) and sound from sample `begins` of it."""
    return film(path, [first + 40 * n for n in range(round(25 * seconds))], Fraction(1, 1000), sound=heard, sound_begins=begins)


def clip(path: Path, sound: Sound, seconds: float = 2, fps: Fraction = FPS) -> list[str]:
    """Writes a clip with the sound; its warnings."""
    with open_writer(path, fps, (64, 48), overwrite=True, sound=sound) as sink:
        for n in range(round(seconds * fps)):
            sink.write(grey(n % 200))
    return sink.warnings


def is_heard_at(path: Path, *times: float) -> None:
    found = onsets(path)
    assert len(found) == len(times), found
    assert all(abs(a - b) < 0.02 for a, b in zip(found, times, strict=True)), found


@pytest.mark.parametrize("source", [".mp4", ".mkv", ".mov", ".ts"])
@pytest.mark.parametrize("ending", VIDEOS)
@pytest.mark.parametrize(("start", "wanted"), [(Fraction(0), 1.0), (Fraction(1, 2), 0.5)])
def test_a_beep_stays_with_its_picture(tmp_path: Path, source: str, ending: str, start: Fraction, wanted: float) -> None:
    made = driver(tmp_path / f"in{source}", beeps(3, 1.0))
    assert clip(tmp_path / f"out{ending}", Sound(made, start, Fraction(2))) == []
    is_heard_at(tmp_path / f"out{ending}", wanted)


@pytest.mark.parametrize("ending", [".mp4", ".mkv"])
@pytest.mark.parametrize(("begins", "first", "wanted"), [(24000, 0, 1.5), (0, 400, 0.6), (24000, 400, 1.1), (12000, 250, 1.0)])
def test_streams_that_begin_late(tmp_path: Path, ending: str, begins: int, first: int, wanted: float) -> None:
    """The beep is at 1 s of the sound: `begins` samples later by the file's clock, and earlier by the first picture's."""
    made = driver(tmp_path / f"in{ending}", beeps(2, 1.0), begins, first)
    clip(tmp_path / "out.mp4", Sound(made, Fraction(0), Fraction(2)))
    is_heard_at(tmp_path / "out.mp4", wanted)


def test_a_late_part_is_sought(tmp_path: Path) -> None:
    for name in ("in.mp4", "in.mkv"):
        made = driver(tmp_path / name, beeps(20, 3.0, 14.5, 15.25), seconds=20)
        clip(tmp_path / "out.mp4", Sound(made, Fraction(14), Fraction(2)))
        is_heard_at(tmp_path / "out.mp4", 0.5, 1.25)


def test_a_gap_in_the_sound_stays_a_gap(tmp_path: Path) -> None:
    path = tmp_path / "in.mkv"
    with av.open(str(path), "w") as container:
        stream = container.add_stream("flac", rate=RATE)
        stream.layout = "mono"
        tone = beeps(0.2, 0.1)
        for place in (0, 9600, 48000):  # two together, one at 1 s
            for start in range(0, 9600, 960):
                container.mux(stream.encode(samples(tone[:, start : start + 960], place + start)))
        container.mux(stream.encode(None))
    clip(tmp_path / "out.mp4", Sound(path, Fraction(0), Fraction(2)))
    is_heard_at(tmp_path / "out.mp4", 0.1, 0.3, 1.1)


@pytest.mark.parametrize("ending", VIDEOS)
@pytest.mark.parametrize("seconds", [1.0, 3.0])
@pytest.mark.parametrize("fps", [FPS, Fraction(30000, 1001), Fraction(8)])
def test_sound_lasts_as_long_as_the_pictures(tmp_path: Path, ending: str, seconds: float, fps: Fraction) -> None:
    """Shorter sound is padded, longer sound cut."""
    made = driver(tmp_path / "in.mp4", beeps(seconds, 0.5, channels=2))
    clip(tmp_path / f"out{ending}", Sound(made, Fraction(0), Fraction(2)), fps=fps)
    heard, rate, _ = hear(tmp_path / f"out{ending}")
    length = round(2 * fps) / fps
    assert abs(heard.shape[1] / rate - length) <= FRAME
    with av.open(str(tmp_path / f"out{ending}")) as container:
        stream, whole = container.streams.audio[0], container.duration
        assert whole is not None
        assert abs(whole / 1e6 - length) <= FRAME
        if ending in (".mp4", ".mov"):
            assert stream.codec_context.name == "aac"
            assert stream.duration == round(length * rate)
        else:
            assert stream.codec_context.name == "opus"
            assert sum(frame.samples for frame in container.decode(stream)) == round(length * rate)


def test_only_the_part_asked_for_is_heard(tmp_path: Path) -> None:
    made = driver(tmp_path / "in.mp4", beeps(3, 0.5, 1.5))
    clip(tmp_path / "out.mp4", Sound(made, Fraction(0), Fraction(1)))
    is_heard_at(tmp_path / "out.mp4", 0.5)


@pytest.mark.parametrize("ending", [".mp4", ".mkv"])
@pytest.mark.parametrize(("channels", "layout"), [(1, "mono"), (2, "stereo"), (6, "stereo")])
def test_channels_up_to_stereo(tmp_path: Path, ending: str, channels: int, layout: str) -> None:
    made = driver(tmp_path / "in.mkv", beeps(3, 1.0, channels=channels))
    clip(tmp_path / f"out{ending}", Sound(made, Fraction(0), Fraction(2)))
    assert hear(tmp_path / f"out{ending}")[2] == [layout]
    is_heard_at(tmp_path / f"out{ending}", 1.0)


def test_left_stays_left(tmp_path: Path) -> None:
    both = beeps(3, 1.0, channels=2)
    both[1] = 0
    clip(tmp_path / "out.webm", Sound(driver(tmp_path / "in.mkv", both), Fraction(0), Fraction(2)))
    loud = np.abs(hear(tmp_path / "out.webm")[0]).max(axis=1)
    assert loud[0] > 0.5 > 0.05 > loud[1]


def test_another_rate_is_resampled(tmp_path: Path) -> None:
    path = tmp_path / "in.wav"
    time = np.arange(3 * 22050) / 22050
    tone = (np.sin(2 * np.pi * 440 * time) * (time >= 1) * 20000).astype(np.int16)
    with av.open(str(path), "w") as container:
        stream = container.add_stream("pcm_s16le", rate=22050)
        stream.layout = "mono"
        frame = av.AudioFrame.from_ndarray(tone[None], format="s16", layout="mono")
        frame.sample_rate = 22050
        container.mux(stream.encode(frame))
    assert clip(tmp_path / "out.mp4", Sound(path, Fraction(0), Fraction(2))) == []
    is_heard_at(tmp_path / "out.mp4", 1.0)
    heard, rate, _ = hear(tmp_path / "out.mp4")
    spectrum = np.abs(np.fft.rfft(heard[0, round(1.2 * rate) : round(1.8 * rate)]))
    assert abs(int(spectrum.argmax()) / 0.6 - 440) < 3


@pytest.mark.parametrize("ending", [".mp4", ".webm"])
def test_a_driver_without_sound_gives_none(tmp_path: Path, ending: str) -> None:
    silent = film(tmp_path / "in.mp4", [0, 40, 80], Fraction(1, 1000))
    assert clip(tmp_path / f"out{ending}", Sound(silent, Fraction(0), Fraction(2))) == []
    assert not probe(tmp_path / f"out{ending}").sound


@pytest.mark.parametrize("ending", [".gif", ".png"])
def test_pictures_take_no_sound(tmp_path: Path, ending: str) -> None:
    made = driver(tmp_path / "in.mp4", beeps(1, 0.5))
    assert clip(tmp_path / f"out{ending}", Sound(made, Fraction(0), Fraction(1)), 0.2) == []
    assert (tmp_path / f"out{ending}").exists()


def spoil_some(raw: bytearray, spots: list[tuple[int, int]]) -> None:
    for start, size in spots[20:40]:
        raw[start : start + size] = b"\xff" * size


def spoil_all(raw: bytearray, spots: list[tuple[int, int]]) -> None:
    for start, size in spots:
        raw[start : start + size] = b"\xff" * size


@pytest.mark.parametrize(("spoil", "beeps_left"), [(spoil_some, 1), (spoil_all, 0)])
def test_damaged_sound_costs_no_clip(tmp_path: Path, spoil: Callable[[bytearray, list[tuple[int, int]]], None], beeps_left: int) -> None:
    made = driver(tmp_path / "in.mp4", beeps(3, 1.5))
    with av.open(str(made)) as container:
        spots = [(int(packet.pos or 0), packet.size) for packet in container.demux(audio=0) if packet.size]
    raw = bytearray(made.read_bytes())
    spoil(raw, spots)
    made.write_bytes(raw)
    warnings = clip(tmp_path / "out.mp4", Sound(made, Fraction(0), Fraction(2)))
    assert len(warnings) == 1
    assert str(made) in warnings[0]
    assert "\n" not in warnings[0]
    assert probe(tmp_path / "out.mp4").frames == 50
    is_heard_at(tmp_path / "out.mp4", *[1.5] * beeps_left)


def test_sound_that_cannot_be_opened_is_left_out_with_a_word(tmp_path: Path) -> None:
    (tmp_path / "in.mp4").write_bytes(b"nothing at all")
    warnings = clip(tmp_path / "out.mp4", Sound(tmp_path / "in.mp4", Fraction(0), Fraction(2)))
    assert len(warnings) == 1
    assert "left out" in warnings[0]
    assert not probe(tmp_path / "out.mp4").sound


def test_a_broken_clip_with_sound_leaves_nothing(tmp_path: Path) -> None:
    made = driver(tmp_path / "in.mp4", beeps(3, 1.0))

    def broken() -> None:
        with open_writer(tmp_path / "out.mp4", FPS, (64, 48), False, sound=Sound(made, Fraction(0), Fraction(2))) as sink:
            sink.write(grey(1))
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        broken()
    assert [p.name for p in tmp_path.iterdir()] == ["in.mp4"]


@pytest.mark.parametrize(("ending", "fps"), [(".mp4", 25), (".mkv", 25), (".webm", 25), (".mp4", 1), (".mkv", 1)])
def test_pictures_and_sound_lie_side_by_side_in_the_file(tmp_path: Path, ending: str, fps: int) -> None:
    """At one frame a second the encoder holds back far more than the ten seconds that FFmpeg would wait."""
    seconds = 8 if fps > 1 else 30
    made = driver(tmp_path / "in.mp4", beeps(seconds, *range(1, 8)))
    clip(tmp_path / f"out{ending}", Sound(made, Fraction(0), Fraction(seconds)), seconds, Fraction(fps))
    with av.open(str(tmp_path / f"out{ending}")) as container:
        order = [(p.pos, p.stream.type, float((p.dts or 0) * p.time_base)) for p in container.demux() if p.size]
    order.sort()
    latest = {"video": 0.0, "audio": 0.0}
    for _, kind, now in order:
        latest[kind] = max(latest[kind], now)
        assert abs(latest["video"] - latest["audio"]) < 1.2 + 3 / fps, "a player would have to seek to and fro"


def test_long_sound_takes_flat_memory(tmp_path: Path) -> None:
    made = driver(tmp_path / "in.mp4", beeps(30, 1.0), seconds=2)
    tracemalloc.start()
    clip(tmp_path / "out.mp4", Sound(made, Fraction(0), Fraction(30)), 30, Fraction(5))
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 30 * RATE * 4 / 5


def test_a_reel_lays_blocks_out_in_time() -> None:
    def block(value: float, count: int) -> np.ndarray:
        return np.full((1, count), value, np.float32)

    blocks = [(-3, block(1, 5)), (2, block(2, 2)), (6, block(3, 4)), (8, block(4, 9))]
    for sizes in ([20], [1] * 20, [3, 7, 10]):
        reel = Reel(iter(blocks), 1, 12)
        out = np.concatenate([reel.take(size) for size in sizes], axis=1)[0].astype(int).tolist()
        assert out[:8] == [1, 1, 2, 2, 0, 0, 3, 3]
        assert out[10:] == [4, 4, 0, 0, 0, 0, 0, 0, 0, 0]
        assert all(value in (3, 4) for value in out[8:10])


@pytest.mark.realdata
@pytest.mark.parametrize("start", [Fraction(1, 2), Fraction(5, 2)])
@pytest.mark.parametrize("name", ["talking_head_audio_longer_than_video.mp4", "person_dance_1080p_audio.mp4"])
def test_real_sound_is_the_part_that_belongs_to_the_pictures(testdata: Path, tmp_path: Path, name: str, start: Fraction) -> None:
    """The first file's pictures begin 7.3 s into its 12 s of sound, by its edit list. A part from 2 1/2 s on is sought."""
    path = testdata / "drivers" / name
    info = probe(path)
    assert clip(tmp_path / "out.mp4", Sound(path, start, Fraction(1)), 1, info.fps) == []
    heard, rate, _ = hear(tmp_path / "out.mp4")
    truth, source_rate, _ = hear(path)
    assert abs(heard.shape[1] / rate - round(info.fps) / info.fps) <= FRAME
    assert rate == source_rate
    with av.open(str(path)) as container:
        pictures = container.streams.video[0]
        begins = round(float((pictures.start_time or 0) * (pictures.time_base or 0) + start) * rate)
    middle = slice(rate // 10, rate * 9 // 10)
    loudest = {}
    for shift in range(-200, 201):
        here = truth[0, begins + middle.start + shift : begins + middle.stop + shift]
        loudest[shift] = float(np.corrcoef(heard[0, middle], here)[0, 1])
    best = max(loudest, key=lambda shift: loudest[shift])
    assert loudest[best] > 0.95
    assert abs(best) <= 1


def test_onsets_hear_what_is_there(tmp_path: Path) -> None:
    """The judge of these tests is no yes-sayer."""
    made = driver(tmp_path / "in.mkv", beeps(3, 0.25, 2.0))
    found = onsets(made)
    assert [round(t, 2) for t in found] == [0.25, 2.0]
    assert all(b > a for a, b in pairwise(found))
