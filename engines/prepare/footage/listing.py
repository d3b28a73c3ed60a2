"""What a data set of films says of itself: metadata.jsonl, dropped.jsonl, dataset.json, the report page, and shards where asked for."""

import hashlib
import json
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from engines.core.errors import ScdError
from engines.core.manifest import SCHEMA_VERSION, SPLITS
from engines.core.report import Report
from engines.prepare.footage import notices
from engines.prepare.footage.overlap import duplicates, overlaps
from engines.prepare.footage.page import write_page
from engines.prepare.footage.request import FootageRequest, Listing, arguments
from engines.prepare.footage.shards import write_shards
from engines.prepare.footage.splits import assign
from engines.prepare.writing import write_text

GENERATOR = "scd-footage/1"


def write_data_set(
    request: FootageRequest, found: Listing, done: Sequence[dict[str, Any]], given: dict[str, str], report: Report
) -> dict[str, Any]:
    """The files over all recordings, from their records `done`; `given` are splits by identity. ScdError where no clip is left."""
    clips = [clip for record in done for clip in record["clips"]]
    dropped = [*(d.record() for d in found.dropped), *(d for record in done for d in record["dropped"])]
    clips, splits, again = parted(request, clips, given)
    dropped += again
    check_apart(clips)
    lines = [json.dumps(clip) for clip in clips]
    write_text(request.out / "metadata.jsonl", "".join(f"{line}\n" for line in lines))
    write_text(request.out / "dropped.jsonl", "".join(f"{json.dumps(d)}\n" for d in sorted(dropped, key=lambda d: d["source"])))
    for clip in clips:
        listed_as(request.out, clip)
    summary = {
        "schema_version": SCHEMA_VERSION, "generator": GENERATOR, "source": request.source, "arguments": arguments(request),
        "split": {"seed": request.split_seed, "val_share": request.val_share, "test_share": request.test_share, "given": len(given)},
        "recordings": len(found.recordings) + len(found.dropped), **counts(clips, splits),
        "dropped": dict(sorted(Counter(d["reason"] for d in dropped).items())),
        "metadata_sha256": hashlib.sha256("\n".join(lines).encode()).hexdigest(),
        "provenance": {"origin": str(request.origin.absolute()), **notices.licence(request.source)},
    }  # fmt: skip
    summary["shards"] = write_shards(request.out, clips, report) if request.format == "webdataset" else []
    write_text(request.out / "dataset.json", json.dumps(summary, indent=1) + "\n")
    write_page(request.out, summary, clips, dropped)
    told(request, summary, report)
    return summary


def parted(
    request: FootageRequest, clips: list[dict[str, Any]], given: dict[str, str]
) -> tuple[list[dict[str, Any]], dict[str, str], list[dict[str, Any]]]:
    """The clips that stay, in the order of their ids and with their split, the split of every identity, and records of what was dropped."""
    twice = duplicates(sorted(clips, key=lambda clip: given.get(clip["identity"], "train") == "train"))  # the held-out one stays
    clips = [clip for clip in clips if clip["clip_id"] not in twice]
    splits = assign([clip["identity"] for clip in clips], given, request.split_seed, (request.val_share, request.test_share))
    alike = overlaps(clips, splits)
    kept = [clip | {"split": splits[clip["identity"]]} for clip in clips if clip["clip_id"] not in alike]
    kept.sort(key=lambda clip: str(clip["clip_id"]))
    return kept, splits, [d.record() for d in (*twice.values(), *alike.values())]


def check_apart(clips: Sequence[dict[str, Any]]) -> None:
    """ScdError where an identity or a file is in two splits: this would be a mistake of this program's, and nobody should train on it."""
    seen: dict[tuple[str, str], str] = {}
    for clip in clips:
        for what, name in (("identity", clip["identity"]), ("file", clip["provenance"]["sha256"])):
            if seen.setdefault((what, name), clip["split"]) != clip["split"]:
                raise ScdError(f"the {what} {name} is both in {seen[what, name]} and in {clip['split']}", "please report this")


def listed_as(out: Path, clip: dict[str, Any]) -> None:
    """clip.json says the same as the list."""
    path = out / "clips" / clip["clip_id"] / "clip.json"
    text = json.dumps(clip)
    if path.read_text() != text:
        write_text(path, text)


def counts(clips: Sequence[dict[str, Any]], splits: dict[str, str]) -> dict[str, Any]:
    parts = {part: [clip for clip in clips if clip["split"] == part] for part in SPLITS}
    return {
        "clips": {part: len(found) for part, found in parts.items()},
        "identities": {part: len({clip["identity"] for clip in found}) for part, found in parts.items()},
        "frames": {part: sum(clip["frames"] for clip in found) for part, found in parts.items()},
        "seconds": {part: round(sum(clip["measures"]["seconds"] for clip in found), 2) for part, found in parts.items()},
    }


def told(request: FootageRequest, summary: dict[str, Any], report: Report) -> None:
    """One sentence on what was dropped, or ScdError where nothing was kept."""
    reasons = ", ".join(f"{count} {reason}" for reason, count in summary["dropped"].items())
    if not sum(summary["clips"].values()):
        raise ScdError(f"no clip of {request.origin} was kept ({reasons})", f"see {request.out / 'dropped.jsonl'} for what was wrong")
    if reasons:
        report.warn(f"dropped: {reasons}; see {request.out / 'report.html'} and dropped.jsonl")
