"""One clip: labels, keypoints, and the parts that are seeded apart."""

from dataclasses import replace

import numpy as np
import pytest

from engines.prepare import textures
from engines.prepare.clip import Clip, ClipSpec, Frame
from engines.prepare.garments import LABELS
from engines.prepare.people import random_person

pytestmark = pytest.mark.usefixtures("assets")
SPEC = ClipSpec(number=3, split="train", size=(96, 128), frames=2, fps=12.0, seed=5)


@pytest.fixture(scope="module", params=[3, 8])
def clip(request: pytest.FixtureRequest) -> Clip:
    return Clip(replace(SPEC, number=request.param))


@pytest.fixture(scope="module")
def frames(clip: Clip) -> list[Frame]:
    return list(clip.frames())


def test_frames_have_the_sizes_asked_for(frames: list[Frame]) -> None:
    assert len(frames) == SPEC.frames
    for frame in frames:
        assert frame.picture.shape == (128, 96, 3)
        assert frame.picture.dtype == frame.labels.dtype == np.uint8
        assert frame.labels.shape == (128, 96)
        assert frame.keypoints.shape == (133, 3)


def test_labels_are_known_and_person_and_clothes_are_there(frames: list[Frame]) -> None:
    for frame in frames:
        seen = set(np.unique(frame.labels).tolist())
        assert seen <= set(LABELS.values())
        assert LABELS["skin"] in seen
        assert seen & {LABELS["upper"], LABELS["dress"]}
        assert 0.04 < (frame.labels > 0).mean() < 0.6


def test_visible_points_lie_on_the_person(frames: list[Frame]) -> None:
    for frame in frames:
        person = np.pad(frame.labels > 0, 2)
        visible = frame.keypoints[frame.keypoints[:, 2] == 1.0]
        assert len(visible) > 20
        around = [person[int(y) : int(y) + 5, int(x) : int(x) + 5].any() for x, y, _ in visible]
        assert np.mean(around) > 0.97


def test_scores_say_visible_hidden_or_outside(frames: list[Frame]) -> None:
    for frame in frames:
        x, y, score = frame.keypoints.T
        inside = (x >= 0) & (x < 96) & (y >= 0) & (y < 128)
        assert set(np.unique(score)) <= {np.float32(0.0), np.float32(0.5), np.float32(1.0)}
        assert ((score > 0) == inside).all()


def test_background_stands_still_but_for_a_slight_camera_motion(clip: Clip) -> None:
    size = np.array(SPEC.size)
    corners = np.array([[0.0, 0.0], SPEC.size])
    for matrix in clip.drift:
        moved = corners @ matrix[:, :2].T + matrix[:, 2]
        assert (np.abs(moved - corners) < 0.025 * size).all()


def test_garment_pictures_show_each_garment_on_white(clip: Clip) -> None:
    pictures = clip.garment_pictures()
    assert set(pictures) == set(clip.facts()["garments"])
    for picture in pictures.values():
        assert (picture[:3] == 255).all()
        assert 0.05 < (picture.min(axis=-1) < 250).mean() < 0.95


def test_same_spec_same_picture() -> None:
    first, second = (next(Clip(SPEC).frames()) for _ in range(2))
    assert (first.picture == second.picture).all()
    assert (first.keypoints == second.keypoints).all()


def test_other_clothes_leave_the_person_the_same() -> None:
    identity = SPEC.part("identity")
    first, second = (random_person(identity, np.random.SeedSequence([1, n])) for n in (1, 2))
    assert (first.shape.vertices == second.shape.vertices).all()
    assert (first.parts[0].texture == second.parts[0].texture).all()
    assert first.facts["hair"] == second.facts["hair"]
    assert first.facts["cut"] != second.facts["cut"]


def test_held_out_clips_use_held_out_motion() -> None:
    assert Clip(replace(SPEC, split="test", number=11)).motion == "dance_b"


@pytest.mark.parametrize("number", range(3, 9))
def test_a_print_is_whole_on_every_body(number: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """The picture of a shirt with a disc on its chest: as high as it is wide, whoever wears it."""

    def disc(rng: np.random.Generator, picture: np.ndarray, span: float) -> np.ndarray:
        y, x = np.mgrid[0 : textures.SIZE, 0 : textures.SIZE] / textures.SIZE - 0.5
        return np.where(np.hypot(x, y)[..., None] < 0.06, [255.0, 0.0, 0.0], [0.0, 0.0, 60.0])

    monkeypatch.setattr(textures, "print_on", disc)
    clothes = next(s for s in map(np.random.SeedSequence, range(99)) if random_person(SPEC.part("identity"), s).facts["print"])
    clip = Clip(replace(SPEC, number=number))
    clip.person = random_person(clip.spec.part("identity"), clothes)
    name = "dress" if any(part.name == "dress" for part in clip.person.parts) else "upper"
    picture = clip.garment(name)[0].astype(int)
    rows, columns = np.nonzero(picture[..., 0] > picture[..., 2] + 60)
    assert len(rows) > 30
    assert 0.75 < np.ptp(rows) / np.ptp(columns) < 1.35
