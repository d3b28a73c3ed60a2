"""Pictures put together: side by side, on sheets, and into footage that stays as it is."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from engines.media.composite import composited, soft
from engines.media.sheets import contact_sheet, labelled, side_by_side


def plain(width: int, height: int, colour: tuple[int, int, int]) -> np.ndarray:
    return np.full((height, width, 3), colour, np.uint8)


RED, GREEN, BLUE = (200, 0, 0), (0, 200, 0), (0, 0, 200)


def test_side_by_side_keeps_shapes_and_order() -> None:
    row = side_by_side([plain(40, 80, RED), plain(100, 50, GREEN), plain(33, 33, BLUE)], 50)
    assert row.shape == (50, 25 + 100 + 50 + 1, 3)
    assert [tuple(row[25, x]) for x in (0, 24, 25, 124, 125, 174, 175)] == [RED, RED, GREEN, GREEN, BLUE, BLUE, BLUE]


def test_a_circle_stays_round_side_by_side() -> None:
    y, x = np.mgrid[0:200, 0:120]
    disc = np.repeat((((x - 60) ** 2 + (y - 100) ** 2) < 40**2)[..., None], 3, axis=2).astype(np.uint8) * 255
    rows, columns = np.nonzero(side_by_side([disc], 100)[..., 0] > 127)
    assert abs(int(np.ptp(rows)) - int(np.ptp(columns))) <= 1


def test_nothing_cannot_stand_side_by_side() -> None:
    for pictures, height in (([], 10), ([plain(5, 5, RED)], 0)):
        with pytest.raises(ValueError, match="pixels high"):
            side_by_side(pictures, height)


@given(count=st.integers(1, 13), columns=st.integers(1, 5), width=st.integers(80, 301))
def test_a_sheet_has_its_width_and_every_tile_its_place(count: int, columns: int, width: int) -> None:
    tiles = [plain(60, 80, (0, 10 + 15 * index, 0)) for index in range(count)]
    sheet = contact_sheet(tiles, columns, width)
    across, down = width // columns, round(width // columns * 80 / 60)
    assert sheet.shape == (-(-count // columns) * down, width, 3)
    for index in range(count):
        row, column = divmod(index, columns)
        assert tuple(sheet[(row + 1) * down - 1, (column + 1) * across - 1]) == (0, 10 + 15 * index, 0)


def test_labels_can_be_read_on_any_ground() -> None:
    for ground in (0, 128, 255):
        tile = plain(96, 128, (ground,) * 3)
        marked = labelled(tile, "128")
        corner = marked[:20, :40]
        assert corner.min() == 0
        assert corner.max() == 255
        digits = np.flatnonzero((corner[:15, 3:24, 0] > 200).any(axis=1))
        assert 8 <= np.ptp(digits) + 1 <= 13
        assert (marked[60:] == ground).all()
        assert (tile == ground).all(), "the caller's own picture"


def test_labels_differ_and_fit() -> None:
    tile = plain(40, 30, RED)
    a, b = labelled(tile, "0"), labelled(tile, "7")
    assert not np.array_equal(a, b)
    assert labelled(tile, "a very long label that has no room at all").shape == tile.shape
    assert (labelled(tile, "1234567")[:, -1].max(axis=1) <= 200).all(), "the last digit is cut off"
    named = contact_sheet([tile] * 2, 2, 80, ["0", "7"])
    np.testing.assert_array_equal(named[:, :40], a)
    np.testing.assert_array_equal(named[:, 40:], b)
    np.testing.assert_array_equal(contact_sheet([tile], 1, 40), a)


def test_a_sheet_of_unlike_pictures_stretches_none() -> None:
    sheet = contact_sheet([plain(40, 40, RED), plain(80, 40, GREEN)], 2, 80)
    green = np.argwhere((sheet == GREEN).all(axis=2))
    assert tuple(np.ptp(green, axis=0) + 1) == (20, 40)


def test_sheets_that_cannot_be() -> None:
    tile = plain(40, 30, RED)
    for pictures, columns, width, labels in (([], 1, 9, None), ([tile], 0, 9, None), ([tile], 9, 8, None), ([tile], 1, 9, ["a", "b"])):
        with pytest.raises(ValueError, match="columns"):
            contact_sheet(pictures, columns, width, labels)


def noise(seed: int) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, (24, 32, 3), dtype=np.uint8)


@given(st.integers(0, 1000))
def test_the_background_is_bit_for_bit_where_nobody_is(seed: int) -> None:
    mask = np.clip(np.random.default_rng(seed).uniform(-1, 2, (24, 32)), 0, 1).astype(np.float32)
    result, ground = noise(seed), noise(seed + 1)
    out = composited(result, ground, mask)
    np.testing.assert_array_equal(out[mask == 0], ground[mask == 0])
    np.testing.assert_array_equal(out[mask == 1], result[mask == 1])
    truth = ground * (1 - mask[..., None].astype(float)) + result * mask[..., None].astype(float)
    assert np.abs(out - truth).max() <= 0.51


def test_masks_out_of_range_are_cut() -> None:
    mask = np.full((24, 32), np.nan, np.float32)
    mask[0], mask[1] = 7, -7
    out = composited(noise(1), noise(2), mask)
    np.testing.assert_array_equal(out[0], noise(1)[0])
    np.testing.assert_array_equal(out[1:], noise(2)[1:])


def test_sizes_must_agree() -> None:
    with pytest.raises(ValueError, match="mask of"):
        composited(noise(1), noise(2), np.zeros((32, 24), np.float32))
    with pytest.raises(ValueError, match="background of"):
        composited(noise(1), noise(2)[:20], np.zeros((24, 32), np.float32))


@pytest.mark.parametrize(("grow", "feather"), [(0, 0), (3, 0), (0, 5), (3, 5), (6, 1)])
def test_a_soft_mask_grows_and_falls_outwards(grow: int, feather: int) -> None:
    mask = np.zeros((61, 61), np.float32)
    mask[30, 30] = 1
    out = soft(mask, grow, feather)
    y, x = np.mgrid[0:61, 0:61]
    away = np.hypot(y - 30, x - 30)
    assert out.dtype == np.float32
    assert (out[away <= grow] == 1).all()
    assert (out[away > grow + feather + 1] == 0).all()
    assert out[30, 30 + grow + feather + 1] == 0, "a hard 0 right behind the edge"
    line = out[30, 30 + grow : 30 + grow + feather + 2]
    np.testing.assert_allclose(line, 1 - np.arange(feather + 2) / (feather + 1), atol=1e-5)


@given(st.integers(0, 500), st.integers(0, 4), st.integers(0, 4))
def test_a_soft_mask_is_never_below_the_mask(seed: int, grow: int, feather: int) -> None:
    mask = np.clip(np.random.default_rng(seed).uniform(-3, 1, (20, 25)), 0, 1).astype(np.float32)
    out = soft(mask, grow, feather)
    assert (out >= mask).all()
    assert out.min() >= 0
    assert out.max() <= 1
    assert (soft(np.zeros_like(mask), grow, feather) == 0).all()
    assert (soft(np.ones_like(mask), grow, feather) == 1).all()


def test_a_mask_does_not_shrink_below_nothing() -> None:
    for grow, feather in ((-1, 0), (0, -1)):
        with pytest.raises(ValueError, match="pixels"):
            soft(np.zeros((4, 4), np.float32), grow, feather)
