"""`scd prepare-data`: what it takes and says; the work is in engines.prepare."""

from collections.abc import Mapping
from typing import Any

from typer import Context

from engines.core.errors import UsageError
from scd_cli import prepare_options as opt
from scd_cli.options import AsJson


def prepare_data(
    context: Context,
    source: opt.Source,
    out: opt.Out,
    origin: opt.Origin = None,
    identities: opt.Identities = 64,
    frames: opt.Frames = 16,
    size: opt.Size = "384x512",
    fps: opt.Fps = "12",
    seed: opt.Seed = 0,
    workers: opt.Workers = 1,
    layout: opt.SyntheticLayout = opt.Layout.CLIPS,
    source_fps: opt.SourceFps = "30",
    min_seconds: opt.MinSeconds = "1.5",
    min_height: opt.MinHeight = 192,
    max_people: opt.MaxPeople = 1,
    min_joints: opt.MinJoints = 8,
    min_sharpness: opt.MinSharpness = 2.0,
    min_motion: opt.MinMotion = 0.02,
    split_seed: opt.SplitSeed = 0,
    val_share: opt.ValShare = 0.05,
    test_share: opt.TestShare = 0.05,
    test_list: opt.TestList = None,
    pose_model: opt.PoseModel = None,
    shape: opt.OutFormat = opt.Shape.CLIPS,
    mask_style: opt.MaskStyle = opt.MaskStyleName.LIMBS,
    ray: opt.RayAddress = None,
    dry_run: opt.DryRun = False,
    as_json: AsJson = False,
) -> None:
    """Make a data set to train on: of rendered people, of films, or of try-on pairs.

    synthetic renders people: each clip holds its frames, the exact 133 keypoints
    of every frame, the masks of person and garments, a flat picture of each
    garment, and where it all comes from. With --layout viton-hd every frame is a
    person, one garment of theirs, and a mask.

    The other sources read what you have; nothing is downloaded. Films are cut into
    shots, poses are detected, and what shows nobody, several people, or too little
    is dropped, with the reason in dropped.jsonl and report.html. Pairs are checked,
    and masks that are missing are made. Who is in test is never used for training.

    \b
    Examples:
      scd prepare-data synthetic --out data --identities 1200 --workers 2
      scd prepare-data synthetic --layout viton-hd --out pairs --frames 4 --fps 2
      scd prepare-data folder --from films --out data --size 384x512 --workers 4
      scd prepare-data tiktok --from TikTok_dataset --out data --dry-run
      scd prepare-data viton-hd --from zalando-hd-resized --out pairs
    """
    from scd_cli.console import not_yet

    asked = {name: value for name, value in locals().items() if name not in ("context", "not_yet")}
    if source not in opt.SOURCES:
        raise not_yet(f"this version of scd prepare-data has no source {source}; it knows: {', '.join(opt.SOURCES)}")
    check_flags(context, source)
    make = synthetic if source in opt.SYNTHETIC else films if source in opt.FILMS else pairs
    make(asked)


def check_flags(context: Context, source: str) -> None:
    """UsageError for an option that means nothing to the source, and where --from is missing."""
    flags = {p.name: p.opts[0] for p in context.command.params}
    for name, sources in opt.BELONGS.items():
        given = context.get_parameter_source(name)
        if given is not None and given.name == "COMMANDLINE" and source not in sources:
            raise UsageError(f"{flags[name]} means nothing to the source {source}", f"leave it out; it is for {', '.join(sources)}")
    if source not in opt.SYNTHETIC and context.params.get("origin") is None:
        raise UsageError(f"the source {source} needs the data set to read", "name its folder with --from")


def synthetic(asked: Mapping[str, Any]) -> None:
    from engines.prepare.synthetic import SyntheticRequest, prepare_synthetic
    from scd_cli.console import Console, result

    names = ("out", "identities", "frames", "size", "seed", "workers", "fps")
    request = SyntheticRequest(**{name: asked[name] for name in names}, layout=asked["layout"].value)
    result(prepare_synthetic(request, Console()), asked["as_json"], asked["out"])


def films(asked: Mapping[str, Any]) -> None:
    from engines.prepare.footage.request import FootageRequest, Limits
    from engines.prepare.footage.run import prepare_footage
    from scd_cli.console import Console, result

    limits = Limits(
        seconds=asked["min_seconds"], height=asked["min_height"], people=asked["max_people"], joints=asked["min_joints"],
        sharpness=asked["min_sharpness"], motion=asked["min_motion"],
    )  # fmt: skip
    names = ("source", "origin", "out", "size", "fps", "source_fps", "split_seed", "val_share", "test_share", "test_list", "workers", "ray")
    options = {name: asked[name] for name in (*names, "pose_model", "dry_run")}
    made = prepare_footage(FootageRequest(**options, limits=limits, format=asked["shape"].value), Console())
    result(made, asked["as_json"] or asked["dry_run"], asked["out"])


def pairs(asked: Mapping[str, Any]) -> None:
    from engines.prepare.footage.pair_jobs import PairsRequest
    from engines.prepare.footage.tryon import prepare_pairs
    from scd_cli.console import Console, result

    options = {name: asked[name] for name in ("source", "origin", "out", "workers", "ray", "dry_run")}
    made = prepare_pairs(PairsRequest(**options, mask_style=asked["mask_style"].value), Console())
    result(made, asked["as_json"] or asked["dry_run"], asked["out"])
