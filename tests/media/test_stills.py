"""GIFs as they come: the right pictures at the right times, in flat memory."""

import os
import tracemalloc
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from engines.media.stills import changed
from engines.media.video import probe
from engines.media.writer import open_writer


def moving(count: int, width: int = 60, height: int = 40) -> list[np.ndarray]:
    """A square that walks over a ground of many colours, and stands still for frames 3 and 4."""
    y, x = np.mgrid[0:height, 0:width]
    ground = np.stack([x * 255 // width, y * 255 // height, np.full_like(x, 90)], axis=2).astype(np.uint8)
    out = []
    for index in range(count):
        picture = ground.copy()
        left = 3 * min(index, max(2, index - 2))
        picture[10:20, left : left + 10] = (255, 240, 20)
        out.append(picture)
    return out


def write(path: Path, pictures: list[np.ndarray], fps: Fraction) -> Path:
    with open_writer(path, fps, (pictures[0].shape[1], pictures[0].shape[0]), False) as sink:
        for picture in pictures:
            sink.write(picture)
    return path


@pytest.mark.parametrize("fps", [Fraction(10), Fraction(24), Fraction(30000, 1001), Fraction(50)])
def test_every_frame_is_there_at_its_time(tmp_path: Path, fps: Fraction) -> None:
    pictures = moving(12)
    with Image.open(write(tmp_path / "a.gif", pictures, fps)) as gif:
        assert getattr(gif, "n_frames", 1) == 12
        assert gif.info["loop"] == 0
        shown = Fraction(0)
        for index, picture in enumerate(pictures):
            gif.seek(index)
            assert abs(shown - index / fps) <= Fraction(1, 200)
            shown += Fraction(gif.info["duration"], 1000)
            assert np.abs(np.asarray(gif.convert("RGB")).astype(int) - picture).mean() < 6
        assert abs(shown - 12 / fps) <= Fraction(1, 200)
    assert probe(tmp_path / "a.gif").frames == 12


def test_what_stands_still_does_not_flicker(tmp_path: Path) -> None:
    pictures = moving(8)
    with Image.open(write(tmp_path / "a.gif", pictures, Fraction(10))) as gif:
        seen = []
        for index in range(8):
            gif.seek(index)
            seen.append(np.asarray(gif.convert("RGB"))[25:])
    assert all(np.array_equal(seen[0], part) for part in seen)


def test_changed_is_the_smallest_rectangle() -> None:
    a = np.zeros((20, 30, 3), np.uint8)
    b = a.copy()
    assert changed(a, b) == (0, 0, 1, 1)
    b[4, 7, 1] = 1
    b[9, 3, 2] = 1
    assert changed(a, b) == (3, 4, 8, 10)


def test_a_long_gif_takes_flat_memory(tmp_path: Path) -> None:
    rng, peaks = np.random.default_rng(1), []
    for count in (6, 24):
        tracemalloc.start()
        with open_writer(tmp_path / f"{count}.gif", Fraction(10), (128, 96), False) as sink:
            for _ in range(count):
                sink.write(rng.integers(0, 256, (96, 128, 3), dtype=np.uint8))
            written = os.path.getsize(next(tmp_path.glob(f".{count}.*")))
        peaks.append(tracemalloc.get_traced_memory()[1])
        tracemalloc.stop()
        assert written > 0.8 * count * 128 * 96, "frames wait in memory until the end"
    assert peaks[1] < peaks[0] + 6 * 128 * 96
