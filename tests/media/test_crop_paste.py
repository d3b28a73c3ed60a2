"""Cutting a window around a mask, and putting back what was made of it."""

import numpy as np
import pytest

from engines.media.crop import Window, window_around
from engines.media.paste import feather_of, pasted, weights


def box(shape: tuple[int, int], left: int, top: int, right: int, bottom: int) -> np.ndarray:
    out = np.zeros(shape, bool)
    out[top:bottom, left:right] = True
    return out


@pytest.mark.parametrize("margin", [0.0, 0.25, 0.5])
@pytest.mark.parametrize("place", [(40, 60, 80, 120), (0, 0, 30, 30), (170, 200, 200, 300), (0, 100, 200, 140)])
@pytest.mark.parametrize("shift", [(0.0, 0.0), (1.0, -1.0), (-1.0, 0.5)])
def test_a_window_holds_the_mask_and_lies_in_the_picture(
    margin: float, place: tuple[int, int, int, int], shift: tuple[float, float]
) -> None:
    mask = box((300, 200), *place)
    window = window_around(mask, (192, 256), margin, shift)
    inside = np.zeros_like(mask)
    inside[window.place] = True
    assert inside.sum() == window.width * window.height
    assert not (mask & ~inside).any()


def test_a_window_has_the_margin_and_the_canvas_shape() -> None:
    window = window_around(box((1000, 1000), 400, 400, 480, 500), (192, 256), 0.25)
    assert (window.width, window.height) == (130, 173)  # 80 + 2 x 25 wide, and 256/192 of that high: more than the 150 it needs
    assert window.left + window.width / 2 == pytest.approx(440, abs=1)


def test_a_window_is_wide_enough_for_a_wide_mask() -> None:
    window = window_around(box((1000, 1000), 300, 480, 700, 520), (192, 256), 0.1)
    assert window.width >= 480
    assert window.width / window.height == pytest.approx(192 / 256, rel=0.01)


def test_an_empty_mask_has_no_window() -> None:
    with pytest.raises(ValueError, match="empty"):
        window_around(np.zeros((10, 10), bool), (8, 8))


def test_weights_are_nothing_outside_and_everything_deep_inside() -> None:
    mask = box((60, 60), 10, 10, 50, 50)
    shares = weights(mask, 4)
    assert (shares[~mask] == 0).all()
    assert (shares[mask] > 0).all()
    assert (shares[15:45, 15:45] == 1).all()
    assert shares[30, 10] == pytest.approx(0.2)


def test_the_border_of_the_photo_is_no_edge() -> None:
    shares = weights(box((60, 60), 0, 0, 60, 30), 4)
    assert (shares[:20] == 1).all()
    assert (weights(np.ones((20, 20), bool), 4) == 1).all()


def test_pasting_changes_nothing_outside_the_mask_and_all_of_its_middle() -> None:
    rng = np.random.default_rng(0)
    photo = rng.integers(0, 256, (90, 70, 3), dtype=np.uint8)
    mask = box((90, 70), 20, 30, 50, 60)
    window = Window(10, 20, 50, 60)
    made = rng.integers(0, 256, (60, 50, 3), dtype=np.uint8)
    out = pasted(photo, made, window, mask)
    assert np.array_equal(out[~mask], photo[~mask])
    deep = slice(34, 56), slice(24, 46)
    assert np.array_equal(out[deep], made[14:36, 14:36])
    assert not np.array_equal(out, photo)


def test_what_lies_outside_the_window_stays() -> None:
    photo, mask = np.zeros((40, 40, 3), np.uint8), np.ones((40, 40), bool)
    out = pasted(photo, np.full((20, 20, 3), 255, np.uint8), Window(0, 0, 20, 20), mask)
    assert out[:20, :20].all()
    assert not out[20:].any()


def test_the_feather_grows_with_the_photo() -> None:
    assert feather_of((100, 50)) == 1
    assert feather_of((2000, 1333)) == 8
