"""`scd animate`: the person of one picture in the poses of a driver. Torch-free; everything that can be refused is refused first."""

import hashlib
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from fractions import Fraction
from itertools import islice
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from engines.core.bundle import Bundle, read_bundle, resolve_model, sha256
from engines.core.errors import ScdError, UsageError
from engines.core.report import Report
from engines.core.samplers import SAMPLERS
from engines.generate.backends import Backend, choose
from engines.generate.denoise import Settings, runs, target_graphs
from engines.generate.dry_run import outlook
from engines.generate.features import FeatureStore
from engines.generate.pipeline import Pipeline, pipeline_on
from engines.media.fit import Box, fit_and_pad, fit_box, unpad
from engines.media.images import read_image
from engines.media.output import check_output
from engines.media.resample import exact_rate, resampled
from engines.media.writer import CODECS, check_format, most_fps, open_writer
from engines.pose.drivers import Driver, Kind, open_driver

Picture = NDArray[np.uint8]
STILL_FPS = Fraction(25)  # of drivers that have no rate: stills, OpenPose JSON
MAX_SIDE = 8192


@dataclass(frozen=True, kw_only=True)
class AnimateRequest:
    """What the user asked for; None leaves a choice to the model or the driver. `frames` is a range of driver frames, end excluded.

    `sampler` to `reuse` are Settings of engines.generate.denoise; `providers` as in engines.generate.backends.choose.
    """

    reference: Path
    poses: Path
    output: Path
    model: str
    steps: int | None = None
    guidance: float | None = None
    seed: int = 0
    sampler: str = "ddim"
    guidance_until: float = 1.0
    guidance_passes: Literal[1, 2] = 1
    reuse: int = 1
    frames: tuple[int | None, int | None] = (None, None)
    fps: Fraction | None = None
    size: tuple[int, int] | None = None
    providers: tuple[str, ...] = ()
    ref_pose: Path | None = None
    driver_kind: Kind | None = None
    overwrite: bool = False


@dataclass
class AnimateSummary:
    """What was made, for people and for --json. `seconds` by stage; `inputs` are sha256 by path."""

    output: str
    frames: int
    fps: str
    size: tuple[int, int]
    model: str
    steps: int
    guidance: float
    seed: int
    sampler: str
    guidance_until: float
    guidance_passes: int
    reuse: int
    driver_kind: str
    reference_pose: str
    backend: str
    device: str
    inputs: dict[str, str]
    seconds: dict[str, float] = field(default_factory=dict)

    def to_json(self) -> dict[str, Any]:
        return asdict(self)


@contextmanager
def timed(seconds: dict[str, float], stage: str) -> Iterator[None]:
    start = time.monotonic()
    yield
    seconds[stage] = round(seconds.get(stage, 0.0) + time.monotonic() - start, 3)


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


def check_numbers(request: AnimateRequest) -> None:
    if request.steps is not None and not 1 <= request.steps <= 1000:
        raise UsageError(f"--steps {request.steps} is not possible", "use 1 to 1000")
    if request.size is not None and not all(16 <= side <= MAX_SIDE for side in request.size):
        raise UsageError(f"--size {request.size[0]}x{request.size[1]} is not possible", f"use 16 to {MAX_SIDE} pixels a side")
    if request.fps is not None and not 0 < request.fps <= 240:
        raise UsageError(f"--fps {request.fps} is not possible", "use a rate above 0 and up to 240")
    if request.guidance is not None and not 0 <= request.guidance <= 30:
        raise UsageError(f"--guidance {request.guidance} is not possible", "use 0 to 30")
    if not 0 <= request.guidance_until <= 1:
        raise UsageError(f"--guidance-until {request.guidance_until} is not possible", "use a share of the steps, 0 to 1")
    if request.guidance_passes not in (1, 2) or request.reuse < 1:
        raise UsageError("--guidance-passes must be 1 or 2, and --reuse at least 1", "leave them out for the exact, fastest way")
    if request.sampler not in SAMPLERS:
        raise UsageError(f"there is no sampler {request.sampler}", f"use --sampler with one of: {', '.join(SAMPLERS)}")


def check_paths(request: AnimateRequest) -> None:
    """The output can be written, and is none of the inputs (--overwrite would destroy it)."""
    check_format(request.output)
    for path in (request.reference, request.poses, request.ref_pose):
        if path is not None and path.exists() and request.output.exists() and path.samefile(request.output):
            raise UsageError(f"the output {request.output} is also an input", "name another with -o")
    check_output(request.output, request.overwrite)


