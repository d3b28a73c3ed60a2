"""Clips seen anew: points stay on what they mark, left stays the person's left, colours turn about grey."""

from types import SimpleNamespace

import numpy as np
import pytest

pytest.importorskip("torch")
from engines.core.keypoints import FACE, LEFT_HAND, MIRRORED, NAMES, RIGHT_HAND
from engines.train.recipe import Augmentation
from engines.train.variation import Variation, draw_colour, draw_variation, vary_clip, vary_frame, vary_points

SIZE = (48, 64)
SAME_COLOURS = np.eye(3, 4, dtype=np.float32)
PLAIN = Variation(False, 1.0, (0.0, 0.0), SAME_COLOURS)
MIRROR = Variation(True, 1.0, (0.0, 0.0), SAME_COLOURS)
CLOSER = Variation(True, 1.5, (0.3, 0.8), SAME_COLOURS)


def picture(seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, (SIZE[1], SIZE[0], 3), dtype=np.uint8)


def test_names_change_sides_in_the_mirror_and_back() -> None:
    assert sorted(MIRRORED) == list(range(133))
    assert [MIRRORED[MIRRORED[n]] for n in range(133)] == list(range(133))
    sided = {"left": "right", "right": "left"}
    for number, name in enumerate(NAMES):
        side, _, rest = name.partition("_")
        if side in sided:
            assert NAMES[MIRRORED[number]] == f"{sided[side]}_{rest}"
    assert {MIRRORED[n] for n in range(*FACE.indices(133))} == set(range(*FACE.indices(133)))
    assert MIRRORED[LEFT_HAND.start] == RIGHT_HAND.start


def test_the_mirror_image_of_a_picture_is_exact() -> None:
    assert np.array_equal(vary_frame(picture(), MIRROR), picture()[:, ::-1])
    assert np.array_equal(vary_frame(picture(), PLAIN), picture())


@pytest.mark.parametrize("variation", [MIRROR, CLOSER, Variation(False, 1.3, (1.0, 0.0), SAME_COLOURS)])
def test_points_stay_on_what_they_mark(variation: Variation) -> None:
    frame = np.zeros((SIZE[1], SIZE[0], 3), np.uint8)
    frame[30:34, 22:26] = 255  # its middle lies at (24, 32)
    points = np.zeros((1, 133, 3), np.float32)
    points[0, 7] = (24, 32, 1)
    seen = vary_frame(frame, variation)[..., 0].astype(float)
    rows, columns = np.mgrid[0 : SIZE[1], 0 : SIZE[0]] + 0.5
    centre = np.array([(seen * columns).sum(), (seen * rows).sum()]) / seen.sum()
    found = vary_points(points, SIZE, variation)[0, 8 if variation.mirror else 7]
    assert found[2] == 1
    assert np.abs(found[:2] - centre).max() < 0.2


def test_a_point_that_leaves_the_picture_is_absent() -> None:
    points = np.ones((1, 133, 3), np.float32)
    assert vary_points(points, SIZE, Variation(False, 2.0, (0.5, 0.5), SAME_COLOURS))[..., 2].max() == 0
    assert points[..., 2].min() == 1, "the clip's own points are untouched"


def test_hues_turn_about_grey() -> None:
    spec = Augmentation(share=1, zoom=1.2, hue=30, light=0)
    colour = draw_colour(np.random.default_rng(3), spec)
    assert np.allclose(colour @ [90, 90, 90, 1], 90, atol=1e-3)
    turned = colour[:, :3] @ np.array([200.0, 60, 60])
    assert abs(turned.mean() - 320 / 3) < 1e-3
    assert abs(turned - [200, 60, 60]).max() > 5


def test_draws_stay_inside_the_recipe_and_repeat() -> None:
    spec = Augmentation(share=1, zoom=1.2, hue=30, light=0.1)
    draws = [draw_variation(np.random.default_rng(seed), spec) for seed in range(200)]
    assert 70 < sum(d.mirror for d in draws) < 130
    assert 1 <= min(d.zoom for d in draws) < 1.02 < 1.18 < max(d.zoom for d in draws) <= 1.2
    again = draw_variation(np.random.default_rng(7), spec)
    assert np.array_equal(again.colour, draws[7].colour)
    assert again.corner == draws[7].corner


def test_all_frames_of_a_clip_are_seen_alike() -> None:
    points = np.ones((3, 1, 133, 3), np.float32) * 40
    clip = SimpleNamespace(frames=np.stack([picture(0), picture(1), picture(0)]), points=points, points_size=(96, 128))
    pictures, moved = vary_clip(clip, [0, 2], CLOSER)  # type: ignore[arg-type]
    assert np.array_equal(pictures[0], pictures[1])
    assert moved.shape == (2, 1, 133, 3)
    assert np.allclose(moved[..., 0], 48 - (20 - 4.8) * 1.5)
