"""`scd evaluate`: predictions judged against the truth under one protocol, written as tables and a report page."""

import hashlib
import os
import platform
import time
from collections.abc import Sequence
from contextlib import suppress
from datetime import date
from fractions import Fraction
from functools import partial
from importlib.metadata import PackageNotFoundError, version
from typing import Any

from engines.core.cores import usable_cores
from engines.core.report import Report
from engines.evaluate.figures import Results, measured
from engines.evaluate.inputs import Inputs, gather, poses_of, reference_of
from engines.evaluate.metrics import METRICS
from engines.evaluate.pairs import Pair, digest
from engines.evaluate.protocols import CLIP_FRAMES, Protocol, protocol_of
from engines.evaluate.report.media import Panels
from engines.evaluate.report.page import write_report
from engines.evaluate.request import EvaluateRequest
from engines.evaluate.results import KIND, SCHEMA, per_frame, per_video, versions, write_tables
from engines.media.output import atomic, check_output

PLAYED_AT = Fraction(25)  # frames a second of clips whose rate nobody knows
FEW_VIDEOS = 10


def digest_all(pairs: Sequence[Pair], side: str) -> str:
    """sha256 of all judged frames of one side, by video."""
    parts = (f"{p.id} {list(p.numbers)} {digest(p.pred if side == 'pred' else p.truth)}" for p in pairs)
    return hashlib.sha256("\n".join(parts).encode()).hexdigest()


def small_sample(videos: int, protocol: Protocol) -> list[str]:
    what = "pictures" if protocol.pictures else "videos"
    return [f"only {videos} {what}: intervals are wide and rest on few samples"] if videos < FEW_VIDEOS else []


def made_of(request: EvaluateRequest, seconds: float) -> dict[str, Any]:
    own = "unknown"
    with suppress(PackageNotFoundError):
        own = version("scd-cli")
    machine = f"{platform.system()} {platform.machine()}, {usable_cores()} cores"
    return {
        "date": str(date.today()), "command": request.command, "seconds": round(seconds, 1), "scd": own, "machine": machine,
        "versions": versions(),
    }  # fmt: skip


def described(found: Inputs, results: Results, request: EvaluateRequest, seconds: float) -> dict[str, Any]:
    """metrics.json as a dict."""
    p, pairs = found.protocol, found.pairs
    lengths = {pair.id: (len(pair.numbers), str(rate) if (rate := pair.truth.fps or pair.pred.fps) else None) for pair in pairs}
    return {
        "schema": SCHEMA, "kind": KIND,
        "protocol": {
            "name": p.name, "text": p.text, "about": p.about, "crop": p.geometry.crop, "size": p.geometry.size and list(p.geometry.size),
            "resize": p.geometry.resample, "match": p.geometry.match, "clip_frames": CLIP_FRAMES, "clip_stride": p.clip_stride,
            "pooling": p.pooling, "pictures": p.pictures,
        },
        "made": made_of(request, seconds),
        "inputs": {
            "pred": str(request.pred), "gt": str(request.gt), "reference": request.reference and str(request.reference),
            "layout": {"pred": found.pred.layout, "gt": found.truth.layout}, "split": request.split and str(request.split),
            "videos": len(pairs), "frames": sum(n for n, _ in lengths.values()),
            "pred_sha256": digest_all(pairs, "pred"), "gt_sha256": digest_all(pairs, "truth"),
        },
        "metrics": [figure.entry() for figure in results.figures],
        "skipped": [{"name": name, "title": METRICS[name].title, "reason": f"skipped: {why}"} for name, why in results.skipped.items()],
        "warnings": [*found.warnings, *small_sample(len(pairs), p)],
        "per_video": per_video(results.figures, lengths),
        "per_frame": per_frame(results.figures, {pair.id: pair.numbers for pair in pairs}),
    }  # fmt: skip


def panels_of(found: Inputs, pair: Pair) -> Panels:
    """What the report can show of one video, read when it is asked for."""
    g = found.protocol.geometry
    return Panels(
        pair.id, pair.truth.fps or pair.pred.fps or PLAYED_AT, reference_of(found, pair.id), partial(pair.pred_frames, g),
        partial(pair.truth_frames, g), poses_of(found, pair),
    )  # fmt: skip


def evaluate(request: EvaluateRequest, report: Report) -> dict[str, Any]:
    """Judge, and write `request.out`: metrics.json, metrics.csv, per_video.csv, report.html with its media. Returns metrics.json's dict.

    ScdError and UsageError for whatever the user can mend; nothing is left behind then.
    """
    started = time.monotonic()
    check_output(request.out, request.overwrite)
    found = gather(request, protocol_of(request.protocol))
    for warning in found.warnings:
        report.warn(warning)
    results = measured(found, request, report)
    document = described(found, results, request, time.monotonic() - started)
    with atomic(request.out, request.overwrite) as folder:
        os.mkdir(folder)
        write_tables(folder, document)
        write_report(folder, document, [panels_of(found, pair) for pair in found.pairs], report, media=request.media)
    return document
