"""`scd evaluate`: what it takes and says; the work is in engines.evaluate."""

from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any

from typer import Option

from scd_cli.options import AsJson, Overwrite
from scd_cli.values import given, parse_list, parse_pose_model


class Resize(StrEnum):
    """Whose size frames of different sizes take."""

    TRUTH = "truth"
    PREDICTION = "prediction"


Pred = Annotated[
    Path | None, Option("--pred", metavar="PATH", help="Results: a video, or a folder of videos or frames.", show_default=False)
]
Gt = Annotated[Path | None, Option("--gt", metavar="PATH", help="The truth, in any of the same layouts.", show_default=False)]
Out = Annotated[Path | None, Option("--out", metavar="DIR", help="Folder for metrics.json, tables and report.html.", show_default=False)]
ProtocolName = Annotated[
    str | None,
    Option(
        "--protocol",
        metavar="NAME",
        help="Crop, size, clips and pooling: disco-2023, corrected, native, vitonhd-catvton, vitonhd-ladi or vitonhd-hrviton. "
        "[default: corrected]",
        show_default=False,
    ),
]
Metrics = Annotated[
    Any,
    Option(
        metavar="NAMES",
        parser=parse_list,
        help="Metrics with commas between them; protocol and all stand for lists, as protocol,pck,oks. [default: the protocol's]",
        show_default=False,
    ),
]
Reference = Annotated[
    Path | None,
    Option(
        metavar="PATH", help="The reference picture, or a folder with one a video. [default: found beside the truth]", show_default=False
    ),
]
Poses = Annotated[Path | None, Option(metavar="PATH", help="Pictures of the poses asked for, shown in the report.", show_default=False)]
Masks = Annotated[
    Path | None, Option(metavar="PATH", help="Masks for psnr_masked and ssim_masked: white pixels count.", show_default=False)
]
Split = Annotated[Path | None, Option(metavar="FILE", help="List of the videos to judge, one a line.", show_default=False)]
WeightsDir = Annotated[
    Path | None,
    Option(metavar="DIR", help="Weights of the metrics that need a network. [default: $SCD_EVAL_WEIGHTS]", show_default=False),
]
Require = Annotated[bool, Option("--require", help="Fail when a metric cannot be computed, instead of reporting it as skipped.")]
RealFloor = Annotated[bool, Option("--real-floor", help="Also what halves of the truth are apart, for FID, KID, FID-VID and FVD.")]
ResizeTo = Annotated[
    Resize | None,
    Option("--resize", help="Whose size frames of different sizes take. [default: different sizes are an error]", show_default=False),
]
Renumber = Annotated[bool, Option("--renumber", help="Pair frames by their order, not by their numbers.")]
Media = Annotated[
    int | None, Option(min=0, metavar="N", help="Videos shown as clips in the report. [default: the worst, best and between: 12]")
]
PoseModel = Annotated[
    Any,
    Option(
        metavar="DET,POSE",
        parser=parse_pose_model,
        help="ONNX files for pck and oks: a YOLOX detector and a DWPose or RTMPose network. [default: BlazePose, fetched once]",
        show_default=False,
    ),
]
List = Annotated[bool, Option("--list", help="List protocols and metrics, and which weights are there, and stop.")]
Compare = Annotated[
    tuple[Path, Path] | None,
    Option(metavar="A B", help="Compare two evaluations: metrics.json files or their folders.", show_default=False),
]


def evaluate(
    pred: Pred = None,
    gt: Gt = None,
    out: Out = None,
    protocol: ProtocolName = None,
    metrics: Metrics = None,
    reference: Reference = None,
    poses: Poses = None,
    masks: Masks = None,
    split: Split = None,
    weights_dir: WeightsDir = None,
    require: Require = False,
    real_floor: RealFloor = False,
    resize: ResizeTo = None,
    renumber: Renumber = False,
    media: Media = None,
    pose_model: PoseModel = None,
    compare: Compare = None,
    list_all: List = False,
    overwrite: Overwrite = False,
    as_json: AsJson = False,
) -> None:
    """Judge results against the truth.

    Writes metrics.json, metrics.csv, per_video.csv and a report page that opens
    from disk. Intervals are over videos. Metrics whose networks are not there are
    reported as skipped; those without networks need no torch.

    \b
    Examples:
      scd evaluate --pred results --gt truth --out report
      scd evaluate --pred out.mp4 --gt truth.mp4 --protocol native --out report
      scd evaluate --pred results --gt tiktok --protocol disco-2023 --weights-dir weights --out report
      scd evaluate --pred tryon --gt VITON-HD/test --protocol vitonhd-ladi --out report
      scd evaluate --compare ours/metrics.json theirs/metrics.json
      scd evaluate --list
    """
    from scd_cli.evaluations import compared, judged, listed

    if list_all:
        return listed(weights_dir, as_json)
    if compare is not None:
        return compared(*compare, out, overwrite, as_json)
    options = given(protocol=protocol, metrics=metrics, media=media, pose_models=pose_model, resize=resize and str(resize))
    options |= given(reference=reference, poses=poses, masks=masks, split=split, weights_dir=weights_dir)
    flags = {"overwrite": overwrite, "require": require, "real_floor": real_floor, "renumber": renumber}
    judged(pred, gt, out, options | flags, as_json)
