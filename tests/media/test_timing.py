"""When frames are shown: timestamps of every container against what decoding gives, rates of variable clips, frames at another rate."""

from fractions import Fraction
from itertools import accumulate, pairwise
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import av
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from engines.core.errors import ScdError
from engines.media.packets import Awaited
from engines.media.resample import at_rate
from engines.media.timing import nominal_rate, seconds, steady, steady_rate
from engines.media.video import frame_times, probe, read_frames
from engines.media.writer import open_writer
from tests.media.making import beeps, film

MS = Fraction(1, 1000)
HOLES = [0, 1, 2, 3, 7, 8, 9, 20, 21, 22, 23, 24]  # a capture that stores no frame where nothing moves


def decoded(path: Path) -> list[Fraction]:
    """The truth: times of decoded frames from the first one on."""
    with av.open(str(path)) as container:
        stream = container.streams.video[0]
        times = [Fraction(frame.pts or 0) * Fraction(frame.time_base) for frame in container.decode(stream)]
    return [time - times[0] for time in times]


EVEN, UNEVEN, LATE = list(range(0, 360, 30)), [30 * t for t in HOLES], [450 + 30 * t for t in HOLES]
CASES = [(e, c, p) for e in (".mp4", ".mov", ".mkv", ".ts") for c in ("libx264", "libx265", "mpeg4") for p in (EVEN, UNEVEN, LATE)]


@pytest.mark.parametrize(("ending", "codec", "pts"), [*CASES, (".avi", "libx264", EVEN), (".avi", "mpeg4", EVEN)])
def test_times_are_those_of_decoded_frames(tmp_path: Path, ending: str, codec: str, pts: list[int]) -> None:
    how = {"x265-params": "log-level=error"} if codec == "libx265" else {}
    path = film(tmp_path / f"a{ending}", pts, Fraction(1, 900), codec, options=how)
    truth = [Fraction(n, 30) for n in range(12)] if ending == ".avi" else decoded(path)  # AVI stores no times of showing
    found = frame_times(path)
    assert len(found) == len(truth) == len(list(read_frames(path)))
    assert found[0] == 0
    assert max(abs(a - b) for a, b in zip(found, truth, strict=True)) <= MS
    info = probe(path)
    assert info.variable == (pts[4] - pts[0] != 120)
    assert info.fps == 30
    assert abs(info.duration - (truth[-1] + Fraction(1, 30))) <= 2 * MS
    assert not info.sound


def test_the_films_for_these_tests_have_b_frames(tmp_path: Path) -> None:
    path = film(tmp_path / "a.mp4", list(range(0, 900, 30)), Fraction(1, 900))
    with av.open(str(path)) as container:
        order = [packet.pts for packet in container.demux(video=0) if packet.size and packet.pts is not None]
    assert order != sorted(order)


def payload(path: Path, number: int) -> tuple[int, int]:
    """Where in a file the packet of this number (in the order of decoding) lies: offset and size."""
    with av.open(str(path)) as container:
        packet = [packet for packet in container.demux(video=0) if packet.size][number]
        return path.read_bytes().index(bytes(packet)), packet.size


def test_hidden_frames_of_vp8_are_not_counted(tmp_path: Path) -> None:
    path = film(tmp_path / "a.webm", list(range(0, 800, 40)), MS, "libvpx", options={"g": "5"})
    raw = bytearray(path.read_bytes())
    raw[payload(path, 7)[0]] &= ~0x10  # the bit that says that a frame is shown
    path.write_bytes(raw)
    assert probe(path).frames == len(list(read_frames(path))) == len(frame_times(path)) == 19


def test_a_stream_that_begins_between_key_frames(tmp_path: Path) -> None:
    path = film(tmp_path / "a.ts", list(range(0, 1800, 30)), Fraction(1, 900), options={"g": "20", "x264-params": "scenecut=0"})
    raw = path.read_bytes()
    (tmp_path / "cut.ts").write_bytes(raw[188 * 3 :])  # the tables at its head come again later
    path.write_bytes(raw[: 188 * 2] + raw[188 * 6 :])
    frames = sum(1 for _ in read_frames(path))
    assert 0 < frames < 60, "the test's own file has lost nothing"
    assert len(frame_times(path)) == frames


def test_raw_streams_have_no_timestamps(tmp_path: Path) -> None:
    path = film(tmp_path / "a.h264", list(range(12)), Fraction(1, 30))
    assert len(frame_times(path)) == len(list(read_frames(path))) == 12
    assert frame_times(path) == [n / probe(path).fps for n in range(12)]
    assert not probe(path).variable


