"""Videos that are turned, cut off, without frames, without pictures, or no videos at all; and memory that stays flat."""

import struct
import tracemalloc
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest
from PIL import Image

from engines.core.errors import ScdError
from engines.media.video import probe, read_frames
from engines.media.writer import open_writer


def noise_clip(path: Path, count: int, size: tuple[int, int] = (96, 64)) -> Path:
    rng = np.random.default_rng(3)
    with open_writer(path, Fraction(25), size, overwrite=False) as sink:
        for _ in range(count):
            sink.write(rng.integers(0, 255, (size[1], size[0], 3), dtype=np.uint8))
    return path


def refused(path: Path, words: str) -> None:
    with pytest.raises(ScdError, match=words) as caught:
        probe(path, "the driver")
    assert str(path) in caught.value.message
    assert caught.value.hint
    assert "\n" not in str(caught.value)
    assert ". " not in caught.value.message


def turned(path: Path, matrix: tuple[int, int, int, int]) -> Path:
    """Write a 2x2 display matrix (a, b, c, d of the MP4 standard) into a file's track header."""
    raw = bytearray(path.read_bytes())
    place = raw.index(b"tkhd") + 4 + 40
    a, b, c, d = (value << 16 for value in matrix)
    raw[place : place + 36] = struct.pack(">9i", a, b, 0, c, d, 0, 0, 0, 1 << 30)
    path.write_bytes(raw)
    return path


@pytest.mark.parametrize(
    ("matrix", "turns"),
    [((1, 0, 0, 1), 0), ((0, 1, -1, 0), -1), ((-1, 0, 0, -1), 2), ((0, -1, 1, 0), 1)],  # turns are counter-clockwise quarters
)
def test_turned_videos_are_set_upright(tmp_path: Path, matrix: tuple[int, int, int, int], turns: int) -> None:
    picture = np.zeros((64, 96, 3), np.uint8)
    picture[:32, :48] = (255, 0, 0)
    picture[:32, 48:] = (0, 255, 0)
    picture[32:, :48] = (0, 0, 255)
    with open_writer(tmp_path / "a.mp4", Fraction(25), (96, 64), overwrite=False) as sink:
        for _ in range(3):
            sink.write(picture)
    path = turned(tmp_path / "a.mp4", matrix)
    wanted = np.rot90(picture, turns)
    assert probe(path).size == (wanted.shape[1], wanted.shape[0])
    assert np.abs(next(read_frames(path)).astype(int) - wanted).mean() < 4


@pytest.mark.parametrize("share", [0.25, 0.5, 0.9])
def test_a_video_cut_off_behind_its_index_is_refused(tmp_path: Path, share: float) -> None:
    whole = noise_clip(tmp_path / "a.mp4", 30).read_bytes()
    (tmp_path / "cut.mp4").write_bytes(whole[: int(len(whole) * share)])
    refused(tmp_path / "cut.mp4", "cut off after")


@pytest.mark.parametrize("ending", [".mkv", ".webm"])
@pytest.mark.parametrize("share", [0.3, 0.9])
def test_a_matroska_that_is_cut_off_is_refused(tmp_path: Path, ending: str, share: float) -> None:
    path = noise_clip(tmp_path / f"a{ending}", 20)
    whole = path.read_bytes()
    assert probe(path).frames == 20
    path.write_bytes(whole[: int(len(whole) * share)])
    refused(path, "cut off: [0-9]+ bytes")


