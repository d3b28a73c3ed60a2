"""`scd prepare-data` of films: every recording once, in several processes if asked for; a run that stopped goes on where it was."""

import errno
import json
import shutil
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from hashlib import sha256
from pathlib import Path
from typing import Any, TypeVar

import cv2

from engines.core.errors import ScdError
from engines.core.report import NullReport, Report
from engines.pose.detector import Detector
from engines.pose.detectors import open_detector
from engines.prepare.checks import check_folder
from engines.prepare.footage import notices
from engines.prepare.footage.clips import take
from engines.prepare.footage.listing import write_data_set
from engines.prepare.footage.pool import each
from engines.prepare.footage.reel import open_reel, state
from engines.prepare.footage.request import Dropped, FootageRequest, Listing, Recording, arguments, check_request
from engines.prepare.footage.sources import list_recordings
from engines.prepare.footage.splits import assign, fixed
from engines.prepare.writing import remove_unfinished, write_text

FULL = (errno.ENOSPC, errno.EDQUOT, errno.EROFS)  # what no other recording could be written after either
PASSING = ("failed", "crashed")  # reasons for which the next run tries again
T = TypeVar("T")


@dataclass(frozen=True)
class Job:
    """A recording to be done, of which the split is known but for what the whole set changes; `key` begins the names of its clips and is
    that of its record."""

    request: FootageRequest
    recording: Recording
    split: str

    @property
    def key(self) -> str:
        return key_of(self.recording)

    @property
    def record(self) -> Path:
        return record_file(self.request.out, self.recording)


def key_of(recording: Recording) -> str:
    """15 digits from the name alone, so that clips keep their ids when a data set grows."""
    return f"{int.from_bytes(sha256(recording.name.encode()).digest()[:6], 'big'):015d}"


def record_file(out: Path, recording: Recording) -> Path:
    """Written when a recording is done: its state, clips and what was dropped."""
    return out / "records" / f"{key_of(recording)}.json"


def prepare_footage(request: FootageRequest, report: Report) -> dict[str, Any]:
    """Write (or go on writing) the data set; returns what dataset.json says. With `dry_run` only looks, and writes nothing.

    ScdError for a source in another layout, a folder that holds something else, and where no clip is left.
    """
    check_request(request)
    if request.ray is not None:  # the working directory is this machine's alone
        request = replace(request, origin=request.origin.absolute(), out=request.out.absolute())
    notices.tell(request.source, report)
    found = list_recordings(request)
    given = fixed(found.recordings, request.origin, request.test_list)
    if request.dry_run:
        return looked_at(request, found, given, report)
    try:
        check_folder(request.out, arguments(request), {})
        for folder in ("records", "clips"):
            (request.out / folder).mkdir(exist_ok=True)
        remove_unfinished(request.out / "clips")
        splits = assign([r.identity for r in found.recordings], given, request.split_seed, (request.val_share, request.test_share))
        do_missing(request, [Job(request, recording, splits[recording.identity]) for recording in found.recordings], report)
        return write_data_set(
            request, found, [json.loads(record_file(request.out, r).read_text()) for r in found.recordings], given, report
        )
    except OSError as error:
        raise ScdError(f"{request.out} can't be written ({error.strerror})", "free some space or name another folder with --out") from error


def do_missing(request: FootageRequest, jobs: Sequence[Job], report: Report) -> None:
    missing = [job for job in jobs if not finished(job)]
    if any(job.recording.keypoints is None for job in missing):
        open_detector(request.pose_model, report)  # here first: what is to be fetched is fetched once, and fails once
    with report.stage("prepare recordings", len(jobs), len(jobs) - len(missing)) as bar:
        for job, done in each(do_one, missing, request.workers, request.ray):
            if done is None:
                keep(job, [], [Dropped(job.recording.name, "crashed", "it ended the process that read it")])
            bar.advance(1)


def finished(job: Job) -> bool:
    """Whether there is a record of the recording as it is now, not of a failure that may have been a passing one."""
    try:
        record = json.loads(job.record.read_text())
        here = all((job.request.out / "clips" / clip["clip_id"] / "clip.json").is_file() for clip in record["clips"])
        return here and not record["retry"] and record["state"] == state(job.recording)
    except (OSError, ValueError, KeyError, TypeError):
        return False


@lru_cache(maxsize=1)
def detector_of(models: tuple[Path, Path] | None) -> Detector:
    """One a process: its networks are loaded once."""
    return open_detector(models, NullReport())


def do_one(job: Job) -> bool:
    """A recording and its record; whatever is wrong with it becomes a line of the record. OSError where nothing can be written any more."""
    cv2.setNumThreads(1)
    for old in (job.request.out / "clips").glob(f"{job.key}-*"):
        shutil.rmtree(old, ignore_errors=True)
    detector = detector_of(job.request.pose_model) if job.recording.keypoints is None else None
    taken = attempt(job.recording.name, lambda: take(job.request, job.recording, (job.key, job.split), detector))
    if isinstance(taken, Dropped):
        keep(job, [], [taken])
    else:
        keep(job, taken.clips, taken.dropped)
    return True


def attempt(name: str, work: Callable[[], T]) -> T | Dropped:
    """What the work gives, or why there is nothing: the others go on. OSError where nothing can be written any more."""
    try:
        return work()
    except ScdError as error:
        return Dropped(name, "unreadable", str(error))
    except Exception as error:  # a bug, or a file nobody has thought of
        if isinstance(error, OSError) and error.errno in FULL:
            raise
        return Dropped(name, "failed", f"{type(error).__name__}: {error}")


def keep(job: Job, clips: list[dict[str, Any]], dropped: list[Dropped]) -> None:
    retry = any(d.reason in PASSING for d in dropped)
    found = {"name": job.recording.name, "state": state(job.recording), "retry": retry, "clips": clips}
    write_text(job.record, json.dumps(found | {"dropped": [d.record() for d in dropped]}) + "\n")


def looked_at(request: FootageRequest, found: Listing, given: dict[str, str], report: Report) -> dict[str, Any]:
    """What a run would read, by facts of the files alone: poses and pictures are not looked at."""
    seconds, dropped = 0.0, list(found.dropped)
    good: list[Recording] = []
    with report.stage("look at recordings", len(found.recordings)) as bar:
        for recording in found.recordings:
            bar.advance(1)
            try:
                reel = open_reel(recording, request.fps)
            except (ScdError, OSError) as error:
                dropped.append(Dropped(recording.name, "unreadable", str(error)))
                continue
            if reel.seconds < float(request.limits.seconds):
                dropped.append(Dropped(recording.name, "too short", f"{reel.seconds:.2f} s"))
                continue
            seconds += reel.seconds
            good.append(recording)
    splits = assign([r.identity for r in good], given, request.split_seed, (request.val_share, request.test_share))
    for drop in dropped:
        report.warn(f"{drop.source}: {drop.detail}")
    return {
        "dry_run": True, "source": request.source, "recordings": len(found.recordings), "usable": len(good), "seconds": round(seconds, 1),
        "identities": dict(Counter(splits.values())), "dropped": [d.record() for d in dropped], **notices.licence(request.source),
    }  # fmt: skip
