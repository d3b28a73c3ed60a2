"""`scd train`: from a recipe to a run folder."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from engines.core.errors import MissingExtra, ScdError
from engines.core.recipe import parse, read_toml
from engines.core.report import Report

if TYPE_CHECKING:
    from engines.train.loop import Progress
    from engines.train.recipe import Recipe


def read(recipe: Path, overrides: Sequence[str], data: Path | None) -> "Recipe":
    """The recipe, checked. `data` stands in for its own. MissingExtra where there is no torch."""
    try:
        import torch  # noqa: F401
    except ImportError as error:
        raise MissingExtra("scd train", "train") from error
    from engines.train.recipe import AutoencoderRecipe, ScdRecipe, TryonRecipe

    table = read_toml(recipe, overrides)
    if data is not None:
        table["data"] = str(data)
    if table.get("kind") == "autoencoder":
        return parse(AutoencoderRecipe, table, str(recipe))
    return parse(TryonRecipe, table, str(recipe)) if table.get("kind") == "tryon" else parse(ScdRecipe, table, str(recipe))


def train(recipe: Path, overrides: Sequence[str], out: Path, data: Path | None, resume: bool, report: Report) -> dict[str, Any] | None:
    """Run the stage that the recipe describes. `data` stands in for the recipe's own `data`. Returns a summary for --json, in the first
    process of several; None in the others."""
    read_recipe = read(recipe, overrides, data)
    from engines.train.distributed import heard, processes

    if not resume and any(out.glob("step-*")):
        raise ScdError(f"{out} already holds a training run", "go on with --resume or name another folder with --out")
    if resume and not any(out.glob("step-*")):
        heard(report).note(f"no checkpoint in {out} to go on from: starting at step 0")
    progress = stage_of(read_recipe, out, resume, report)
    if not processes().is_main_process:
        return None
    return {"run": str(out), "step": progress.step, "last_loss": progress.losses[-1] if progress.losses else None}


def stage_of(recipe: "Recipe", out: Path, resume: bool, report: Report) -> "Progress":
    """Train what the recipe is of."""
    from engines.train.recipe import AutoencoderRecipe, TryonRecipe

    data = Path(recipe.data)
    if isinstance(recipe, AutoencoderRecipe):
        from engines.train.autoencoder import train_autoencoder

        return train_autoencoder(recipe, data, out, resume, report)
    if isinstance(recipe, TryonRecipe):
        from engines.train.tryon import train_tryon

        return train_tryon(recipe, data, out, resume, report)
    from engines.train.scd import train_scd

    return train_scd(recipe, data, out, resume, report)


def dry_run(recipe: Path, overrides: Sequence[str], data: Path | None, processes: int, tflops: float | None) -> dict[str, Any]:
    """What the run would take (see engines.train.dry_run.outlook). Needs no data, weights or hub."""
    found = read(recipe, overrides, data)
    from engines.train.dry_run import outlook

    return outlook(found, Path(found.data), processes, tflops)
