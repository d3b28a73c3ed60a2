"""The options of `scd tryon`, each written once."""

from enum import StrEnum
from pathlib import Path
from typing import Annotated

from typer import Argument, Option


class CategoryName(StrEnum):
    """Where a garment is worn."""

    UPPER = "upper"
    LOWER = "lower"
    DRESS = "dress"


class MaskStyleName(StrEnum):
    """What a mask follows."""

    SHAPE = "shape"
    LIMBS = "limbs"
    BOX = "box"


class LabelsName(StrEnum):
    """Whose numbers a parse map has."""

    LIP = "lip"
    ATR = "atr"


class PartName(StrEnum):
    """The parts of a data set."""

    TRAIN = "train"
    TEST = "test"


Person = Annotated[Path | None, Argument(metavar="PERSON", help="Picture of the person, - for stdin.", show_default=False)]
Garment = Annotated[Path | None, Argument(metavar="GARMENT", help="Picture of the garment.", show_default=False)]
Out = Annotated[
    Path | None,
    Option(
        "-o",
        "--out",
        metavar="OUT",
        help="Resulting picture: .png and .webp are exact, .jpg is not; - for stdout. Of a list, its folder. [default: PERSON-GARMENT.png]",
        show_default=False,
    ),
]
Model = Annotated[
    str | None,
    Option(
        metavar="BUNDLE",
        help="Name of a shipped model, or folder made by 'scd export'. [default: the shipped model for try-on]",
        show_default=False,
    ),
]
Mask = Annotated[
    Path | None,
    Option(
        "--mask",
        metavar="FILE",
        help="Where to repaint, in white. With --pairs or --root, the folder of such files. [default: found in PERSON]",
        show_default=False,
    ),
]
InvertMask = Annotated[bool, Option("--invert-mask", help="The mask is black where to repaint.")]
Parse = Annotated[
    Path | None,
    Option(
        "--parse",
        metavar="FILE",
        help="Parse map of PERSON, to find the mask in. With --pairs or --root, their folder.",
        show_default=False,
    ),
]
ParseLabels = Annotated[
    LabelsName | None, Option(help="Whose numbers the parse map has. [default: those of the data set's own maps]", show_default=False)
]
Keypoints = Annotated[
    Path | None,
    Option(
        metavar="FILE",
        help="Keypoints of PERSON, to find the mask with. With --pairs or --root, their folder. [default: detected]",
        show_default=False,
    ),
]
Category = Annotated[
    CategoryName | None, Option(help="Where the garment is worn. [default: as the list says, else upper]", show_default=False)
]
MaskStyle = Annotated[
    MaskStyleName | None,
    Option(
        help="What a mask that is found covers: the garment, also the limbs that another could cover, or a box. [default: limbs]",
        show_default=False,
    ),
]
MaskGrow = Annotated[
    int | None, Option(min=0, metavar="PX", help="Grow the mask all around. [default: as much as suits its style]", show_default=False)
]
MaskOut = Annotated[
    Path | None,
    Option(
        metavar="FILE",
        help="Where the mask that was used is written. With --pairs or --root, a folder. [default: OUT.mask.png; of a list OUT-masks]",
        show_default=False,
    ),
]
MaskOnly = Annotated[bool, Option("--mask-only", help="Write the mask that would be repainted, and stop.")]
Samples = Annotated[
    int | None,
    Option(min=1, metavar="N", help="Results, each of a seed of its own: OUT, OUT-2 and so on. [default: 1]", show_default=False),
]
Pairs = Annotated[
    Path | None,
    Option(
        metavar="LIST",
        help="Try on all pairs of a list, PERSON GARMENT a line, of the data set --root. [default: the data set's own list]",
        show_default=False,
    ),
]
Root = Annotated[Path | None, Option(metavar="DIR", help="Data set of pairs: VITON-HD, DressCode or scd's own.", show_default=False)]
Part = Annotated[
    PartName | None, Option(help="Part of the data set. [default: the one that the list is named after, else test]", show_default=False)
]
Paired = Annotated[
    bool | None,
    Option(
        "--paired/--unpaired",
        help="Everybody in their own garment, or in the one beside them in the list. [default: as the list is called, else unpaired]",
        show_default=False,
    ),
]
Jobs = Annotated[
    str | None,
    Option(
        metavar="LIST",
        help="Do all jobs of a .csv or .jsonl file (- for stdin) with the columns person, garment, out and any of these flags.",
        show_default=False,
    ),
]
DryRun = Annotated[
    bool, Option("--dry-run", help="Of a list: say how many pairs it has, which masks they would use and what is missing, and stop.")
]
ThenAnimate = Annotated[
    Path | None,
    Option(
        metavar="DRIVER",
        help="Then make the dressed person follow a film, skeletons or keypoints, as scd animate does: OUT.mp4 beside OUT.",
        show_default=False,
    ),
]
