"""Work on many things in several processes, none of which can end the others: what crashes its process is given up by itself."""

import multiprocessing
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from concurrent.futures.process import BrokenProcessPool
from typing import TypeVar

from engines.prepare.synthetic import one_thread_each

J = TypeVar("J")
R = TypeVar("R")
BATCH = 50  # jobs a worker does before it is replaced, so that memory stays flat


def each(work: Callable[[J], R], jobs: Sequence[J], workers: int) -> Iterator[tuple[J, R | None]]:
    """(job, result) in the order in which they end; None where a job ended its process, also when it was alone with it.

    With one worker it is done in this process, which such a job ends. `work` must be a function of a module.
    """
    if workers <= 1:
        yield from ((job, work(job)) for job in jobs)
        return
    for start in range(0, len(jobs), workers * BATCH):
        crashed = []
        for job, result, whole in together(work, jobs[start : start + workers * BATCH], workers):
            if whole:
                yield job, result
            else:
                crashed.append(job)
        for job in crashed:  # one of them is to blame, the others were only beside it
            yield from ((j, result) for j, result, _ in together(work, [job], 1))


def together(work: Callable[[J], R], jobs: Sequence[J], workers: int) -> Iterator[tuple[J, R | None, bool]]:
    """(job, result, whether its process lived)."""
    context = multiprocessing.get_context("spawn")
    with one_thread_each(), ProcessPoolExecutor(min(workers, len(jobs)), mp_context=context) as pool:
        futures = {}
        lost = []
        for job in jobs:
            try:
                futures[pool.submit(work, job)] = job
            except BrokenProcessPool:  # a job before this one has already ended its process
                lost.append(job)
        for future in as_completed(futures):
            try:
                yield futures[future], future.result(), True
            except BrokenProcessPool:
                yield futures[future], None, False
        yield from ((job, None, False) for job in lost)
