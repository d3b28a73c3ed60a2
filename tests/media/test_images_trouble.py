"""Pictures with rare contents, and files that are damaged in any way."""

import io
import tracemalloc
import warnings
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from engines.core.errors import ScdError
from engines.media.fit import Box, fit_and_pad, place, resize, unpad
from engines.media.images import MIN_SIDE, read_image


def saved(image: Image.Image, **how: Any) -> bytes:
    file = io.BytesIO()
    image.save(file, **how)
    return file.getvalue()


NOISE = Image.fromarray(np.random.default_rng(1).integers(0, 255, (40, 30, 3), dtype=np.uint8))
TURNED = Image.Exif()
TURNED[0x0112] = 6
SAMPLES = {
    "PNG": saved(NOISE, format="PNG"),
    "JPEG": saved(NOISE, format="JPEG", exif=TURNED),
    "WEBP": saved(NOISE, format="WEBP", exif=TURNED),
    "BMP": saved(NOISE, format="BMP"),
    "TIFF": saved(NOISE, format="TIFF", exif=TURNED),
    "GIF": saved(NOISE, format="GIF"),
}


def read_or_refusal(path: Path) -> tuple[np.ndarray, ScdError | None]:
    try:
        return read_image(path), None
    except ScdError as error:
        return np.zeros(0), error


@settings(max_examples=150, deadline=None)
@given(
    kind=st.sampled_from(sorted(SAMPLES)),
    cut=st.floats(0.02, 1),
    changes=st.lists(st.tuples(st.integers(0, 300), st.integers(0, 255)), max_size=6),
)
def test_a_damaged_picture_is_read_or_refused_in_one_sentence(
    tmp_path_factory: pytest.TempPathFactory, kind: str, cut: float, changes: list[tuple[int, int]]
) -> None:
    raw = bytearray(SAMPLES[kind][: max(1, int(len(SAMPLES[kind]) * cut))])
    for place_, value in changes:
        raw[place_ % len(raw)] = value
    path = tmp_path_factory.mktemp("damaged") / "a.png"
    path.write_bytes(raw)
    with warnings.catch_warnings():
        warnings.simplefilter("error")  # a warning of Pillow's would reach the terminal
        picture, refusal = read_or_refusal(path)
    if refusal is None:
        assert picture.dtype == np.uint8
        assert picture.shape[2] == 3
    else:
        assert str(path) in refusal.message
        assert refusal.hint
        assert "\n" not in str(refusal)


def deep(path: Path, values: tuple[int, ...]) -> Path:
    """A 16-bit picture of one colour; `values` in OpenCV's order, blue first."""
    assert cv2.imwrite(str(path), np.full((20, 20, len(values)), values, np.uint16))
    return path


@pytest.mark.parametrize("name", ["a.png", "a.tif"])
def test_sixteen_bit_colours(tmp_path: Path, name: str) -> None:
    assert read_image(deep(tmp_path / name, (65535, 32896, 0)))[0, 0].tolist() == [0, 128, 255]


def test_sixteen_bit_transparency(tmp_path: Path) -> None:
    assert read_image(deep(tmp_path / "a.png", (65535, 32896, 0, 0)))[0, 0].tolist() == [255, 255, 255]


def test_half_transparent_grey(tmp_path: Path) -> None:
    Image.fromarray(np.full((20, 20, 2), (0, 128), np.uint8)).save(tmp_path / "a.png")
    assert read_image(tmp_path / "a.png")[0, 0].tolist() == [127, 127, 127]


def test_one_clear_colour_of_a_plain_picture(tmp_path: Path) -> None:
    Image.new("RGB", (20, 20), (1, 2, 3)).save(tmp_path / "a.png", transparency=(1, 2, 3))
    assert (read_image(tmp_path / "a.png") == 255).all()


@pytest.mark.parametrize(("value", "wanted"), [(0.5, 128), (128.0, 128), (32896.0, 128)])
def test_float_greys_keep_their_meaning(tmp_path: Path, value: float, wanted: int) -> None:
    grey = np.full((20, 20), value, np.float32)
    Image.fromarray(grey).save(tmp_path / "a.tiff")
    assert read_image(tmp_path / "a.tiff")[0, 0].tolist() == [wanted] * 3


