"""`scd evaluate`: the arguments it will take; a later version does the work."""

from pathlib import Path
from typing import Annotated

from typer import Option

from scd_cli.options import AsJson


def evaluate(
    pred: Annotated[Path, Option("--pred", metavar="PATH", help="Results: a video, or a folder of videos or frames.", show_default=False)],
    gt: Annotated[Path, Option("--gt", metavar="PATH", help="The truth, in the same shape.", show_default=False)],
    out: Annotated[Path, Option("--out", metavar="DIR", help="Folder for metrics.json, tables and the report page.", show_default=False)],
    protocol: Annotated[str | None, Option(help="How to crop, resize and pair, as disco-2023 or native.", show_default=False)] = None,
    metrics: Annotated[
        str | None, Option(metavar="NAMES", help="Metrics with commas between them, as psnr,ssim.", show_default=False)
    ] = None,
    weights_dir: Annotated[
        Path | None, Option(metavar="DIR", help="Weights of the metrics that need a network.", show_default=False)
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Judge results against the truth (a later version).

    This version shows the planned arguments and stops.

    \b
    Examples:
      scd evaluate --pred results --gt truth --out report
      scd evaluate --pred out.mp4 --gt truth.mp4 --metrics psnr,ssim --out report
    """
    from scd_cli.console import not_yet

    raise not_yet("this version of scd cannot evaluate yet; the embedded model's figures are in docs/mini.md")
