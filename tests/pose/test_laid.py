"""Flat garments laid on bodies whose joints are known: a sign on the chest says where things land."""

import cv2
import numpy as np
import pytest

from engines.core.garments import CATEGORIES, Category
from engines.media.fit import fit_and_pad
from engines.pose import laid as laying
from engines.pose.chest import LOOKED_AT, MIRRORED, chest_map, onto_torso, torso_of
from engines.pose.garment import body_of
from engines.pose.laid import CUTS, NARROWEST, silhouette

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
EVERYWHERE = np.ones(SIZE[::-1], bool)
PERSON = np.full((*SIZE[::-1], 3), 255, np.uint8)


def laid(garment: np.ndarray, points: np.ndarray | None, mask: np.ndarray, category: Category) -> np.ndarray:
    out = laying.laid(garment, points, PERSON, mask, category)
    assert out is not None
    return out


@pytest.fixture
def joints_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    """As if everybody were seen from behind: nothing is known of the chest."""
    monkeypatch.setattr(laying, "onto_torso", lambda *_: None)


def where(picture: np.ndarray, colour: tuple[int, int, int]) -> np.ndarray:
    return np.argwhere(np.abs(picture.astype(int) - colour).max(-1) < 30)[:, ::-1].astype(float)


def expected(turn: float = 0.0) -> np.ndarray:
    """Where the sign belongs: right of the torso's middle and below the garment's top, both scaled as the trunk."""
    scale = CUTS["upper"].width * LENGTH / TRUNK
    right, below = 20.5 * scale, CHEST * scale - CUTS["upper"].above * LENGTH
    a = turn * np.pi / 180
    return np.array([120 + right * np.cos(a) - below * np.sin(a), 110 + right * np.sin(a) + below * np.cos(a)])


@pytest.mark.parametrize("turn", [0.0, 25.0, -40.0])
def test_lies_on_the_torso_as_wide_as_it_and_turned_with_it(turn: float, joints_alone: None) -> None:
    out = laid(shirt(), person(turn), EVERYWHERE, "upper")
    assert out.shape == (420, 240, 3)
    assert where(out, SIGN).mean(0) == pytest.approx(expected(turn), abs=1.5)
    scale = CUTS["upper"].width * LENGTH / TRUNK
    garment = (out.min(-1) < 200).sum()
    assert garment == pytest.approx((98 * 198 + 78 * 49) * scale**2, rel=0.05), "all but the outermost pixels"


def test_is_narrower_on_who_turns_away_and_mirrored_on_who_turns_round(joints_alone: None) -> None:
    frontal = np.ptp(where(laid(shirt(), person(), EVERYWHERE, "upper"), SHIRT)[:, 0])
    sideways = person(joints=UPRIGHT | {5: (125, 110), 6: (115, 110), 11: (122, 210), 12: (118, 210)})
    assert np.ptp(where(laid(shirt(), sideways, EVERYWHERE, "upper"), SHIRT)[:, 0]) == pytest.approx(NARROWEST * frontal, abs=3)
    behind = person(joints={5: UPRIGHT[6], 6: UPRIGHT[5], 11: UPRIGHT[12], 12: UPRIGHT[11]})
    sign = where(laid(shirt(), behind, EVERYWHERE, "upper"), SIGN).mean(0)
    assert sign == pytest.approx([240 - expected()[0], expected()[1]], abs=1.5)


def test_trousers_hang_from_the_hips_along_the_legs() -> None:
    bent = person(joints=UPRIGHT | {13: (200, 290), 14: (160, 290)})
    hanging = where(laid(shirt(), bent, EVERYWHERE, "lower"), SHIRT)
    low, high = (hanging[hanging[:, 1] >= line].mean(0) for line in (hanging[:, 1].max() - 10, 0))
    assert low[0] > high[0] + 10
    begins = 210 - CUTS["lower"].above * LENGTH
    straight = where(laid(shirt(), person(), EVERYWHERE, "lower"), SHIRT)
    assert straight[:, 1].min() == pytest.approx(begins, abs=2)


def test_without_a_body_it_fills_the_masks_height() -> None:
    lying = where(laid(shirt(), None, MASK, "upper"), SHIRT)
    assert (lying[:, 1].min(), lying[:, 1].max()) == pytest.approx((100, 259), abs=2)
    assert (lying[:, 0].min() + lying[:, 0].max()) / 2 == pytest.approx(119.5, abs=1.5)
    nobody = np.zeros((133, 3), np.float32)
    assert np.array_equal(laid(shirt(), nobody, MASK, "upper"), laid(shirt(), None, MASK, "upper"))


def test_around_it_and_outside_the_mask_is_the_person() -> None:
    known = np.random.default_rng(0).integers(0, 255, PERSON.shape, np.uint8)
    out = laying.laid(shirt((90, 140, 200)), person(), known, MASK, "upper")
    assert out is not None
    changed = (out != known).any(-1)
    assert changed.any()
    assert not changed[~MASK].any()
    assert np.abs(out[changed].astype(int) - (90, 140, 200)).max(-1).min() > 20, "nothing of the garment's background"


