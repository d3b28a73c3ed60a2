"""`scd tryon`: the arguments it will take; a later version does the work."""

from enum import StrEnum
from pathlib import Path
from typing import Annotated

from typer import Argument, Option

from scd_cli.options import AsJson, Guidance, Model, Overwrite, Seed, Steps


class Category(StrEnum):
    """Where a garment is worn."""

    UPPER = "upper"
    LOWER = "lower"
    DRESS = "dress"


def tryon(
    person: Annotated[Path, Argument(metavar="PERSON", help="Picture of the person.", show_default=False)],
    garment: Annotated[Path, Argument(metavar="GARMENT", help="Picture of the garment.", show_default=False)],
    out: Annotated[Path | None, Option("-o", "--out", metavar="OUT", help="Resulting picture (.png).", show_default=False)] = None,
    mask: Annotated[
        Path | None, Option(metavar="FILE", help="Where to repaint, in white. [default: from the pose]", show_default=False)
    ] = None,
    keypoints: Annotated[Path | None, Option(metavar="FILE", help="Keypoints of the person.", show_default=False)] = None,
    category: Annotated[Category | None, Option(help="Where the garment is worn.", show_default=False)] = None,
    model: Model = None,
    steps: Steps = None,
    guidance: Guidance = None,
    seed: Seed = None,
    overwrite: Overwrite = False,
    as_json: AsJson = False,
) -> None:
    """Dress a person in a garment (a later version).

    This version shows the planned arguments and stops.

    \b
    Examples:
      scd tryon person.png garment.png -o dressed.png
      scd tryon person.png garment.png --mask mask.png --category upper
    """
    from scd_cli.console import not_yet

    raise not_yet("this version of scd cannot try on garments yet; scd animate is the command that works")
