"""`scd animate`: what it takes and says; the work is in engines.generate.animate and, of batches, in engines.generate.batch."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from engines.core.errors import UsageError
from scd_cli import animate_options as opt
from scd_cli.options import (
    Actors,
    AsJson,
    FailFast,
    Guidance,
    Model,
    Overwrite,
    Providers,
    RayAddress,
    Sampler,
    Seed,
    SkipExisting,
    Steps,
    SummaryFile,
)
from scd_cli.pipes import from_stdin
from scd_cli.values import default_output, given

if TYPE_CHECKING:
    from engines.generate.batch import Job
    from engines.generate.request import AnimateRequest

AS_THEY_ARE = (
    "steps", "guidance", "seed", "frames", "start", "end", "fps", "size", "providers", "guidance_until", "guidance_passes", "reuse",
    "person", "smooth", "pose_model", "ref_pose",
)  # fmt: skip
SWITCHES = ("mute", "grid", "preview", "align_picture", "composite", "overwrite")


def animate(
    reference: opt.References = None,
    poses: opt.Poses = None,
    out: opt.Out = None,
    model: Model = None,
    steps: Steps = None,
    guidance: Guidance = None,
    seed: Seed = None,
    sampler: Sampler = None,
    guidance_until: opt.Until = None,
    guidance_passes: opt.Passes = None,
    reuse: opt.Reuse = None,
    frames: opt.Frames = None,
    start: opt.Start = None,
    end: opt.End = None,
    fps: opt.Fps = None,
    size: opt.Size = None,
    providers: Providers = None,
    ref_pose: opt.RefPose = None,
    driver_kind: opt.Kind = None,
    pose_model: opt.PoseModel = None,
    person: opt.Person = None,
    smooth: opt.Smooth = None,
    align: opt.Align = None,
    align_picture: opt.AlignPicture = False,
    mute: opt.Mute = False,
    codec: opt.Codec = None,
    crf: opt.Crf = None,
    pix_fmt: opt.PixFmt = None,
    grid: opt.Grid = False,
    preview: opt.Preview = False,
    composite: opt.Composite = False,
    jobs: opt.Jobs = None,
    skip_existing: SkipExisting = None,
    fail_fast: FailFast = False,
    summary: SummaryFile = None,
    ray: RayAddress = None,
    actors: Actors = None,
    overwrite: Overwrite = False,
    dry_run: opt.DryRun = False,
    as_json: AsJson = False,
) -> None:
    """Make the person of one picture follow the poses of a video.

    The reference is read once; every frame is generated from it. The number of
    frames, their rate and the sound are the driver's, the shape of the picture is
    REF's. An interrupted run goes on where it stopped when it is started again.

    \b
    Examples:
      scd animate me.jpg --poses dance.mp4 -o out.mp4
      scd animate me.jpg --poses dance.mp4 --start 1.5 --end 4 --seed 7 -o me.gif
      scd animate me.jpg --poses keypoints.npz --ref-pose me.npz --fps 30000/1001
      scd animate me.jpg --poses dance.mp4 --model bundle --json > summary.json
      scd animate a.png b.png --poses one.mp4 --poses two.mp4 -o results
      scd animate --jobs jobs.csv --summary done.jsonl
    """
    asked = dict(locals())
    one_or_many(reference or [], poses or [], asked)


def one_or_many(references: Sequence[Path], drivers: Sequence[Path], asked: Mapping[str, Any]) -> None:
    check_inputs(references, drivers, asked["jobs"])
    if asked["jobs"] is None and len(references) == len(drivers) == 1:
        return one(references[0], drivers[0], asked)
    batch(references, drivers, asked)


def check_inputs(references: Sequence[Path], drivers: Sequence[Path], jobs: str | None) -> None:
    """A list, or pictures and drivers. Nothing heavy is imported before this is said."""
    if jobs is not None and (references or drivers):
        raise UsageError("--jobs brings its own references and drivers", "leave REF and --poses out")
    if jobs is None and not (references and drivers):
        missing = "a driver" if references else "a picture of the person"
        raise UsageError(f"scd animate needs {missing}", "for example: scd animate me.png --poses dance.mp4; see scd animate --help")


def one(reference: Path, driver: Path, asked: Mapping[str, Any]) -> None:
    from scd_cli.jobs import refuse_batch_options

    refuse_batch_options(asked, "give --jobs, or several REF or --poses")
    with from_stdin(reference) as picture:
        request = request_of(asked, picture, driver, asked["out"] or default_output(picture, driver))
        made_or_there(request, asked)


def made_or_there(request: "AnimateRequest", asked: Mapping[str, Any]) -> None:
    from engines.generate.animate import animate as work
    from engines.generate.animate import dry_run as look_ahead
    from scd_cli.console import Console, result

    if asked["dry_run"]:
        outlook = look_ahead(request, Console())
        return result(outlook, asked["as_json"], "\n".join(f"{name}: {value}" for name, value in outlook.items()))
    if asked["skip_existing"] and request.output.exists():
        Console().note(f"{request.output} is there already")
        return result({"output": str(request.output), "skipped": True}, asked["as_json"], request.output)
    result(work(request, Console()).to_json(), asked["as_json"], request.output)


def request_of(asked: Mapping[str, Any], reference: Path, driver: Path, output: Path) -> "AnimateRequest":
    """What the options of a command line or of a line of a job list ask for."""
    from engines.core.bundle import DEFAULT_MODEL
    from engines.generate.request import AnimateRequest
    from engines.media.encoding import Encoding

    options = given(**{name: asked[name] for name in AS_THEY_ARE}) | {name: asked[name] for name in SWITCHES}
    options |= given(**{name: asked[name] and str(asked[name]) for name in ("sampler", "align")})
    options |= given(driver_kind=asked["driver_kind"] and asked["driver_kind"].replace("-", " "))
    encoding = Encoding(asked["codec"], asked["crf"], asked["pix_fmt"])
    return AnimateRequest(
        reference=reference, poses=driver, output=output, model=asked["model"] or DEFAULT_MODEL, encoding=encoding, **options
    )


def batch(references: Sequence[Path], drivers: Sequence[Path], asked: Mapping[str, Any]) -> None:
    from scd_cli.jobs import do_jobs

    if asked["dry_run"]:
        raise UsageError("--dry-run looks at one clip", "give one REF and one --poses")
    do_jobs(product_jobs(references, drivers, asked) if asked["jobs"] is None else list_of_jobs(asked), asked)


def product_jobs(references: Sequence[Path], drivers: Sequence[Path], asked: Mapping[str, Any]) -> "list[Job]":
    """Each reference with each driver."""
    from engines.generate.batch import Job
    from scd_cli.jobs import batch_folder

    folder = batch_folder(asked["out"])
    pairs = [(reference, driver) for reference in references for driver in drivers]
    requests = [request_of(asked, reference, driver, folder / default_output(reference, driver)) for reference, driver in pairs]
    return [Job(number, request) for number, request in enumerate(requests, 1)]


def list_of_jobs(asked: Mapping[str, Any]) -> "list[Job]":
    """The lines of --jobs."""
    from engines.generate.animate import animate as work
    from scd_cli.jobs import Columns, Kind, batch_folder, listed_jobs

    columns = Columns(("ref",), ("poses",), (("reference", "ref"),))
    return listed_jobs(asked, Kind(animate, columns, request_of_line, work), batch_folder(asked["out"]))


def request_of_line(asked: Mapping[str, Any]) -> "AnimateRequest":
    """`asked` holds the options of a line and the `folder` of results without a place."""
    reference, driver = asked["reference"][0], asked["poses"][0]
    return request_of(asked, reference, driver, asked["out"] or asked["folder"] / default_output(reference, driver))
