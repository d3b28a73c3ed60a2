"""Fitting never stretches, and un-padding finds the picture again."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from engines.media.fit import fit_and_pad, fit_box, squeezed, unpad

sides = st.integers(16, 900)


@given(width=sides, height=sides, canvas_width=st.integers(16, 300), canvas_height=st.integers(16, 300))
def test_the_box_has_the_pictures_shape_and_touches_the_canvas(width: int, height: int, canvas_width: int, canvas_height: int) -> None:
    box = fit_box((width, height), (canvas_width, canvas_height))
    scale = min(canvas_width / width, canvas_height / height)
    assert abs(box.width - width * scale) <= 1
    assert abs(box.height - height * scale) <= 1
    assert box.width == canvas_width or box.height == canvas_height
    assert box.left >= 0
    assert box.left + box.width <= canvas_width
    assert box.top >= 0
    assert box.top + box.height <= canvas_height


def test_padding_repeats_the_edge_or_is_black() -> None:
    picture = np.full((20, 40, 3), 90, np.uint8)
    edge, box = fit_and_pad(picture, (40, 40), "edge")
    black, _ = fit_and_pad(picture, (40, 40), "black")
    assert (edge == 90).all()
    assert (box.top, box.height) == (10, 20)
    assert black[0].max() == 0


def test_a_circle_stays_a_circle() -> None:
    y, x = np.mgrid[0:300, 0:200]
    circle = np.repeat((((x - 100) ** 2 + (y - 150) ** 2) < 60**2)[..., None], 3, axis=2).astype(np.uint8) * 255
    canvas, _ = fit_and_pad(circle, (192, 256), "black")
    rows, columns = np.nonzero(canvas[..., 0] > 127)
    assert abs(int(np.ptp(rows)) - int(np.ptp(columns))) <= 1


def test_round_trip_at_the_same_scale_is_exact() -> None:
    picture = np.random.default_rng(0).integers(0, 255, (128, 192, 3), dtype=np.uint8)
    canvas, box = fit_and_pad(picture, (192, 256), "edge")
    np.testing.assert_array_equal(unpad(canvas, box, (192, 128)), picture)


def test_a_squeezed_picture_keeps_no_shape_and_is_pillows_own() -> None:
    """CLIP's pictures: both axes by their own scale, whichever way they go."""
    pictures = np.random.default_rng(0).integers(0, 256, (2, 30, 70, 3), dtype=np.uint8)
    small = squeezed(pictures, 28)
    assert (small.shape, small.dtype) == ((2, 28, 28, 3), np.uint8)
    assert np.array_equal(small[1], np.asarray(Image.fromarray(pictures[1]).resize((28, 28), Image.Resampling.BICUBIC)))
    assert np.array_equal(squeezed(pictures[:, :28, :28], 28), pictures[:, :28, :28])
