"""Timestamps: whether a clip runs at a steady rate, which rate that is, and when its frames are shown. Pure arithmetic on rationals."""

from collections.abc import Sequence
from fractions import Fraction
from itertools import pairwise
from statistics import median_low

from engines.media.resample import LARGEST, exact_rate

USUAL = tuple(Fraction(r) for r in (24, 25, 30, 50, 60, 48, 120, 15, 12, 10, 20, 8, 16, 100, 90, 144, 240))
BROADCAST = tuple(Fraction(r * 1000, LARGEST) for r in (24, 30, 60, 48, 120))
SIMPLE = 4  # the largest denominator of rates that somebody chose; others were measured
NEAR = Fraction(1, 50)  # a measured rate this close to a usual one is meant to be it
UNEVEN = 100  # gaps that differ by more than one part of so many are felt


def fits(ticks: Sequence[int], tick: Fraction, rate: Fraction) -> bool:
    """Every timestamp is a whole number of frames at `rate` after the first, but for the rounding to ticks (of `tick` seconds)."""
    step = 1 / (rate * tick)  # ticks a frame; compared as whole numbers, for clips have many frames
    up, down = step.numerator, step.denominator
    return all(abs((time - ticks[0]) * down - index * up) <= down for index, time in enumerate(ticks))


def steady(ticks: Sequence[int]) -> bool:
    """Whether rising timestamps lie evenly: gaps that differ by at most 1 % of the mean one, or by no more than rounding explains.

    Rounding explains nothing where a frame lasts fewer than two ticks: there a missing frame looks just like it.
    """
    if len(ticks) < 3:
        return True
    total, gaps = ticks[-1] - ticks[0], len(ticks) - 1
    if all(abs((b - a) * gaps - total) * UNEVEN <= total for a, b in pairwise(ticks)):
        return True
    return total >= 2 * gaps and fits(ticks, Fraction(1), Fraction(gaps, total))


def steady_rate(ticks: Sequence[int], tick: Fraction, claims: Sequence[Fraction]) -> Fraction:
    """Frames a second of an evenly timed clip: what the file claims where the timestamps bear it out, else what they say."""
    if len(ticks) < 2 or ticks[-1] <= ticks[0]:
        return claims[0]
    plain = [claim for claim in claims if claim.denominator <= SIMPLE or claim in BROADCAST]
    borne = next((rate for rate in (*plain, *USUAL, *BROADCAST, *claims) if fits(ticks, tick, rate)), None)
    return borne or ((len(ticks) - 1) / ((ticks[-1] - ticks[0]) * tick)).limit_denominator(LARGEST)


def nominal_rate(ticks: Sequence[int], tick: Fraction, claims: Sequence[Fraction]) -> Fraction:
    """Frames a second that an unevenly timed clip is meant to have: by its usual gap, so that holes in a capture count for nothing."""
    gaps = [b - a for a, b in pairwise(ticks) if b > a]
    if not gaps:
        return claims[0]
    middle = median_low(gaps)
    alike = [gap for gap in gaps if abs(gap - middle) <= max(Fraction(1), NEAR * middle)]  # the same gap, but for rounding
    rate = len(alike) / (sum(alike) * tick)
    near = [usual for usual in (*USUAL, *BROADCAST) if abs(usual - rate) <= NEAR * usual]
    return min(near, key=lambda usual: abs(usual - rate)) if near else exact_rate(rate)


def seconds(ticks: Sequence[int], tick: Fraction, rate: Fraction) -> list[Fraction]:
    """When each frame is shown, the first at 0: whole frames at `rate` where the timestamps fit it, freed of their rounding."""
    if not ticks or fits(ticks, tick, rate):
        return [index / rate for index in range(len(ticks))]
    return [(time - ticks[0]) * tick for time in ticks]
