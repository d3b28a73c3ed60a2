"""Flat garments laid on bodies whose joints are known: a sign on the chest says where things land."""

import cv2
import numpy as np
import pytest

from engines.core.garments import CATEGORIES
from engines.media.fit import fit_and_pad
from engines.pose.laid import CUTS, NARROWEST, laid, silhouette

SHIRT, SIGN = (190, 40, 50), (40, 60, 200)
SIZE = (240, 420)  # of the canvas: width, height
UPRIGHT = {5: (151, 110), 6: (89, 110), 11: (138, 210), 12: (102, 210), 13: (142, 300), 14: (98, 300)}
LENGTH = 100.0  # of that torso
TRUNK, TOP, CHEST = 100, 40, 90  # of the shirt below, in its picture: width, first row, rows from there to the sign


def shirt(background: tuple[int, int, int] = (255, 255, 255), colour: tuple[int, int, int] = SHIRT) -> np.ndarray:
    """(300, 300, 3): trunk in columns 100..199 and rows 40..239, short sleeves, a sign on the wearer's left."""
    picture = np.full((300, 300, 3), background, np.uint8)
    cv2.rectangle(picture, (100, TOP), (100 + TRUNK - 1, TOP + 199), colour, -1)
    cv2.rectangle(picture, (60, TOP), (239, TOP + 50), colour, -1)
    cv2.circle(picture, (170, TOP + CHEST), 8, SIGN, -1)
    return picture


def person(turn: float = 0.0, joints: dict[int, tuple[int, int]] = UPRIGHT) -> np.ndarray:
    """(133, 3), turned clockwise by so many degrees about the middle of the shoulders."""
    points = np.zeros((133, 3), np.float32)
    about = np.array([[np.cos(turn * np.pi / 180), -np.sin(turn * np.pi / 180)], [np.sin(turn * np.pi / 180), np.cos(turn * np.pi / 180)]])
    for number, place in joints.items():
        points[number] = (*(about @ (np.array(place) - (120, 110)) + (120, 110)), 1)
    return points


MASK = np.zeros(SIZE[::-1], bool)
MASK[100:260, 60:180] = True


def where(picture: np.ndarray, colour: tuple[int, int, int]) -> np.ndarray:
    return np.argwhere(np.abs(picture.astype(int) - colour).max(-1) < 30)[:, ::-1].astype(float)


def expected(turn: float = 0.0) -> np.ndarray:
    """Where the sign belongs: right of the torso's middle and below the garment's top, both scaled as the trunk."""
    scale = CUTS["upper"].width * LENGTH / TRUNK
    right, below = 20.5 * scale, CHEST * scale - CUTS["upper"].above * LENGTH
    a = turn * np.pi / 180
    return np.array([120 + right * np.cos(a) - below * np.sin(a), 110 + right * np.sin(a) + below * np.cos(a)])


@pytest.mark.parametrize("turn", [0.0, 25.0, -40.0])
def test_lies_on_the_torso_as_wide_as_it_and_turned_with_it(turn: float) -> None:
    out = laid(shirt(), person(turn), MASK, "upper")
    assert out.shape == (420, 240, 3)
    assert where(out, SIGN).mean(0) == pytest.approx(expected(turn), abs=1.5)
    scale = CUTS["upper"].width * LENGTH / TRUNK
    garment = (out.min(-1) < 200).sum()
    assert garment == pytest.approx((100 * 200 + 80 * 51) * scale**2, rel=0.03)


def test_is_narrower_on_who_turns_away_and_mirrored_on_who_turns_round() -> None:
    frontal = np.ptp(where(laid(shirt(), person(), MASK, "upper"), SHIRT)[:, 0])
    sideways = person(joints=UPRIGHT | {5: (125, 110), 6: (115, 110), 11: (122, 210), 12: (118, 210)})
    assert np.ptp(where(laid(shirt(), sideways, MASK, "upper"), SHIRT)[:, 0]) == pytest.approx(NARROWEST * frontal, abs=3)
    behind = person(joints={5: UPRIGHT[6], 6: UPRIGHT[5], 11: UPRIGHT[12], 12: UPRIGHT[11]})
    sign = where(laid(shirt(), behind, MASK, "upper"), SIGN).mean(0)
    assert sign == pytest.approx([240 - expected()[0], expected()[1]], abs=1.5)


def test_trousers_hang_from_the_hips_along_the_legs() -> None:
    bent = person(joints=UPRIGHT | {13: (200, 290), 14: (160, 290)})
    hanging = where(laid(shirt(), bent, MASK, "lower"), SHIRT)
    low, high = (hanging[hanging[:, 1] >= line].mean(0) for line in (hanging[:, 1].max() - 10, 0))
    assert low[0] > high[0] + 10
    begins = 210 - CUTS["lower"].above * LENGTH
    straight = where(laid(shirt(), person(), MASK, "lower"), SHIRT)
    assert straight[:, 1].min() == pytest.approx(begins, abs=2)


def test_without_a_body_it_fills_the_masks_height() -> None:
    lying = where(laid(shirt(), None, MASK, "upper"), SHIRT)
    assert (lying[:, 1].min(), lying[:, 1].max()) == pytest.approx((100, 259), abs=1.5)
    assert (lying[:, 0].min() + lying[:, 0].max()) / 2 == pytest.approx(119.5, abs=1.5)
    nobody = np.zeros((133, 3), np.float32)
    assert np.array_equal(laid(shirt(), nobody, MASK, "upper"), laid(shirt(), None, MASK, "upper"))


def test_around_it_is_the_colour_of_its_background() -> None:
    out = laid(shirt((90, 140, 200)), person(), MASK, "upper")
    assert np.abs(out[[0, 0, -1, -1], [0, -1, 0, -1]].astype(int) - (90, 140, 200)).max() <= 1


@pytest.mark.parametrize("category", CATEGORIES)
def test_a_picture_without_a_garment_in_front_of_something_is_shown_as_it_is(category: str) -> None:
    plain, tapestry = np.full((30, 20, 3), 77, np.uint8), np.random.default_rng(0).integers(0, 255, (60, 40, 3), np.uint8)
    assert np.array_equal(laid(plain, person(), MASK, category), fit_and_pad(plain, SIZE, "edge")[0])  # type: ignore[arg-type]
    assert laid(tapestry, person(), MASK, category).shape == (420, 240, 3)  # type: ignore[arg-type]
    assert np.array_equal(laid(shirt(), None, MASK & False, category), fit_and_pad(shirt(), SIZE, "edge")[0])  # type: ignore[arg-type]


def test_a_white_shirt_on_white_is_found_by_its_outline() -> None:
    picture = shirt(colour=(250, 250, 250))
    cv2.rectangle(picture, (100, TOP), (199, TOP + 199), (200, 200, 200), 3)
    assert silhouette(picture)[TOP + 2 : TOP + 198, 102:198].all()
    assert not silhouette(picture)[:, :90].any()


def test_a_large_garment_is_averaged_before_it_is_shrunk() -> None:
    fine = cv2.resize(shirt(), (3000, 3000), interpolation=cv2.INTER_NEAREST)
    fine[::2][(fine[::2] == SHIRT).all(-1)] = (0, 0, 0)
    body = laid(fine, person(), MASK, "upper")[150:200, 100:120].astype(int)
    assert np.abs(body - np.array(SHIRT) // 2).max() < 12, "lines of a pixel become their mean, not a pattern"
