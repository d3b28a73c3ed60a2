"""What every source of `scd prepare-data` asks of numbers."""

from collections.abc import Iterable
from fractions import Fraction

from engines.core.errors import UsageError

MIN_SIDE = 32  # pixels of a picture


def check_size(size: tuple[int, int]) -> None:
    """UsageError for pictures (width, height) that are too small or odd."""
    if min(size) < MIN_SIDE or any(n % 2 for n in size):
        raise UsageError(f"--size is {size[0]}x{size[1]}, but both numbers must be even and at least {MIN_SIDE}")


def check_least(numbers: Iterable[tuple[str, float | Fraction, int]]) -> None:
    """UsageError for the first (flag, value, least) that is too small."""
    for name, value, least in numbers:
        if value < least:
            raise UsageError(f"--{name} is {value}, but at least {least} is needed")