BESIDE = (".npz", ".json", "_keypoints.json", "_pose.png")


def reference_pose(request: AnimateRequest, report: Report) -> Driver | None:
    """From --ref-pose, or from a keypoint or skeleton file beside the reference with its name; None where there is neither."""
    if request.ref_pose is not None:
        if not request.ref_pose.exists():
            raise ScdError(f"the reference's pose {request.ref_pose} does not exist", "check the path given with --ref-pose")
        return open_driver(request.ref_pose, name="the reference's pose")
    candidates = [request.reference.with_name(request.reference.stem + ending) for ending in BESIDE]
    for path in (candidate for candidate in candidates if candidate.is_file()):
        try:
            return open_driver(path)
        except ScdError as error:  # nobody asked for this file: it may be something else of the same name
            report.warn(f"{path} lies beside the reference but is no pose: {error.message}")
    return None


def embedded(picture: Picture, box: Box, canvas: tuple[int, int]) -> Picture:
    """A pose picture of the box's size on a black canvas."""
    out = np.zeros((canvas[1], canvas[0], 3), np.uint8)
    out[box.top : box.top + box.height, box.left : box.left + box.width] = picture
    return out


def pose_pictures(driver: Driver, indices: list[int], box: Box, canvas: tuple[int, int]) -> Iterator[Picture]:
    """The driver's pictures for these (rising) frame numbers, in the reference's box; a frame may be used again."""
    first, wanted = indices[0], iter(indices)
    number = next(wanted, None)
    for index, picture in enumerate(driver.pictures(first, indices[-1] + 1, (box.width, box.height)), first):
        placed = embedded(picture, box, canvas)
        while number == index:
            yield placed
            number = next(wanted, None)
    if number is not None:
        raise ScdError(f"the driver {driver.path} ends before its frame {number}", f"use --frames {first}:{number}")


def chunks(pictures: Iterator[Picture], size: int) -> Iterator[Picture]:
    """Blocks (n, H, W, 3) of up to `size` pictures."""
    while block := list(islice(pictures, size)):
        yield np.stack(block)


@dataclass(frozen=True)
class Job:
    """A checked request: everything opened but the model's graphs."""

    request: AnimateRequest
    bundle: Bundle
    driver: Driver
    ref_pose: Driver | None
    canvas: Picture
    box: Box
    indices: list[int]
    fps: Fraction
    output_size: tuple[int, int]


def written_size(request: AnimateRequest, picture: Picture, box: Box) -> tuple[int, int]:
    """(width, height) of the frames: the reference's place in the model's canvas, or the reference's shape fit into --size."""
    if request.size is None:
        return box.width, box.height
    inner = fit_box((picture.shape[1], picture.shape[0]), request.size)
    return inner.width, inner.height


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


def check(request: AnimateRequest, report: Report) -> Job:
    """Refuse what cannot work, in the order in which it is cheap."""
    check_numbers(request)
    check_paths(request)
    picture = read_image(request.reference, "the reference picture")
    driver = open_driver(request.poses, request.driver_kind)
    start, stop = frame_range(request.frames, driver)
    ref_pose = reference_pose(request, report)
    bundle = read_bundle(resolve_model(request.model))
    check_model(request, bundle)
    canvas, box = fit_and_pad(picture, bundle.facts.size, "edge")
    fps = min(exact_rate(request.fps or driver.fps or STILL_FPS), most_fps(request.output))
    indices = list(range(start, stop))
    if driver.fps is not None and fps != exact_rate(driver.fps):
        indices = [start + i for i in resampled(stop - start, driver.fps, fps)]
    return Job(request, bundle, driver, ref_pose, canvas, box, indices, fps, written_size(request, picture, box))


def read_reference(job: Job, pipeline: Pipeline, settings: Settings, seconds: dict[str, float]) -> None:
    """Encode the reference and leave its K/V in the target session: once a clip."""
    size = job.bundle.facts.size
    pose = np.zeros_like(job.canvas)
    if job.ref_pose is not None:
        pose = next(pose_pictures(job.ref_pose, [0], job.box, size))
    with timed(seconds, "load"):
        pipeline.load("encoder", "pose", "reference")
    with timed(seconds, "encode"):
        latents = pipeline.encode(job.canvas[None])
    with timed(seconds, "reference"):
        pipeline.read_reference(latents, pose[None], settings)
    pipeline.target = pipeline.target_for(len(job.indices))
    with timed(seconds, "load"):
        pipeline.drop("encoder", "reference")
        pipeline.load(*target_graphs(pipeline.target, settings))


