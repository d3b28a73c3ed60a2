"""The options of `scd animate`, each written once."""

from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any

from typer import Argument, Option

from scd_cli.values import parse_fps, parse_frames, parse_pose_model, parse_seconds, parse_size


class DriverKind(StrEnum):
    """The drivers that this version reads."""

    FILMED_PERSON = "filmed-person"
    PHOTO = "photo"
    SKELETON_VIDEO = "skeleton-video"
    SKELETON_PICTURE = "skeleton-picture"
    KEYPOINTS = "keypoints"


class Alignment(StrEnum):
    """How the driver's body is fitted to the reference's."""

    NONE = "none"
    GLOBAL = "global"
    LIMBS = "limbs"


References = Annotated[
    list[Path] | None, Argument(metavar="REF...", help="Picture of the person, - for stdin; several make a batch.", show_default=False)
]
Poses = Annotated[
    list[Path] | None,
    Option(
        "--poses",
        metavar="DRIVER",
        help="Film of a person, skeleton video (OpenPose or DWPose colours), a picture of either, or keypoints: .npz, .npy, OpenPose JSON "
        "file or folder. May be given several times.",
        show_default=False,
    ),
]
Out = Annotated[
    Path | None,
    Option(
        "-o",
        "--out",
        metavar="OUT",
        help="Result; its ending decides: .mp4 .mov .mkv .webm .gif, or .png for a folder of numbered pictures. Of a batch, its folder. "
        "[default: REF-DRIVER.mp4]",
        show_default=False,
    ),
]
Frames = Annotated[
    Any,
    Option(metavar="A:B", parser=parse_frames, help="Frames of the driver, from A up to but without B. [default: all]", show_default=False),
]
Fps = Annotated[
    Any,
    Option(metavar="F", parser=parse_fps, help="Frames a second, as 25 or 30000/1001. [default: the driver's]", show_default=False),
]
Size = Annotated[
    Any,
    Option(metavar="WxH", parser=parse_size, help="Largest size; the shape of REF is kept. [default: the model's]", show_default=False),
]
Until = Annotated[
    float | None,
    Option(min=0, max=1, metavar="SHARE", help="Share of the steps, from the first, that are guided. [default: all]", show_default=False),
]
Passes = Annotated[
    int | None, Option(min=1, max=2, metavar="N", help="2: guidance in two passes, in half the memory. [default: 1]", show_default=False)
]
Reuse = Annotated[
    int | None,
    Option(min=1, metavar="N", help="Whole network at every N-th step alone: faster, less exact. [default: 1]", show_default=False),
]
DryRun = Annotated[bool, Option("--dry-run", help="Say what the clip would take, and stop.")]


RefPose = Annotated[
    Path | None,
    Option(
        metavar="FILE",
        help="Pose of the person in REF: keypoints or a skeleton picture, or none. [default: such a file beside REF, else detected]",
        show_default=False,
    ),
]
Kind = Annotated[DriverKind | None, Option(help="What DRIVER is. [default: found by looking]", show_default=False)]
Start = Annotated[
    Any, Option("--start", metavar="T", parser=parse_seconds, help="Begin at this second of DRIVER, as 1.5 or 1:02.", show_default=False)
]
End = Annotated[Any, Option("--end", metavar="T", parser=parse_seconds, help="End at this second of DRIVER.", show_default=False)]
Person = Annotated[
    int | None,
    Option(min=1, metavar="N", help="Which of several people in DRIVER; 1 is the largest steady one. [default: 1]", show_default=False),
]
Smooth = Annotated[
    int | None,
    Option(
        min=0,
        metavar="FRAMES",
        help="Smooth the poses over so many frames, 0 for not at all. [default: only what is detected]",
        show_default=False,
    ),
]
Align = Annotated[
    Alignment | None,
    Option(help="Fit the driver's body to the one in REF: as a whole, or limb by limb. [default: limbs]", show_default=False),
]
AlignPicture = Annotated[
    bool, Option("--align-picture", help="Also write OUT.align.png: the driver's skeleton over REF, before and after fitting.")
]
PoseModel = Annotated[
    Any,
    Option(
        metavar="DET,POSE",
        parser=parse_pose_model,
        help="ONNX files of a YOLOX detector and a DWPose or RTMPose network. [default: BlazePose, fetched once]",
        show_default=False,
    ),
]
Mute = Annotated[bool, Option("--mute", help="Leave out the driver's sound.")]
Codec = Annotated[
    str | None,
    Option(
        metavar="NAME",
        help="h264, hevc, vp9, av1, prores or ffv1, as OUT's ending allows. [default: h264, vp9]",
        show_default=False,
    ),
]
Crf = Annotated[
    int | None, Option(min=0, metavar="N", help="Quality: less is better and larger. [default: the codec's]", show_default=False)
]
PixFmt = Annotated[str | None, Option(metavar="NAME", help="FFmpeg's name, as yuv444p10le. [default: the codec's]", show_default=False)]
Grid = Annotated[bool, Option("--grid", help="Reference, pose and result side by side.")]
Preview = Annotated[bool, Option("--preview", help="First write OUT.preview.png, a few frames in few steps.")]
Composite = Annotated[bool, Option("--composite", help="Paste the generated person over the untouched background of REF.")]
Jobs = Annotated[
    str | None,
    Option(
        metavar="LIST",
        help="Do all jobs of a .csv or .jsonl file (- for stdin) with the columns ref, poses, out and any of these flags.",
        show_default=False,
    ),
]
