"""`scd animate`: the person of one picture in the poses of a driver. Torch-free; everything that can be refused is refused first."""

import hashlib
import json
from dataclasses import asdict
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from engines.core.bundle import Bundle
from engines.core.errors import UsageError
from engines.core.report import Report
from engines.generate.backends import Backend
from engines.generate.checkpoint import Checkpoint
from engines.generate.clip import Clip, Span
from engines.generate.denoise import Settings
from engines.generate.dry_run import outlook
from engines.generate.model_checks import check_sampling, check_task
from engines.generate.poses import Poses, ReferencePose, given_reference_pose, poses_of, reference_pose
from engines.generate.render import Render, scd_version, timed
from engines.generate.request import AnimateRequest, AnimateSummary, check_numbers, check_paths
from engines.generate.studio import Studio
from engines.media.encoding import PICTURES
from engines.media.fit import fit_and_pad
from engines.media.images import read_image, write_png
from engines.media.output import check_output
from engines.media.resample import at_rate, exact_rate
from engines.media.workspace import workspace, workspace_path
from engines.media.writer import most_fps
from engines.pose.drivers import Driver, open_driver

Picture = NDArray[np.uint8]
STILL_FPS = Fraction(25)  # of drivers that have no rate: stills, OpenPose JSON


def frame_range(wanted: tuple[int | None, int | None], driver: Driver) -> tuple[int, int]:
    """Start and end (excluded) inside the driver's frames. UsageError when nothing is left."""
    if min(wanted[0] or 0, wanted[1] or 0) < 0:
        raise UsageError(f"--frames {wanted[0]}:{wanted[1]} counts from the end", "count from 0 at the driver's first frame")
    start, stop = wanted[0] or 0, driver.frames if wanted[1] is None else min(wanted[1], driver.frames)
    if start >= driver.frames:
        raise UsageError(f"--frames starts at {start} but {driver.path} has {driver.frames} frames", "choose a range inside it")
    if stop <= start:
        raise UsageError(f"--frames {start}:{stop} is empty", "the end must be above the start")
    return start, stop


def span_of(request: AnimateRequest, driver: Driver) -> Span:
    """The frames to show. A driver at its own, even rate gives each of its frames once; else time decides."""
    start, stop = frame_range(request.frames, driver)
    own = exact_rate(driver.fps) if driver.fps is not None else None
    fps = min(exact_rate(request.fps or driver.fps or STILL_FPS), most_fps(request.output))
    times = driver.times(fps)
    end_of_last = times[-1] + 1 / (own or fps)
    if request.start is None and request.end is None:
        begin, end = times[start], times[stop] if stop < len(times) else end_of_last
    else:
        begin, end = request.start or Fraction(0), min(request.end or end_of_last, end_of_last)
        if begin >= end:
            raise UsageError(f"--start {float(begin):g} is not inside {driver.path}, which lasts {float(end_of_last):g} s", "choose less")
    if not driver.variable and own in (None, fps) and request.start is None and request.end is None:
        return Span(list(range(start, stop)), fps, begin)
    return Span(at_rate(times, end_of_last, fps, begin, end), fps, begin)


def check_model(request: AnimateRequest, bundle: Bundle) -> None:
    """What this model cannot do."""
    facts = bundle.facts
    check_task(bundle, "animate")
    check_sampling(bundle, request.steps, request.sampler)
    if request.reuse > 1 and "target_shallow" not in facts.graphs:
        raise UsageError(
            f"--reuse needs a bundle with a target_shallow graph, and {facts.name} has none", "export it again with scd export"
        )


def settings_of(request: AnimateRequest, bundle: Bundle) -> Settings:
    """With the model's own steps and guidance where none were given."""
    sampling = bundle.facts.sampling
    return Settings(
        steps=request.steps or sampling.steps, guidance=sampling.guidance if request.guidance is None else request.guidance,
        seed=request.seed, sampler=request.sampler, guidance_until=request.guidance_until, guidance_passes=request.guidance_passes,
        reuse=request.reuse,
    )  # fmt: skip


def check(request: AnimateRequest, studio: Studio) -> Clip:
    """Refuse what cannot work, in the order in which it is cheap."""
    check_numbers(request)
    check_paths(request)
    picture = read_image(request.reference, "the reference picture")
    driver = open_driver(request.poses, request.driver_kind)
    span = span_of(request, driver)
    ref_pose = given_reference_pose(request, studio.report)
    bundle = studio.bundle(request.model)
    check_model(request, bundle)
    canvas, box = fit_and_pad(picture, bundle.facts.size, "edge")
    return Clip(request, bundle, driver, ref_pose, picture, canvas, box, span, settings_of(request, bundle))


def input_hashes(clip: Clip, studio: Studio) -> dict[str, str]:
    paths = [clip.request.reference, clip.request.poses] + ([clip.ref_pose.path] if clip.ref_pose else [])
    return {str(path): studio.sha256(path) if path.is_file() else folder_hash(path, studio) for path in paths}


