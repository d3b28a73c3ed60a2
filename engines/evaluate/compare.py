"""`scd evaluate --compare`: two evaluations of the same videos, metric by metric, with a paired sign-flip test over the videos."""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from engines.core.errors import ScdError
from engines.evaluate.results import KIND, SCHEMA
from engines.evaluate.statistics import bootstrap, sign_flip

AGAIN = "make it with scd evaluate --out"
FEW = 6  # videos: below, no sign-flip test of two sides can come under 0.05


def read_document(path: Path) -> dict[str, Any]:
    """metrics.json of an evaluation, by its own path or its folder's. ScdError for anything else."""
    file = path / "metrics.json" if path.is_dir() else path
    try:
        document = json.loads(file.read_text(encoding="utf-8"))
    except OSError as error:
        raise ScdError(f"the evaluation {file} cannot be read ({error.strerror})", AGAIN) from error
    except ValueError as error:
        raise ScdError(f"the evaluation {file} is not JSON", AGAIN) from error
    if not isinstance(document, dict) or document.get("kind") != KIND:
        raise ScdError(f"{file} is no evaluation of scd", AGAIN)
    if document.get("schema") != SCHEMA:
        raise ScdError(f"{file} has schema {document.get('schema')}, and this scd reads {SCHEMA}", AGAIN)
    return document


def check_alike(a: Mapping[str, Any], b: Mapping[str, Any], names: tuple[Path, Path]) -> None:
    """ScdError unless both judge the same videos against the same truth under one protocol: anything else is no comparison."""
    if a["protocol"]["text"] != b["protocol"]["text"]:
        raise ScdError(
            f"{names[0]} and {names[1]} have different protocols ({a['protocol']['text']} against {b['protocol']['text']})",
            "evaluate both with the same --protocol and --resize",
        )
    if a["inputs"]["gt_sha256"] != b["inputs"]["gt_sha256"]:
        raise ScdError(
            f"{names[0]} and {names[1]} have different truths or other videos of it", "evaluate both with the same --gt and --split"
        )


def compare(first: Path, second: Path) -> dict[str, Any]:
    """Per metric: both values, the mean difference over videos (first - second), its interval, p and p after Holm's correction.

    Distribution figures have no value per video: both are shown without a test.
    """
    a, b = read_document(first), read_document(second)
    check_alike(a, b, (first, second))
    other = {metric["name"]: metric for metric in b["metrics"]}
    rows = [row(metric, other[metric["name"]], a["per_video"], b["per_video"]) for metric in a["metrics"] if metric["name"] in other]
    if not rows:
        raise ScdError(f"{first} and {second} have no metric in common", "evaluate both with the same --metrics")
    holm([r for r in rows if r["p"] is not None])
    only = sorted({m["name"] for m in a["metrics"]} ^ set(other))
    warnings = [f"only one of the two has {', '.join(only)}"] if only else []
    videos = max(r["videos"] for r in rows)
    if videos < FEW:
        warnings.append(f"with {videos} videos no difference can reach p < 0.05: at least {FEW} are needed")
    return {
        "kind": "scd-comparison", "schema": SCHEMA, "a": str(first), "b": str(second), "protocol": a["protocol"]["text"],
        "test": "paired sign-flip over videos, two-sided; p_holm is corrected for the number of metrics",
        "metrics": rows, "warnings": warnings,
    }  # fmt: skip


def row(mine: Mapping[str, Any], other: Mapping[str, Any], a: Mapping[str, Any], b: Mapping[str, Any]) -> dict[str, Any]:
    name = mine["name"]
    pairs = [(a[v]["metrics"].get(name), b[v]["metrics"].get(name)) for v in a if v in b]
    x, y = ([p[i] for p in pairs if None not in p] for i in (0, 1))
    out = {k: mine[k] for k in ("name", "title", "unit", "better")} | {"a": mine["value"], "b": other["value"], "videos": len(x)}
    notes = []
    if [w["sha256"] for w in mine["weights"]] != [w["sha256"] for w in other["weights"]]:
        notes.append("the two used different weights: not comparable")
    if not x:
        return out | {"difference": mine["value"] - other["value"], "ci": None, "p": None, "winner": None, "notes": notes}
    test, interval = sign_flip(x, y), bootstrap([p - q for p, q in zip(x, y, strict=True)], [1.0] * len(x))
    ci = None if interval is None else [interval.low, interval.high]
    ahead = None if test.difference == 0 or test.p > 0.05 else "a" if (test.difference > 0) == (mine["better"] == "higher") else "b"
    return out | {"difference": test.difference, "ci": ci, "p": test.p, "exact": test.exact, "winner": ahead, "notes": notes}


def holm(rows: Sequence[dict[str, Any]]) -> None:
    """Adds `p_holm` (Holm 1979): each p times how many are left to judge, never below the one before."""
    least = 0.0
    for place, entry in enumerate(sorted(rows, key=lambda r: float(r["p"]))):
        least = max(least, min(1.0, entry["p"] * (len(rows) - place)))
        entry["p_holm"] = least
