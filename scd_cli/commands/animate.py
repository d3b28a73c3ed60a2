"""`scd animate`: what it takes and says; the work is in engines.generate.animate."""

from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any

from typer import Argument, Option

from scd_cli.options import AsJson, Guidance, Model, Overwrite, Seed, Steps
from scd_cli.values import default_output, given, parse_fps, parse_frames, parse_list, parse_size


class DriverKind(StrEnum):
    """The drivers that this version reads."""

    SKELETON_VIDEO = "skeleton-video"
    SKELETON_PICTURE = "skeleton-picture"
    KEYPOINTS = "keypoints"


Reference = Annotated[Path, Argument(metavar="REF", help="Picture of the person.", show_default=False)]
Poses = Annotated[
    Path,
    Option(
        "--poses",
        metavar="DRIVER",
        help="Skeleton video or picture (OpenPose or DWPose colours), keypoint .npz, or OpenPose JSON file or folder.",
        show_default=False,
    ),
]
Out = Annotated[
    Path | None,
    Option(
        "-o",
        "--out",
        metavar="OUT",
        help="Result; its ending decides: .mp4 .webm .gif, or .png for a folder of numbered pictures. [default: REF-DRIVER.mp4]",
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
Providers = Annotated[
    Any,
    Option(
        metavar="NAMES",
        parser=parse_list,
        help="Where to compute, in order of wish: trt-rtx, trt, cuda, cpu. [default: the best that BUNDLE and machine have]",
        show_default=False,
    ),
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


class SamplerName(StrEnum):
    DDIM = "ddim"
    DPM = "dpm++2m"
    EULER = "euler"
    LCM = "lcm"


Sampler = Annotated[
    SamplerName | None, Option(help="How to step; lcm is for distilled models. [default: ddim]", show_default=False, show_choices=True)
]
RefPose = Annotated[
    Path | None,
    Option(
        metavar="FILE",
        help="Pose of the person in REF: keypoints or a skeleton picture. [default: such a file beside REF, else none]",
        show_default=False,
    ),
]
Kind = Annotated[DriverKind | None, Option(help="What DRIVER is. [default: found by looking]", show_default=False)]


def animate(
    reference: Reference,
    poses: Poses,
    out: Out = None,
    model: Model = None,
    steps: Steps = None,
    guidance: Guidance = None,
    seed: Seed = None,
    sampler: Sampler = None,
    guidance_until: Until = None,
    guidance_passes: Passes = None,
    reuse: Reuse = None,
    frames: Frames = None,
    fps: Fps = None,
    size: Size = None,
    providers: Providers = None,
    ref_pose: RefPose = None,
    driver_kind: Kind = None,
    overwrite: Overwrite = False,
    dry_run: DryRun = False,
    as_json: AsJson = False,
) -> None:
    """Make the person of one picture follow the poses of a video.

    The reference is read once; every frame is generated from it. The number of
    frames and their rate are the driver's, the shape of the picture is REF's.

    \b
    Examples:
      scd animate examples/ref.png --poses examples/dance.mp4 -o out.mp4
      scd animate me.jpg --poses dance.mp4 --frames 0:48 --seed 7 -o me.gif
      scd animate me.jpg --poses keypoints.npz --ref-pose me.npz --fps 30000/1001
      scd animate me.jpg --poses dance.mp4 --model bundle --json > summary.json
      scd animate me.jpg --poses dance.mp4 --model bundle --dry-run
    """
    from engines.core.bundle import DEFAULT_MODEL
    from engines.generate.animate import AnimateRequest
    from engines.generate.animate import animate as work
    from engines.generate.animate import dry_run as look_ahead
    from scd_cli.console import Console, result

    target = out or default_output(reference, poses)
    kind = driver_kind and driver_kind.replace("-", " ")
    options = given(steps=steps, guidance=guidance, seed=seed, frames=frames, fps=fps, size=size, providers=providers)
    options |= given(ref_pose=ref_pose, driver_kind=kind, sampler=sampler and str(sampler), reuse=reuse)
    options |= given(guidance_until=guidance_until, guidance_passes=guidance_passes)
    request = AnimateRequest(reference=reference, poses=poses, output=target, model=model or DEFAULT_MODEL, overwrite=overwrite, **options)
    if dry_run:
        outlook = look_ahead(request, Console())
        return result(outlook, as_json, "\n".join(f"{name}: {value}" for name, value in outlook.items()))
    result(work(request, Console()).to_json(), as_json, target)
