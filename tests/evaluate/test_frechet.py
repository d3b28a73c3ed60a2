"""Fréchet and kernel distances against closed forms, scipy's sqrtm and each other."""

import numpy as np
import pytest

from engines.evaluate.frechet import centred, frechet, kid, trace_by_covariances, trace_by_products


def with_moments(mean: np.ndarray, covariance: np.ndarray, rows: int, seed: int) -> np.ndarray:
    """Rows whose sample mean and sample covariance are exactly these."""
    x = np.random.default_rng(seed).normal(size=(rows, len(mean)))
    x -= x.mean(0)
    root = np.linalg.cholesky(np.cov(x, rowvar=False))
    return x @ np.linalg.inv(root).T @ np.linalg.cholesky(covariance).T + mean


def test_gaussians_with_a_known_distance() -> None:
    """Diagonal covariances: |m1 - m2|^2 + sum (s1 - s2)^2. Here 3^2 + 4^2 + (1 - 2)^2 + (3 - 1)^2 + 0 = 30."""
    x = with_moments(np.array([0.0, 0, 0]), np.diag([1.0, 9, 4]), 50, 0)
    y = with_moments(np.array([3.0, 4, 0]), np.diag([4.0, 1, 4]), 80, 1)
    assert frechet(x, y) == pytest.approx(30, abs=1e-9)


def test_shift_and_scale() -> None:
    x = np.random.default_rng(0).normal(size=(300, 8))
    assert frechet(x, x) == pytest.approx(0, abs=1e-9)
    assert frechet(x, x + 2) == pytest.approx(32, abs=1e-9)
    variance = float(np.trace(np.cov(x, rowvar=False)))
    shift = float((x.mean(0) ** 2).sum())
    assert frechet(x, 3 * x) == pytest.approx(4 * variance + 4 * shift, rel=1e-9)


@pytest.mark.parametrize(("rows", "others", "dimensions"), [(40, 25, 60), (200, 300, 30), (20, 500, 64)])
def test_both_forms_are_scipys_root(rows: int, others: int, dimensions: int) -> None:
    linalg = pytest.importorskip("scipy.linalg")
    rng = np.random.default_rng(rows)
    x, y = rng.normal(size=(rows, dimensions)), rng.normal(size=(others, dimensions)) * rng.uniform(0.5, 2, dimensions) + 0.3
    root = linalg.sqrtm(np.cov(x, rowvar=False) @ np.cov(y, rowvar=False)).real.trace()
    a, b = centred(x), centred(y)
    assert trace_by_products(a, b) == pytest.approx(root, rel=1e-5)
    assert trace_by_covariances(a, b) == pytest.approx(root, rel=1e-5)
    assert trace_by_products(a, b) == pytest.approx(trace_by_covariances(a, b), rel=1e-6)


def test_small_samples_are_biased_upwards() -> None:
    """Two samples of one distribution: the distance is mostly bias, and falls with N. Why N stands beside every figure."""
    rng = np.random.default_rng(3)
    few, many = (frechet(rng.normal(size=(n, 64)), rng.normal(size=(n, 64))) for n in (40, 2000))
    assert few > 10 * many > 0


def test_kid_is_unbiased() -> None:
    """Over many draws of equal distributions the mean is 0 within its own error, some draws are negative; a shift is seen."""
    rng = np.random.default_rng(4)
    draws = np.array([kid(rng.normal(size=(60, 16)), rng.normal(size=(60, 16))) for _ in range(400)])
    assert abs(draws.mean()) < 3 * draws.std() / np.sqrt(len(draws))
    assert (draws < 0).any()
    assert kid(rng.normal(size=(60, 16)), rng.normal(size=(60, 16)) + 1) > draws.max()


def test_kid_by_hand() -> None:
    """D = 1, x = (0, 1), y = (0, 2): k(0,1) = 1, k(0,2) = 1; cross: k(0,0) = 1, k(0,2) = 1, k(1,0) = 1, k(1,2) = 27; 1 + 1 - 2 x 30/4."""
    assert kid(np.array([[0.0], [1.0]]), np.array([[0.0], [2.0]])) == pytest.approx(-13_000)


def test_kid_goes_through_large_sets_in_blocks() -> None:
    rng = np.random.default_rng(5)
    x, y = rng.normal(size=(2100, 4)), rng.normal(size=(2050, 4))

    def k(a: np.ndarray, b: np.ndarray) -> np.ndarray:
        return (a @ b.T / 4 + 1) ** 3

    xx, yy = k(x, x), k(y, y)
    plain = (xx.sum() - np.trace(xx)) / (2100 * 2099) + (yy.sum() - np.trace(yy)) / (2050 * 2049) - 2 * k(x, y).mean()
    assert kid(x, y) == pytest.approx(1000 * plain, rel=1e-6, abs=1e-9)


@pytest.mark.parametrize("distance", [frechet, kid])
def test_refuses_what_has_no_answer(distance: object) -> None:
    ok = np.zeros((4, 3))
    with pytest.raises(ValueError, match="at least two"):
        distance(ok[:1], ok)  # type: ignore[operator]
    with pytest.raises(ValueError, match="not finite"):
        distance(np.full((4, 3), np.nan), ok)  # type: ignore[operator]
