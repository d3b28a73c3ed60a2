"""The 133 keypoints on the base mesh: order, sides and places."""

import numpy as np
import pytest

from engines.prepare.body import base_body, random_shape
from engines.prepare.landmarks import face_vertices, keypoints_3d

pytestmark = pytest.mark.usefixtures("assets")


@pytest.fixture(scope="module", params=[0, 1, 2])
def points(request: pytest.FixtureRequest) -> np.ndarray:
    """Keypoints (133, 3) of a body at rest, facing -y with x to its left."""
    base, shape = base_body(), random_shape(np.random.default_rng(request.param))
    posed, places, transforms = base.pose(shape, {}, shape.heads[base.index["root"]])
    return keypoints_3d(base, posed, places, transforms, shape.tails)


def test_left_points_lie_left_of_right_ones(points: np.ndarray) -> None:
    for left in (1, 3, 5, 7, 9, 11, 13, 15):
        assert points[left, 0] > points[left + 1, 0]
    assert (points[17:20, 0] > 0).all()
    assert (points[20:23, 0] < 0).all()
    assert (points[91:112, 0] > 0).all()
    assert (points[112:133, 0] < 0).all()


def test_body_from_top_to_bottom(points: np.ndarray) -> None:
    for upper, lower in ((1, 0), (0, 5), (5, 11), (11, 13), (13, 15), (15, 17)):
        assert points[upper, 2] > points[lower, 2]
    big_toe, small_toe, heel = points[17:20]
    assert big_toe[1] < heel[1]
    assert big_toe[0] < small_toe[0]
    assert small_toe[1] < heel[1]


def test_face_in_300_w_order(points: np.ndarray) -> None:
    face = points[23:91]
    chin, brows, nose, mouth = face[8], face[17:27], face[27:36], face[48:60]
    assert (np.diff(face[1:16, 0]) > 0).all()  # the jaw runs from the person's right ear to the left one
    assert face[0, 0] < face[2, 0] < 0 < face[14, 0] < face[16, 0]
    assert chin[2] == face[:, 2].min()
    assert (np.diff(brows[:, 0]) > 0).all()
    assert brows[:, 2].min() > face[36:48, 2].max()
    assert (np.diff(nose[:4, 2]) < 0).all()
    assert mouth[0, 0] < mouth[6, 0]
    assert mouth[3, 2] > mouth[9, 2]
    assert face[36:42, 0].max() < 0 < face[42:48, 0].min()


def test_fingers_leave_the_wrist(points: np.ndarray) -> None:
    for start in (91, 112):
        wrist, fingers = points[start], points[start + 1 : start + 21].reshape(5, 4, 3)
        for finger in fingers[1:]:
            away = np.linalg.norm(finger - wrist, axis=1)
            assert (np.diff(away) > 0).all()
        tips = fingers[:, 3]
        assert np.linalg.norm(tips[2] - wrist) > np.linalg.norm(tips[0] - wrist)


def test_face_vertices_are_68_and_nearly_all_different() -> None:
    assert len(face_vertices()) == 68
    assert len(set(face_vertices())) >= 60