@pytest.mark.parametrize("fps", [Fraction(8), Fraction(24000, 1001), Fraction(25, 2), Fraction(30000, 1001), Fraction(60), Fraction(120)])
@pytest.mark.parametrize("ending", [".mp4", ".mkv", ".webm"])
def test_a_steady_rate_is_exact_in_spite_of_rounding(tmp_path: Path, fps: Fraction, ending: str) -> None:
    path = tmp_path / f"a{ending}"
    with open_writer(path, fps, (33, 47), overwrite=False) as sink:
        for value in range(40):
            sink.write(np.full((47, 33, 3), value, np.uint8))
    info = probe(path)
    assert (info.fps, info.frames, info.variable, info.duration) == (fps, 40, False, 40 / fps)
    assert frame_times(path) == [n / fps for n in range(40)]
    assert at_rate(frame_times(path), info.duration, fps, Fraction(0), info.duration) == list(range(40))


def test_a_gif_is_timed_by_its_delays(tmp_path: Path) -> None:
    with open_writer(tmp_path / "a.gif", Fraction(24), (48, 32), overwrite=False) as sink:
        for value in range(24):
            sink.write(np.full((32, 48, 3), 10 * value, np.uint8))
    assert (probe(tmp_path / "a.gif").fps, probe(tmp_path / "a.gif").variable) == (24, False)


def test_a_capture_at_120_with_holes(tmp_path: Path) -> None:
    info = probe(film(tmp_path / "a.mkv", [Fraction(1000 * t, 120).__round__() for t in HOLES], MS))
    assert (info.fps, info.variable, info.frames) == (120, True, len(HOLES))


def test_sound_is_seen(tmp_path: Path) -> None:
    assert probe(film(tmp_path / "a.mp4", [0, 30, 60], Fraction(1, 900), sound=beeps(1, 0.5))).sound


@pytest.mark.realdata
def test_real_clips(testdata: Path) -> None:
    long = testdata / "drivers" / "talking_head_audio_longer_than_video.mp4"
    info = probe(long)
    assert (info.fps, info.variable, info.sound, len(frame_times(long))) == (Fraction(30000, 1001), False, True, 141)
    assert info.duration == 141 / info.fps
    assert max(abs(a - b) for a, b in zip(frame_times(long), decoded(long), strict=True)) <= MS


@pytest.mark.parametrize(
    ("name", "codec"), [("a.mkv", "ffv1"), ("a.mp4", "libx264"), ("a.mp4", "libx265"), ("a.webm", "libvpx-vp9"), ("a.mkv", "libsvtav1")]
)
def test_damage_in_the_middle_names_the_frame(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, codec: str) -> None:
    """x265's own decoder tells nothing: it leaves out what it cannot decode and goes on."""
    monkeypatch.setenv("SVT_LOG", "1")
    how = {"ffv1": {"slicecrc": "1"}, "libx265": {"x265-params": "log-level=error"}}.get(codec, {})
    path = film(tmp_path / name, list(range(0, 1200, 30)), Fraction(1, 900), codec, options=how)
    assert len(list(read_frames(path))) == 40
    start, size = payload(path, 17)
    raw = bytearray(path.read_bytes())
    raw[start + 4 : start + size] = bytes([0x55]) * (size - 4)
    path.write_bytes(raw)
    got = []
    with pytest.raises(ScdError, match="damaged at frame ") as caught:
        got.extend(read_frames(path, what="the driver"))
    assert 15 <= len(got) <= 17
    assert f"at frame {len(got)}" in caught.value.message
    assert str(path) in caught.value.message
    assert ". " not in caught.value.message


def test_what_counts_as_steady() -> None:
    assert steady([0, 33, 67, 100, 133])  # rounded to milliseconds
    assert steady([0, 1000, 2009, 3000])
    assert not steady([0, 1000, 2030, 3000])
    assert not steady([0, 1, 2, 4, 5, 6])  # ticks of a frame: a hole, not rounding
    assert steady([])
    assert steady([5])


def test_rates_by_timestamps_where_the_files_words_are_wrong() -> None:
    assert steady_rate([0, 40, 80, 120], MS, (Fraction(1000),)) == 25
    assert steady_rate([0, 40, 80, 120], MS, (Fraction(25),)) == 25
    assert steady_rate([0], MS, (Fraction(12),)) == 12
    assert nominal_rate([0, 33, 66, 101, 134, 900, 933], MS, (Fraction(7),)) == 30
    assert nominal_rate([0, 0, 0], MS, (Fraction(7),)) == 7
    assert nominal_rate([0, 70, 140, 500], MS, (Fraction(7),)) == Fraction(100, 7)


