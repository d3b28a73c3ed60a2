"""Where the mask of a try-on comes from: files, parse maps, keypoints and photos; and `scd tryon --mask-only`."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from engines.core.errors import ScdError
from engines.core.garments import MASK_STYLES, Category, MaskStyle
from engines.core.keypoints import PoseTrack
from engines.core.report import NullReport
from engines.generate.masking import MaskRequest, check_pose, find_mask, make_mask, pose_points
from engines.generate.studio import Studio
from engines.generate.tryon_request import MaskWish
from engines.media.images import read_image
from engines.pose.files import save_track
from engines.pose.garment import GROWN, face_and_hands
from engines.pose.networks import networks
from tests.pose.test_parse import PLACES, keypoints, person

PHOTOS: list[tuple[str, Category, float, float]] = [
    ("omnitry_person_top_cloth.jpg", "upper", 0.15, 0.35), ("omnitry_person_bottom_cloth.jpg", "lower", 0.03, 0.1),
    ("omnitry_person_dress.jpg", "dress", 0.05, 0.2), ("fashn_model.webp", "upper", 0.08, 0.2),
    ("schp_photo_2000px.jpg", "upper", 0.2, 0.35),
]  # fmt: skip


class Heard(NullReport):
    """Keeps what is said."""

    def __init__(self) -> None:
        self.warned: list[str] = []

    def warn(self, text: str) -> None:
        self.warned.append(text)


@pytest.fixture(autouse=True)
def no_detection() -> None:
    """Unlike the rest of this room, these tests have people in their pictures."""


@pytest.fixture
def fetched() -> None:
    try:
        networks(NullReport())
    except ScdError as error:
        pytest.skip(f"the pose networks cannot be had: {error}")


PICTURE = np.full((150, 100, 3), 120, np.uint8)
WHERE = Path("person.png")


def find(wish: MaskWish) -> tuple[np.ndarray, np.ndarray | None, str, list[str]]:
    heard = Heard()
    found = find_mask(PICTURE, WHERE, wish, Studio(heard))
    return found.mask, found.points, found.how, heard.warned


def kept(folder: Path, size: tuple[int, int] = (100, 150)) -> Path:
    """A keypoint file of the drawn person."""
    points = keypoints()
    points[:, :2] *= np.array(size) / (100, 150)
    save_track(folder / "k.npz", PoseTrack(points[None, None], size), True)
    return folder / "k.npz"


def white_at(folder: Path, *places: tuple[slice, slice]) -> Path:
    mask = np.zeros((150, 100), np.uint8)
    for place in places:
        mask[place] = 255
    Image.fromarray(mask).save(folder / "mask.png")
    return folder / "mask.png"


def test_a_file_is_used_as_it_is(tmp_path: Path) -> None:
    mask, points, how, warned = find(MaskWish(file=white_at(tmp_path, PLACES["upper"])))
    assert mask[PLACES["upper"]].all()
    assert mask.sum() == 42 * 28
    assert (points, how, warned) == (None, "mask.png", [])
    assert find(MaskWish(file=tmp_path / "mask.png", grow=2))[0].sum() > 42 * 28


def test_a_file_goes_before_a_parse_map(tmp_path: Path) -> None:
    Image.fromarray(person("lip")).save(tmp_path / "p.png")
    assert find(MaskWish(file=white_at(tmp_path, PLACES["lower"]), parse=tmp_path / "p.png"))[2] == "mask.png"


@pytest.mark.parametrize("style", MASK_STYLES)
def test_a_parse_map_with_keypoints(style: MaskStyle, tmp_path: Path) -> None:
    Image.fromarray(person("lip")).save(tmp_path / "p.png")
    keys = kept(tmp_path, (200, 300))  # of the picture in another size
    mask, points, how, warned = find(MaskWish(parse=tmp_path / "p.png", keypoints=keys, style=style, grow=0))
    assert how == "parse map p.png (lip)"
    assert points is not None
    assert np.allclose(points[5, :2], (62, 31))
    assert mask[PLACES["upper"]].all()
    assert mask[40:60, 66:70].all() == (style != "shape")
    assert not mask[PLACES["hair"]].any()
    assert not mask[PLACES["left shoe"]].any()
    assert warned == []


def test_growing_is_a_share_of_the_picture_unless_it_is_said(tmp_path: Path) -> None:
    Image.fromarray(np.kron(person("lip"), np.ones((4, 4), np.uint8))).save(tmp_path / "p.png")
    picture = np.zeros((600, 400, 3), np.uint8)
    areas = []
    for grow in (0, None, 8):
        wish = MaskWish(parse=tmp_path / "p.png", style="shape", grow=grow, category="lower")
        areas.append(int(find_mask(picture, WHERE, wish, Studio(NullReport())).mask.sum()))
    assert areas[0] < areas[1] < areas[2]
    assert round(600 * GROWN["shape"]) < 8


def test_inverted_by_its_place_on_the_body(tmp_path: Path) -> None:
    upside = white_at(tmp_path, np.s_[0:27, :], np.s_[27:150, 0:20], np.s_[110:150, :])
    with pytest.raises(ScdError, match=r"mask\.png covers the face and not the torso: it looks inverted; add --invert-mask"):
        find(MaskWish(file=upside, keypoints=kept(tmp_path)))
    assert find(MaskWish(file=upside, invert=True, keypoints=kept(tmp_path)))[2] == "mask.png, inverted"


def test_a_hidden_face_is_warned_of(tmp_path: Path) -> None:
    file = white_at(tmp_path, np.s_[14:70, 36:64])
    _, points, _, warned = find(MaskWish(file=file, keypoints=kept(tmp_path)))
    assert len(warned) == 1
    assert "(mask.png) hides 6" in warned[0]
    alone, heard = find_mask(PICTURE, WHERE, MaskWish(file=file), Studio(NullReport())), Heard()
    assert points is not None
    check_pose(alone, points, WHERE, MaskWish(file=file), heard)
    assert heard.warned == warned, "as one who finds the pose later will have it"


@pytest.mark.parametrize(("places", "share"), [([np.s_[70:80, 40:60]], "1%"), ([np.s_[0:150, 10:90]], "80%")])
def test_suspicious_areas_are_warned_of(places: list[tuple[slice, slice]], share: str, tmp_path: Path) -> None:
    warned = find(MaskWish(file=white_at(tmp_path, *places)))[3]
    assert warned == [f"the mask (mask.png) covers {share} of the picture person.png: look at it"]


def test_a_keypoint_file_of_nobody(tmp_path: Path) -> None:
    save_track(tmp_path / "k.npz", PoseTrack(np.zeros((1, 0, 133, 3), np.float32), (100, 150)), True)
    with pytest.raises(ScdError, match=r"k\.npz holds n"):
        pose_points(PICTURE, MaskWish(keypoints=tmp_path / "k.npz"), WHERE, Studio(NullReport()))


def test_the_pose_is_none_where_nobody_is(fetched: None) -> None:
    assert pose_points(PICTURE, MaskWish(), WHERE, Studio(NullReport())) is None


def test_nobody(fetched: None, tmp_path: Path) -> None:
    Image.new("RGB", (200, 300), (90, 120, 90)).save(tmp_path / "wall.png")
    with pytest.raises(ScdError, match=r"nobody is found in the picture .*wall\.png; name keypoints with --keypoints"):
        make_mask(MaskRequest(person=tmp_path / "wall.png", out=tmp_path / "mask.png", category="upper"), NullReport())
    assert {p.name for p in tmp_path.iterdir()} == {"wall.png"}


@pytest.mark.realdata
@pytest.mark.parametrize(("name", "category", "least", "most"), PHOTOS)
def test_photos(name: str, category: Category, least: float, most: float, fetched: None, testdata: Path, tmp_path: Path) -> None:
    out, photo = tmp_path / "mask.png", testdata / "tryon" / name
    said = make_mask(MaskRequest(person=photo, out=out, category=category, style="shape"), NullReport())
    assert said["how"] == "detected"
    with Image.open(out) as mask, Image.open(photo) as picture:
        assert (mask.mode, mask.size) == ("L", picture.size)
        pixels = np.asarray(mask)
    assert set(np.unique(pixels)) == {0, 255}
    assert least < (pixels > 0).mean() < most
    assert said["share"] == round(float((pixels > 0).mean()), 4)


@pytest.mark.realdata
def test_a_photo_against_a_parser(fetched: None, testdata: Path) -> None:
    photo, studio = testdata / "tryon" / "schp_photo_2000px.jpg", Studio(NullReport(), lasting=True)
    picture = read_image(photo)
    found = find_mask(picture, photo, MaskWish(style="shape"), studio)
    for labels in ("lip", "atr"):
        wish = MaskWish(style="shape", parse=photo.parent / f"schp_parse_{labels}.png", parse_labels=labels, grow=0)  # type: ignore[arg-type]
        truth = find_mask(picture, photo, wish, studio).mask
        assert (found.mask & truth).sum() > 0.95 * truth.sum()
        assert (found.mask & truth).sum() > 0.85 * found.mask.sum()
    limbs = find_mask(picture, photo, MaskWish(parse=wish.parse, parse_labels="atr"), studio)
    assert limbs.points is not None
    assert not (limbs.mask & face_and_hands(picture.shape, limbs.points)).any()