FACING = UPRIGHT | {0: (120, 75), 1: (126, 69), 2: (114, 69), 3: (134, 72), 4: (106, 72), 7: (165, 160), 8: (75, 160)}


def sign_on(joints: dict[int, tuple[int, int]], turn: float = 0.0) -> np.ndarray:
    """How far the middle of the shirt's chest is from the shoulders' middle, in pixels right and down of a torso of 100."""
    points = person(turn, joints)
    body = body_of(points)
    assert body is not None
    move = onto_torso(TRUNK + TRUNK / 2, TOP, TRUNK, points, body)
    assert move is not None
    return move @ [TRUNK + TRUNK / 2, TOP + CHEST, 1] - body.middle((5, 6))


def test_the_chest_of_who_faces_the_camera_is_below_the_shoulders_and_turns_with_the_torso() -> None:
    right, down = sign_on(FACING)
    assert abs(right) < 4
    assert 35 < down < 75
    a = 30 * np.pi / 180
    assert sign_on(FACING, 30.0) == pytest.approx([right * np.cos(a) - down * np.sin(a), right * np.sin(a) + down * np.cos(a)], abs=0.5)


def test_the_chest_follows_who_turns_to_a_side_and_in_a_mirror_to_the_other() -> None:
    turned = FACING | {0: (105, 75), 1: (108, 69), 2: (101, 69), 3: (124, 72), 4: (106, 70)}
    turned |= {5: (141, 110), 6: (96, 112), 11: (132, 210), 12: (106, 210)}
    left = sign_on(turned)
    assert left[0] < sign_on(FACING)[0] - 3
    flipped = {LOOKED_AT[MIRRORED[LOOKED_AT.index(n)]]: (240 - x, y) for n, (x, y) in turned.items() if n in LOOKED_AT}
    assert sign_on(flipped) == pytest.approx([-left[0], left[1]], abs=4)


def test_points_that_are_not_seen_say_nothing() -> None:
    only = {number: place for number, place in FACING.items() if number in (5, 6, 11, 12)}
    points = person(0.0, only)
    points[[0, 1, 2, 3, 4, 7, 8], :2] = 900
    body = body_of(points)
    assert body is not None
    found = chest_map(points, body)
    assert found is not None
    points[[0, 1, 2, 3, 4, 7, 8], :2] = -70
    assert np.array_equal(found, chest_map(points, body))
    assert sign_on(only) == pytest.approx(sign_on(FACING), abs=12)


def test_no_chest_from_behind_and_units_that_do_not_vanish() -> None:
    behind = person(joints={5: UPRIGHT[6], 6: UPRIGHT[5], 11: UPRIGHT[12], 12: UPRIGHT[11]})
    body = body_of(behind)
    assert body is not None
    assert chest_map(behind, body) is None
    bowing = body_of(person(joints=FACING | {11: (138, 112), 12: (102, 112)}))
    assert bowing is not None
    assert torso_of(bowing).unit > 60


@pytest.mark.parametrize("category", CATEGORIES)
def test_a_picture_without_a_garment_in_front_of_something_is_shown_as_it_is(category: Category) -> None:
    plain, tapestry = np.full((30, 20, 3), 77, np.uint8), np.random.default_rng(0).integers(0, 255, (60, 40, 3), np.uint8)
    for lay, picture in ((True, plain), (True, tapestry), (False, shirt())):
        out, lies = laying.shown(picture, lay, person(), SIZE, PERSON, MASK, category)
        assert not lies
        assert np.array_equal(out, fit_and_pad(picture, SIZE, "edge")[0])
    out, lies = laying.shown(shirt(), True, person(), SIZE, PERSON, MASK, category)
    assert lies
    assert np.array_equal(out, laid(shirt(), person(), MASK, category))
    assert laying.laid(shirt(), None, PERSON, MASK & False, category) is None


def test_a_white_shirt_on_white_is_found_by_its_outline() -> None:
    picture = shirt(colour=(250, 250, 250))
    cv2.rectangle(picture, (100, TOP), (199, TOP + 199), (200, 200, 200), 3)
    assert silhouette(picture)[TOP + 2 : TOP + 198, 102:198].all()
    assert not silhouette(picture)[:, :90].any()


def test_a_large_garment_is_averaged_before_it_is_shrunk() -> None:
    fine = cv2.resize(shirt(), (3000, 3000), interpolation=cv2.INTER_NEAREST)
    fine[::2][(fine[::2] == SHIRT).all(-1)] = (0, 0, 0)
    body = laid(fine, person(), MASK, "upper")[150:180, 110:120].astype(int)
    assert np.abs(body - np.array(SHIRT) // 2).max() < 12, "lines of a pixel become their mean, not a pattern"
