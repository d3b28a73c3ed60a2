"""`scd animate`: the person of one picture in the poses of a driver. Torch-free; everything that can be refused is refused first."""

import hashlib
import json
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from fractions import Fraction
from importlib.metadata import PackageNotFoundError, version
from itertools import islice, repeat
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from engines.core import guidance as cfg
from engines.core.bundle import Bundle
from engines.core.errors import UsageError
from engines.core.report import Report
from engines.generate.backends import Backend
from engines.generate.checkpoint import Checkpoint
from engines.generate.denoise import Settings, runs, target_graphs
from engines.generate.dry_run import outlook
from engines.generate.features import FeatureStore
from engines.generate.finish import finisher, preview_frames, write_preview
from engines.generate.pipeline import Pipeline
from engines.generate.poses import Poses, ReferencePose, given_reference_pose, pose_pictures, poses_of, reference_picture, reference_pose
from engines.generate.request import AnimateRequest, AnimateSummary, check_numbers, check_paths
from engines.generate.studio import Studio
from engines.media.encoding import PICTURES, size_in_file
from engines.media.fit import Box, fit_and_pad, fit_box, unpad
from engines.media.images import read_image, write_png
from engines.media.output import check_output
from engines.media.resample import at_rate, exact_rate
from engines.media.sound import Sound
from engines.media.workspace import workspace, workspace_path
from engines.media.writer import most_fps, open_writer
from engines.pose.drivers import Driver, open_driver

Picture = NDArray[np.uint8]
STILL_FPS = Fraction(25)  # of drivers that have no rate: stills, OpenPose JSON


@contextmanager
def timed(seconds: dict[str, float], stage: str) -> Iterator[None]:
    start = time.monotonic()
    yield
    seconds[stage] = round(seconds.get(stage, 0.0) + time.monotonic() - start, 3)


@dataclass(frozen=True)
class Span:
    """Which frames of the driver are shown, one after the other (rising, some again), at which rate, and where in its sound they begin."""

    indices: list[int]
    fps: Fraction
    start: Fraction

    @property
    def duration(self) -> Fraction:
        return len(self.indices) / self.fps


@dataclass(frozen=True)
class Clip:
    """A checked request: everything opened but the networks."""

    request: AnimateRequest
    bundle: Bundle
    driver: Driver
    ref_pose: Driver | None
    picture: Picture
    canvas: Picture
    box: Box
    span: Span
    settings: Settings

    @property
    def frame_size(self) -> tuple[int, int]:
        """(width, height) of the frames: the reference's place in the model's canvas, or the reference's shape fit into --size."""
        if self.request.size is None:
            return self.box.width, self.box.height
        inner = fit_box((self.picture.shape[1], self.picture.shape[0]), self.request.size)
        return inner.width, inner.height


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
    longest = facts.schedule.train_timesteps
    if request.steps is not None and request.steps > longest:
        raise UsageError(f"--steps {request.steps} is more than the {longest} that the model {facts.name} knows", f"use 1 to {longest}")
    if request.sampler == "lcm" and not facts.sampling.distilled:
        raise UsageError(f"--sampler lcm needs a model distilled for few steps, and {facts.name} is none", "use --sampler dpm++2m")
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


def chunks(pictures: Iterator[Picture], size: int) -> Iterator[Picture]:
    """Blocks (n, H, W, 3) of up to `size` pictures."""
    while block := list(islice(pictures, size)):
        yield np.stack(block)


def input_hashes(clip: Clip, studio: Studio) -> dict[str, str]:
    paths = [clip.request.reference, clip.request.poses] + ([clip.ref_pose.path] if clip.ref_pose else [])
    return {str(path): studio.sha256(path) if path.is_file() else folder_hash(path, studio) for path in paths}


def folder_hash(folder: Path, studio: Studio) -> str:
    return hashlib.sha256("".join(studio.sha256(p) for p in sorted(folder.iterdir()) if p.is_file()).encode()).hexdigest()


def scd_version() -> str:
    try:
        return version("scd-cli")
    except PackageNotFoundError:  # run from a folder that was never installed
        return "unknown"


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
    parts = [scd_version(), sorted(inputs.values()), sorted(facts.files.items()), asdict(clip.settings), backend.name, clip.request.size]
    return json.dumps([*parts, span.indices, str(span.fps), asdict(clip.box), drawn.hexdigest(), poses.size], default=str)


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


