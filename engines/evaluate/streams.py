"""Weight-free metrics over the frames of videos as they are decoded: several frames at once, never many in memory."""

from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor

import cv2
import numpy as np
from numpy.typing import NDArray

from engines.core.cores import usable_cores
from engines.core.report import Report
from engines.evaluate.memory import keep_freed
from engines.evaluate.motion import TRANSITION_METRICS
from engines.evaluate.pixel import FRAME_METRICS, MASKED_METRICS, Compared, Mask
from engines.evaluate.results import PerFrame

Picture = NDArray[np.uint8]
Values = dict[str, float | None]
WHITE = 128  # from here a mask counts


def counted(mask: Picture, frames: Compared) -> Mask:
    """Which pixels of the frames a mask (H, W, 3) of their shape counts."""
    height, width = frames.truth.shape[:2]
    white = mask[..., 0] >= WHITE
    return (
        white if white.shape == (height, width) else cv2.resize(white.view(np.uint8), (width, height), interpolation=cv2.INTER_NEAREST) > 0
    )


def values(names: Sequence[str], before: Compared | None, now: Compared, mask: Picture | None) -> Values:
    """The metrics of one frame; those of transitions look back to the frame before."""
    out: Values = {}
    for name in names:
        if name in FRAME_METRICS:
            out[name] = FRAME_METRICS[name](now)
        elif name in MASKED_METRICS:
            out[name] = None if mask is None else MASKED_METRICS[name](now, counted(mask, now))
        else:
            out[name] = None if before is None else TRANSITION_METRICS[name](before, now)
    return out


Job = tuple[str, Compared | None, Compared, Picture | None]  # video, the frame before, the frame, its mask


def judged(jobs: Iterable[Job], names: Sequence[str], pool: ThreadPoolExecutor) -> Iterator[tuple[str, Values]]:
    """For each job its video and metrics, in order, computed ahead by the pool's threads; few frames are in memory."""
    waiting: deque[tuple[str, Future[Values]]] = deque()

    def oldest() -> tuple[str, Values]:
        video, future = waiting.popleft()
        return video, future.result()

    for video, before, now, mask in jobs:
        waiting.append((video, pool.submit(values, names, before, now, mask)))
        if len(waiting) > 2 * usable_cores():
            yield oldest()
    while waiting:
        yield oldest()


def plain_values(jobs: Iterable[Job], total: int, names: Sequence[str], report: Report) -> dict[str, PerFrame]:
    """metric -> video -> a value for each frame, of metrics that need no network."""
    out: dict[str, PerFrame] = {name: {} for name in names}
    keep_freed()
    with report.stage("compare frames", total) as bar, ThreadPoolExecutor(usable_cores()) as pool, SingleThreaded():
        for video, row in judged(jobs, names, pool):
            for name, value in row.items():
                out[name].setdefault(video, []).append(value)
            bar.advance(1)
    return out


class SingleThreaded:
    """OpenCV's own threads would get in the way of the pool's."""

    def __enter__(self) -> None:
        self.before = cv2.getNumThreads()
        cv2.setNumThreads(1)

    def __exit__(self, *exc: object) -> None:
        cv2.setNumThreads(self.before)
