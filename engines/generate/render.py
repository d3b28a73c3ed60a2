"""One clip through the networks, from the reference to the file."""

import hashlib
import json
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from itertools import islice, repeat
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from engines.core import guidance as cfg
from engines.generate.checkpoint import Checkpoint
from engines.generate.clip import Clip
from engines.generate.denoise import runs, target_graphs
from engines.generate.features import FeatureStore
from engines.generate.finish import finisher, preview_frames, write_preview
from engines.generate.pipeline import Pipeline
from engines.generate.poses import Poses, ReferencePose, pose_pictures, reference_picture
from engines.generate.request import AnimateSummary
from engines.generate.studio import Studio
from engines.media.encoding import size_in_file
from engines.media.fit import unpad
from engines.media.sound import Sound
from engines.media.writer import open_writer

Picture = NDArray[np.uint8]


@contextmanager
def timed(seconds: dict[str, float], stage: str) -> Iterator[None]:
    start = time.monotonic()
    yield
    seconds[stage] = round(seconds.get(stage, 0.0) + time.monotonic() - start, 3)


def chunks(pictures: Iterator[Picture], size: int) -> Iterator[Picture]:
    """Blocks (n, H, W, 3) of up to `size` pictures."""
    while block := list(islice(pictures, size)):
        yield np.stack(block)


def scd_version() -> str:
    try:
        return version("scd-cli")
    except PackageNotFoundError:  # run from a folder that was never installed
        return "unknown"


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
                pipeline.read_reference(latents, pose[None], settings, clip.picture[None])
            return self.done_with("encoder", "picture", "reference")
        conditions = cfg.conditions(settings.guidance)
        shown = hashlib.sha256(clip.canvas.tobytes() + pose.tobytes()).digest()
        key = (clip.request.model, clip.request.providers, shown, conditions)
        kv = self.studio.kv.get(key, lambda: pipeline.reference_kv(self.encoded(), pose[None], conditions, clip.picture[None]))
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