@dataclass
class Render:
    """One clip through the networks: reference, pose features, denoising, decoding and writing."""

    clip: Clip
    poses: Poses
    reference: ReferencePose
    pipeline: Pipeline
    studio: Studio
    seconds: dict[str, float]

    def run(self, checkpoint: Checkpoint, summary: AnimateSummary, folder: Path) -> None:
        clip, pipeline, settings = self.clip, self.pipeline, self.clip.settings
        self.read_reference()
        with FeatureStore() as features:
            self.read_poses(features)
            self.loaded(*target_graphs(pipeline.target, settings))
            if clip.request.preview:
                with timed(self.seconds, "preview"):
                    write_preview(clip.request, pipeline, features, settings, self.few_poses(len(features)), clip.canvas)
            latents = self.denoise(features, checkpoint, summary)
        summary.device = pipeline.device
        self.done_with(*target_graphs(pipeline.target, settings))
        self.loaded("decoder")
        self.write(latents, summary, folder)
        self.done_with("decoder")

    def loaded(self, *names: str) -> None:
        with timed(self.seconds, "load"):
            self.pipeline.load(*names)

    def done_with(self, *names: str) -> None:
        """Give memory back, where no other clip follows."""
        if not self.studio.lasting:
            self.pipeline.drop(*names)

    def placed(self) -> Iterator[Picture]:
        """The pose pictures of all frames, at the model's size."""
        return pose_pictures(self.poses, self.clip.span.indices, self.clip.box, self.clip.bundle.facts.size)

    def few_poses(self, count: int) -> list[Picture]:
        """The pose pictures that a preview shows."""
        indices = [self.clip.span.indices[number] for number in preview_frames(count)]
        return list(pose_pictures(self.poses, indices, self.clip.box, self.clip.bundle.facts.size))

    def read_reference(self) -> None:
        """Encode the reference and leave its K/V in the target session: once a clip, or once for all clips of a lasting studio."""
        clip, pipeline, settings = self.clip, self.pipeline, self.clip.settings
        size = (clip.picture.shape[1], clip.picture.shape[0])
        pose = reference_picture(self.reference, size, clip.box, clip.bundle.facts.size)
        self.loaded("pose")
        pipeline.target = pipeline.target_for(len(clip.span.indices))
        if not self.studio.lasting:
            latents = self.encoded()
            with timed(self.seconds, "reference"):
                pipeline.read_reference(latents, pose[None], settings)
            return self.done_with("encoder", "reference")
        conditions = cfg.conditions(settings.guidance)
        shown = hashlib.sha256(clip.canvas.tobytes() + pose.tobytes()).digest()
        key = (clip.request.model, clip.request.providers, shown, conditions)
        kv = self.studio.references.get(key, lambda: pipeline.reference_kv(self.encoded(), pose[None], conditions))
        with timed(self.seconds, "reference"):
            pipeline.set_reference(kv)

    def encoded(self) -> NDArray[np.float32]:
        self.loaded("encoder", "reference")
        with timed(self.seconds, "encode"):
            return self.pipeline.encode(self.clip.canvas[None])

    def read_poses(self, features: FeatureStore) -> None:
        pipeline, count = self.pipeline, len(self.clip.span.indices)
        with timed(self.seconds, "pose"), self.studio.report.stage("read poses", count) as bar:
            for block in chunks(self.placed(), pipeline.pictures_at_once):
                features.append(pipeline.pose_features(block))
                bar.advance(len(block))
        self.done_with("pose")

    def denoise(self, features: FeatureStore, checkpoint: Checkpoint, summary: AnimateSummary) -> NDArray[np.float32]:
        pipeline, settings = self.pipeline, self.clip.settings
        windows = len(pipeline.plan(len(features)))
        done, total = runs(settings, windows, checkpoint.state.done), runs(settings, windows)
        stage = self.studio.report.stage("denoise (windows x steps)", total, done)
        with timed(self.seconds, "denoise"), stage as bar:
            latents = pipeline.denoise(features, settings, lambda: bar.advance(1), checkpoint)
        summary.resumed = done + checkpoint.found
        if summary.resumed:
            self.studio.report.note(f"an interrupted run had made {summary.resumed} of the {total} windows x steps")
        return latents

    def write(self, latents: NDArray[np.float32], summary: AnimateSummary, folder: Path) -> None:
        clip, request, span = self.clip, self.clip.request, self.clip.span
        finish = finisher(request, clip.picture, clip.frame_size, self.studio)
        sound = Sound(clip.driver.path, span.start, span.duration) if summary.sound else None
        summary.size = size_in_file(request.output, finish.size, request.encoding)
        facts = metadata(summary)
        writer = open_writer(
            request.output,
            span.fps,
            finish.size,
            request.overwrite,
            encoding=request.encoding,
            sound=sound,
            metadata=facts,
            workspace=folder,
        )
        stage = self.studio.report.stage("decode and write", len(latents))
        with timed(self.seconds, "decode and write"), stage as bar, writer as sink:
            poses = self.placed() if finish.wants_pose else repeat(None)
            for picture, pose in zip(self.pipeline.decode(latents), poses, strict=False):
                sink.write(finish(self.in_frame(picture), None if pose is None else self.in_frame(pose)))
                bar.advance(1)
        for warning in sink.warnings:
            self.studio.report.warn(warning)

    def in_frame(self, canvas: Picture) -> Picture:
        """What of the model's canvas the file shows, at the file's size."""
        return unpad(canvas, self.clip.box, self.clip.frame_size)


def metadata(summary: AnimateSummary) -> dict[str, str]:
    """What the file says of itself: nothing of the place or the time, so that the same clip has the same bytes."""
    said = {
        name: value for name, value in summary.to_json().items() if name not in ("output", "seconds", "inputs", "resumed", "device", "size")
    }
    said["reference_pose"] = Path(summary.reference_pose).name
    said["inputs"] = {Path(path).name: digest for path, digest in summary.inputs.items()}
    said["scd"] = scd_version()
    return {"model": summary.model, "seed": str(summary.seed), "settings": json.dumps(said)}
