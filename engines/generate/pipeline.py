"""The SCD pipeline over five sessions: encode, read the reference once, denoise in windows, decode. No torch, no files.

It runs on any Session: onnxruntime from a bundle, or torch modules in the bench and in tests.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from engines.core import guidance as cfg
from engines.core.bundle import Bundle, LatentSpec, WindowSpec
from engines.core.sampler import ddim_sample, frame_noise
from engines.core.schedule import NoiseSchedule
from engines.core.windows import Window, windows
from engines.sessions.base import Session

Pictures = NDArray[np.uint8]
Latents = NDArray[np.float32]
PICTURES_AT_ONCE = 4  # through the pose encoder or the decoder


class Features(Protocol):
    """Pose features (F, D, h, w) that can be cut along F: an array, or a store on disk."""

    def __len__(self) -> int: ...
    def __getitem__(self, place: slice, /) -> NDArray[Any]: ...


@dataclass(frozen=True)
class PipelineSpec:
    """What the pipeline must know of the model: picture size (width, height), latents, windows, schedule, and how much of their
    initial noise the frames share."""

    size: tuple[int, int]
    latents: LatentSpec
    window: WindowSpec
    schedule: NoiseSchedule
    shared_noise: float

    @property
    def latent_shape(self) -> tuple[int, int, int]:
        """(C, h, w)."""
        return self.latents.channels, self.size[1] // self.latents.downscale, self.size[0] // self.latents.downscale


def unit(pictures: Pictures) -> NDArray[np.float32]:
    """uint8 (n, H, W, 3) -> float32 (n, 3, H, W) in [0, 1]."""
    return np.ascontiguousarray(pictures.transpose(0, 3, 1, 2), np.float32) / 255.0


def pictures_of(images: NDArray[np.float32]) -> Pictures:
    """float32 (n, 3, H, W) about [-1, 1] -> uint8 (n, H, W, 3)."""
    scaled = (np.clip(images, -1, 1) + 1) * 127.5
    return scaled.round().astype(np.uint8).transpose(0, 2, 3, 1)


class Pipeline:
    """`sessions` by graph name: encoder, pose, reference, target, decoder."""

    def __init__(self, spec: PipelineSpec, sessions: Mapping[str, Session]) -> None:
        self.spec, self.sessions = spec, sessions

    @property
    def device(self) -> str:
        """Where the target graph computes."""
        return self.sessions["target"].device

    def encode(self, pictures: Pictures) -> Latents:
        """uint8 (n, H, W, 3) at the model's size -> latents (n, C, h, w)."""
        latents: Latents = self.sessions["encoder"].run({"image": unit(pictures) * 2 - 1})["latents"]
        return latents

    def pose_features(self, pictures: Pictures) -> NDArray[np.float32]:
        """Pose pictures uint8 (n, H, W, 3) -> features (n, D, h, w)."""
        features: NDArray[np.float32] = self.sessions["pose"].run({"pose": unit(pictures)})["pose_features"]
        return features

    def reference_kv(self, latents: Latents, pose_picture: Pictures, conditions: int) -> dict[str, NDArray[np.float32]]:
        """K/V of every site from one reference: latents (1, C, h, w), pose picture (1, H, W, 3).

        With two conditions the second is the null reference: zero latents and a black pose picture.
        """
        features = self.pose_features(pose_picture)
        if conditions == 2:
            latents = np.concatenate([latents, np.zeros_like(latents)])
            features = np.concatenate([features, self.pose_features(np.zeros_like(pose_picture))])
        return self.sessions["reference"].run({"ref_latents": latents, "ref_pose_features": features})

    def set_reference(self, kv: Mapping[str, NDArray[Any]]) -> None:
        """Pin the reference's K/V for all steps, windows and frames that follow."""
        self.sessions["target"].pin(kv)

    def plan(self, frames: int) -> list[Window]:
        return windows(frames, self.spec.window.default, self.spec.window.overlap)

    def denoise(self, features: "Features", steps: int, guidance: float, seed: int, on_window: Callable[[], None]) -> Latents:
        """Latents (F, C, h, w) for pose features (F, D, h, w): each DDIM step predicts window by window, blends, and steps all frames."""
        plan = self.plan(len(features))

        def predict(latents: Latents, timestep: int) -> Latents:
            blended = np.zeros_like(latents)
            for window in plan:
                place = slice(window.start, window.stop)
                weights = window.weights[:, None, None, None]
                blended[place] += weights * self.predict(latents[place], timestep, features[place], guidance)
                on_window()
            return blended

        spec = self.spec  # the noise has no name here: ddim_sample works in its place
        return ddim_sample(predict, frame_noise(spec.latent_shape, len(features), seed, spec.shared_noise), spec.schedule, steps)

    def predict(self, latents: Latents, timestep: int, features: NDArray[Any], guidance: float) -> Latents:
        """One guided prediction for a window: latents (f, C, h, w) -> (f, C, h, w)."""
        feeds = {"latents": latents, "timestep": np.array([timestep], np.float32), "pose_features": np.asarray(features, np.float32)}
        return cfg.guide(self.sessions["target"].run(feeds)["prediction"], guidance)

    def decode(self, latents: Latents) -> Iterator[Pictures]:
        """Pictures uint8 (H, W, 3), one after the other, decoded a few at a time."""
        for start in range(0, len(latents), PICTURES_AT_ONCE):
            yield from pictures_of(self.sessions["decoder"].run({"latents": latents[start : start + PICTURES_AT_ONCE]})["image"])

    def close(self) -> None:
        for session in self.sessions.values():
            session.close()


def open_pipeline(bundle: Bundle, providers: Sequence[str]) -> Pipeline:
    """The pipeline of a bundle on onnxruntime."""
    from engines.sessions.onnxruntime_session import open_session

    sessions = {name: open_session(bundle.graph_path(name), providers) for name in bundle.facts.graphs}
    return Pipeline(spec_of(bundle), sessions)


def spec_of(bundle: Bundle) -> PipelineSpec:
    facts = bundle.facts
    return PipelineSpec(facts.size, facts.latents, facts.window, facts.schedule, facts.sampling.shared_noise)