def folder_hash(folder: Path, studio: Studio) -> str:
    return hashlib.sha256("".join(studio.sha256(p) for p in sorted(folder.iterdir()) if p.is_file()).encode()).hexdigest()


def animate(request: AnimateRequest, report: Report, studio: Studio | None = None, wait: bool = False) -> AnimateSummary:
    """Make the clip. The same request and seed give the same frames on one machine. ScdError for what cannot be done.

    An interrupted run leaves a hidden folder beside the output; the next run of the same request goes on from it and ends with the same
    bytes. `studio` serves several clips. `wait` for another process that makes the same output, instead of refusing.
    """
    own = studio or Studio(report)
    seconds: dict[str, float] = {}
    with timed(seconds, "check"):
        clip = check(request, own)
        inputs = input_hashes(clip, own)
        backend = own.backend(request.model, request.providers)
    say(clip, backend, report)
    try:
        with workspace(request.output, wait) as folder:
            check_output(request.output, request.overwrite)  # another process may have made it since
            return make(clip, own, backend, inputs, folder, seconds)
    except (KeyboardInterrupt, SystemExit):
        if workspace_path(request.output).exists():
            report.note(f"interrupted: the same command goes on from what is kept in {workspace_path(request.output)}")
        raise


def make(clip: Clip, studio: Studio, backend: Backend, inputs: dict[str, str], folder: Path, seconds: dict[str, float]) -> AnimateSummary:
    request, report = clip.request, studio.report
    with timed(seconds, "detect"):
        reference = reference_pose(request, clip.ref_pose, clip.picture, studio)
        poses = poses_of(request, clip.driver, clip.span.indices, reference, clip.picture, studio)
    if poses.picture is not None:
        write_png(request.align_path, poses.picture, True)
    pipeline = studio.pipeline(request.model, request.providers)
    settings, span, driver = clip.settings, clip.span, clip.driver
    checkpoint = Checkpoint(folder, state_key(clip, inputs, poses, reference, backend))
    summary = AnimateSummary(
        output=str(request.output), frames=len(span.indices), fps=f"{span.fps.numerator}/{span.fps.denominator}", size=clip.frame_size,
        model=clip.bundle.facts.name, **asdict(settings), driver_kind=driver.kind, reference_pose=reference.source, align=poses.align,
        sound=driver.sound and not request.mute and request.output.suffix.lower() not in PICTURES, backend=backend.name, device="",
        inputs=inputs, seconds=seconds,
    )  # fmt: skip
    Render(clip, poses, reference, pipeline, studio, seconds).run(checkpoint, summary, folder)
    say_times(summary, report)
    return summary


def state_key(clip: Clip, inputs: dict[str, str], poses: Poses, reference: ReferencePose, backend: Backend) -> str:
    """Of all that decides the latents. What was detected and aligned counts by its numbers, not by how it came about."""
    drawn = hashlib.sha256(b"driver" if poses.points is None else np.ascontiguousarray(poses.points).tobytes())
    drawn.update(b"" if reference.points is None else np.ascontiguousarray(reference.points).tobytes())
    facts, span = clip.bundle.facts, clip.span
    parts = [scd_version(), sorted(inputs.values()), sorted(facts.files.items()), asdict(clip.settings), backend.name]
    return json.dumps([*parts, span.indices, str(span.fps), asdict(clip.box), drawn.hexdigest(), poses.size, poses.fit], default=str)


def dry_run(request: AnimateRequest, report: Report) -> dict[str, Any]:
    """Refuse what `animate` would refuse, and say what it would take. Writes nothing."""
    studio = Studio(report)
    clip = check(request, studio)
    backend = studio.backend(request.model, request.providers)
    say(clip, backend, report)
    pipeline, frames = studio.pipeline(request.model, request.providers), len(clip.span.indices)
    return outlook(clip.bundle, backend, clip.settings, pipeline.target_for(frames), pipeline.plan(frames))


def say(clip: Clip, backend: Backend, report: Report) -> None:
    """What is about to be done, for people."""
    request, name, settings, span = clip.request, clip.bundle.facts.name, clip.settings, clip.span
    film = f"{clip.driver.kind}: {len(span.indices)} frames at {float(span.fps):g} fps"
    report.note(f"{film}, model {name}, {settings.steps} steps, guidance {settings.guidance:g}, {backend.name}")
    if request.fps is None and clip.driver.fps is None and len(span.indices) > 1:
        report.note(f"the driver has no frame rate: {STILL_FPS} fps (set it with --fps)")


def say_times(summary: AnimateSummary, report: Report) -> None:
    each = ", ".join(f"{stage} {1000 * seconds / summary.frames:.1f}" for stage, seconds in summary.seconds.items())
    report.note(f"milliseconds a frame: {each}")
