"""`scd train`: what it takes and says; the work is in engines.train."""

from pathlib import Path
from typing import Annotated

from typer import Option

from scd_cli.options import AsJson

Recipe = Annotated[
    str, Option(metavar="RECIPE", help="TOML file, or the name of a recipe that ships with scd, as mini/scd-i.", show_default=False)
]
Out = Annotated[Path, Option("--out", metavar="DIR", help="Folder for checkpoints, log and validation sheets.", show_default=False)]
Data = Annotated[Path | None, Option(metavar="DIR", help="Data set of 'scd prepare-data'. [default: the recipe's]", show_default=False)]
Changes = Annotated[
    list[str] | None, Option("--set", metavar="a.b=c", help="Change a value of the recipe; may be given again.", show_default=False)
]
Resume = Annotated[bool, Option("--resume", help="Go on from the newest checkpoint in DIR.")]


def train(recipe: Recipe, out: Out, data: Data = None, changes: Changes = None, resume: Resume = False, as_json: AsJson = False) -> None:
    """Train a model from a recipe.

    Recipes are complete TOML files: an unknown or missing key is an error. Needs
    the extra packages of scd-cli[train].

    \b
    Examples:
      scd train --recipe mini/autoencoder --data data --out runs/mini-autoencoder
      scd train --recipe mini/scd-i --data data --out runs/mini-scd-i --set optim.steps=2000
      scd train --recipe my-recipe.toml --out runs/mine --resume
    """
    from engines.train.run import train as work
    from scd_cli.console import Console, result
    from scd_cli.recipes import find_recipe

    result(work(find_recipe(recipe), changes or [], out, data, resume, Console()), as_json, out)
