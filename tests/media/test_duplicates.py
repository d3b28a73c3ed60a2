"""Garments that two sets share: copies that were saved in other ways are found, other colours, prints and cuts are not."""

from pathlib import Path

import cv2
import numpy as np
import pytest
from PIL import Image

from engines.core.errors import ScdError
from engines.media.duplicates import leaked

SIZE = (240, 320)
COLOURS = ((200, 40, 50), (40, 90, 190), (30, 30, 34), (235, 200, 60))


def shirt(seed: int, colour: tuple[int, int, int], letter: str = "", sleeve: int = 70) -> Image.Image:
    """A flat shirt on white with folds of its own; the letter is its print, `sleeve` the length of its sleeves in pixels."""
    rng = np.random.default_rng(seed)
    folds = cv2.resize(rng.normal(0, 1, (10, 8)).astype(np.float32), SIZE, interpolation=cv2.INTER_CUBIC)
    cloth = np.clip(np.array(colour) + 18 * folds[..., None], 0, 225).astype(np.uint8)
    left = [(100, 40), (70, 50), (70 - sleeve // 2, 50 + sleeve), (95 - sleeve // 2, 65 + sleeve), (82, 105), (80, 285)]
    outline = np.array([*left, *((SIZE[0] - x, y) for x, y in reversed(left))], np.int32)
    there = np.zeros(SIZE[::-1], np.uint8)
    cv2.fillPoly(there, [outline], 1)
    if letter:
        cv2.putText(cloth, letter, (100, 170), cv2.FONT_HERSHEY_SIMPLEX, 2, (250, 250, 250), 7)
    return Image.fromarray(np.where(there[..., None] > 0, cloth, 255).astype(np.uint8))


@pytest.fixture
def train(tmp_path: Path) -> list[Path]:
    """Four shirts of one cut in four colours, with prints."""
    (tmp_path / "train").mkdir()
    paths = [tmp_path / "train" / f"{number}.png" for number in range(4)]
    for number, path in enumerate(paths):
        shirt(number, COLOURS[number], "ABCD"[number]).save(path)
    return paths


def saved(path: Path, picture: Image.Image, **how: int) -> Path:
    picture.save(path, **how)
    return path


def found(train: list[Path], test: Path) -> list[str]:
    return [one.name for one, other in leaked(train, [test], lambda: None) if other == test]


def smaller(picture: Image.Image) -> Image.Image:
    return picture.resize((SIZE[0] * 3 // 4, SIZE[1] * 3 // 4), Image.Resampling.LANCZOS)


def moved(picture: Image.Image) -> Image.Image:
    out = Image.new("RGB", (SIZE[0] + 60, SIZE[1] + 30), "white")
    out.paste(picture, (45, 11))
    return out


COPIES = {
    "as it was": lambda picture: picture,
    "smaller": smaller,
    "larger": lambda picture: picture.resize((600, 800), Image.Resampling.BICUBIC),
    "with other margins": moved,
    "smaller, with other margins": lambda picture: smaller(moved(picture)),
}


@pytest.mark.parametrize("how", COPIES)
@pytest.mark.parametrize("quality", [95, 60])
def test_copies_are_found(train: list[Path], tmp_path: Path, how: str, quality: int) -> None:
    for number, path in enumerate(train):
        copy = saved(tmp_path / "copy.jpg", COPIES[how](Image.open(path)), quality=quality)
        assert found(train, copy) == [f"{number}.png"]


OTHERS = {
    "another colour": lambda number: shirt(number, (COLOURS[number][1], COLOURS[number][2], COLOURS[number][0]), "ABCD"[number]),
    "a little lighter": lambda number: shirt(number, tuple(c + 24 for c in COLOURS[number]), "ABCD"[number]),
    "another print": lambda number: shirt(number, COLOURS[number], "WXYZ"[number]),
    "no print": lambda number: shirt(number, COLOURS[number]),
    "long sleeves": lambda number: shirt(number, COLOURS[number], "ABCD"[number], sleeve=130),
}


@pytest.mark.parametrize("how", [name for name in OTHERS if name != "another colour"])
def test_what_is_merely_alike_is_not(train: list[Path], tmp_path: Path, how: str) -> None:
    for number in range(4):
        assert found(train, saved(tmp_path / "other.png", OTHERS[how](number))) == []


def test_another_colour_is_not_the_same(train: list[Path], tmp_path: Path) -> None:
    for number in (0, 1, 3):  # the third is grey
        assert found(train, saved(tmp_path / "other.png", OTHERS["another colour"](number))) == []


def test_all_pairs_in_order_and_every_picture_counted(train: list[Path], tmp_path: Path) -> None:
    test = [saved(tmp_path / f"t{n}.jpg", Image.open(train[n]).convert("RGB"), quality=80) for n in (2, 0)]
    twin = saved(tmp_path / "train" / "twin.jpg", Image.open(train[0]).convert("RGB"), quality=70)
    counted: list[int] = []
    pairs = leaked([*train, twin], test, lambda: counted.append(1))
    assert pairs == [(train[0], test[1]), (train[2], test[0]), (twin, test[1])]
    assert len(counted) == 7


def test_transparent_backgrounds_count_as_white(train: list[Path], tmp_path: Path) -> None:
    picture = np.array(Image.open(train[1]))
    alpha = np.where((picture == 255).all(-1), 0, 255).astype(np.uint8)
    assert found(train, saved(tmp_path / "cut.png", Image.fromarray(np.dstack([picture, alpha])))) == ["1.png"]


def test_pictures_of_nothing(tmp_path: Path) -> None:
    white = saved(tmp_path / "white.png", Image.new("RGB", SIZE, "white"))
    red = saved(tmp_path / "red.png", Image.new("RGB", SIZE, "red"))
    assert leaked([white, red], [white], lambda: None) == [(white, white)]
    assert leaked([], [white], lambda: None) == leaked([white], [], lambda: None) == []


def test_what_is_no_picture(train: list[Path], tmp_path: Path) -> None:
    (tmp_path / "text.jpg").write_text("no picture")
    with pytest.raises(ScdError, match=r"the garment .*text\.jpg is not a picture"):
        leaked(train, [tmp_path / "text.jpg"], lambda: None)
    with pytest.raises(ScdError, match=r"the garment .*gone\.jpg does not exist"):
        leaked(train, [tmp_path / "gone.jpg"], lambda: None)
