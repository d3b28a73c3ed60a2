"""Job lists: lines of CSV or JSON whose columns are the arguments and flags of `scd animate`, each parsed as on the command line."""

import csv
import io
import json
import sys
from collections.abc import Callable, Iterator, Mapping
from difflib import get_close_matches
from pathlib import Path
from typing import Any

import typer

from engines.core.errors import ScdError, UsageError

REFERENCE, POSES, OUT = "ref", "poses", "out"
BATCH_ONLY = {"jobs", "skip_existing", "no_skip_existing", "fail_fast", "summary", "ray", "actors", "json", "help", "dry_run"}
YES, NO = {"1", "true", "yes", "on"}, {"", "0", "false", "no", "off"}
Row = dict[str, Any]


def read_rows(path: str) -> list[Row | str]:
    """The jobs of a file, or of stdin (`-`): a dict each, or what is wrong with the line. ScdError when nothing can be read."""
    text = read_text(path)
    if path.lower().endswith(".csv") or not text.lstrip().startswith("{"):
        return list(csv_rows(text, path))
    return list(json_rows(text))


def read_text(path: str) -> str:
    if path == "-":
        return sys.stdin.read()
    try:
        return Path(path).read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        why = getattr(error, "strerror", None) or "it is no UTF-8 text"
        raise ScdError(f"the job list {path} cannot be read ({why})", "name a .csv or .jsonl file, or - for stdin") from error


def json_rows(text: str) -> Iterator[Row | str]:
    for line in text.splitlines():
        if not line.strip():
            continue
        try:
            row = json.loads(line)
        except ValueError as error:
            yield f"the line is not JSON ({error})"
            continue
        yield row if isinstance(row, dict) else "the line is not a JSON object"


def csv_rows(text: str, path: str) -> Iterator[Row | str]:
    reader = csv.DictReader(io.StringIO(text), strict=True)
    try:
        columns = [name.strip().lower() for name in reader.fieldnames or []]
        if REFERENCE not in columns and "reference" not in columns:
            raise UsageError(f"the job list {path} has no column ref", "its first line must name the columns: ref,poses,out and any flags")
        reader.fieldnames = columns
        for row in reader:
            yield "the line has more fields than columns" if None in row else {k: v for k, v in row.items() if v is not None}
    except csv.Error as error:
        raise ScdError(f"the job list {path} is not CSV ({error})", "quote fields that hold commas or line breaks") from error


def arguments(row: Row, flags: Mapping[str, bool]) -> list[str]:
    """A row as a command line. `flags`: the long options by name with underscores, and whether they stand alone. UsageError for others."""
    words: list[str] = []
    for column, value in row.items():
        name = column.strip().lstrip("-").replace("-", "_").lower()
        name = REFERENCE if name == "reference" else name
        if name == REFERENCE or value is None:
            continue
        if name not in flags or name in BATCH_ONLY:
            near = get_close_matches(name, [*flags, REFERENCE], 1)
            raise UsageError(f"there is no column {column}", f"did you mean {near[0]}" if near else "columns are ref, poses, out and flags")
        words += option(name, str(value).strip() if not isinstance(value, bool) else str(value).lower(), flags[name])
    reference = row.get(REFERENCE) or row.get("reference")
    if not reference or not row.get(POSES):
        raise UsageError("a job needs ref and poses", "fill both columns")
    return [*words, "--", str(reference)]


def option(name: str, value: str, alone: bool) -> list[str]:
    long = "--" + name.replace("_", "-")
    if not alone:
        return [f"{long}={value}"] if value else []
    if value.lower() not in YES | NO:
        raise UsageError(f"{name} is {value!r}", "write yes or no")
    return [long] if value.lower() in YES else []


def command_of(function: Callable[..., None]) -> Any:
    """A subcommand's parser, by the function whose options it has."""
    app = typer.Typer(add_completion=False)
    app.command()(function)
    return typer.main.get_command(app)


def parsed(command: Any, words: list[str]) -> dict[str, Any]:
    """The parameters that the command would get of this command line. Its own usage errors."""
    return dict(command.make_context("animate", words).params)


def long_flags(command: Any) -> dict[str, bool]:
    """Long options, with underscores, and whether they take no value."""
    flags: dict[str, bool] = {}
    for parameter in command.params:
        for name in parameter.opts + parameter.secondary_opts:
            if name.startswith("--"):
                flags[name[2:].replace("-", "_")] = bool(getattr(parameter, "is_flag", False))
    return flags
