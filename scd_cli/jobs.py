"""Job lists: lines of CSV or JSON whose columns are the arguments and flags of a command, each parsed as on the command line; and how a
command does a list."""

import csv
import io
import json
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer

from engines.core.errors import ScdError, UsageError

if TYPE_CHECKING:
    from engines.generate.batch import Job, Request, Work

PART_FAILED = 3
BATCH_ONLY = {
    "jobs", "skip_existing", "no_skip_existing", "fail_fast", "summary", "ray", "actors", "json", "help", "dry_run", "pairs", "root",
    "part", "paired", "unpaired", "mask_only", "then_animate",
}  # fmt: skip
YES, NO = {"1", "true", "yes", "on"}, {"", "0", "false", "no", "off"}
Row = dict[str, Any]


@dataclass(frozen=True)
class Columns:
    """What a line must have: the command's `arguments` in their order, and `flags`. `aliases` are other names of columns."""

    arguments: tuple[str, ...]
    flags: tuple[str, ...] = ()
    aliases: tuple[tuple[str, str], ...] = ()

    @property
    def needed(self) -> tuple[str, ...]:
        return self.arguments + self.flags

    def name(self, column: str) -> str:
        """A column's name as options have it, with underscores."""
        name = column.strip().lstrip("-").replace("-", "_").lower()
        return dict(self.aliases).get(name, name)


@dataclass(frozen=True)
class Kind:
    """A command whose jobs a list holds: its function, its columns, what makes a request of a line's options, and what does it."""

    command: Callable[..., None]
    columns: Columns
    request: "Callable[[Mapping[str, Any]], Request]"
    work: "Work"


def read_rows(path: str, columns: Columns) -> list[Row | str]:
    """The jobs of a file, or of stdin (`-`): a dict each, or what is wrong with the line. ScdError when nothing can be read."""
    text = read_text(path)
    if path.lower().endswith(".csv") or not text.lstrip().startswith("{"):
        return list(csv_rows(text, path, columns))
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


def csv_rows(text: str, path: str, columns: Columns) -> Iterator[Row | str]:
    reader = csv.DictReader(io.StringIO(text), strict=True)
    try:
        names = [columns.name(name) for name in reader.fieldnames or []]
        first = columns.arguments[0]
        if first not in names:
            named = ",".join([*columns.needed, "out"])
            raise UsageError(f"the job list {path} has no column {first}", f"its first line must name the columns: {named} and any flags")
        reader.fieldnames = names
        for row in reader:
            yield "the line has more fields than columns" if None in row else {k: v for k, v in row.items() if v is not None}
    except csv.Error as error:
        raise ScdError(f"the job list {path} is not CSV ({error})", "quote fields that hold commas or line breaks") from error


def arguments(row: Row, flags: Mapping[str, bool], columns: Columns) -> list[str]:
    """A row as a command line. `flags`: the long options by name with underscores, and whether they stand alone. UsageError for others."""
    words: list[str] = []
    given = {columns.name(column): value for column, value in row.items() if value is not None}
    for name, value in given.items():
        if name in columns.arguments:
            continue
        if name not in flags or name in BATCH_ONLY:
            near = get_close_matches(name, [*flags, *columns.arguments], 1)
            known = ", ".join([*columns.needed, "out"])
            raise UsageError(f"there is no column {name}", f"did you mean {near[0]}" if near else f"columns are {known} and flags")
        words += option(name, str(value).strip() if not isinstance(value, bool) else str(value).lower(), flags[name])
    if not all(given.get(name) for name in columns.needed):
        raise UsageError(f"a job needs {' and '.join(columns.needed)}", "fill both columns")
    return [*words, "--", *(str(given[name]).strip() for name in columns.arguments)]


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
    return dict(command.make_context(command.name, words).params)


def long_flags(command: Any) -> dict[str, bool]:
    """Long options, with underscores, and whether they take no value."""
    flags: dict[str, bool] = {}
    for parameter in command.params:
        for name in parameter.opts + parameter.secondary_opts:
            if name.startswith("--"):
                flags[name[2:].replace("-", "_")] = bool(getattr(parameter, "is_flag", False))
    return flags


def listed_jobs(asked: Mapping[str, Any], kind: Kind, folder: Path) -> "list[Job]":
    """The lines of --jobs; the command line's own options are for all that do not say otherwise. Results without a place go to `folder`."""
    command = command_of(kind.command)
    flags = long_flags(command)
    rows = read_rows(asked["jobs"], kind.columns)
    return [
        listed_job(number, row, lambda row: parsed(command, arguments(row, flags, kind.columns)), asked, kind, folder)
        for number, row in enumerate(rows, 1)
    ]


def listed_job(
    number: int, row: Row | str, parse: Callable[[Row], dict[str, Any]], asked: Mapping[str, Any], kind: Kind, folder: Path
) -> "Job":
    from engines.generate.batch import Job

    if isinstance(row, str):
        return Job(number, None, row)
    try:
        own = parse(row)
        merged = {name: asked[name] if value is None or value is False else value for name, value in own.items()}
        return Job(number, kind.request(merged | {"out": own["out"], "folder": folder}), work=kind.work)
    except ScdError as error:
        return Job(number, None, str(error))
    except typer.TyperException as error:
        return Job(number, None, error.format_message().rstrip("."))


def output_folder(out: Path | None) -> Path:
    """Where a batch's results go that name no other place, the working directory without -o. UsageError for what looks like a file."""
    folder = out or Path()
    if folder.suffix or folder.is_file():
        raise UsageError(f"the output {folder} of several jobs is no folder", "name a folder with -o")
    return folder


def batch_folder(out: Path | None) -> Path:
    """The same, made if it is not there."""
    folder = output_folder(out)
    folder.mkdir(parents=True, exist_ok=True)
    return folder


def do_jobs(jobs: "Sequence[Job]", asked: Mapping[str, Any]) -> None:
    """Do them as the options say, here or on Ray, and tell what became of them. Exit 3 where some failed."""
    from engines.generate.batch import BatchOptions, one_after_the_other, run_batch
    from engines.generate.ray_batch import RayRunner
    from scd_cli.console import Console, result

    skip = asked["skip_existing"] if asked["skip_existing"] is not None else not asked["overwrite"]
    runner = RayRunner(asked["ray"], asked["actors"]) if asked["ray"] else one_after_the_other
    done = run_batch(jobs, Console(), BatchOptions(skip, asked["fail_fast"], asked["summary"]), runner)
    made = [outcome["out"] for outcome in done["outcomes"] if outcome["status"] != "failed"]
    result(done, asked["as_json"], "\n".join(made))
    if done["failed"]:
        raise typer.Exit(PART_FAILED)


def refuse_batch_options(asked: Mapping[str, Any], hint: str) -> None:
    """UsageError for an option of batches where there is one job."""
    for name in ("ray", "summary", "fail_fast", "actors"):
        if asked[name]:
            raise UsageError(f"--{name.replace('_', '-')} is for batches", hint)