def test_a_live_matroska_does_not_know_its_size(tmp_path: Path) -> None:
    path = noise_clip(tmp_path / "a.mkv", 20)
    raw = bytearray(path.read_bytes())
    at = raw.index(b"\x18\x53\x80\x67") + 4
    assert raw[at] == 1, "the test's own file has a size of another length"
    raw[at : at + 8] = b"\x01" + b"\xff" * 7
    path.write_bytes(raw)
    assert probe(path).frames == 20
    path.write_bytes(raw[: len(raw) // 2])
    assert 1 < probe(path).frames < 20


def test_a_video_whose_index_is_missing_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "a.mp4"
    with av.open(str(path), "w") as container:  # without faststart: the index comes last
        stream = container.add_stream("libx264", rate=25)
        stream.width, stream.height, stream.pix_fmt = 64, 64, "yuv420p"
        for _ in range(10):
            container.mux(stream.encode(av.VideoFrame.from_ndarray(np.zeros((64, 64, 3), np.uint8), format="rgb24")))
        container.mux(stream.encode(None))
    path.write_bytes(path.read_bytes()[: path.read_bytes().index(b"moov")])
    refused(path, "not a video that can be read")


def sound(path: Path, **how: str) -> Path:
    with av.open(str(path), "w", **how) as container:  # type: ignore[call-overload]
        stream = container.add_stream("aac", rate=44100)
        for index in range(10):
            samples = av.AudioFrame.from_ndarray(np.zeros((1, 1024), np.float32), format="fltp", layout="mono")
            samples.sample_rate, samples.pts = 44100, index * 1024
            container.mux(stream.encode(samples))
        container.mux(stream.encode(None))
    return path


def test_sound_alone_is_refused(tmp_path: Path) -> None:
    refused(sound(tmp_path / "a.mp4"), "no moving picture")


def id3_cover(picture: bytes) -> bytes:
    """An ID3 tag with a cover picture, as music files carry one."""
    body = b"\x00image/png\x00\x03\x00" + picture
    frame = b"APIC" + struct.pack(">I", len(body)) + b"\x00\x00" + body
    size = len(frame)
    return b"ID3\x03\x00\x00" + bytes((size >> shift) & 0x7F for shift in (21, 14, 7, 0)) + frame


def test_music_with_a_cover_picture_is_sound_alone(tmp_path: Path) -> None:
    Image.new("RGB", (64, 64), (200, 0, 0)).save(tmp_path / "cover.png")
    plain = sound(tmp_path / "plain", format="adts")
    path = tmp_path / "song.aac"
    path.write_bytes(id3_cover((tmp_path / "cover.png").read_bytes()) + plain.read_bytes())
    with av.open(str(path)) as container:
        assert container.streams.video, "the test's own file has lost its cover"
    refused(path, "no moving picture")


def test_a_video_without_frames_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "a.mkv"
    with av.open(str(path), "w") as container:
        stream = container.add_stream("mpeg4", rate=25)
        stream.width, stream.height, stream.pix_fmt = 64, 64, "yuv420p"
        container.start_encoding()
    refused(path, "holds no frames|not a video")


@pytest.mark.parametrize("name", ["a.txt", "a.mp4", "a"])
def test_text_is_refused(tmp_path: Path, name: str) -> None:
    (tmp_path / name).write_text("Once upon a time there was a dance. " * 60)
    refused(tmp_path / name, "not a video")


def test_a_tiny_video_is_refused(tmp_path: Path) -> None:
    refused(noise_clip(tmp_path / "a.mp4", 2, (8, 8)), "at least 16 pixels")


def test_a_range_behind_the_end_is_empty_and_a_closed_reader_lets_go(tmp_path: Path) -> None:
    path = noise_clip(tmp_path / "a.mp4", 6)
    assert list(read_frames(path, 6, 9)) == []
    assert len(list(read_frames(path, 4))) == 2
    reader = read_frames(path)
    next(reader)
    reader.close()  # type: ignore[attr-defined]


def test_the_picture_is_counted_not_the_sound_beside_it(tmp_path: Path) -> None:
    path = tmp_path / "a.mkv"
    with av.open(str(path), "w") as container:
        heard = container.add_stream("pcm_s16le", rate=8000)
        seen = container.add_stream("mpeg4", rate=25)
        seen.width, seen.height, seen.pix_fmt = 64, 64, "yuv420p"
        samples = av.AudioFrame.from_ndarray(np.zeros((1, 80000), np.int16), format="s16", layout="mono")
        samples.sample_rate = 8000
        container.mux(heard.encode(samples))
        for _ in range(7):
            container.mux(seen.encode(av.VideoFrame.from_ndarray(np.zeros((64, 64, 3), np.uint8), format="rgb24")))
        container.mux(seen.encode(None))
    assert (probe(path).frames, probe(path).fps) == (7, Fraction(25))
    assert len(list(read_frames(path))) == 7


def test_reading_keeps_one_frame_at_a_time(tmp_path: Path) -> None:
    path = noise_clip(tmp_path / "a.mp4", 60, (320, 240))
    tracemalloc.start()
    for _ in read_frames(path):
        pass
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 10 * 320 * 240 * 3


@pytest.mark.realdata
def test_a_frame_that_the_files_edit_list_hides_is_not_counted(testdata: Path) -> None:
    """The file holds 142 frames beside longer sound, and its edit list ends before the last of them."""
    path = testdata / "drivers" / "talking_head_audio_longer_than_video.mp4"
    info = probe(path)
    assert (info.size, info.frames) == ((578, 578), 141)
    assert sum(1 for _ in read_frames(path)) == 141
    assert abs(float(info.fps) - 29.97) < 0.01
