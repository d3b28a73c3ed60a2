"""The rasteriser on hand-made triangles."""

import numpy as np
import pytest

from engines.prepare.raster import Light, Scene, render

LIGHT = Light(np.array([[0.0, -1.0, 0.2]], np.float32), np.full((1, 3), 0.5, np.float32), np.full((2, 3), 0.3, np.float32))
EYE = np.array([0.0, -3.0, 0.0], np.float32)


def scene(depths: list[float], cuts: list[float]) -> tuple[Scene, np.ndarray]:
    """Triangles that each cover the upper-left half of an 8x8 picture, at the given distances."""
    count = len(depths)
    corners = np.array([[0, 0], [8, 0], [0, 8]], np.float32)
    screen = np.concatenate([np.column_stack([corners, np.full(3, d)]) for d in depths]).astype(np.float32)
    points = np.concatenate([[[-1, d - 3, 1], [1, d - 3, 1], [-1, d - 3, -1]] for d in depths]).astype(np.float32)
    textures = np.stack([np.full((4, 4, 3), 60 * (i + 1), np.uint8) for i in range(count)])
    made = Scene(
        points, np.tile(np.array([0, -1, 0], np.float32), (3 * count, 1)), np.zeros((3 * count, 2), np.float32),
        np.repeat(cuts, 3).astype(np.float32), np.arange(3 * count).reshape(-1, 3), np.arange(count, dtype=np.int32),
        np.arange(1, count + 1, dtype=np.uint8), textures, np.zeros(count, np.float32),
    )  # fmt: skip
    return made, screen


def drawn(depths: list[float], cuts: list[float]) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    made, screen = scene(depths, cuts)
    return render(made, screen, (8, 8), EYE, LIGHT)


def test_pixel_centres_inside_are_covered() -> None:
    colours, labels, depth = drawn([2.0], [1.0])
    inside = np.add.outer(np.arange(8) + 0.5, np.arange(8) + 0.5) <= 8
    assert (labels == inside).all()
    assert np.isinf(depth[~inside]).all()
    assert depth[inside] == pytest.approx(2.0)
    assert (colours[~inside] == 0).all()
    assert (colours[inside] > 0).all()


@pytest.mark.parametrize("depths", [[2.0, 3.0], [3.0, 2.0]])
def test_the_nearer_triangle_hides_the_other(depths: list[float]) -> None:
    _, labels, _ = drawn(depths, [1.0, 1.0])
    assert labels[1, 1] == 1 + int(np.argmin(depths))


def test_a_fragment_that_is_cut_away_shows_what_is_behind() -> None:
    _, labels, depth = drawn([2.0, 3.0], [-1.0, 1.0])
    assert labels[1, 1] == 2
    assert depth[1, 1] == pytest.approx(3.0)
