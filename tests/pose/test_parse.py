"""Masks from parse maps of both lists of labels, drawn small, and from those of a real parser."""

from pathlib import Path

import numpy as np
import pytest

from engines.core.errors import ScdError
from engines.core.garments import MASK_STYLES, PARSE_LABELS, Category, MaskStyle, ParseLabels
from engines.core.keypoints import COUNT
from engines.media.images import read_image
from engines.media.mask_files import read_labels
from engines.pose.parse import SETS, labels_of, parse_mask
from tests.media.test_mask_files import Notes

PLACES = {"hair": np.s_[2:8, 40:60], "face": np.s_[8:26, 42:58], "upper": np.s_[28:70, 36:64], "left arm": np.s_[30:72, 64:72],
          "right arm": np.s_[30:72, 28:36], "lower": np.s_[70:100, 36:64], "left leg": np.s_[100:140, 52:62],
          "right leg": np.s_[100:140, 38:48], "left shoe": np.s_[140:146, 52:64], "right shoe": np.s_[140:146, 36:48]}  # fmt: skip
GARMENTS: dict[str, dict[str, int]] = {"lip": {"upper": 5, "lower": 9}, "atr": {"upper": 4, "lower": 6}}


def person(kind: ParseLabels, **worn: int) -> np.ndarray:
    """A person in shirt and shorts in the labels of a list; `worn` puts other numbers in places."""
    numbers = {name: SETS[kind].names.index(name) for name in PLACES if name in SETS[kind].names} | GARMENTS[kind] | worn
    out = np.zeros((150, 100), np.uint8)
    for name, place in PLACES.items():
        out[place] = numbers[name]
    return out


def keypoints() -> np.ndarray:
    """Of that person; the left hand lies on the end of the arm."""
    points = np.zeros((COUNT, 3), np.float32)
    joints = {5: (62, 31), 6: (38, 31), 7: (68, 50), 8: (32, 50), 9: (68, 66), 10: (32, 66), 11: (58, 72), 12: (42, 72), 13: (57, 104),
              14: (43, 104), 15: (57, 140), 16: (43, 140)}  # fmt: skip
    for number, place in joints.items():
        points[number] = (*place, 1)
    points[91:95] = [(64, 64, 1), (72, 64, 1), (72, 72, 1), (64, 72, 1)]
    points[23:27] = [(43, 9, 1), (57, 9, 1), (57, 24, 1), (43, 24, 1)]
    return points


def mask_of(
    labels: np.ndarray, kind: ParseLabels, category: Category, style: MaskStyle = "shape", grow: int = 0, points=None
) -> np.ndarray:
    return parse_mask(labels, kind, category, style, grow, points, "the parse map p.png")


@pytest.mark.parametrize("kind", PARSE_LABELS)
@pytest.mark.parametrize("category", ["upper", "lower"])
def test_shape_is_the_garment(kind: ParseLabels, category: Category) -> None:
    labels = person(kind)
    assert (mask_of(labels, kind, category) == (labels == GARMENTS[kind][category])).all()


@pytest.mark.parametrize("kind", PARSE_LABELS)
def test_a_dress_takes_the_place_of_all(kind: ParseLabels) -> None:
    two = mask_of(person(kind), kind, "dress")
    whole = SETS[kind].names.index("a dress")
    assert (two == mask_of(person(kind, upper=whole, lower=whole), kind, "dress")).all()
    assert two[PLACES["upper"]].all()
    assert two[PLACES["lower"]].all()
    assert not two[PLACES["left leg"]].any()


@pytest.mark.parametrize("kind", PARSE_LABELS)
def test_limbs_add_arms_or_legs(kind: ParseLabels) -> None:
    labels = person(kind)
    upper, lower = mask_of(labels, kind, "upper", "limbs"), mask_of(labels, kind, "lower", "limbs")
    assert upper[PLACES["left arm"]].all()
    assert not upper[PLACES["left leg"]].any()
    assert lower[PLACES["right leg"]].all()
    assert lower[110:130, 49:51].all(), "the room between the legs"
    assert not lower[PLACES["left arm"]].any()


