"""`scd prepare-data viton-hd` and `dresscode`: pairs that are whole, in VITON-HD's folders as `scd train` reads them, with a mask each."""

import json
import os
import shutil
from dataclasses import replace
from functools import lru_cache
from pathlib import Path
from typing import Any

import cv2

from engines.core.errors import ScdError
from engines.core.report import NullReport, Report
from engines.media.images import write_mask
from engines.pose.networks import networks
from engines.prepare.checks import check_folder
from engines.prepare.footage import notices
from engines.prepare.footage.masks import MaskFinder, checked_mask
from engines.prepare.footage.pair_jobs import VITON_CATEGORY, Job, PairsRequest, listed
from engines.prepare.footage.pair_lists import counted, finish
from engines.prepare.footage.pool import each
from engines.prepare.footage.request import Dropped, check_places
from engines.prepare.footage.run import PASSING, attempt
from engines.prepare.writing import write_text


def prepare_pairs(request: PairsRequest, report: Report) -> dict[str, Any]:
    """Link (or copy) what is whole, make the masks that are missing, list the pairs; returns what dataset.json says.

    ScdError for a data set in another layout, and where no pair is left. With `dry_run` only looks at names.
    """
    check_places(request.origin, request.out)
    if request.ray is not None:  # the working directory is this machine's alone
        request = replace(request, origin=request.origin.absolute(), out=request.out.absolute())
    notices.tell(request.source, report)
    jobs, dropped = listed(request)
    if request.dry_run:
        made = sum(job.pair.mask is None for job in jobs)
        return {"dry_run": True, **counted(request, jobs, made, [d.record() for d in dropped])}
    try:
        check_folder(request.out, {"source": request.source, "mask_style": request.mask_style}, {})
        do_missing(request, jobs, report)
        return finish(request, jobs, dropped, report)
    except OSError as error:
        raise ScdError(f"{request.out} can't be written ({error.strerror})", "free some space or name another folder with --out") from error


def do_missing(request: PairsRequest, jobs: list[Job], report: Report) -> None:
    missing = [job for job in jobs if not finished(job)]
    if any(job.pair.mask is None for job in missing):
        networks(report)  # what is to be fetched is fetched once, and fails once
    with report.stage("check pairs", len(jobs), len(jobs) - len(missing)) as bar:
        for job, done in each(do_one, missing, request.workers, request.ray):
            if done is None:
                keep(job, {"dropped": Dropped(job.name, "crashed", "it ended the process that read it").record()})
            bar.advance(1)


def finished(job: Job) -> bool:
    """Whether there is a record of the pair, not of a failure that may have been a passing one."""
    try:
        return json.loads(job.record.read_text()).get("dropped", {}).get("reason") not in PASSING
    except (OSError, ValueError, AttributeError):
        return False


@lru_cache(maxsize=1)
def finder() -> MaskFinder:
    """One a process: its networks are loaded once."""
    return MaskFinder(NullReport())


def do_one(job: Job) -> bool:
    """Put a pair in its place, or say in its record why not. OSError where nothing can be written any more."""
    cv2.setNumThreads(1)
    found = attempt(f"{job.part}/{job.pair.name}", lambda: put(job))
    keep(job, {"dropped": found.record()} if isinstance(found, Dropped) else found)
    return True


def keep(job: Job, found: dict[str, Any]) -> None:
    job.record.parent.mkdir(parents=True, exist_ok=True)
    write_text(job.record, json.dumps(found) + "\n")


def put(job: Job) -> dict[str, Any]:
    """All files of a pair; its line of pairs.jsonl. ScdError for what cannot be read, or where no mask can be found."""
    pair, category = job.pair, job.pair.category or VITON_CATEGORY
    mask = checked_mask(pair, category, job.request.mask_style, finder)
    written = job.place("agnostic-mask", ".png", "_mask")
    written.parent.mkdir(parents=True, exist_ok=True)
    write_mask(written, mask.mask, True)
    link(pair.person, job.place("image", pair.person.suffix.lower()))
    link(pair.garment, job.place("cloth", pair.garment.suffix.lower()))
    if pair.keypoints is not None and job.request.source == "viton-hd":
        link(pair.keypoints, job.place("openpose_json", pair.keypoints.suffix, "_keypoints"))
    return {"id": job.name, "part": job.part, "category": category, "mask": mask.how, "person": pair.name, "garment": pair.garment.name}


def link(source: Path, target: Path) -> None:
    """The same file under another name, or a copy where the disk or the system does not let it have two."""
    target.parent.mkdir(parents=True, exist_ok=True)
    temporary = target.with_name(f".{target.name}.{os.getpid()}")
    temporary.unlink(missing_ok=True)
    try:
        os.link(source.resolve(), temporary)
    except OSError:
        shutil.copyfile(source, temporary)
    os.replace(temporary, target)
    temporary.unlink(missing_ok=True)  # a rename onto another name of the same file does nothing
