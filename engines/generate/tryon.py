"""`scd tryon`: one person, one garment: cut out, repaint inside the mask, paste back. No torch."""

import hashlib
import json
import os
import tempfile
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from engines.core import guidance as cfg
from engines.core.bundle import Bundle
from engines.core.errors import ScdError, UsageError
from engines.core.report import Report
from engines.core.sampler import skipped
from engines.generate.backends import Backend
from engines.generate.denoise import Settings, runs
from engines.generate.known import Known, latent_mask, without
from engines.generate.masking import FoundMask, check_no_input, check_pose, find_mask, pose_points
from engines.generate.model_checks import check_sampling, check_task
from engines.generate.pipeline import Pipeline
from engines.generate.render import scd_version, timed
from engines.generate.studio import Studio
from engines.generate.tryon_request import TryonRequest, TryonSummary
from engines.media.crop import MARGIN, Window, window_around
from engines.media.fit import Box, fit_and_pad, place, unpad
from engines.media.images import read_image, write_mask
from engines.media.output import check_output
from engines.media.paste import pasted
from engines.media.photo import EXACT, Photo, check_ending, read_photo, write_photo
from engines.media.together import put, take_back
from engines.media.workspace import workspace, workspace_path
from engines.pose.draw import DrawStyle, draw_pose
from engines.pose.garment import Points
from engines.pose.laid import shown

Picture = NDArray[np.uint8]
MOST_SAMPLES = 64


@dataclass(frozen=True)
class Fitting:
    """A checked request, everything opened but the networks: the photo, the mask and the person's `points` (133, 3) in its pixels, None
    where they are not known, the window of it that the network sees as `canvas` (H, W, 3) with the window's content in `box`, the mask
    there as `hole` (H, W), the garment at the model's size, and the `strength` to sample with: below 1 from the garment, which is laid."""

    request: TryonRequest
    bundle: Bundle
    settings: Settings
    photo: Photo
    found: FoundMask
    points: Points | None
    window: Window
    canvas: Picture
    box: Box
    hole: NDArray[np.bool_]
    garment: Picture
    strength: float

    def pose_picture(self) -> Picture:
        """The person's skeleton at the model's size, black where it is not known."""
        size = self.bundle.facts.size
        if self.points is None:
            return np.zeros((size[1], size[0], 3), np.uint8)
        return draw_pose(self.window.moved(self.points[None]), self.window.size, size, DrawStyle())


def check_request(request: TryonRequest) -> None:
    """What can be refused without opening a picture."""
    if not 1 <= request.samples <= MOST_SAMPLES:
        raise UsageError(f"--samples {request.samples} is not possible", f"use 1 to {MOST_SAMPLES}")
    if request.guidance is not None and not 0 <= request.guidance <= 30:
        raise UsageError(f"--guidance {request.guidance} is not possible", "use 0 to 30")
    if request.mask.grow is not None and request.mask.grow < 0:
        raise UsageError(f"--mask-grow {request.mask.grow} is not possible", "use 0 or more pixels")
    written = [*request.outputs, request.mask_path]
    check_no_input(written, request.inputs)
    if len({path.absolute() for path in written}) < len(written):
        raise UsageError(f"the mask {request.mask_path} would replace the result", "name another with --mask-out")
    for output in request.outputs:
        check_ending(output)
    if request.mask_path.suffix.lower() != ".png":
        raise UsageError(f"the mask {request.mask_path} is no .png", "name one with --mask-out")
    for output in request.outputs:
        check_output(output, request.overwrite)
    try:
        check_output(request.mask_path, request.overwrite)
    except ScdError as error:
        raise ScdError(error.message, str(error.hint).replace("another with -o", "another with --mask-out")) from error


def settings_of(request: TryonRequest, bundle: Bundle) -> Settings:
    """With the model's own steps and guidance where none were given."""
    sampling = bundle.facts.sampling
    guidance = sampling.guidance if request.guidance is None else request.guidance
    return Settings(steps=request.steps or sampling.steps, guidance=guidance, seed=request.seed, sampler=request.sampler)


