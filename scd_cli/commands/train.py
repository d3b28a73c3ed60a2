"""`scd train`: what it takes and says; the work is in engines.train."""

from pathlib import Path
from typing import Annotated

from typer import Option

from scd_cli.console import Console, result
from scd_cli.options import AsJson

Recipe = Annotated[
    str, Option(metavar="RECIPE", help="TOML file, or the name of a recipe that ships with scd, as mini/scd-i.", show_default=False)
]
Out = Annotated[Path | None, Option("--out", metavar="DIR", help="Folder for checkpoints, log and validation sheets.", show_default=False)]
Data = Annotated[Path | None, Option(metavar="DIR", help="Data set of 'scd prepare-data'. [default: the recipe's]", show_default=False)]
Changes = Annotated[
    list[str] | None, Option("--set", metavar="a.b=c", help="Change a value of the recipe; may be given again.", show_default=False)
]
Resume = Annotated[bool, Option("--resume", help="Go on from the newest checkpoint in DIR.")]


DryRun = Annotated[bool, Option("--dry-run", help="Say what the run would take, and stop. Needs no data and no weights.")]
Processes = Annotated[
    int | None, Option(metavar="N", min=1, help="With --dry-run: how many processes share a batch. [default: 1]", show_default=False)
]
Tflops = Annotated[
    float | None,
    Option(
        metavar="T", min=0.001, help="With --dry-run: TFLOP a second that a process reaches. [default: measured here]", show_default=False
    ),
]


def train(
    recipe: Recipe,
    out: Out = None,
    data: Data = None,
    changes: Changes = None,
    resume: Resume = False,
    dry_run: DryRun = False,
    processes: Processes = None,
    tflops: Tflops = None,
    as_json: AsJson = False,
) -> None:
    """Train a model from a recipe.

    Recipes are complete TOML files: an unknown or missing key is an error. Needs
    the extra packages of scd-cli[train].

    \b
    Examples:
      scd train --recipe mini/autoencoder --data data --out runs/mini-autoencoder
      scd train --recipe mini/scd-i --data data --out runs/mini-scd-i --set optim.steps=2000
      scd train --recipe my-recipe.toml --out runs/mine --resume
      scd train --recipe paper/scd-i --dry-run --processes 8 --tflops 100
    """
    from engines.core.errors import UsageError
    from scd_cli.recipes import find_recipe

    if dry_run:
        from engines.train.run import dry_run as look_ahead
        from scd_cli.training import outlook_text

        told = look_ahead(find_recipe(recipe), changes or [], data, processes or 1, tflops)
        return result(told, as_json, outlook_text(told))
    if processes is not None or tflops is not None:
        raise UsageError("--processes and --tflops are for --dry-run", "several processes train with: accelerate launch -m scd_cli train")
    if out is None:
        raise UsageError("scd train needs a folder for its run", "name it with --out DIR")
    from engines.train.run import train as work

    summary = work(find_recipe(recipe), changes or [], out, data, resume, Console())
    if summary is not None:
        result(summary, as_json, out)
