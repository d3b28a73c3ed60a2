"""Frame rates: which source frame each output frame shows. Pure arithmetic on rationals."""

from fractions import Fraction

MOST_FPS = 1000  # that a file may claim
LARGEST = 1001  # of the denominators of broadcast rates


def exact_rate(rate: Fraction) -> Fraction:
    """The rate itself, or what its decimals stand for (29.97002997 -> 30000/1001): containers hold no fractions of many digits."""
    return rate if rate.denominator <= LARGEST else max(rate.limit_denominator(LARGEST), Fraction(1, LARGEST))


def resampled(frames: int, source: Fraction, target: Fraction) -> list[int]:
    """Source frame (0 .. frames - 1) nearest in time to each frame of a clip at `target` fps that lasts as long."""
    count = max(1, round(frames * target / source))
    return [min(frames - 1, int(Fraction(index) * source / target + Fraction(1, 2))) for index in range(count)]
