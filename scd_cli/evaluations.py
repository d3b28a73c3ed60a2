"""What `scd evaluate` prints: the table of figures, the list of metrics, the comparison of two evaluations."""

import json
import shlex
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import typer

Rows = Sequence[Sequence[str]]


def typed() -> str:
    """The command as it was typed."""
    return shlex.join(["scd", *sys.argv[1:]])


def table(rows: Rows, err: bool) -> None:
    """Columns of text with two blanks between them; the first row is the head."""
    widths = [max(len(row[i]) for row in rows) for i in range(len(rows[0]))]
    for row in rows:
        typer.echo("  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip(), err=err)


def number(value: float | None) -> str:
    """Four significant digits or more; `-` where there is none."""
    if value is None:
        return "-"
    return f"{value:.2f}" if 10 <= abs(value) < 1e5 else f"{value:.4g}" if abs(value) < 1e-3 or abs(value) >= 1e5 else f"{value:.4f}"


def interval(pair: Sequence[float] | None) -> str:
    return "-" if pair is None else f"[{number(pair[0])}, {number(pair[1])}]"


def judged(pred: Path | None, gt: Path | None, out: Path | None, options: Mapping[str, Any], as_json: bool) -> None:
    """Evaluate, with the options of an EvaluateRequest, and say what came of it. UsageError without one of the three places."""
    from engines.core.errors import UsageError
    from scd_cli.console import Console, result

    if pred is None or gt is None or out is None:
        raise UsageError(
            "scd evaluate needs results, the truth and a folder to write", "give --pred, --gt and --out, or --compare or --list"
        )
    from engines.evaluate.evaluate import evaluate
    from engines.evaluate.request import EvaluateRequest

    document = evaluate(EvaluateRequest(pred=pred, gt=gt, out=out, command=typed(), **options), Console())
    if not as_json:
        show(document)
    result(document, as_json, out / "report.html")


def show(document: Mapping[str, Any]) -> None:
    """The headline table on stderr."""
    typer.echo(document["protocol"]["text"], err=True)
    rows = [["metric", "value", "95 % interval", "N", "better"]]
    for m in document["metrics"]:
        count = ", ".join(f"{n} {what if n != 1 else what.removesuffix('s')}" for what, n in m["n"].items())
        rows.append([m["name"], f"{number(m['value'])} {m['unit']}".strip(), interval(m["ci"]), count, m["better"]])
    table(rows, err=True)
    reasons: dict[str, list[str]] = {}
    for s in document["skipped"]:
        reasons.setdefault(s["reason"], []).append(s["name"])
    for reason, names in reasons.items():
        typer.echo(f"{', '.join(names)}: {reason}", err=True)


def state_of(key: str, folder: Path | None) -> str:
    """`found`, or why the file of a key of weights.json cannot be used."""
    from engines.core.errors import ScdError
    from engines.evaluate.weights import WeightsMissing, find

    try:
        find(key, folder)
    except WeightsMissing:
        return "missing"
    except ScdError as error:
        return error.message
    return "found"


def listed(folder: Path | None, as_json: bool) -> None:
    """All protocols, metrics and files of weights on stdout."""
    from engines.evaluate.metrics import METRICS
    from engines.evaluate.protocols import PROTOCOLS
    from engines.evaluate.weights import table as weights

    keys = dict.fromkeys(key for m in METRICS.values() for key in m.needs)
    files = {key: {"file": weights()[key].names[0], "state": state_of(key, folder), "source": weights()[key].source} for key in keys}
    needs = {m.name: [files[key]["file"] for key in m.needs] or (["pose networks"] if m.family == "pose" else []) for m in METRICS.values()}
    if as_json:
        protocols = {p.name: {"text": p.text, "about": p.about, "metrics": p.metrics} for p in PROTOCOLS.values()}
        metrics = {m.name: {"title": m.title, "better": m.better, "source": m.source, "needs": needs[m.name]} for m in METRICS.values()}
        return typer.echo(json.dumps({"protocols": protocols, "metrics": metrics, "weights": files}, indent=1))
    table([["protocol", "what it is"], *([p.name, p.about] for p in PROTOCOLS.values())], err=False)
    typer.echo()
    table([["metric", "what it is", "needs"], *([m.name, m.source, ", ".join(needs[m.name])] for m in METRICS.values())], err=False)
    typer.echo()
    table([["weights", "state", "where to get them"], *([f["file"], f["state"], f["source"]] for f in files.values())], err=False)
    typer.echo("\nPose networks are fetched once from the package index; --pose-model names others.")


def compared(first: Path, second: Path, out: Path | None, overwrite: bool, as_json: bool) -> None:
    """The comparison as a table or JSON on stdout, and as JSON in the file `out`."""
    from engines.evaluate.compare import compare
    from engines.media.output import atomic

    found = compare(first, second)
    text = json.dumps(found, indent=1)
    if out is not None:
        with atomic(out, overwrite) as temporary:
            temporary.write_text(text + "\n", encoding="utf-8")
    if as_json:
        return typer.echo(text)
    rows = [["metric", "A", "B", "A - B", "95 % interval", "p", "p (Holm)", "ahead"]]
    for m in found["metrics"]:
        ps = [number(m["p"]), number(m.get("p_holm"))]
        values = (m["a"], m["b"], m["difference"])
        rows.append([m["name"], *map(number, values), interval(m["ci"]), *ps, (m["winner"] or "-").upper()])
    table(rows, err=False)
    typer.echo(f"A = {first}, B = {second}; {found['test']}; {found['protocol']}")
    for warning in found["warnings"]:
        typer.echo(f"warning: {warning}", err=True)
