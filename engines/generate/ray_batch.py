"""A batch on a Ray cluster: one actor a GPU, or as many as asked for, each with its own models; who dies hands its job to another.

The jobs' paths must mean the same on all machines, and scd must be installed on each. Needs the extra `ray`.
"""

from collections import deque
from collections.abc import Iterator, Sequence
from typing import Any

from engines.core.cluster import LOCAL, connect
from engines.core.report import NullReport, Report
from engines.generate.batch import BatchOptions, Job, Outcome, do_job
from engines.generate.studio import Studio

TRIES = 3  # actors that may die over one job before it counts as failed
WAIT = 1.0  # seconds between two looks at the jobs under way


class Warnings(NullReport):
    """Keeps an actor's warnings, which its answer carries to where people are."""

    def __init__(self) -> None:
        self.said: list[str] = []

    def warn(self, text: str) -> None:
        self.said.append(text)


class Worker:
    """Lives in an actor: models stay loaded from job to job."""

    def __init__(self) -> None:
        self.report = Warnings()
        self.studio = Studio(self.report, lasting=True)

    def process(self) -> int:
        """The actor's process, for tests that kill it."""
        import os

        return os.getpid()

    def do(self, job: Job, options: BatchOptions) -> tuple[Outcome, list[str]]:
        self.report.said.clear()
        return do_job(job, self.studio, options, wait=True), list(self.report.said)


class Crew:
    """The actors, and which of them does what."""

    def __init__(self, ray: Any, size: int, gpus: bool) -> None:
        self.ray = ray
        self.kind = ray.remote(num_cpus=1, num_gpus=1 if gpus else 0)(Worker)
        self.idle = [self.kind.remote() for _ in range(size)]
        self.busy: dict[Any, tuple[Any, Job]] = {}

    def start(self, job: Job, options: BatchOptions) -> None:
        actor = self.idle.pop()
        self.busy[actor.do.remote(job, options)] = (actor, job)

    def ended(self) -> tuple[Job, tuple[Outcome, list[str]] | None] | None:
        """The next job that has an end, and its outcome or, if its actor died, None; None while all are at work."""
        ready, _ = self.ray.wait(list(self.busy), num_returns=1, timeout=WAIT)
        if not ready:
            return None
        actor, job = self.busy.pop(ready[0])
        try:
            answer = self.ray.get(ready[0])
        except self.ray.exceptions.RayActorError:
            self.idle.append(self.kind.remote())
            return job, None
        self.idle.append(actor)
        return job, answer

    def dismiss(self) -> None:
        for actor in [*self.idle, *(actor for actor, _ in self.busy.values())]:
            self.ray.kill(actor)


class RayRunner:
    """A batch's runner on the cluster at `address` ("local" starts one here), with `actors` actors: by default one a GPU, or one."""

    def __init__(self, address: str, actors: int | None = None) -> None:
        self.address, self.actors = address, actors

    def __call__(self, jobs: Sequence[Job], report: Report, options: BatchOptions) -> Iterator[Outcome]:
        ray = connect(self.address)
        gpus = int(ray.cluster_resources().get("GPU", 0))
        crew = Crew(ray, min(len(jobs), self.actors or max(1, gpus)), gpus > 0)
        try:
            yield from spread(crew, jobs, report, options)
        finally:
            crew.dismiss()
            if self.address == LOCAL:
                ray.shutdown()


def spread(crew: Crew, jobs: Sequence[Job], report: Report, options: BatchOptions) -> Iterator[Outcome]:
    """Outcomes as they come. A job whose actor died is tried again, and goes on from the state that the dead one left."""
    waiting, deaths = deque(jobs), dict.fromkeys((job.number for job in jobs), 0)
    while waiting or crew.busy:
        while waiting and crew.idle:
            crew.start(waiting.popleft(), options)
        ended = crew.ended()
        if ended is None:
            continue
        job, answer = ended
        if answer is not None:
            for warning in answer[1]:
                report.warn(f"{job.name}: {warning}")
            yield answer[0]
            continue
        deaths[job.number] += 1
        if deaths[job.number] < TRIES:
            report.warn(f"{job.name}: its worker died; another takes it over")
            waiting.append(job)
        else:
            yield Outcome(job.number, job.name, "failed", f"{TRIES} workers died over it, as happens when memory runs out")
