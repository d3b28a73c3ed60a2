"""Frame rates: which source frame each output frame shows. Pure arithmetic on rationals."""

from bisect import bisect_right
from collections.abc import Sequence
from fractions import Fraction

MOST_FPS = 1000  # that a file may claim
LARGEST = 1001  # of the denominators of broadcast rates
SLACK = Fraction(1, 1000)  # seconds: containers round timestamps to milliseconds
UNCHANGED = Fraction(1, 2000)  # rates this close are one rate; 30 and 30000/1001 are twice as far apart


def exact_rate(rate: Fraction) -> Fraction:
    """The rate itself, or what its decimals stand for (29.97002997 -> 30000/1001): containers hold no fractions of many digits."""
    return rate if rate.denominator <= LARGEST else max(rate.limit_denominator(LARGEST), Fraction(1, LARGEST))


def unchanged(times: Sequence[Fraction], duration: Fraction, fps: Fraction) -> bool:
    """Frames come evenly and at this very rate: over the whole clip it stays within half a frame."""
    gap = duration / len(times)
    if abs(fps * gap - 1) > UNCHANGED or abs(fps * duration - len(times)) >= Fraction(1, 2):
        return False
    return all(abs(time - times[0] - index * gap) <= SLACK for index, time in enumerate(times))


def at_rate(times: Sequence[Fraction], duration: Fraction, fps: Fraction, start: Fraction, end: Fraction) -> list[int]:
    """The source frame (0 .. len(times) - 1) on screen at each output time start + i / fps: round((end - start) * fps) of them, at least 1.

    `times` are the rising seconds at which the source's frames are shown, `duration` the seconds that all of them last. A frame is taken
    from its own time on, give or take the millisecond to which containers round. An even, unchanged rate gives consecutive frames, whatever
    the rounding. Times before the first frame give the first, times behind the end the last. ValueError without frames or below 0 fps.
    """
    if not times or fps <= 0:
        raise ValueError(f"{len(times)} frames at {fps} fps")
    count, last = max(1, round((end - start) * fps)), len(times) - 1
    slack = min(SLACK, 1 / (4 * fps))
    first = max(0, bisect_right(times, start + slack) - 1)
    if unchanged(times, duration, fps):
        return [min(last, first + index) for index in range(count)]
    return [max(0, bisect_right(times, start + index / fps + slack) - 1) for index in range(count)]