def input_hashes(job: Job) -> dict[str, str]:
    paths = [job.request.reference, job.request.poses] + ([job.ref_pose.path] if job.ref_pose else [])
    return {str(path): sha256(path) if path.is_file() else folder_hash(path) for path in paths}


def folder_hash(folder: Path) -> str:
    return hashlib.sha256("".join(sha256(p) for p in sorted(folder.glob("*.json"))).encode()).hexdigest()


def animate(request: AnimateRequest, report: Report) -> AnimateSummary:
    """Make the clip. The same request and seed give the same frames on one machine. ScdError for what cannot be done."""
    seconds: dict[str, float] = {}
    with timed(seconds, "check"):
        job = check(request, report)
        inputs = input_hashes(job)
        backend = choose(job.bundle, request.providers, report)
    settings, facts = settings_of(request, job.bundle), job.bundle.facts
    say(job, settings, backend, report)
    pipeline = pipeline_on(job.bundle, backend)
    with FeatureStore() as features:
        device = render(job, pipeline, features, settings, seconds, report)
    fps = f"{job.fps.numerator}/{job.fps.denominator}"
    pose = "none" if job.ref_pose is None else str(job.ref_pose.path)
    return AnimateSummary(
        output=str(request.output), frames=len(job.indices), fps=fps, size=size_in_file(job), model=facts.name, **asdict(settings),
        driver_kind=job.driver.kind, reference_pose=pose, backend=backend.name, device=device, inputs=inputs, seconds=seconds,
    )  # fmt: skip


def dry_run(request: AnimateRequest, report: Report) -> dict[str, Any]:
    """Refuse what `animate` would refuse, and say what it would take. Writes nothing."""
    job = check(request, report)
    backend, settings = choose(job.bundle, request.providers, report), settings_of(request, job.bundle)
    say(job, settings, backend, report)
    pipeline, frames = pipeline_on(job.bundle, backend), len(job.indices)
    return outlook(job.bundle, backend, settings, pipeline.target_for(frames), pipeline.plan(frames))


def say(job: Job, settings: Settings, backend: Backend, report: Report) -> None:
    """What is about to be done, for people."""
    request, name, steps = job.request, job.bundle.facts.name, settings.steps
    clip = f"{job.driver.kind}: {len(job.indices)} frames at {float(job.fps):g} fps"
    report.note(f"{clip}, model {name}, {steps} steps, guidance {settings.guidance:g}, {backend.name}")
    if request.fps is None and job.driver.fps is None and len(job.indices) > 1:
        report.note(f"the driver has no frame rate: {STILL_FPS} fps (set it with --fps)")
    if job.ref_pose is None:
        report.note("no pose of the reference given (--ref-pose or a keypoint file beside it): the model reads the picture alone")


def size_in_file(job: Job) -> tuple[int, int]:
    """The frames' size as the file has it: the writer pads odd sides of 4:2:0 video by one pixel."""
    width, height = job.output_size
    return (width + width % 2, height + height % 2) if job.request.output.suffix.lower() in CODECS else job.output_size


def render(job: Job, pipeline: Pipeline, features: FeatureStore, settings: Settings, seconds: dict[str, float], report: Report) -> str:
    """Reference, pose features, denoising, decoding and writing. Returns where the target graph computed."""
    request = job.request
    read_reference(job, pipeline, settings, seconds)
    with timed(seconds, "pose"), report.stage("read poses", len(job.indices)) as bar:
        pictures = pose_pictures(job.driver, job.indices, job.box, job.bundle.facts.size)
        for block in chunks(pictures, pipeline.pictures_at_once):
            features.append(pipeline.pose_features(block))
            bar.advance(len(block))
    pipeline.drop("pose")
    total = runs(settings, len(pipeline.plan(len(features))))
    with timed(seconds, "denoise"), report.stage("denoise (windows x steps)", total) as bar:
        latents = pipeline.denoise(features, settings, lambda: bar.advance(1))
    device = pipeline.device
    with timed(seconds, "load"):
        pipeline.drop(*target_graphs(pipeline.target, settings))
        pipeline.load("decoder")
    writer = open_writer(request.output, job.fps, job.output_size, request.overwrite)
    with timed(seconds, "decode and write"), report.stage("decode and write", len(latents)) as bar, writer as sink:
        for picture in pipeline.decode(latents):
            sink.write(unpad(picture, job.box, job.output_size))
            bar.advance(1)
    pipeline.close()
    return device
