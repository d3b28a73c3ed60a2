"""`scd tryon`: what it takes and says; the work is in engines.generate.tryon and, of lists, in scd_cli.fittings."""

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from engines.core.errors import UsageError
from scd_cli import tryon_options as opt
from scd_cli.fittings import batch, default_picture, is_list, mask_wish, request_of
from scd_cli.options import (
    Actors,
    AsJson,
    FailFast,
    Guidance,
    Overwrite,
    Providers,
    RayAddress,
    Sampler,
    Seed,
    SkipExisting,
    Steps,
    SummaryFile,
)
from scd_cli.pipes import STREAM, from_stdin, to_stdout

if TYPE_CHECKING:
    from engines.generate.request import AnimateRequest
    from engines.generate.tryon_request import TryonRequest


def tryon(
    person: opt.Person = None,
    garment: opt.Garment = None,
    out: opt.Out = None,
    model: opt.Model = None,
    category: opt.Category = None,
    mask: opt.Mask = None,
    invert_mask: opt.InvertMask = False,
    parse: opt.Parse = None,
    parse_labels: opt.ParseLabels = None,
    keypoints: opt.Keypoints = None,
    mask_style: opt.MaskStyle = None,
    mask_grow: opt.MaskGrow = None,
    mask_out: opt.MaskOut = None,
    mask_only: opt.MaskOnly = False,
    samples: opt.Samples = None,
    steps: Steps = None,
    guidance: Guidance = None,
    seed: Seed = None,
    sampler: Sampler = None,
    providers: Providers = None,
    then_animate: opt.ThenAnimate = None,
    root: opt.Root = None,
    pairs: opt.Pairs = None,
    part: opt.Part = None,
    paired: opt.Paired = None,
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
    """Put the garment of one picture on the person of another.

    What is repainted is the mask: a file, or found in PERSON. Outside of it the
    result has PERSON's own pixels, bit for bit, at PERSON's own size; the mask
    that was used is written beside it.

    \b
    Examples:
      scd tryon person.jpg garment.jpg -o dressed.png
      scd tryon person.jpg skirt.jpg --category lower --samples 4 --seed 7
      scd tryon person.jpg garment.jpg --mask mask.png -o dressed.png
      scd tryon person.jpg --mask-only -o mask.png
      scd tryon person.jpg garment.jpg -o dressed.png --then-animate dance.mp4
      scd tryon person.jpg garment.jpg -o - | scd animate - --poses dance.mp4
      scd tryon --root zalando-hd-resized --unpaired -o results
    """
    asked = dict(locals())
    if is_list(asked):
        return batch(asked, tryon)
    if person is None:
        raise UsageError("scd tryon needs a picture of the person", "for example: scd tryon person.jpg garment.jpg; see scd tryon --help")
    if mask_only:
        return write_mask_only(person, asked)
    if garment is None:
        raise UsageError("scd tryon needs a picture of the garment", "name it after the person, or use --mask-only for the mask alone")
    one(person, garment, asked)


def write_mask_only(person: Path, asked: Mapping[str, Any]) -> None:
    """The mask alone; `-` is stdin for PERSON and stdout for OUT."""
    out = asked["out"] or asked["mask_out"]
    if out is None:
        raise UsageError("--mask-only needs a place for the mask", "give -o mask.png")
    if asked["out"] and asked["mask_out"]:
        raise UsageError("with --mask-only -o and --mask-out both name a place for the mask", "use one of them")
    if asked["then_animate"]:
        raise UsageError("--mask-only dresses nobody whom --then-animate could animate", "use one of them")
    if out == STREAM and asked["as_json"]:
        raise UsageError("-o - writes one picture to stdout and nothing else", "leave --json out")
    from dataclasses import fields

    from engines.generate.masking import MaskRequest, make_mask
    from scd_cli.console import Console, result

    wish = mask_wish(asked)
    options = {field.name: getattr(wish, field.name) for field in fields(wish)}
    with from_stdin(person) as picture, to_stdout(out) as path:
        made = make_mask(MaskRequest(person=picture, out=path, overwrite=asked["overwrite"], **options), Console())
    if out != STREAM:
        result(made, asked["as_json"], out)


def one(person: Path, garment: Path, asked: Mapping[str, Any]) -> None:
    """One pair; `-` is stdin for PERSON and stdout for OUT."""
    from engines.generate.animate import animate
    from engines.generate.tryon import tryon as work
    from scd_cli.console import Console, result
    from scd_cli.jobs import refuse_batch_options

    refuse_batch_options(asked, "give --root or --jobs")
    if asked["dry_run"] or asked["part"] or asked["paired"] is not None:
        raise UsageError("--dry-run, --part and --paired are for lists", "give --root or --jobs")
    output = asked["out"] or default_picture(person, garment)
    if output == STREAM and (asked["then_animate"] or asked["as_json"] or (asked["samples"] or 1) > 1):
        raise UsageError("-o - writes one picture to stdout and nothing else", "leave --then-animate, --json and --samples out")
    with from_stdin(person) as picture, to_stdout(output) as path:
        request = request_of(with_mask_place(asked, output, person, garment), picture, garment, path)
        clip = None if asked["then_animate"] is None else animation(request, asked["then_animate"], bool(asked["skip_existing"]))
        if asked["skip_existing"] and path.exists():
            Console().note(f"{path} is there already")
            made: dict[str, Any] = {"output": str(path), "outputs": [str(path)], "skipped": True}
        else:
            made = work(request, Console()).to_json()
        if output == STREAM:
            return
        if clip:
            made |= {"animation": animate(clip, Console()).to_json()}
        elif asked["then_animate"]:
            made |= {"animation": {"output": str(request.output.with_suffix(".mp4")), "skipped": True}}
        result(made, asked["as_json"], "\n".join([*made["outputs"], *(a["output"] for a in [made.get("animation")] if a)]))


def with_mask_place(asked: Mapping[str, Any], output: Path, person: Path, garment: Path) -> Mapping[str, Any]:
    """A picture that goes to stdout has no place of its own to lay its mask beside."""
    if output != STREAM or asked["mask_out"]:
        return asked
    return {**asked, "mask_out": default_picture(person, garment).with_suffix(".mask.png")}


def animation(request: "TryonRequest", driver: Path, skip_existing: bool) -> "AnimateRequest | None":
    """The dressed person follows a driver: OUT.mp4 beside OUT, by the shipped model for animation (the paper's Fig. 10). None where that
    is there already and `skip_existing`.

    ScdError for a driver or an output that would end it, said before anything is made.
    """
    from engines.core.bundle import DEFAULT_MODEL
    from engines.generate.request import AnimateRequest, check_paths
    from engines.pose.drivers import open_driver

    clip = AnimateRequest(
        reference=request.output, poses=driver, output=request.output.with_suffix(".mp4"), model=DEFAULT_MODEL, seed=request.seed,
        providers=request.providers, overwrite=request.overwrite,
    )  # fmt: skip
    if skip_existing and clip.output.exists():
        return None
    check_paths(clip)
    open_driver(driver)
    return clip
