"""Intervals and tests over videos: known coverage, closed forms, scipy where it has the same."""

from fractions import Fraction

import numpy as np
import pytest

from engines.evaluate.frechet import frechet
from engines.evaluate.statistics import bootstrap, groups, jackknife, pooled, sign_flip, student


def test_interval_covers_the_mean_about_as_often_as_it_says() -> None:
    rng, hits = np.random.default_rng(0), 0
    for _ in range(120):
        interval = bootstrap(rng.normal(5, 2, 12), np.ones(12), seed=1)
        assert interval is not None
        hits += interval.low <= 5 <= interval.high
    assert 0.85 <= hits / 120 <= 0.99


def test_bca_is_scipys() -> None:
    stats = pytest.importorskip("scipy.stats")
    values = np.random.default_rng(1).gamma(2, 3, 15)  # skewed: the plain percentiles differ
    ours = bootstrap(values, np.ones(15))
    theirs = stats.bootstrap((values,), np.mean, n_resamples=40_000, method="BCa", rng=np.random.default_rng(2)).confidence_interval
    plain = stats.bootstrap((values,), np.mean, n_resamples=40_000, method="percentile", rng=np.random.default_rng(2)).confidence_interval
    assert ours is not None
    assert (ours.low, ours.high) == pytest.approx((theirs.low, theirs.high), abs=0.08)
    assert abs(ours.high - plain.high) > 0.1


def test_frames_pooled_weigh_by_their_number() -> None:
    means, weights = np.array([10.0, 20.0]), np.array([30.0, 10.0])
    assert pooled(means, weights) == 12.5
    interval = bootstrap([10.0, 20.0, 15.0], [30, 10, 20])
    assert interval is not None
    assert 10 <= interval.low < 12.5 < interval.high <= 20
    assert "3 videos" in interval.method


def test_equal_videos_have_no_width_and_one_video_no_interval() -> None:
    interval = bootstrap([4.0, 4.0, 4.0], [1, 1, 1])
    assert interval is not None
    assert interval.low == interval.high == 4
    assert bootstrap([4.0], [1]) is None


def test_jackknife_of_a_mean_is_the_t_interval() -> None:
    x = np.random.default_rng(3).normal(size=9)
    interval = jackknife(9, float(x.mean()), lambda out: float(np.delete(x, out).mean()))
    assert interval is not None
    reach = student(8) * x.std(ddof=1) / 3
    assert (interval.low, interval.high) == pytest.approx((x.mean() - reach, x.mean() + reach))
    assert "leave-one-video-out" in interval.method
    assert jackknife(2, 0.0, lambda out: 0.0) is None


@pytest.mark.parametrize(("freedom", "wanted"), [(1, 12.706), (2, 4.303), (9, 2.262), (19, 2.093), (1000, 1.962)])
def test_students_quantiles(freedom: int, wanted: float) -> None:
    assert student(freedom) == pytest.approx(wanted, abs=6e-4)


def test_many_videos_are_left_out_in_blocks() -> None:
    blocks = groups(2032)
    assert len(blocks) == 20
    assert sorted(n for block in blocks for n in block) == list(range(2032))
    interval = jackknife(2032, 1.0, lambda out: len(out) / 102)
    assert interval is not None
    assert "20 blocks" in interval.method


def test_naive_resampling_would_inflate_a_frechet_distance() -> None:
    """Why distribution figures get a jackknife: the mean of bootstrap values lies far above the figure, the left-out ones near it."""
    rng = np.random.default_rng(4)
    videos = [rng.normal(size=(20, 24)) + rng.normal(size=24) for _ in range(10)]
    guesses = [v + rng.normal(0, 0.5, v.shape) for v in videos]

    def distance(chosen: list[int]) -> float:
        return frechet(np.concatenate([videos[i] for i in chosen]), np.concatenate([guesses[i] for i in chosen]))

    value = distance(list(range(10)))
    drawn = np.mean([distance(list(rng.integers(0, 10, 10))) for _ in range(60)])
    left = np.mean([distance([i for i in range(10) if i != out]) for out in range(10)])
    assert drawn - value > 4 * abs(left - value)


def test_sign_flip_by_hand() -> None:
    """Differences 1, 2, 3: |mean| = 2 is reached by +++ and --- alone, of 8 patterns."""
    result = sign_flip([2.0, 4, 6], [1.0, 2, 3])
    assert (result.difference, result.p, result.patterns, result.exact) == (2, float(Fraction(2, 8)), 8, True)
    assert sign_flip([1.0, 1.0], [1.0, 1.0]).p == 1
    assert sign_flip(np.arange(10) + 1.0, np.zeros(10)).p == 2 / 1024
    with pytest.raises(ValueError, match="no videos"):
        sign_flip([], [])


def test_sign_flip_of_many_videos_is_drawn() -> None:
    rng = np.random.default_rng(5)
    same, shifted = rng.normal(size=40), rng.normal(1, 1, 40)
    assert sign_flip(shifted, np.zeros(40)).p < 1e-3
    drawn, again = sign_flip(same, np.zeros(40)), sign_flip(same, np.zeros(40))
    assert drawn == again
    assert 0.01 < drawn.p <= 1
    assert not drawn.exact
