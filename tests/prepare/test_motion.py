"""Motion clips: resampling, and the way they are put on the rig."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from engines.prepare.body import base_body, random_shape
from engines.prepare.motion import HELD_OUT_MOTIONS, TRAIN_MOTIONS, about, clip_frames, motion_track, onto, rig_rotations

unit = st.tuples(*[st.floats(-1, 1) for _ in range(3)]).map(np.array).filter(lambda v: np.linalg.norm(v) > 0.1)


@settings(max_examples=50, deadline=None)
@given(unit, unit)
def test_onto_is_a_rotation_that_brings_a_to_b(a: np.ndarray, b: np.ndarray) -> None:
    a, b = a / np.linalg.norm(a), b / np.linalg.norm(b)
    if a @ b < -0.99:
        return
    turn = onto(a, b)
    assert turn @ a == pytest.approx(b, abs=1e-6)
    assert turn @ turn.T == pytest.approx(np.eye(3), abs=1e-6)


@settings(max_examples=50, deadline=None)
@given(unit, st.floats(-3, 3))
def test_about_keeps_its_axis(axis: np.ndarray, angle: float) -> None:
    turn = about(axis, angle)
    assert turn @ axis == pytest.approx(axis, abs=1e-9)
    assert np.trace(turn) == pytest.approx(1 + 2 * np.cos(angle), abs=1e-9)


def test_no_motion_is_both_trained_on_and_held_out() -> None:
    assert not set(TRAIN_MOTIONS) & set(HELD_OUT_MOTIONS)
    assert "dance_b" in HELD_OUT_MOTIONS


@pytest.mark.usefixtures("assets")
@pytest.mark.parametrize("name", [*TRAIN_MOTIONS, *HELD_OUT_MOTIONS])
def test_resampled_motion_is_smooth(name: str) -> None:
    track = motion_track(name, 60.0, 40, 0.1, 1.0)
    places = np.array([frame.root_place for frame in track])
    assert np.abs(np.diff(places, axis=0)).max() < 0.15
    for joint in ("root", "chest", "lshoulder", "rhip"):
        turns = np.array([frame.rotations[joint] for frame in track])
        assert turns @ turns.transpose(0, 2, 1) == pytest.approx(np.tile(np.eye(3), (40, 1, 1)), abs=1e-6)
        cosines = (np.einsum("nij,nij->n", turns[1:], turns[:-1]) - 1) / 2
        assert np.degrees(np.arccos(np.clip(cosines, -1, 1))).max() < 45


@pytest.mark.usefixtures("assets")
def test_speed_and_rate_decide_how_far_a_track_goes() -> None:
    table, seconds = clip_frames("walk")
    slow, fast = motion_track("walk", 30.0, 3, 0.0, 0.5), motion_track("walk", 15.0, 3, 0.0, 0.5)
    assert slow[2].root_place == pytest.approx(fast[1].root_place)
    assert len(table) * seconds == pytest.approx(1.3, abs=0.05)


@pytest.mark.usefixtures("assets")
def test_rig_rotations_are_rotations_of_bones_that_exist() -> None:
    base, shape = base_body(), random_shape(np.random.default_rng(0))
    (frame,) = motion_track("dance_a", 12.0, 1, 0.3, 1.0)
    turns = rig_rotations(base, shape, frame, {"L": 0.3, "R": 1.0, "thumb": 0.2})
    assert set(turns) <= set(base.index)
    assert "finger3-2.L" in turns
    for turn in turns.values():
        assert turn @ turn.T == pytest.approx(np.eye(3), abs=1e-6)
        assert np.linalg.det(turn) == pytest.approx(1.0, abs=1e-6)
