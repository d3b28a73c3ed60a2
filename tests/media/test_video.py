"""Video in and out: counts, rational rates, rotation, refusals, atomic writing."""

from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest
from PIL import Image

from engines.core.errors import ScdError, UsageError
from engines.media.resample import exact_rate
from engines.media.video import probe, read_frames
from engines.media.writer import open_writer

NTSC = Fraction(30000, 1001)


def frames(count: int, width: int = 48, height: int = 64) -> list[np.ndarray]:
    return [np.full((height, width, 3), (40 + 4 * i, 90, 160), np.uint8) for i in range(count)]


def write(path: Path, pictures: list[np.ndarray], fps: Fraction = NTSC) -> Path:
    with open_writer(path, fps, (pictures[0].shape[1], pictures[0].shape[0]), overwrite=False) as sink:
        for picture in pictures:
            sink.write(picture)
    return path


@pytest.mark.parametrize("ending", [".mp4", ".webm"])
def test_frames_rate_and_colours_survive(tmp_path: Path, ending: str) -> None:
    path = write(tmp_path / f"a{ending}", frames(17))
    info = probe(path)
    assert (info.size, info.frames) == ((48, 64), 17)
    assert abs(info.fps - NTSC) < Fraction(1, 50)
    back = list(read_frames(path))
    assert len(back) == 17
    assert max(np.abs(a.astype(int) - b).mean() for a, b in zip(back, frames(17), strict=True)) < 4


def test_mp4_is_h264_with_an_exact_rate_and_tagged_bt709(tmp_path: Path) -> None:
    with av.open(str(write(tmp_path / "a.mp4", frames(5)))) as container:
        stream = container.streams.video[0]
        assert stream.codec_context.name == "h264"
        assert stream.average_rate == NTSC
        assert (stream.codec_context.colorspace, stream.codec_context.pix_fmt) == (1, "yuv420p")


def test_odd_sizes_are_padded_to_even(tmp_path: Path) -> None:
    assert probe(write(tmp_path / "a.mp4", frames(3, 33, 47))).size == (34, 48)


def test_gif_keeps_its_length(tmp_path: Path) -> None:
    path = write(tmp_path / "a.gif", frames(30), Fraction(24))
    with Image.open(path) as gif:
        total = 0
        for index in range(getattr(gif, "n_frames", 1)):
            gif.seek(index)
            total += gif.info["duration"]
    assert total == 1250


def test_png_is_a_folder_of_exact_frames(tmp_path: Path) -> None:
    path = write(tmp_path / "a.png", frames(3))
    assert [p.name for p in sorted(path.iterdir())] == ["000000.png", "000001.png", "000002.png"]
    np.testing.assert_array_equal(np.asarray(Image.open(path / "000001.png")), frames(3)[1])


def test_same_frames_make_the_same_decoded_bytes(tmp_path: Path) -> None:
    a, b = (list(read_frames(write(tmp_path / name, frames(6)))) for name in ("a.mp4", "b.mp4"))
    assert all(np.array_equal(x, y) for x, y in zip(a, b, strict=True))


@pytest.mark.parametrize("ending", [".mp4", ".webm", ".gif", ".png"])
@pytest.mark.parametrize("error", [RuntimeError, KeyboardInterrupt])
def test_a_broken_run_leaves_nothing(tmp_path: Path, ending: str, error: type[BaseException]) -> None:
    def broken() -> None:
        with open_writer(tmp_path / f"a{ending}", NTSC, (48, 64), overwrite=False) as sink:
            sink.write(frames(1)[0])
            raise error

    with pytest.raises(error):
        broken()
    assert list(tmp_path.iterdir()) == []


def test_unknown_ending_is_refused(tmp_path: Path) -> None:
    with (
        pytest.raises(UsageError, match=r"\.mp4, \.mov, \.mkv, \.webm, \.gif, \.png"),
        open_writer(tmp_path / "a.avi", NTSC, (48, 64), overwrite=False),
    ):
        pass


def test_range_is_read_exactly(tmp_path: Path) -> None:
    path = write(tmp_path / "a.mp4", frames(20))
    part = list(read_frames(path, 5, 9))
    assert len(part) == 4
    assert abs(int(part[0][0, 0, 0]) - 60) < 6


def test_bad_videos_are_named(tmp_path: Path) -> None:
    good = write(tmp_path / "a.mp4", frames(20))
    cut, text, empty = tmp_path / "cut.mp4", tmp_path / "text.mp4", tmp_path / "empty.mp4"
    cut.write_bytes(good.read_bytes()[: good.stat().st_size // 3])
    text.write_text("hello")
    empty.touch()
    sound = tmp_path / "sound.wav"
    with av.open(str(sound), "w") as container:
        stream = container.add_stream("pcm_s16le", rate=8000)
        sample = av.AudioFrame.from_ndarray(np.zeros((1, 800), np.int16), format="s16", layout="mono")
        sample.sample_rate = 8000
        container.mux(stream.encode(sample))
    for path in (cut, text, empty, sound, tmp_path / "none.mp4", tmp_path):
        with pytest.raises(ScdError) as caught:
            probe(path, "the driver")
        assert str(path) in str(caught.value)
        assert "\n" not in str(caught.value)


@pytest.mark.realdata
def test_real_driver_is_counted_exactly(testdata: Path) -> None:
    info = probe(testdata / "drivers" / "skeleton_dwpose_512x704.mp4")
    assert (info.size, info.frames, info.fps) == ((512, 704), 200, Fraction(30))


def test_decimals_stand_for_broadcast_rates() -> None:
    assert [exact_rate(Fraction(x)) for x in ("25", "2997/100", "29.97002997", "59.94005994")] == [
        25, Fraction(2997, 100), Fraction(30000, 1001), Fraction(60000, 1001),
    ]  # fmt: skip
