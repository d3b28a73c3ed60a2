"""The tables of keypoints agree with one another and with OpenPose's colours."""

import numpy as np
import pytest

from engines.core import keypoints as kp


def test_ranges_cover_all_133_once() -> None:
    parts = [kp.BODY, kp.FEET, kp.FACE, kp.LEFT_HAND, kp.RIGHT_HAND]
    assert [i for part in parts for i in range(part.start, part.stop)] == list(range(kp.COUNT))
    assert len(set(kp.NAMES)) == kp.COUNT
    assert (kp.NAMES[17], kp.NAMES[23], kp.NAMES[91], kp.NAMES[112]) == ("left_big_toe", "face_0", "left_hand_0", "right_hand_0")


def test_openposes_points_are_coco_points_by_name() -> None:
    order = ["nose", "neck", "rs", "re", "rw", "ls", "le", "lw", "rh", "rk", "ra", "lh", "lk", "la", "reye", "leye", "rear", "lear"]
    assert len(order) == len(kp.OPENPOSE_FROM_COCO) == 18
    named = dict(zip(order, kp.OPENPOSE_FROM_COCO, strict=True))
    assert named.pop("neck") == -1
    assert kp.NAMES[named["rs"]] == "right_shoulder"
    assert kp.NAMES[named["lw"]] == "left_wrist"
    assert kp.NAMES[named["la"]] == "left_ankle"
    assert kp.NAMES[named["reye"]] == "right_eye"
    assert len(set(named.values())) == 17


def test_every_joint_hangs_on_the_neck() -> None:
    reached = {1}
    for _ in kp.LIMBS:
        reached |= {b for a, b in kp.LIMBS if a in reached}
    assert reached == set(range(18))


def test_a_hand_is_five_chains_of_four_from_the_wrist() -> None:
    assert len(kp.HAND_BONES) == 20
    assert [b for a, b in kp.HAND_BONES if a == 0] == [1, 5, 9, 13, 17]
    assert {b for _, b in kp.HAND_BONES} == set(range(1, 21))


def test_colours_are_openposes() -> None:
    def near(number: int, colour: tuple[int, int, int]) -> bool:
        return max(abs(a - b) for a, b in zip(kp.BODY_COLOURS[number], colour, strict=True)) <= 1

    assert all(near(n, c) for n, c in ((0, (255, 0, 0)), (1, (255, 85, 0)), (4, (170, 255, 0)), (12, (0, 0, 255)), (17, (255, 0, 85))))


def test_the_neck_is_as_sure_as_the_less_sure_shoulder() -> None:
    points = np.zeros((kp.COUNT, 3), np.float32)
    points[5], points[6] = (10, 20, 0.9), (30, 40, 0.4)
    np.testing.assert_allclose(kp.openpose_body(points)[1], (20, 30, 0.4), rtol=1e-6)


@pytest.mark.parametrize("shape", [(2, 1, 17, 3), (1, 133, 3), (2, 1, 133, 2)])
def test_a_track_of_another_shape_is_refused(shape: tuple[int, ...]) -> None:
    with pytest.raises(ValueError, match="133"):
        kp.PoseTrack(np.zeros(shape, np.float32), (10, 10))
