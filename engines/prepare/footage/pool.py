"""Work on many things in several processes, none of which can end the others: what crashes its process is given up by itself."""

import multiprocessing
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from concurrent.futures.process import BrokenProcessPool
from typing import Any, TypeVar

from engines.core.cluster import LOCAL, connect
from engines.prepare.writing import one_thread_each

J = TypeVar("J")
R = TypeVar("R")
RETRIES = 2  # of a job on a cluster whose process died
BATCH = 50  # jobs a worker does before it is replaced, so that memory stays flat


def each(work: Callable[[J], R], jobs: Sequence[J], workers: int, ray: str | None = None) -> Iterator[tuple[J, R | None]]:
    """(job, result) in the order in which they end; None where a job ended its process, also when it was alone with it.

    With one worker it is done in this process, which such a job ends; with `ray`, on the cluster of that address, `workers` at a time.
    `work` must be a function of a module.
    """
    if ray is not None:
        yield from on_cluster(work, jobs, workers, ray)
        return
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


def on_cluster(work: Callable[[J], R], jobs: Sequence[J], workers: int, address: str) -> Iterator[tuple[J, R | None]]:
    """The same on a Ray cluster; a job whose process or machine died is tried again elsewhere. ScdError where no cluster answers."""
    ray = connect(address)
    task = ray.remote(num_cpus=1, max_retries=RETRIES)(work)
    waiting, busy = deque(jobs), dict[Any, J]()
    try:
        while waiting or busy:
            while waiting and len(busy) < workers:
                job = waiting.popleft()
                busy[task.remote(job)] = job
            for ended in ray.wait(list(busy), num_returns=1)[0]:
                yield busy.pop(ended), answer(ray, ended)
    finally:
        for left in busy:
            ray.cancel(left, force=True)
        if address == LOCAL:
            ray.shutdown()


def answer(ray: Any, ended: Any) -> Any:
    """A job's result, None where its process died each time; what it raised is raised here, too."""
    try:
        return ray.get(ended)
    except (ray.exceptions.WorkerCrashedError, ray.exceptions.OutOfMemoryError, ray.exceptions.NodeDiedError):
        return None
    except ray.exceptions.RayTaskError as error:
        raise error.cause from error
