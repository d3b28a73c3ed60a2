"""Metrics of two consecutive frames on motion that is known."""

import numpy as np
import pytest

from engines.evaluate import motion
from engines.evaluate.pixel import Compared as Step


def scene(seed: int = 0, size: int = 128) -> np.ndarray:
    """A textured picture that optical flow can follow."""
    import cv2

    rough = np.random.default_rng(seed).integers(0, 256, (size, size, 3)).astype(np.uint8)
    return cv2.GaussianBlur(rough, (0, 0), 2.0)


def test_dtssd_is_the_root_mean_square_of_the_changes() -> None:
    still = np.full((32, 32, 3), 100, np.uint8)
    assert motion.dtssd(Step(still, still), Step(still + 6, still + 2)) == 4
    assert motion.dtssd(Step(still + 50, still), Step(still + 53, still + 3)) == 0  # a constant offset is no flicker
    assert motion.dtssd(Step(still, still), Step(still - 100, still + 100)) == 200  # no wrap


def test_flicker_counts_where_the_truth_stands_still() -> None:
    truth = [np.full((32, 32, 3), 100, np.uint8), np.full((32, 32, 3), 100, np.uint8)]
    truth[1][:16] = 160
    pred = [np.full((32, 32, 3), 80, np.uint8), np.full((32, 32, 3), 85, np.uint8)]
    pred[1][:16] = 0
    assert motion.flicker(Step(pred[0], truth[0]), Step(pred[1], truth[1])) == 5
    assert motion.flicker(Step(pred[0], truth[0]), Step(pred[1], truth[0] + 9)) is None


def test_warping_error_follows_the_motion() -> None:
    big = scene(size=140)
    truth = [np.ascontiguousarray(big[4:132, 4:132]), np.ascontiguousarray(big[4:132, 1:129])]  # three pixels to the right
    moved = motion.warping_error(Step(truth[0], truth[0]), Step(truth[1], truth[1]))
    stays = motion.warping_error(Step(truth[0], truth[0]), Step(truth[0], truth[1]))
    assert moved is not None
    assert stays is not None
    assert moved < 2e-4 < stays


def test_warping_error_of_a_step_in_brightness() -> None:
    """The truth stands still, so the flow is 0 and the error is the square of the step."""
    truth = scene(1)
    pred = (truth // 2, truth // 2 + 51)
    assert motion.warping_error(Step(pred[0], truth), Step(pred[1], truth)) == pytest.approx(0.04, rel=1e-6)


def test_a_prediction_that_is_the_truth_has_no_error() -> None:
    a, b = scene(2), scene(2)
    assert all(metric(Step(a, a), Step(b, b)) == 0 for metric in motion.TRANSITION_METRICS.values())