rates = st.fractions(Fraction(1), Fraction(120), max_denominator=1001)
gaps = st.lists(st.integers(1, 400), min_size=1, max_size=60)


@given(gaps=gaps, fps=rates, start=st.integers(0, 3000))
def test_the_frame_on_screen_is_the_last_that_has_come(gaps: list[int], fps: Fraction, start: int) -> None:
    times = [Fraction(t, 1000) for t in accumulate(gaps, initial=0)]
    duration = times[-1] + Fraction(1, 25)
    if len({*gaps}) == 1:
        duration += 7  # an even clip at its own rate is another test
    begin = Fraction(start, 1000)
    picked = at_rate(times, duration, fps, begin, begin + 2)
    assert len(picked) == max(1, round(2 * fps))
    for index, frame in enumerate(picked):
        now = begin + index / fps
        assert times[frame] <= now + MS
        assert frame == len(times) - 1 or times[frame + 1] > now
    assert all(a <= b for a, b in pairwise(picked))


@given(frames=st.integers(1, 200), fps=rates)
def test_an_unchanged_rate_takes_every_frame_once(frames: int, fps: Fraction) -> None:
    stamps = [round(1000 * n / fps) for n in range(frames)]  # as Matroska keeps them
    for times in (seconds(stamps, MS, fps), [Fraction(s, 1000) for s in stamps]):
        assert at_rate(times, frames / fps, fps, Fraction(0), frames / fps) == list(range(frames))


@pytest.mark.parametrize("rate", [Fraction("29.9725"), Fraction("29.9675")])
def test_a_rate_that_was_measured_a_little_off_is_the_same_rate(rate: Fraction) -> None:
    times = [n / rate for n in range(2000)]
    fps = Fraction(30000, 1001)
    assert at_rate(times, 2000 / rate, fps, Fraction(0), 2000 / fps) == list(range(2000))


class Stamped:
    """Stands for a packet or a frame."""

    def __init__(self, pts: int, interlaced: bool = False) -> None:
        self.pts, self.size, self.is_discard, self.interlaced_frame = pts, 9, False, interlaced
        self.stream = SimpleNamespace(container=SimpleNamespace(format=SimpleNamespace(name="mpegts")))


def lost_among(frames: list[int], interlaced: bool = False) -> tuple[int, int | None]:
    """Packets 0 .. 19 announced; how many of these frames come before a loss is sure, and the number of the lost one."""
    awaited = Awaited("h264")
    for pts in range(20):
        awaited.announce(cast(Any, Stamped(pts)))
    for taken, pts in enumerate(frames):
        lost = awaited.come(cast(Any, Stamped(pts, interlaced)))
        if lost is not None:
            return taken, lost
    return len(frames), awaited.ended()


def test_frames_that_never_came_are_missed() -> None:
    assert lost_among(list(range(20))) == (20, None)
    assert lost_among([*range(8), *range(13, 20)]) == (8, 8)
    assert lost_among([*range(8), *range(9, 20)]) == (19, 8)
    assert lost_among(list(range(15))) == (15, 15)
    assert lost_among(list(range(4, 20))) == (16, None), "a cut between key frames"
    assert lost_among([0, 2, 1, 4, 3, *range(5, 20)]) == (20, None), "late, but here"
    assert lost_among(list(range(0, 20, 2)), interlaced=True) == (10, None), "two fields a frame"


def test_another_rate_start_and_end() -> None:
    times = [Fraction(n, 30) for n in range(30)]
    assert at_rate(times, Fraction(1), Fraction(10), Fraction(1, 2), Fraction(1)) == [15, 18, 21, 24, 27]
    assert at_rate(times, Fraction(1), Fraction(60), Fraction(0), Fraction(1, 10)) == [0, 0, 1, 1, 2, 2]
    assert at_rate(times, Fraction(1), Fraction(30), Fraction(1, 2), Fraction(1, 2)) == [15]
    assert at_rate(times, Fraction(1), Fraction(30), Fraction(19, 20), Fraction(2))[:3] == [28, 29, 29]
    assert at_rate(times, Fraction(1), Fraction(30000, 1001), Fraction(0), Fraction(1)) == list(range(30))
    with pytest.raises(ValueError, match="0 frames"):
        at_rate([], Fraction(1), Fraction(30), Fraction(0), Fraction(1))
