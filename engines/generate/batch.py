"""Many clips or pictures with the models loaded once: each job is made, skipped or reported, and processes that share a list do no job
twice."""

import json
import os
import time
from collections.abc import Callable, Hashable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Literal, TextIO

from engines.core.errors import ScdError, UsageError
from engines.core.report import NullReport, Report
from engines.generate.animate import animate
from engines.generate.request import AnimateRequest, AnimateSummary
from engines.generate.studio import Studio
from engines.generate.tryon_request import TryonRequest, TryonSummary
from engines.media.workspace import Taken, take, workspace_path

Status = Literal["made", "skipped", "failed", "taken"]
Request = AnimateRequest | TryonRequest
Work = Callable[[Any, Report, Studio, bool], AnimateSummary | TryonSummary]


@dataclass(frozen=True)
class Job:
    """A line of the list, from 1: what it asks for, or why it cannot be understood (`error`). `work` does it, as `animate` its kind of
    request; it is a function of a module, so that other processes find it by name."""

    number: int
    request: Request | None
    error: str = ""
    work: Work = animate

    @property
    def name(self) -> str:
        return f"job {self.number}" if self.request is None else str(self.request.output)


@dataclass(frozen=True)
class Outcome:
    """What became of a job. `taken`: another process makes it. `summary` is that of the work."""

    job: int
    out: str
    status: Status
    error: str = ""
    seconds: float = 0.0
    summary: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class BatchOptions:
    """`skip_existing`: outputs that are there count as done. `fail_fast`: stop at the first failure."""

    skip_existing: bool = True
    fail_fast: bool = False
    summary: Path | None = None


def check_jobs(jobs: Sequence[Job]) -> None:
    """UsageError where there is nothing to do, or where two jobs write one file."""
    if not jobs:
        raise UsageError("the list holds no jobs", "write one a line, with the columns that --help names at --jobs")
    seen: dict[str, int] = {}
    for job in jobs:
        for output in files_of(job.request):
            path = os.path.abspath(output)
            if path in seen:
                raise UsageError(f"jobs {seen[path]} and {job.number} both write {output}", "give each its own out")
            seen[path] = job.number


def files_of(request: Request | None) -> list[Path]:
    """All files that a job writes."""
    if request is None:
        return []
    return [*request.outputs, request.mask_path] if isinstance(request, TryonRequest) else request.outputs


def together(jobs: Sequence[Job], key: Callable[[Request], Hashable]) -> list[Job]:
    """The jobs whose requests have one key one after the other, otherwise in their order, so that what was read for one serves the next."""
    places: dict[Hashable, int] = {}
    keys = [job.number if job.request is None else (key(job.request),) for job in jobs]
    for each in keys:
        places.setdefault(each, len(places))
    return [job for _, job in sorted(zip(keys, jobs, strict=True), key=lambda pair: places[pair[0]])]


def do_job(job: Job, studio: Studio, options: BatchOptions, wait: bool = False) -> Outcome:
    """One job, whatever happens: only an interruption comes through. `wait`: for a process that has the job already."""
    started = time.monotonic()

    def ended(status: Status, error: str = "", summary: dict[str, Any] | None = None) -> Outcome:
        return Outcome(job.number, job.name, status, error, round(time.monotonic() - started, 3), summary or {})

    request = job.request
    if request is None:
        return ended("failed", job.error)
    if options.skip_existing and os.path.lexists(request.output):
        tidy(request.output)
        return ended("skipped")
    try:
        return ended("made", summary=job.work(request, studio.report, studio, wait).to_json())
    except Taken:
        return ended("taken")
    except Exception as error:  # a job must not end the others, not even by a fault of ours
        if options.skip_existing and os.path.lexists(request.output):  # another process was faster
            return ended("skipped")
        if os.environ.get("SCD_DEBUG") == "1":
            raise
        return ended("failed", sentence(error))


def sentence(error: Exception) -> str:
    said = str(error) if isinstance(error, ScdError) else f"{type(error).__name__}: {error}"
    return " ".join(said.split())


def tidy(output: Path) -> None:
    """Take away what a process that was killed just after its output stood has left beside it."""
    if workspace_path(output).is_dir():
        held = take(output)
        if held is not None:
            held.remove()


class Quiet(NullReport):
    """The report of a clip inside a batch: warnings with the job's name; no bars and no notes, of which the batch has its own."""

    def __init__(self, report: Report) -> None:
        self.report, self.name = report, ""

    def warn(self, text: str) -> None:
        self.report.warn(f"{self.name}: {text}" if self.name else text)


def one_after_the_other(jobs: Sequence[Job], report: Report, options: BatchOptions) -> Iterator[Outcome]:
    """The jobs in this process. Those that another process has come last: they are waited for, and made if that process failed."""
    quiet = Quiet(report)
    studio, taken = Studio(quiet, lasting=True), []
    try:
        for job in jobs:
            quiet.name = job.name
            outcome = do_job(job, studio, options)
            if outcome.status == "taken":
                taken.append(job)
            else:
                yield outcome
        for job in taken:
            quiet.name = job.name
            report.note(f"{job.name}: waiting for another process that makes it")
            yield do_job(job, studio, options, wait=True)
    finally:
        studio.close()


Runner = Callable[[Sequence[Job], Report, BatchOptions], Iterable[Outcome]]


def run_batch(jobs: Sequence[Job], report: Report, options: BatchOptions, runner: Runner = one_after_the_other) -> dict[str, Any]:
    """Do all jobs. Returns counts by status, and the outcomes. `runner` decides where."""
    check_jobs(jobs)
    outcomes: list[Outcome] = []
    with summary_file(options.summary) as lines:
        clock = Clock(len(jobs))
        for outcome in runner(jobs, report, options):
            outcomes.append(outcome)
            lines.write(json.dumps(asdict(outcome)) + "\n")
            lines.flush()
            tell(outcome, clock, report)
            if outcome.status == "failed" and options.fail_fast:
                break
    counts = {status: sum(o.status == status for o in outcomes) for status in ("made", "skipped", "failed")}
    left = len(jobs) - len(outcomes)
    report.note(", ".join(f"{count} {what}" for what, count in (counts | {"not begun": left}).items() if count))
    return counts | {"left": left, "outcomes": [asdict(o) for o in outcomes]}


@contextmanager
def summary_file(path: Path | None) -> Iterator[TextIO]:
    """Lines as the jobs end, so that an interrupted batch has its own."""
    try:
        with (path or Path(os.devnull)).open("w", encoding="utf-8") as file:
            yield file
    except OSError as error:
        if error.filename is None or path is None:
            raise
        raise ScdError(f"the summary {path} cannot be written ({error.strerror})", "name another with --summary") from error


class Clock:
    """Count, rate and time left, from the jobs that took work."""

    def __init__(self, total: int) -> None:
        self.total, self.ended, self.worked, self.started = total, 0, 0, time.monotonic()

    def line(self, outcome: Outcome) -> str:
        self.ended += 1
        self.worked += outcome.status != "skipped"
        seconds = time.monotonic() - self.started
        left = (self.total - self.ended) * seconds / max(1, self.worked)
        return f"[{self.ended}/{self.total}, {60 * self.worked / max(seconds, 1e-6):.3g} a minute, {left:.0f} s left]"


def tell(outcome: Outcome, clock: Clock, report: Report) -> None:
    place = clock.line(outcome)
    if outcome.status == "failed":
        report.warn(f"{place} job {outcome.job} failed: {outcome.error}")
    else:
        report.note(f"{place} {outcome.out} {outcome.status}" + (f" in {outcome.seconds:.1f} s" if outcome.status == "made" else ""))
