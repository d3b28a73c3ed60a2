"""Options of `scd prepare-data`, and which of them belong to which kind of source."""

from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any

from typer import Argument, Option

from scd_cli.values import parse_fps, parse_pose_model, parse_seconds, parse_size

SYNTHETIC, FILMS, PAIRS = ("synthetic",), ("folder", "tiktok", "ubc-fashion", "moore-json"), ("viton-hd", "dresscode")
SOURCES = (*SYNTHETIC, *FILMS, *PAIRS)
# parameter -> the sources that it means something to; those not named here are everybody's
BELONGS = {
    **dict.fromkeys(("identities", "frames", "seed", "layout"), SYNTHETIC),
    **dict.fromkeys(("size", "fps"), (*SYNTHETIC, *FILMS)),
    **dict.fromkeys(("origin", "dry_run", "ray"), (*FILMS, *PAIRS)),
    **dict.fromkeys(
        ("min_seconds", "min_height", "max_people", "min_joints", "min_sharpness", "min_motion", "split_seed", "val_share", "test_share",
         "test_list", "pose_model", "shape"),
        FILMS,
    ),
    "source_fps": ("folder",),
    "mask_style": PAIRS,
}  # fmt: skip


class Layout(StrEnum):
    """What a data set of rendered people is laid out for."""

    CLIPS = "clips"
    VITON_HD = "viton-hd"


class Shape(StrEnum):
    """What clips of films are written as."""

    CLIPS = "clips"
    WEBDATASET = "webdataset"


class MaskStyleName(StrEnum):
    """What a mask follows."""

    SHAPE = "shape"
    LIMBS = "limbs"
    BOX = "box"


Source = Annotated[
    str,
    Argument(
        metavar="SOURCE",
        help="synthetic (rendered people); folder (any films), tiktok, ubc-fashion, moore-json; viton-hd, dresscode (pairs).",
        show_default=False,
    ),
]
Out = Annotated[Path, Option("--out", metavar="DIR", help="Folder of the data set; a run that stopped goes on there.", show_default=False)]
Origin = Annotated[
    Path | None, Option("--from", metavar="DIR", help="The data set to read, which is never written to.", show_default=False)
]
Identities = Annotated[int, Option(min=1, metavar="N", help="synthetic: people, with one clip each.")]
Frames = Annotated[int, Option(min=1, metavar="N", help="synthetic: frames of a clip.")]
Size = Annotated[Any, Option(metavar="WxH", parser=parse_size, help="Size of the pictures in pixels.")]
Fps = Annotated[Any, Option(metavar="F", parser=parse_fps, help="Frames a second of the clips; of films at most.")]
Seed = Annotated[int, Option(metavar="S", min=0, help="synthetic: the same seed gives the same bytes, whatever the number of workers.")]
SyntheticLayout = Annotated[
    Layout,
    Option("--layout", help="synthetic: clips to animate, or each frame as a try-on pair in VITON-HD's folders.", case_sensitive=False),
]
Workers = Annotated[int, Option(min=1, metavar="N", help="Processes that work; with --ray, on the whole cluster.")]
RayAddress = Annotated[
    str | None,
    Option(
        "--ray",
        metavar="[ADDRESS]",
        help="Work on a Ray cluster where paths mean the same; without address, on one started here.",
        show_default=False,
    ),
]
SourceFps = Annotated[Any, Option(metavar="F", parser=parse_fps, help="folder: rate of folders of frames, which do not say theirs.")]
MinSeconds = Annotated[Any, Option(metavar="T", parser=parse_seconds, help="Films: shorter clips are dropped.")]
MinHeight = Annotated[int, Option(min=0, metavar="N", help="Films: pixels of the source that the person is high, at least.")]
MaxPeople = Annotated[int, Option(min=1, metavar="N", help="Films: people of about one size in a shot, at most.")]
MinJoints = Annotated[int, Option(min=1, max=17, metavar="N", help="Films: points of the body that are seen, of 17, at least.")]
MinSharpness = Annotated[float, Option(min=0, metavar="X", help="Films: least detail of the person; a smear has about 1.")]
MinMotion = Annotated[float, Option(min=0, metavar="X", help="Films: least motion, in sizes of the person a second.")]
SplitSeed = Annotated[int, Option(min=0, metavar="S", help="Films: seed of who is in which split.")]
ValShare = Annotated[float, Option(min=0, max=1, metavar="X", help="Films: share of the identities for val.")]
TestShare = Annotated[float, Option(min=0, max=1, metavar="X", help="Films: share of the identities for test.")]
TestList = Annotated[
    Path | None, Option(metavar="FILE", help="Films: who is in test, an id or file a line; for all others only val is drawn.")
]
PoseModel = Annotated[
    Any,
    Option(
        metavar="DET,POSE",
        parser=parse_pose_model,
        help="Films: ONNX files of a person detector and a whole-body pose network. [default: BlazePose]",
        show_default=False,
    ),
]
OutFormat = Annotated[Shape, Option("--format", help="Films: webdataset writes tar shards beside the clips.", case_sensitive=False)]
MaskStyle = Annotated[MaskStyleName, Option(help="Pairs: what masks follow that the data set lacks.", case_sensitive=False)]
DryRun = Annotated[bool, Option("--dry-run", help="Look at what --from holds and write nothing.")]
