"""`scd prepare-data viton-hd` and `dresscode`: pairs that are whole, in VITON-HD's folders as `scd train` reads them, with a mask each."""

import json
import os
import shutil
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import lru_cache
from pathlib import Path
from typing import Any

import cv2

from engines.core.errors import ScdError
from engines.core.garments import CATEGORIES, Category, MaskStyle
from engines.core.manifest import SCHEMA_VERSION
from engines.core.pair_layouts import DRESS_CODE, PARTS, recognise
from engines.core.pairs import Pair, look_for_pairs
from engines.core.report import NullReport, Report
from engines.pose.networks import networks
from engines.prepare.footage import notices
from engines.prepare.footage.listing import GENERATOR
from engines.prepare.footage.masks import MaskFinder, checked_mask
from engines.prepare.footage.pool import each
from engines.prepare.footage.request import Dropped, check_places
from engines.prepare.footage.run import FULL, check_folder
from engines.prepare.synthetic import write_text

VITON_CATEGORY: Category = "upper"  # of all of VITON-HD's garments
PASSING = ("failed", "crashed")  # reasons for which a pair is tried again by the next run


@dataclass(frozen=True, kw_only=True)
class PairsRequest:
    """`origin` is the data set, `out` the one to write; `mask_style` is that of masks which are made."""

    source: str
    origin: Path
    out: Path
    mask_style: MaskStyle
    workers: int = 1
    ray: str | None = None
    dry_run: bool = False


@dataclass(frozen=True)
class Job:
    """A pair of a part; `name` is what it is called in the new set."""

    request: PairsRequest
    part: str
    pair: Pair
    name: str

    @property
    def record(self) -> Path:
        """Written when the pair is done."""
        return self.request.out / "records" / self.part / f"{self.name}.json"

    def place(self, folder: str, ending: str, suffix: str = "") -> Path:
        return self.request.out / self.part / folder / f"{self.name}{suffix}{ending}"


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
        return {"dry_run": True, **counted(request, jobs, [job.name for job in jobs if job.pair.mask is None], dropped)}
    try:
        check_folder(request.out, {"source": request.source, "mask_style": request.mask_style})
        do_missing(request, jobs, report)
        return finish(request, jobs, dropped, report)
    except OSError as error:
        raise ScdError(f"{request.out} can't be written ({error.strerror})", "free some space or name another folder with --out") from error


def listed(request: PairsRequest) -> tuple[list[Job], list[Dropped]]:
    """Everybody of both parts with the garment that they wear. ScdError where the set is in another layout, or has neither part."""
    jobs: list[Job] = []
    dropped: list[Dropped] = []
    missing: list[ScdError] = []
    for part in PARTS:
        try:
            check_kind(request, part)
            found = look_for_pairs(request.origin, part, None, True)
        except ScdError as error:
            missing.append(error)
            continue
        dropped += [Dropped(part, "layout", str(problem)) for problem in found.problems]
        jobs += [Job(request, part, pair, pair.person.stem) for pair in found.pairs]
    if not jobs and not dropped:
        raise missing[0]
    seen: dict[str, Job] = {}
    for job in list(jobs):
        if job.name in seen:  # one picture's name, in two categories or in train and test
            jobs.remove(job)
            dropped.append(Dropped(f"{job.part}/{job.pair.name}", "duplicate", f"{seen[job.name].pair.person} has the same name"))
        seen.setdefault(job.name, job)
    return jobs, dropped


def check_kind(request: PairsRequest, part: str) -> None:
    data = recognise(request.origin, part)
    if all(section.layout is DRESS_CODE for section in data.sections) != (request.source == "dresscode"):
        other = "dresscode" if request.source == "viton-hd" else "viton-hd"
        raise ScdError(f"{request.origin} is not in the layout of {request.source}", f"try scd prepare-data {other}")


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
    name = f"{job.part}/{job.pair.name}"
    try:
        found = put(job)
    except ScdError as error:
        found = {"dropped": Dropped(name, "unreadable", str(error)).record()}
    except Exception as error:  # a bug, or a file nobody has thought of: the others go on
        if isinstance(error, OSError) and error.errno in FULL:
            raise
        found = {"dropped": Dropped(name, "failed", f"{type(error).__name__}: {error}").record()}
    keep(job, found)
    return True


