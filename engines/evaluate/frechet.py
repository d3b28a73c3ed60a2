"""Distances between two sets of features: Fréchet (FID, FID-VID, FVD) and kernel MMD (KID). numpy, float64; no scipy.linalg.sqrtm.

Features are float64 (N, D), a row for each picture or clip.
"""

import numpy as np
from numpy.typing import NDArray

Features = NDArray[np.float64]
BLOCK = 2048  # rows of a kernel matrix at once


def frechet(x: Features, y: Features) -> float:
    """Squared Fréchet distance of the two Gaussians with the sets' means and covariances (Dowson and Landau 1982; Heusel et al. 2017).

    |m1 - m2|^2 + tr(S1) + tr(S2) - 2 tr((S1 S2)^1/2), covariances with N - 1. ValueError below two rows or for features that are not
    finite.
    """
    if min(len(x), len(y)) < 2:
        raise ValueError("a Fréchet distance needs at least two pictures or clips on each side")
    if not (np.isfinite(x).all() and np.isfinite(y).all()):
        raise ValueError("the features are not finite")
    a, b = centred(x), centred(y)
    shift = x.mean(0) - y.mean(0)
    cross = trace_by_products(a, b) if min(len(a), len(b)) < a.shape[1] else trace_by_covariances(a, b)
    return max(0.0, float(shift @ shift + (a * a).sum() + (b * b).sum() - 2 * cross))  # of equal sets rounding may leave -1e-4


def centred(x: Features) -> Features:
    """Rows A with A^T A = the covariance of x."""
    out: Features = (x - x.mean(0)) / np.sqrt(len(x) - 1)
    return out


def trace_by_products(a: Features, b: Features) -> float:
    """tr((S1 S2)^1/2) = the nuclear norm of A B^T: exact, and cheap where one set has fewer rows than dimensions."""
    return float(np.linalg.svd(a @ b.T, compute_uv=False).sum())


def trace_by_covariances(a: Features, b: Features) -> float:
    """tr((S1 S2)^1/2) = the sum of the roots of the eigenvalues of S1^1/2 S2 S1^1/2, which is symmetric."""
    values, vectors = np.linalg.eigh(a.T @ a)
    root = (vectors * np.sqrt(values.clip(0))) @ vectors.T
    return float(np.sqrt(np.linalg.eigvalsh(root @ (b.T @ b) @ root).clip(0)).sum())


def kernel_sum(x: Features, y: Features) -> float:
    """The sum of KID's polynomial kernel (x.y / D + 1)^3 over all pairs of rows."""
    total = 0.0
    for start in range(0, len(x), BLOCK):
        total += float(((x[start : start + BLOCK] @ y.T / x.shape[1] + 1) ** 3).sum())
    return total


def kid(x: Features, y: Features) -> float:
    """Kernel inception distance (Binkowski et al. 2018): the unbiased MMD^2 with (x.y / D + 1)^3 over all rows, times 1000.

    May be negative. ValueError below two rows or for features that are not finite.
    """
    m, n = len(x), len(y)
    if min(m, n) < 2:
        raise ValueError("a kernel distance needs at least two pictures on each side")
    if not (np.isfinite(x).all() and np.isfinite(y).all()):
        raise ValueError("the features are not finite")
    own_x = kernel_sum(x, x) - float((((x * x).sum(1) / x.shape[1] + 1) ** 3).sum())
    own_y = kernel_sum(y, y) - float((((y * y).sum(1) / y.shape[1] + 1) ** 3).sum())
    return 1000 * (own_x / (m * (m - 1)) + own_y / (n * (n - 1)) - 2 * kernel_sum(x, y) / (m * n))
