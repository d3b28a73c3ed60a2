"""From detections to one steady person."""

import numpy as np
import pytest

from engines.core.errors import ScdError
from engines.core.keypoints import COUNT, FACE, LEFT_HAND, MIRRORED
from engines.pose.persons import cuts, filled, one_person, sides_kept, smoothed

RNG = np.random.default_rng(5)


def figure(x: float, y: float, height: float) -> np.ndarray:
    """Somebody (133, 3) whose points lie in a box of `height` by 0.4 `height` about (x, y)."""
    shape = np.random.default_rng(1).uniform(-0.5, 0.5, (COUNT, 2)) * (0.4, 1.0)
    return np.column_stack([shape * height + (x, y), np.full(COUNT, 0.9)]).astype(np.float32)


def clip(count: int) -> np.ndarray:
    """Somebody walking (F, 133, 3)."""
    return np.stack([figure(200 + 4 * n, 300, 200) for n in range(count)])


def test_people_who_cross_are_told_apart_whatever_their_order() -> None:
    a = [figure(100 + 20 * n, 300, 200) for n in range(30)]
    b = [figure(700 - 20 * n, 340, 300) for n in range(30)]
    found = [np.stack([a[n], b[n]] if n % 2 else [b[n], a[n]]) for n in range(30)]
    np.testing.assert_array_equal(one_person(found, None), np.stack(b))
    np.testing.assert_array_equal(one_person(found, 1), np.stack(b))
    np.testing.assert_array_equal(one_person(found, 2), np.stack(a))


def test_the_largest_steady_one_is_first_not_a_large_passer_by() -> None:
    steady = clip(40)
    found = [np.stack([figure(600, 300, 260), steady[n]]) if 10 <= n < 14 else steady[n : n + 1] for n in range(40)]
    np.testing.assert_array_equal(one_person(found, None), steady)


@pytest.mark.parametrize("person", [3, 0, -1])
def test_a_person_who_is_not_there(person: int) -> None:
    found = [np.stack([figure(100, 300, 200), figure(500, 300, 200)])] * 5
    with pytest.raises(ScdError, match=f"no person {person}.*only 2.*between 1 and 2"):
        one_person(found, person)


def test_nobody_at_all() -> None:
    with pytest.raises(ScdError, match="none can be followed"):
        one_person([np.zeros((0, COUNT, 3), np.float32)] * 3, None)


def test_somebody_before_and_after_a_cut_is_one() -> None:
    found = [figure(100, 300, 200)[None]] * 10 + [figure(800, 200, 260)[None]] * 10
    assert (one_person(found, None)[..., 2] > 0).all()


def test_absent_frames_are_zero() -> None:
    found = [figure(100, 300, 200)[None] if n != 4 else np.zeros((0, COUNT, 3), np.float32) for n in range(8)]
    points = one_person(found, None)
    assert points.shape == (8, COUNT, 3)
    assert (points[4] == 0).all()
    assert (points[5, :, 2] > 0).all()


def test_short_gaps_are_interpolated_long_ones_and_ends_held() -> None:
    truth = clip(40)
    points = truth.copy()
    for first, last in ((0, 1), (10, 12), (20, 27), (38, 39)):
        points[first : last + 1] = 0
    out, gaps = filled(points, 3)
    assert gaps.interpolated == ((10, 12),)
    assert gaps.held == ((0, 1), (20, 27), (38, 39))
    np.testing.assert_allclose(out[10:13], truth[10:13], atol=1e-3)
    np.testing.assert_array_equal(out[:2], truth[[2, 2]])
    np.testing.assert_array_equal(out[20:28], truth[[19] * 4 + [28] * 4])
    np.testing.assert_array_equal(out[38:], truth[[37, 37]])
    assert (points[11] == 0).all(), "the input is left as it was"


def test_a_joint_lost_for_a_moment_comes_back_and_one_hidden_for_long_does_not() -> None:
    truth = clip(30)
    points = truth.copy()
    points[8:11, 9] = 0
    points[8:20, 10] = (5, 5, 0.1)
    points[:3, 7, 2] = 0.1
    out, gaps = filled(points, 4)
    assert gaps.interpolated == gaps.held == ()
    np.testing.assert_allclose(out[8:11, 9], truth[8:11, 9], atol=1e-3)
    np.testing.assert_array_equal(out[8:20, 10], points[8:20, 10])
    np.testing.assert_array_equal(out[:3, 7], points[:3, 7])


def sides_changed(points: np.ndarray) -> np.ndarray:
    """Body, feet and hands with left for right, the face as it is."""
    out = points[..., list(MIRRORED), :]
    out[..., FACE, :] = points[..., FACE, :]
    return out


def test_sides_taken_for_each_other_for_a_moment_are_set_right() -> None:
    truth = clip(60)
    points = truth.copy()
    for span in (slice(10, 12), slice(30, 35), slice(57, 60)):
        points[span] = sides_changed(points[span])
    np.testing.assert_array_equal(sides_kept(points), truth)


