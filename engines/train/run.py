"""`scd train`: from a recipe to a run folder."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from engines.core.errors import MissingExtra, ScdError
from engines.core.recipe import parse, read_toml
from engines.core.report import Report


def train(recipe: Path, overrides: Sequence[str], out: Path, data: Path | None, resume: bool, report: Report) -> dict[str, Any]:
    """Run the stage that the recipe describes. `data` stands in for the recipe's own `data`. Returns a summary for --json."""
    try:
        import torch  # noqa: F401
    except ImportError as error:
        raise MissingExtra("scd train", "train") from error
    from engines.train.recipe import AutoencoderRecipe, ScdRecipe, TryonRecipe

    table = read_toml(recipe, overrides)
    if data is not None:
        table["data"] = str(data)
    if not resume and any(out.glob("step-*")):
        raise ScdError(f"{out} already holds a training run", "go on with --resume or name another folder with --out")
    if resume and not any(out.glob("step-*")):
        report.note(f"no checkpoint in {out} to go on from: starting at step 0")
    if table.get("kind") == "autoencoder":
        from engines.train.autoencoder import train_autoencoder

        first = parse(AutoencoderRecipe, table, str(recipe))
        progress = train_autoencoder(first, Path(first.data), out, resume, report)
    elif table.get("kind") == "tryon":
        from engines.train.tryon import train_tryon

        third = parse(TryonRecipe, table, str(recipe))
        progress = train_tryon(third, Path(third.data), out, resume, report)
    else:
        from engines.train.scd import train_scd

        second = parse(ScdRecipe, table, str(recipe))
        progress = train_scd(second, Path(second.data), out, resume, report)
    return {"run": str(out), "step": progress.step, "last_loss": progress.losses[-1] if progress.losses else None}
