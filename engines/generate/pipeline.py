"""The SCD pipeline over five sessions: encode, read the reference once, denoise in windows, decode. No torch, no files.

It runs on any Session: onnxruntime from a bundle, or torch modules in the bench and in tests.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from engines.core import guidance as cfg
from engines.core.bundle import Bundle, LatentSpec, WindowSpec
from engines.core.sampler import begun, frame_noise
from engines.core.samplers import sampler_named
from engines.core.schedule import NoiseSchedule
from engines.core.sites import is_kv
from engines.core.windows import Window, windows
from engines.generate.backends import Backend, onnxruntime_backend
from engines.generate.checkpoint import Checkpoint
from engines.generate.denoise import Denoiser, Features, Settings
from engines.generate.known import Known
from engines.media.fit import squeezed
from engines.sessions.base import Keeping, Kept, Session

Pictures = NDArray[np.uint8]
Latents = NDArray[np.float32]
PICTURES_AT_ONCE = 4  # through the pose encoder or the decoder, of PIXELS_AT_ONCE at most
PIXELS_AT_ONCE = 4 * 192 * 256


@dataclass(frozen=True)
class PipelineSpec:
    """What the pipeline must know of the model: picture size (width, height), latents, windows, schedule, how much of their initial
    noise the frames share, and the K/V that the shallow target takes. `posed`: the reference graph takes the reference's pose;
    `picture_side` above 0: it takes a token of the reference picture, of which the graph "picture" sees so many pixels a side."""

    size: tuple[int, int]
    latents: LatentSpec
    window: WindowSpec
    schedule: NoiseSchedule
    shared_noise: float
    shallow_kv: tuple[str, ...] = ()
    posed: bool = True
    picture_side: int = 0

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


class SessionPool(Mapping[str, Session]):
    """Sessions by graph name, each opened when it is first asked for: reference and target need not be in memory at once."""

    def __init__(self, names: Iterable[str], open_graph: Callable[[str], Session]) -> None:
        self.names, self.open_graph = list(names), open_graph
        self.opened: dict[str, Session] = {}

    def __getitem__(self, name: str) -> Session:
        if name not in self.names:
            raise KeyError(name)
        if name not in self.opened:
            self.opened[name] = self.open_graph(name)
        return self.opened[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self.names)

    def __len__(self) -> int:
        return len(self.names)

    def drop(self, names: Iterable[str]) -> None:
        """Give back the memory of these, where they are open."""
        for name in names:
            if name in self.opened:
                self.opened.pop(name).close()


class Pipeline:
    """`sessions` by graph name: encoder, pose, reference, target (of models with AnimateDiff's motion modules: also target_video), decoder;
    of models that look at the reference picture itself also picture.

    `target` is the name of the graph that denoises.
    """

    def __init__(self, spec: PipelineSpec, sessions: Mapping[str, Session]) -> None:
        self.spec, self.sessions = spec, sessions
        self.target = self.target_for(2)
        self.kv: dict[str, NDArray[Any]] = {}
        self.kept: Kept | None = None
        self.conditions = 0
        self.shown: tuple[tuple[int, int], bool] | None = None

    def target_for(self, frames: int) -> str:
        """The image graph for a single frame, where there are two."""
        return "target_video" if frames > 1 and "target_video" in self.sessions else "target"

    @property
    def device(self) -> str:
        """Where the target graph computes."""
        return self.sessions[self.target].device

    def load(self, *names: str) -> None:
        """Open these graphs now, to tell loading from working."""
        for name in names:
            self.sessions[name]

    def drop(self, *names: str) -> None:
        """Close these graphs if that gives memory back."""
        if isinstance(self.sessions, SessionPool):
            self.sessions.drop(names)

    @property
    def pictures_at_once(self) -> int:
        """Pictures that encoders and decoder take together."""
        width, height = self.spec.size
        return max(1, min(PICTURES_AT_ONCE, PIXELS_AT_ONCE // (width * height)))

    def encode(self, pictures: Pictures) -> Latents:
        """uint8 (n, H, W, 3) at the model's size -> latents (n, C, h, w)."""
        latents: Latents = self.sessions["encoder"].run({"image": unit(pictures) * 2 - 1})["latents"]
        return latents

    def pose_features(self, pictures: Pictures) -> NDArray[np.float32]:
        """Pose pictures uint8 (n, H, W, 3) -> features (n, D, h, w)."""
        features: NDArray[np.float32] = self.sessions["pose"].run({"pose": unit(pictures)})["pose_features"]
        return features

    def reference_kv(
        self, latents: Latents, pose_picture: Pictures, conditions: int, picture: Pictures | None = None
    ) -> dict[str, NDArray[np.float32]]:
        """K/V of every site from one reference: latents (1, C, h, w), pose picture (1, H, W, 3), and the picture itself (1, H, W, 3) of
        any size, for models that look at it.

        With two conditions the second is the null reference: zero latents, a black pose picture, a zero token.
        """
        return self.sessions["reference"].run(self.reference_feeds(latents, pose_picture, conditions, picture))

    def reference_feeds(
        self, latents: Latents, pose_picture: Pictures, conditions: int, picture: Pictures | None
    ) -> dict[str, NDArray[np.float32]]:
        shown, null = {"ref_latents": latents}, {"ref_latents": np.zeros_like(latents)}
        if self.spec.posed:
            shown["ref_pose_features"] = self.pose_features(pose_picture)
            if conditions == 2:
                null["ref_pose_features"] = self.pose_features(np.zeros_like(pose_picture))
        if self.spec.picture_side:
            shown["ref_token"] = self.picture_token(picture)
            null["ref_token"] = np.zeros_like(shown["ref_token"])
        return {name: np.concatenate([shown[name], null[name]]) for name in shown} if conditions == 2 else shown

    def picture_token(self, picture: Pictures | None) -> NDArray[np.float32]:
        """uint8 (1, H, W, 3) -> what cross-attention looks at, (1, 1, channels)."""
        if picture is None:
            raise ValueError("this model looks at the reference picture itself")
        token: NDArray[np.float32] = self.sessions["picture"].run({"picture": unit(squeezed(picture, self.spec.picture_side))})["ref_token"]
        return token

    def read_reference(self, latents: Latents, pose_picture: Pictures, settings: Settings, picture: Pictures | None = None) -> None:
        """`reference_kv` and `set_reference` in one. On a GPU's own sessions the K/V never leave the device, where `settings` ask for
        the whole network and all conditions at every step."""
        conditions, session = cfg.conditions(settings.guidance), self.sessions["reference"]
        steady = conditions == 1 or (settings.guidance_passes == 1 and settings.guidance_until == 1)
        if not (isinstance(session, Keeping) and steady and settings.reuse == 1):
            return self.set_reference(self.reference_kv(latents, pose_picture, conditions, picture))
        session.launch(self.reference_feeds(latents, pose_picture, conditions, picture))
        self.kept, self.conditions, self.shown = session.keep(), conditions, None

    def set_reference(self, kv: Mapping[str, NDArray[Any]]) -> None:
        """The reference's K/V, (conditions, tokens, channels) a site, for all steps, windows and frames that follow."""
        self.kv, self.shown, self.conditions = dict(kv), None, len(next(iter(kv.values())))

    def show(self, rows: tuple[int, int], shallow: bool = False) -> None:
        """Pin these rows of the K/V in the target's session, and in its `shallow` twin's, unless they are pinned already."""
        if self.shown == (rows, shallow):
            return
        if self.kept is not None:
            return self.link_kept(rows, shallow)
        kv = {name: array[slice(*rows)] for name, array in self.kv.items()}
        self.sessions[self.target].pin(kv)
        if shallow:
            self.sessions[f"{self.target}_shallow"].pin({name: kv[name] for name in self.spec.shallow_kv})
        self.shown = (rows, shallow)

    def link_kept(self, rows: tuple[int, int], shallow: bool) -> None:
        session = self.sessions[self.target]
        if self.kept is None or not isinstance(session, Keeping) or shallow or rows != (0, self.conditions):
            raise ValueError("K/V that stayed on the device serve the whole network, with all conditions at once")
        session.link(self.kept)
        self.kept.close()
        self.kept, self.shown = None, (rows, shallow)

    def plan(self, frames: int) -> list[Window]:
        return windows(frames, self.spec.window.default, self.spec.window.overlap)

    def denoise(
        self,
        features: Features,
        settings: Settings,
        on_window: Callable[[], None],
        checkpoint: Checkpoint | None = None,
        known: Known | None = None,
        start: Latents | None = None,
        strength: float = 1.0,
    ) -> Latents:
        """Latents (F, C, h, w) for pose features (F, D, h, w): each step predicts window by window, blends, and steps all frames.

        `on_window` is called after every run of a target graph (engines.generate.denoise.runs of them). `checkpoint` holds what an
        earlier run did: its whole steps are not run and not counted, its single runs are counted. `known`: what is put in its place
        before every step and after the last. `start` (F, C, h, w): what the last `strength` of the steps, alone, begin with
        (engines.core.sampler.begun); without it all begin with noise.
        """
        spec, sample = self.spec, sampler_named(settings.sampler)
        seed, steps, schedule = settings.seed, settings.steps, spec.schedule
        with Denoiser(self, features, settings, on_window, checkpoint) as predict:
            latents = predict.state.latents
            if latents is None:  # given to the state, which is stepped in place: a copy of a long clip's noise would count
                latents = predict.state.latents = frame_noise(spec.latent_shape, len(features), seed, spec.shared_noise)
            if start is not None:
                predict.go_on(begun(start, latents, schedule, steps, strength))
            state = predict.state
            if known is None:
                return sample(predict, latents, schedule, steps, predict.step_done, seed, state)
            repaint = known.mixed
            return repaint(sample(lambda x, t: predict(repaint(x), t), latents, schedule, steps, predict.step_done, seed, state))

    def decode(self, latents: Latents) -> Iterator[Pictures]:
        """Pictures uint8 (H, W, 3), one after the other, decoded a few at a time."""
        count = self.pictures_at_once
        for start in range(0, len(latents), count):
            yield from pictures_of(self.sessions["decoder"].run({"latents": latents[start : start + count]})["image"])

    def close(self) -> None:
        if isinstance(self.sessions, SessionPool):
            return self.sessions.drop(self.sessions)
        for session in self.sessions.values():
            session.close()


def open_pipeline(bundle: Bundle, providers: Sequence[str], flavour: str | None = None) -> Pipeline:
    """The pipeline of a bundle on onnxruntime. `flavour` None takes the graphs made for the first provider."""
    return pipeline_on(bundle, onnxruntime_backend(bundle, providers, flavour))


def pipeline_on(bundle: Bundle, backend: Backend) -> Pipeline:
    """Nothing is loaded yet: each graph is when it is first used."""
    return Pipeline(spec_of(bundle), SessionPool(bundle.graphs(backend.flavour), backend.open_graph))


def spec_of(bundle: Bundle) -> PipelineSpec:
    facts = bundle.facts
    inputs = facts.graphs.get("target_shallow", {}).get("inputs", {})
    outer = tuple(name for name in inputs if is_kv(name))
    reference = facts.graphs["reference"].get("inputs", {})
    posed = "ref_pose_features" in reference or not reference
    side = facts.graphs["picture"]["inputs"]["picture"]["shape"][-1] if "picture" in facts.graphs else 0
    return PipelineSpec(facts.size, facts.latents, facts.window, facts.schedule, facts.sampling.shared_noise, outer, posed, side)