def test_sides_that_stay_changed_or_change_at_a_cut_are_believed() -> None:
    turned = clip(120)
    turned[40:] = sides_changed(turned[40:])
    np.testing.assert_array_equal(sides_kept(turned), turned)
    cut = clip(30)
    cut[20:, :, 0] += 900
    cut[20:24] = sides_changed(cut[20:24])
    np.testing.assert_array_equal(sides_kept(cut)[:20], cut[:20])
    gone = clip(30)
    gone[10:15] = 0
    np.testing.assert_array_equal(sides_kept(gone), gone)


def test_a_hand_lost_for_a_moment_goes_where_the_wrist_goes() -> None:
    truth = clip(20)
    truth[8:11, :, 1] -= 60  # a jerk that the line between the neighbours would miss
    points = truth.copy()
    points[8:11, LEFT_HAND] = 0
    out, _ = filled(points, 4)
    np.testing.assert_allclose(out[8:11, LEFT_HAND], truth[8:11, LEFT_HAND], atol=1e-3)


def test_nobody_to_fill_from() -> None:
    with pytest.raises(ValueError, match="nobody"):
        filled(np.zeros((4, COUNT, 3), np.float32), 3)


def waving(period: float, noise: float, count: int = 120) -> tuple[np.ndarray, np.ndarray]:
    """Truth and noisy points (F, 133, 3) of somebody who sways by 20 pixels."""
    truth = np.stack([figure(300 + 20 * np.sin(2 * np.pi * n / period), 300, 400) for n in range(count)])
    noisy = truth.copy()
    noisy[..., :2] += RNG.normal(0, noise, noisy[..., :2].shape)
    return truth, noisy


def test_smoothing_takes_noise_off_a_sinusoid_and_leaves_its_size_and_phase() -> None:
    truth, noisy = waving(30, 3)
    smooth = smoothed(noisy, 7)
    inner = slice(5, -5)
    before, after = (float(np.sqrt(((p - truth)[inner, :, :2] ** 2).mean())) for p in (noisy, smooth))
    assert after < 0.65 * before
    swing, smooth_swing = truth[inner, 0, 0] - 300, smoothed(truth, 7)[inner, 0, 0] - truth[:, 0, 0].mean()
    wave = np.exp(-2j * np.pi * np.arange(len(swing)) / 30)
    ratio = (smooth_swing - smooth_swing.mean()) @ wave / ((swing - swing.mean()) @ wave)
    assert abs(abs(ratio) - 1) < 0.01, "shrunk"
    assert abs(np.angle(ratio)) < 0.005, "late"


def test_fast_movement_is_hardly_shrunk() -> None:
    truth, _ = waving(12, 0)
    shrunk = np.ptp(smoothed(truth, 7)[:, 0, 0]) / np.ptp(truth[:, 0, 0])
    assert shrunk > 0.9


def test_a_parabola_passes_unchanged_also_at_the_ends() -> None:
    points = clip(20)
    points[:, :, 1] += 0.5 * np.arange(20)[:, None] ** 2
    np.testing.assert_allclose(smoothed(points, 9)[..., :2], points[..., :2], atol=0.02)


@pytest.mark.parametrize("window", [0, 3])
def test_smoothing_can_be_off(window: int) -> None:
    _, noisy = waving(30, 3, 20)
    np.testing.assert_array_equal(smoothed(noisy, window), noisy)


@pytest.mark.parametrize("window", [-1, 4])
def test_windows_that_have_no_middle(window: int) -> None:
    with pytest.raises(ValueError, match="odd"):
        smoothed(clip(5), window)


def test_smoothing_does_not_cross_a_cut_or_an_absence() -> None:
    points = clip(30)
    points[15:, :, 0] += 900
    assert cuts(points).nonzero()[0].tolist() == [15]
    np.testing.assert_allclose(smoothed(points, 7), points, atol=0.02)
    gone = clip(30)
    gone[10] = 0
    np.testing.assert_allclose(smoothed(gone, 7), gone, atol=0.02)


def test_a_point_that_is_not_there_does_not_pull() -> None:
    points = clip(30)
    points[15, 9] = (5000, 5000, 0.1)
    smooth = smoothed(points, 7)
    np.testing.assert_allclose(smooth, points, atol=0.02)


def test_sure_points_count_for_more() -> None:
    points = np.repeat(figure(300, 300, 400)[None], 15, 0)
    points[7, 9, :2] += 20
    sure, doubtful = points.copy(), points.copy()
    doubtful[7, 9, 2] = 0.35
    moved = [float(smoothed(p, 7)[7, 9, 0] - points[6, 9, 0]) for p in (sure, doubtful)]
    assert moved[1] < 0.6 * moved[0]