def check(request: TryonRequest, studio: Studio, seconds: dict[str, float]) -> Fitting:
    """Refuse what cannot work, in the order in which it is cheap."""
    check_request(request)
    photo = read_photo(request.person, "the picture of the person")
    garment = read_image(request.garment, "the picture of the garment")
    bundle = studio.bundle(request.model)
    check_task(bundle, "tryon")
    check_sampling(bundle, request.steps, request.sampler)
    with timed(seconds, "mask"):
        found = find_mask(photo.seen, request.person, request.mask, studio)
        points = points_of(found, photo, request, studio)
    size = bundle.facts.size
    window = window_around(found.mask, size, MARGIN)
    canvas, box = fit_and_pad(np.ascontiguousarray(photo.seen[window.place]), size, "edge")
    white = np.repeat(np.where(found.mask[window.place], 255, 0).astype(np.uint8)[..., None], 3, axis=2)
    hole = place(white, box, size, "black")[..., 0] > 0
    inside = None if points is None else window.moved(points)
    seen, lies = shown(garment, bundle.facts.laid, inside, window.size, without(canvas, hole), hole, request.mask.category)
    settings = settings_of(request, bundle)
    strength = bundle.facts.sampling.strength if lies and settings.guidance else 1.0  # without the garment nothing starts from it
    return Fitting(request, bundle, settings, photo, found, points, window, canvas, box, hole, seen, strength)


def points_of(found: FoundMask, photo: Photo, request: TryonRequest, studio: Studio) -> Points | None:
    """The person's pose, which is looked for where the mask did without it, and then tells of the mask what only a pose does."""
    if found.points is not None or found.looked:
        return found.points
    points = pose_points(photo.seen, request.mask, request.person, studio)
    if points is not None:
        check_pose(found, points, request.person, request.mask, studio.report)
    return points


def tryon(request: TryonRequest, report: Report, studio: Studio | None = None, wait: bool = False) -> TryonSummary:
    """Dress the person of one picture in the garment of another, and save the mask that was used.

    Outside the mask the result has the photo's pixels, bit for bit. The same request and seed give the same pixels on one machine.
    `studio` serves several pairs: networks stay loaded, and a garment that comes again is not read again. ScdError for what cannot be
    done; Taken, or with `wait` waiting, while another process makes the same output.
    """
    own = studio or Studio(report)
    seconds: dict[str, float] = {}
    make_way(request, wait)
    with timed(seconds, "check"):
        fitting = check(request, own, seconds)
        backend = own.backend(request.model, request.providers)
    say(fitting, backend, report)
    with workspace(request.output, wait) as folder:
        check_output(request.output, request.overwrite)  # another process may have made it since
        summary = make(fitting, own, backend, folder, seconds)
    each = ", ".join(f"{stage} {spent:.2f}" for stage, spent in seconds.items())
    report.note(f"seconds: {each}")
    return summary


def make_way(request: TryonRequest, wait: bool) -> None:
    """Take away the mask and the samples of a try-on that was killed before its result stood: a try-on is made again as a whole.

    Taken, or with `wait` waiting, while another process makes it: that one's mask is no file in the way.
    """
    if workspace_path(request.output).is_dir():
        with workspace(request.output, wait) as folder:
            if not os.path.lexists(request.output):
                take_back(folder, keep=request.inputs)


def say(fitting: Fitting, backend: Backend, report: Report) -> None:
    facts, settings, found = fitting.bundle.facts, fitting.settings, fitting.found
    share = f"{found.mask.mean():.0%} of the picture, {found.how}"
    left_out = skipped(settings.steps, fitting.strength)
    steps = f"the last {settings.steps - left_out} of {settings.steps}" if left_out else f"{settings.steps}"
    report.note(f"mask: {share}; model {facts.name}, {steps} steps, guidance {settings.guidance:g}, {backend.name}")
    if fitting.request.output.suffix.lower() not in EXACT:
        report.note(f"{fitting.request.output.name} is a JPEG, which changes all pixels a little; .png and .webp keep them")