@pytest.mark.parametrize("style", MASK_STYLES)
@pytest.mark.parametrize("kind", PARSE_LABELS)
def test_head_and_shoes_are_kept_however_far_it_grows(style: MaskStyle, kind: ParseLabels) -> None:
    labels = person(kind)
    for category, places in (("upper", ("hair", "face")), ("lower", ("left shoe", "right shoe"))):
        mask = mask_of(labels, kind, category, style, 30)  # type: ignore[arg-type]
        for name in places:
            assert not mask[PLACES[name]].any(), name
        assert mask.sum() > mask_of(labels, kind, category, style).sum()  # type: ignore[arg-type]


def test_hands_are_told_from_arms_by_the_pose() -> None:
    labels, hand = person("lip"), np.s_[65:71, 65:71]
    assert mask_of(labels, "lip", "upper", "limbs")[hand].all()
    known = mask_of(labels, "lip", "upper", "limbs", 4, keypoints())
    assert not known[hand].any()
    assert known[40:60, 66:70].all()


def test_a_box_is_around_the_limbs() -> None:
    mask = mask_of(person("atr"), "atr", "upper", "box")
    rows, columns = np.flatnonzero(mask.any(1)), np.flatnonzero(mask.any(0))
    assert (columns[0], columns[-1]) == (28, 71)
    assert (rows[0], rows[-1]) == (28, 71)
    assert mask[28:72, 28:72].all()


def test_what_one_list_calls_a_jumpsuit_is_the_others_neck() -> None:
    neck = person("lip")
    neck[26:29, 46:54] = 10
    assert not mask_of(neck, "lip", "dress")[26:28, 46:54].any()
    assert mask_of(neck, "lip", "upper", "limbs")[26:29, 46:54].all(), "bare skin, which another cut may cover"
    suit = person("lip", upper=10, lower=10)
    assert mask_of(suit, "lip", "dress")[PLACES["upper"]].all()


def test_labels_are_recognised_where_there_is_no_doubt() -> None:
    assert labels_of(person("lip"), None, "the map") == "lip"
    assert labels_of(person("atr"), "atr", "the map") == "atr"
    assert labels_of(person("lip")[:130], "lip", "the map") == "lip"


def test_labels_in_doubt_are_asked_for() -> None:
    with pytest.raises(ScdError, match=r"the map has labels up to 15, as both LIP and ATR have them; add --parse-labels lip or"):
        labels_of(person("atr"), None, "the map")


def test_labels_that_contradict() -> None:
    with pytest.raises(ScdError, match=r"the map has labels up to 19, but ATR's end at 17; use --parse-labels lip"):
        labels_of(person("lip"), "atr", "the map")


def test_a_map_without_the_garment_says_which_it_has() -> None:
    dressed = person("lip", upper=6, lower=6)
    with pytest.raises(
        ScdError, match=r"the parse map p\.png shows no garment of --category upper; it has a dress; use another --category"
    ):
        mask_of(dressed, "lip", "upper")
    with pytest.raises(ScdError, match=r"shows no garment of --category lower; it has upper clothes;"):
        mask_of(person("atr", lower=0), "atr", "lower")
    with pytest.raises(ScdError, match=r"it has no garment at all"):
        mask_of(np.zeros((20, 20), np.uint8), "lip", "upper")


@pytest.mark.realdata
def test_two_parsers_of_one_photo_agree(testdata: Path) -> None:
    size = read_image(testdata / "tryon" / "schp_photo_2000px.jpg").shape[1::-1]
    notes = Notes()
    masks = [mask_of(read_labels(testdata / "tryon" / f"schp_parse_{k}.png", size, notes), k, "upper") for k in PARSE_LABELS]
    assert notes.said == []
    assert (masks[0] & masks[1]).sum() > 0.95 * (masks[0] | masks[1]).sum()
    assert 0.2 < masks[0].mean() < 0.3
