"""Intervals and tests whose unit is the video: frames of one video are no independent samples. numpy only.

Paired figures: BCa cluster bootstrap over videos (Efron 1987). Distribution figures: leave-one-video-out jackknife, since drawing videos
with replacement inflates a Fréchet distance. Two methods: paired sign-flip test over videos.
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from statistics import NormalDist

import numpy as np
from numpy.typing import NDArray

Values = NDArray[np.float64]
RESAMPLES = 10_000
CHUNK = 500  # resamples at once: flat memory for thousands of videos
LEVEL = 0.95
EXACT = 16  # videos: up to here all sign patterns are gone through
MOST_GROUPS = 20  # left out in turn: every video up to here, blocks of videos above
NORMAL = NormalDist()


@dataclass(frozen=True, slots=True)
class Interval:
    """A 95 % confidence interval and how it was made."""

    low: float
    high: float
    method: str


def pooled(means: Values, weights: Values) -> float:
    """The mean of the videos' means, each as often as its weight."""
    return float((means * weights).sum() / weights.sum())


def bootstrap(means: Sequence[float], weights: Sequence[float], seed: int = 0) -> Interval | None:
    """BCa interval of the weighted mean of per-video means, videos drawn with replacement 10,000 times; None below two videos.

    `weights`: 1 for the mean over videos, the frames of each video for the mean over frames.
    """
    m, w = np.asarray(means, np.float64), np.asarray(weights, np.float64)
    n = len(m)
    if n < 2:
        return None
    value, rng = pooled(m, w), np.random.default_rng(seed)
    drawn = np.concatenate([resampled(m, w, rng, CHUNK) for _ in range(RESAMPLES // CHUNK)])
    left_out = (float((m * w).sum()) - m * w) / (float(w.sum()) - w)
    low, high = bca(drawn, value, left_out)
    return Interval(low, high, f"BCa cluster bootstrap over {n} videos, {RESAMPLES} resamples, 95 %")


def resampled(m: Values, w: Values, rng: np.random.Generator, count: int) -> Values:
    chosen = rng.integers(0, len(m), (count, len(m)))
    weights = w[chosen]
    out: Values = (m[chosen] * weights).sum(1) / weights.sum(1)
    return out


def bca(drawn: Values, value: float, left_out: Values) -> tuple[float, float]:
    """Bias-corrected and accelerated percentiles of the resampled values."""
    below = (float((drawn < value).mean()) + float((drawn <= value).mean())) / 2
    if np.ptp(drawn) <= 1e-12 * max(1.0, abs(value)):
        return value, value
    bias = NORMAL.inv_cdf(min(max(below, 1 / len(drawn)), 1 - 1 / len(drawn)))
    lean = left_out.mean() - left_out
    spread = float((lean**2).sum()) ** 1.5
    acceleration = float((lean**3).sum()) / (6 * spread) if spread else 0.0
    tail = (1 - LEVEL) / 2
    shares = []
    for z in (NORMAL.inv_cdf(tail), NORMAL.inv_cdf(1 - tail)):
        moved = bias + z
        shares.append(NORMAL.cdf(bias + moved / max(1 - acceleration * moved, 1e-3)))
    low, high = np.quantile(drawn, shares)
    return float(low), float(high)


def groups(count: int) -> list[list[int]]:
    """The videos to leave out in turn: each alone, or `MOST_GROUPS` blocks of neighbours."""
    return [list(map(int, block)) for block in np.array_split(np.arange(count), min(count, MOST_GROUPS))]


def jackknife(count: int, value: float, without: Callable[[list[int]], float]) -> Interval | None:
    """Interval of a figure of the whole set of `count` videos; `without(numbers)` is the figure when these videos are left out.

    value +- t x the jackknife's standard error. None below three videos.
    """
    if count < 3:
        return None
    blocks = groups(count)
    left_out = np.array([without(block) for block in blocks])
    g = len(blocks)
    error = math.sqrt((g - 1) / g * float(((left_out - left_out.mean()) ** 2).sum()))
    reach = student(g - 1) * error
    name = "leave-one-video-out" if g == count else f"leave-one-block-out ({g} blocks)"
    return Interval(value - reach, value + reach, f"{name} jackknife over {count} videos, t with {g - 1} df, 95 %")


def student(freedom: int) -> float:
    """The 97.5 % quantile of Student's t: its density summed up from 0 until 0.475 of it is there."""
    scale = math.exp(math.lgamma((freedom + 1) / 2) - math.lgamma(freedom / 2)) / math.sqrt(freedom * math.pi)
    t = np.linspace(0, 14, 140_001)  # 12.71 with one degree of freedom
    density = scale * (1 + t**2 / freedom) ** (-(freedom + 1) / 2)
    area = np.concatenate([[0], np.cumsum((density[1:] + density[:-1]) / 2 * (t[1] - t[0]))])
    return float(np.interp(LEVEL / 2, area, t))


@dataclass(frozen=True, slots=True)
class SignFlip:
    """`difference`: mean of a - b over videos; `p`: two-sided; `patterns`: how many sign patterns were gone through; `exact`: all."""

    difference: float
    p: float
    videos: int
    patterns: int
    exact: bool


def sign_flip(a: Sequence[float], b: Sequence[float], seed: int = 0, draws: int = 100_000) -> SignFlip:
    """Paired sign-flip (permutation) test of per-video figures: could chance have flipped each difference's sign?

    All 2^n patterns up to 16 videos, else `draws` random ones, the observed one counted among them. ValueError without videos.
    """
    d = np.asarray(a, np.float64) - np.asarray(b, np.float64)
    n = len(d)
    if n == 0:
        raise ValueError("no videos to compare")
    seen = abs(float(d.mean()))
    slack = 1e-12 * max(seen, float(np.abs(d).max()))
    if n <= EXACT:
        signs = 1 - 2 * ((np.arange(2**n)[:, None] >> np.arange(n)) & 1)
        reached = int((np.abs(signs @ d / n) >= seen - slack).sum())
        return SignFlip(float(d.mean()), reached / 2**n, n, 2**n, True)
    rng, reached = np.random.default_rng(seed), 1
    for start in range(0, draws, CHUNK):
        signs = rng.choice([-1.0, 1.0], (min(CHUNK, draws - start), n))
        reached += int((np.abs(signs @ d / n) >= seen - slack).sum())
    return SignFlip(float(d.mean()), reached / (draws + 1), n, draws, False)
