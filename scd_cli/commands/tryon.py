"""`scd tryon`: the mask of a garment, and the arguments that trying on will take; a later version does that."""

from enum import StrEnum
from pathlib import Path
from typing import Annotated

from typer import Argument, Option

from scd_cli.options import AsJson, Guidance, Model, Overwrite, Seed, Steps
from scd_cli.values import given


class Category(StrEnum):
    """Where a garment is worn."""

    UPPER = "upper"
    LOWER = "lower"
    DRESS = "dress"


class MaskStyle(StrEnum):
    """What a mask follows."""

    SHAPE = "shape"
    LIMBS = "limbs"
    BOX = "box"


def tryon(
    person: Annotated[Path, Argument(metavar="PERSON", help="Picture of the person.", show_default=False)],
    garment: Annotated[Path | None, Argument(metavar="GARMENT", help="Picture of the garment.", show_default=False)] = None,
    out: Annotated[Path | None, Option("-o", "--out", metavar="OUT", help="Resulting picture (.png).", show_default=False)] = None,
    mask: Annotated[
        Path | None, Option(metavar="FILE", help="Where to repaint, in white. [default: from the pose]", show_default=False)
    ] = None,
    keypoints: Annotated[Path | None, Option(metavar="FILE", help="Keypoints of the person.", show_default=False)] = None,
    category: Annotated[Category | None, Option(help="Where the garment is worn. [default: upper]", show_default=False)] = None,
    mask_only: Annotated[bool, Option("--mask-only", help="Write the mask that would be repainted, and stop.")] = False,
    mask_style: Annotated[
        MaskStyle | None,
        Option(help="The garment's shape, or a box that leaves room for another cut. [default: shape]", show_default=False),
    ] = None,
    mask_grow: Annotated[int | None, Option(min=0, metavar="PX", help="Grow the mask all around. [default: 0]", show_default=False)] = None,
    model: Model = None,
    steps: Steps = None,
    guidance: Guidance = None,
    seed: Seed = None,
    overwrite: Overwrite = False,
    as_json: AsJson = False,
) -> None:
    """Dress a person in a garment (a later version), or find the garment they wear.

    This version makes the mask (--mask-only): the garment that would be replaced,
    without face and hands. Trying on stops with a sentence.

    \b
    Examples:
      scd tryon person.jpg --mask-only -o mask.png
      scd tryon person.jpg --mask-only --category lower --mask-style box -o mask.png
      scd tryon person.png garment.png -o dressed.png
    """
    from scd_cli.console import Console, not_yet, result

    if mask_only:
        from engines.core.errors import UsageError
        from engines.generate.masking import MaskRequest, make_mask

        if out is None:
            raise UsageError("--mask-only needs a place for the mask", "give -o mask.png")
        options = given(style=mask_style and str(mask_style), grow=mask_grow, keypoints=keypoints)
        request = MaskRequest(person=person, out=out, category=str(category or Category.UPPER), overwrite=overwrite, **options)  # type: ignore[arg-type]
        return result(make_mask(request, Console()), as_json, out)
    raise not_yet("this version of scd cannot try on garments yet; scd animate is the command that works")
