"""Which samples a step learns from, and who computes them: a function of seed, step and row alone, whatever number of processes and
threads does the work."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import lru_cache
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from engines.core.errors import ScdError

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Shares:
    """How the rows of a step's batch are shared: each of `processes` computes its rows in `parts` parts, one after the other. All slices
    are equal, so the mean of their means is the mean of the batch."""

    process: int
    processes: int
    parts: int

    def check(self, rows: int) -> None:
        """ScdError where so many rows cannot be shared evenly."""
        if rows % (self.processes * self.parts):
            what = f"{self.processes} processes with optim.accumulate = {self.parts}"
            raise ScdError(
                f"a batch of {rows} rows cannot be shared evenly among {what}", "change the batch or optim.accumulate with --set"
            )

    def rows(self, total: int, part: int) -> range:
        """The rows, of 0 .. total - 1, of a part 0 .. parts - 1."""
        size = total // (self.processes * self.parts)
        first = (self.process * self.parts + part) * size
        return range(first, first + size)


ALONE = Shares(0, 1, 1)


def prefetched(make: Callable[[int], T], start: int, stop: int) -> Iterator[T]:
    """make(start), make(start + 1) ... with the next one prepared in a thread while the current one is used."""
    from concurrent.futures import ThreadPoolExecutor

    with ThreadPoolExecutor(1) as pool:
        future = pool.submit(make, start) if start < stop else None
        for step in range(start, stop):
            assert future is not None
            current = future.result()
            future = pool.submit(make, step + 1) if step + 1 < stop else None
            yield current


def parts_between(make: Callable[[int, range], T], shares: Shares, total: int, start: int, stop: int) -> Iterator[T]:
    """make(step, rows) of every part of the steps start .. stop - 1, `total` rows each; the next one is made in a thread."""
    return prefetched(lambda n: make(n // shares.parts, shares.rows(total, n % shares.parts)), start * shares.parts, stop * shares.parts)


SAMPLES, BUCKETS = 7, 8  # streams of random numbers beside those of rows


@lru_cache(maxsize=8)  # a step touches two passes at most, but where the data is smaller than a batch
def permutation(seed: int, stream: int, turn: int, total: int) -> NDArray[np.int64]:
    """0 .. total - 1 in the order of one pass."""
    return np.random.default_rng([seed, stream, turn]).permutation(total)


def chosen(seed: int, step: int, rows: range, count: int, total: int) -> list[int]:
    """The sample numbers, 0 .. total - 1, of these rows of a step of `count`: step after step walks through a fresh permutation for each
    pass."""
    places = [step * count + row for row in rows]
    return [int(permutation(seed, SAMPLES, place // total, total)[place % total]) for place in places]
