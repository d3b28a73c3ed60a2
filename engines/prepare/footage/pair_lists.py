"""What a set of try-on pairs says of itself: the lists of pairs, pairs.jsonl, dropped.jsonl and dataset.json."""

import json
from collections import Counter
from collections.abc import Iterator
from typing import Any

from engines.core.errors import ScdError
from engines.core.garments import CATEGORIES
from engines.core.manifest import SCHEMA_VERSION
from engines.core.pair_layouts import PARTS
from engines.core.pairs import look_for_pairs
from engines.core.report import Report
from engines.prepare.footage import notices
from engines.prepare.footage.listing import GENERATOR
from engines.prepare.footage.pair_jobs import VITON_CATEGORY, Job, PairsRequest
from engines.prepare.footage.request import Dropped
from engines.prepare.writing import write_text


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
        **counted(request, list(kept.values()), sum(r["mask"] != "file" for r in records), drops),
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


def counted(request: PairsRequest, jobs: list[Job], made: int, dropped: list[dict[str, Any]]) -> dict[str, Any]:
    pairs = {
        part: {c: sum(job.part == part and (job.pair.category or VITON_CATEGORY) == c for job in jobs) for c in CATEGORIES}
        for part in PARTS
    }
    reasons = Counter(d["reason"] for d in dropped)
    return {"source": request.source, "pairs": pairs, "masks_made": made, "dropped": dict(sorted(reasons.items()))}