def keep(job: Job, found: dict[str, Any]) -> None:
    job.record.parent.mkdir(parents=True, exist_ok=True)
    write_text(job.record, json.dumps(found) + "\n")


def put(job: Job) -> dict[str, Any]:
    """All files of a pair; its line of pairs.jsonl. ScdError for what cannot be read, or where no mask can be found."""
    pair, category = job.pair, job.pair.category or VITON_CATEGORY
    mask = checked_mask(pair, category, job.request.mask_style, finder)
    mask.write(job.place("agnostic-mask", ".png", "_mask"))
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


def finish(request: PairsRequest, jobs: list[Job], dropped: list[Dropped], report: Report) -> dict[str, Any]:
    """The lists of pairs, pairs.jsonl, dropped.jsonl and dataset.json. ScdError where no pair is left."""
    found = [(job, json.loads(job.record.read_text())) for job in jobs]
    kept = {job.name: job for job, record in found if "dropped" not in record}
    records = [record for _, record in found if "dropped" not in record]
    drops = [*(d.record() for d in dropped), *(record["dropped"] for _, record in found if "dropped" in record)]
    lists = {part: [f"{name} {name}" for name, job in kept.items() if job.part == part] for part in PARTS}
    for part in PARTS:
        borrowed = list(borrowings(request, part, kept))
        write_text(request.out / f"{part}_pairs_paired.txt", "".join(f"{line}\n" for line in lists[part]))
        write_text(request.out / f"{part}_pairs.txt", "".join(f"{line}\n" for line in borrowed or lists[part]))
    write_text(request.out / "pairs.jsonl", "".join(f"{json.dumps(record)}\n" for record in records))
    write_text(request.out / "dropped.jsonl", "".join(f"{json.dumps(d)}\n" for d in drops))
    summary = {
        "schema_version": SCHEMA_VERSION, "generator": GENERATOR, "mask_style": request.mask_style,
        **counted(request, list(kept.values()), [r["id"] for r in records if r["mask"] != "file"], drops),
        "provenance": {"origin": str(request.origin.absolute()), **notices.licence(request.source)},
    }  # fmt: skip
    write_text(request.out / "dataset.json", json.dumps(summary, indent=1) + "\n")
    if not kept:
        raise ScdError(f"no pair of {request.origin} was kept", f"see {request.out / 'dropped.jsonl'} for what was wrong")
    if drops:
        report.warn(f"{len(drops)} of {len(jobs) + len(dropped)} pairs were dropped; see {request.out / 'dropped.jsonl'}")
    return summary


def borrowings(request: PairsRequest, part: str, kept: dict[str, Job]) -> Iterator[str]:
    """PERSON GARMENT of the set's own list of others' garments, as far as both were kept; nothing where it has no such list."""
    people = {(job.part, job.pair.person): name for name, job in kept.items()}
    garments = {(job.part, job.pair.garment): name for name, job in kept.items()}
    try:
        pairs = look_for_pairs(request.origin, part, None, False).pairs
    except ScdError:
        return
    for pair in pairs:
        person, lender = people.get((part, pair.person)), garments.get((part, pair.garment))
        if person is not None and lender is not None:
            yield f"{person} {lender}"


def counted(request: PairsRequest, jobs: list[Job], made: list[str], dropped: list[Any]) -> dict[str, Any]:
    pairs = {
        part: {c: sum(job.part == part and (job.pair.category or VITON_CATEGORY) == c for job in jobs) for c in CATEGORIES}
        for part in PARTS
    }
    reasons = Counter(d["reason"] if isinstance(d, dict) else d.reason for d in dropped)
    return {"source": request.source, "pairs": pairs, "masks_made": len(made), "dropped": dict(sorted(reasons.items()))}