def test_black_and_white_bits(tmp_path: Path) -> None:
    Image.new("1", (20, 20), 1).save(tmp_path / "a.png")
    assert (read_image(tmp_path / "a.png") == 255).all()


def test_the_first_picture_of_an_animation(tmp_path: Path) -> None:
    first, second = Image.new("RGB", (20, 20), "red"), Image.new("RGB", (20, 20), "blue")
    first.save(tmp_path / "a.webp", save_all=True, append_images=[second], lossless=True)
    assert read_image(tmp_path / "a.webp")[0, 0].tolist() == [255, 0, 0]


@pytest.mark.parametrize("turn", range(1, 9))
def test_every_exif_turn(tmp_path: Path, turn: int) -> None:
    exif = Image.Exif()
    exif[0x0112] = turn
    NOISE.save(tmp_path / "a.png", exif=exif)
    plain = np.asarray(NOISE)
    turns = {1: plain, 2: plain[:, ::-1], 3: plain[::-1, ::-1], 4: plain[::-1], 5: plain.swapaxes(0, 1)}
    turns |= {6: np.rot90(plain, -1), 7: np.rot90(plain.swapaxes(0, 1), 2), 8: np.rot90(plain, 1)}
    np.testing.assert_array_equal(read_image(tmp_path / "a.png"), turns[turn])


@pytest.mark.parametrize(("size", "fits"), [((MIN_SIDE, MIN_SIDE), True), ((MIN_SIDE - 1, 100), False), ((17, 333), True)])
def test_the_smallest_side(tmp_path: Path, size: tuple[int, int], fits: bool) -> None:
    Image.new("RGB", size).save(tmp_path / "a.png")
    if fits:
        assert read_image(tmp_path / "a.png").shape == (size[1], size[0], 3)
    else:
        with pytest.raises(ScdError, match=f"at least {MIN_SIDE} pixels"):
            read_image(tmp_path / "a.png")


@pytest.mark.parametrize("size", [(20000, 20000), (12000, 9000)])
def test_a_huge_picture_is_refused_before_it_is_decoded(tmp_path: Path, size: tuple[int, int]) -> None:
    Image.new("1", size).save(tmp_path / "a.png")
    tracemalloc.start()
    with pytest.raises(ScdError, match="below 100 megapixels"):
        read_image(tmp_path / "a.png")
    assert tracemalloc.get_traced_memory()[1] < 5_000_000
    tracemalloc.stop()


def test_what_is_read_can_be_written_on(tmp_path: Path) -> None:
    NOISE.save(tmp_path / "a.png")
    read_image(tmp_path / "a.png")[0, 0] = 0


sides = st.integers(16, 400)


@settings(max_examples=60, deadline=None)
@given(width=sides, height=sides, canvas=st.tuples(st.integers(64, 300), st.integers(64, 300)))
def test_a_fitted_picture_comes_back_in_its_own_shape(width: int, height: int, canvas: tuple[int, int]) -> None:
    y, x = np.mgrid[0:height, 0:width]
    picture = np.stack([x * 255 / width, y * 255 / height, np.full_like(x, 99)], axis=2).astype(np.uint8)
    fitted, box = fit_and_pad(picture, canvas, "edge")
    assert fitted.shape == (canvas[1], canvas[0], 3)
    back = unpad(fitted, box, (width, height))
    assert back.shape == picture.shape
    smallest = min(box.width, box.height)
    assert np.abs(back.astype(int) - picture).mean() < 2 + 255 / smallest


def test_edges_are_repeated_and_black_is_black() -> None:
    picture = np.asarray(NOISE)
    fitted, box = fit_and_pad(picture, (60, 40), "edge")
    np.testing.assert_array_equal(fitted[:, : box.left], np.repeat(fitted[:, box.left : box.left + 1], box.left, axis=1))
    dark = place(picture, box, (60, 40), "black")
    assert dark[:, : box.left].max() == 0
    assert dark[:, box.left + box.width :].max() == 0


def test_shrinking_averages_and_the_same_size_is_untouched() -> None:
    stripes = np.zeros((64, 64, 3), np.uint8)
    stripes[:, ::2] = 200
    assert np.unique(resize(stripes, (32, 32))).tolist() == [100]
    assert resize(stripes, (64, 64)) is stripes
    assert Box(0, 0, 1, 1) == Box(0, 0, 1, 1)