def make(fitting: Fitting, studio: Studio, backend: Backend, folder: Path, seconds: dict[str, float]) -> TryonSummary:
    request, settings = fitting.request, fitting.settings
    pipeline = studio.pipeline(request.model, request.providers)
    with timed(seconds, "garment"):
        read_garment(fitting, pipeline, studio)
    latents = denoised(fitting, fitting.pose_picture(), pipeline, studio, seconds)
    height, width = fitting.photo.rgb.shape[:2]
    summary = TryonSummary(
        output=str(request.output), outputs=[str(path) for path in request.outputs], mask_file=str(request.mask_path),
        mask=fitting.found.how, mask_share=round(float(fitting.found.mask.mean()), 4), category=request.mask.category, size=(width, height),
        model=fitting.bundle.facts.name, steps=settings.steps, guidance=settings.guidance, strength=fitting.strength, seed=settings.seed,
        sampler=settings.sampler, backend=backend.name, device=pipeline.device, seconds=seconds,
        inputs={str(path): studio.sha256(path) for path in request.inputs},
    )  # fmt: skip
    with timed(seconds, "decode and write"):
        write(fitting, pipeline, latents, summary, folder)
    if not studio.lasting:
        studio.close()
    return summary


def read_garment(fitting: Fitting, pipeline: Pipeline, studio: Studio) -> None:
    """Leave the garment's K/V in the target session: read once, however many people wear it. It has no pose."""
    conditions = cfg.conditions(fitting.settings.guidance)
    black = np.zeros_like(fitting.garment)[None]
    shown = hashlib.sha256(fitting.garment.tobytes()).digest()
    key = (fitting.request.model, fitting.request.providers, shown, conditions, "garment")
    pipeline.target = pipeline.target_for(1)
    garment = fitting.garment[None]
    pipeline.set_reference(studio.kv.get(key, lambda: pipeline.reference_kv(pipeline.encode(garment), black, conditions, garment)))


def denoised(fitting: Fitting, pose: Picture, pipeline: Pipeline, studio: Studio, seconds: dict[str, float]) -> NDArray[np.float32]:
    """Latents (samples, C, h, w), the known part in its place."""
    settings, samples = fitting.settings, fitting.request.samples
    start = None
    with timed(seconds, "encode"):
        known = Known(
            pipeline.encode(without(fitting.canvas, fitting.hole)[None])[0],
            latent_mask(fitting.hole, fitting.bundle.facts.latents.downscale),
        )
        features = np.repeat(pipeline.pose_features(pose[None]), samples, axis=0)
        if fitting.strength < 1:
            start = np.repeat(pipeline.encode(fitting.garment[None]), samples, axis=0)
    windows, left_out = len(pipeline.plan(samples)), skipped(settings.steps, fitting.strength)
    stage = studio.report.stage("denoise (samples x steps)", runs(settings, windows) - runs(settings, windows, left_out))
    with timed(seconds, "denoise"), stage as bar:
        return pipeline.denoise(features, settings, lambda: bar.advance(1), known=known, start=start, strength=fitting.strength)


def write(fitting: Fitting, pipeline: Pipeline, latents: NDArray[np.float32], summary: TryonSummary, folder: Path) -> None:
    """The mask, and the pictures from the last sample to the first: once `output` is there, all is. In `folder` until all are made."""
    request, photo, window = fitting.request, fitting.photo, fitting.window
    said, ready = metadata(summary), {}
    with tempfile.TemporaryDirectory(dir=folder) as made:
        for number, (path, canvas) in enumerate(zip(request.outputs, pipeline.decode(latents), strict=True), 1):
            content = unpad(canvas, fitting.box, (window.width, window.height))
            result = photo.repainted(pasted(photo.rgb, content, window, fitting.found.mask))
            ready[path] = Path(made) / f"{number}{path.suffix}"
            write_photo(ready[path], result, False, said | {"sample": str(number)})
        ready[request.mask_path] = Path(made) / "mask.png"
        write_mask(ready[request.mask_path], fitting.found.mask, False)
        put(dict(reversed(ready.items())), request.overwrite, folder)


def metadata(summary: TryonSummary) -> dict[str, str]:
    """What the file says of itself: nothing of the place or the time, so that the same request has the same bytes."""
    hidden = ("output", "outputs", "mask_file", "inputs", "seconds", "device")
    said = {name: value for name, value in summary.to_json().items() if name not in hidden}
    said |= {"inputs": {Path(path).name: digest for path, digest in summary.inputs.items()}, "scd": scd_version()}
    return {"model": summary.model, "seed": str(summary.seed), "settings": json.dumps(said)}
