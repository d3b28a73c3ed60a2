"""The `scd` command: its six subcommands and the boundary where errors become one sentence and an exit code.

Exit codes: 0 done, 1 something the user can mend (or a bug), 2 the command line is wrong, 3 part of a batch failed, 130 stopped by
Ctrl-C.
Nothing heavy is imported here: help and usage errors answer before numpy or a runtime could be loaded.
"""

import os
import signal
import sys
from collections.abc import Callable
from types import FrameType
from typing import Annotated, Any

import typer
from typer.core import TyperCommand

from engines.core.errors import ScdError
from scd_cli.commands import animate, evaluate, export, prepare_data, train, tryon

INTERRUPTED = 130
app = typer.Typer(
    name="scd",
    help="Make new pictures and videos of the person in one picture.\n\nRun 'scd COMMAND --help' for a command's options and examples.",
    rich_markup_mode=None,  # plain help: it answers in half the time, and docs/cli.md is made from it
    add_completion=False,
)


class LoneRay(TyperCommand):
    """Lets `--ray` stand without its address: Typer's options take a value or none, not either."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        for place, word in enumerate(args):
            if word == "--ray" and (place + 1 == len(args) or args[place + 1].startswith("-")):
                args = [*args[: place + 1], "local", *args[place + 1 :]]
        return super().parse_args(ctx, args)


for name, command in (
    ("prepare-data", prepare_data.prepare_data),
    ("train", train.train),
    ("export", export.export),
    ("animate", animate.animate),
    ("tryon", tryon.tryon),
    ("evaluate", evaluate.evaluate),
):
    app.command(name, cls=LoneRay if name in ("animate", "tryon", "prepare-data") else None)(command)


def print_version(wanted: bool) -> None:
    if wanted:
        from importlib.metadata import version

        typer.echo(f"scd {version('scd-cli')}")
        raise typer.Exit


@app.callback(invoke_without_command=True)
def main(
    context: typer.Context,
    version: Annotated[bool, typer.Option("--version", callback=print_version, is_eager=True, help="Print the version and stop.")] = False,
) -> None:
    """Options that stand before the command; alone, `scd` shows its help."""
    if context.invoked_subcommand is None:
        typer.echo(context.get_help())


def run() -> None:
    """The entry point: runs the app and leaves with its exit code."""
    signal.signal(signal.SIGTERM, leave_tidily)
    sys.exit(guarded(lambda: app(standalone_mode=False)))


def leave_tidily(number: int, frame: FrameType | None) -> None:
    """A polite kill unwinds the stack, so that half-written files are removed."""
    raise SystemExit(128 + number)


def guarded(work: Callable[[], object]) -> int:
    """Run `work`; its exit code. Errors become one sentence on stderr, or a traceback with SCD_DEBUG=1."""
    try:
        result = work()
        sys.stdout.flush()
        return result if isinstance(result, int) else 0
    except KeyboardInterrupt:
        return INTERRUPTED
    except Exception as error:
        if os.environ.get("SCD_DEBUG") == "1":
            raise
        return explained(error)


def explained(error: Exception) -> int:
    """Say what went wrong in one line on stderr and return the exit code."""
    if isinstance(error, ScdError):
        sentence, code = str(error), error.exit_code
    elif isinstance(error, typer.TyperException):  # a usage error that Typer found
        sentence, code = usage_sentence(error), 2
    elif isinstance(error, BrokenPipeError):  # the reader of our output has gone, as with `| head`
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1
    elif isinstance(error, OSError) and error.filename:
        sentence, code = f"{error.filename}: {error.strerror} (set SCD_DEBUG=1 for the traceback)", 1
    else:
        sentence, code = f"{type(error).__name__}: {error} (set SCD_DEBUG=1 for the traceback)", 1
    typer.echo("error: " + " ".join(sentence.split()), err=True)
    return code


def usage_sentence(error: typer.TyperException) -> str:
    """Typer's sentence without its full stop, and where the help is."""
    say = getattr(error, "format_message", error.__str__)
    context = getattr(error, "ctx", None)
    path = context.command_path if context else "scd"
    return f"{say().rstrip('.')}; see {path} --help"
