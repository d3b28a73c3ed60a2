"""How a clip is denoised: which steps are guided, in how many passes, which run the whole network, and window by window at each."""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from itertools import product
from types import TracebackType
from typing import Any, Literal, Protocol

import numpy as np
from numpy.typing import NDArray

from engines.core import guidance as cfg
from engines.core.reuse import full_step
from engines.core.sampler import State
from engines.core.windows import Window
from engines.generate.checkpoint import Checkpoint
from engines.generate.deep import DeepStore
from engines.sessions.base import Session

Latents = NDArray[np.float32]


class Features(Protocol):
    """Pose features (F, D, h, w) that can be cut along F: an array, or a store on disk."""

    def __len__(self) -> int: ...
    def __getitem__(self, place: slice, /) -> NDArray[Any]: ...


class Network(Protocol):
    """What of the pipeline denoises: its sessions, which of them is the target, and the K/V of `conditions` conditions."""

    target: str
    conditions: int

    @property
    def sessions(self) -> Mapping[str, Session]: ...

    def plan(self, frames: int) -> list[Window]: ...
    def show(self, rows: tuple[int, int], shallow: bool = False) -> None: ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """How to sample: `steps`, `guidance` scale (1 is none) and `seed` of the noise; `sampler` is a name of engines.core.samplers.

    `guidance_until` (0 to 1): the share of the steps, from the first, that are guided. `guidance_passes` 2 runs reference and null
    reference one after the other, in half the memory. `reuse` N > 1 runs the whole network at every N-th step alone (engines.core.reuse).
    """

    steps: int
    guidance: float
    seed: int = 0
    sampler: str = "ddim"
    guidance_until: float = 1.0
    guidance_passes: Literal[1, 2] = 1
    reuse: int = 1


@dataclass(frozen=True, slots=True)
class Pass:
    """One run over a window: which rows of the K/V (the reference's is 0, the null reference's 1), and what each row's prediction
    counts for: null + g (reference - null) is g reference + (1 - g) null."""

    rows: tuple[int, int]
    shares: tuple[float, ...]


def passes(settings: Settings, number: int, conditions: int) -> list[Pass]:
    """What step `number` (from 1) runs, with K/V of so many conditions."""
    scale = settings.guidance
    if conditions == 1 or not cfg.guided_at(number, settings.steps, settings.guidance_until):
        return [Pass((0, 1), (1.0,))]
    if settings.guidance_passes == 2:
        return [Pass((0, 1), (scale,)), Pass((1, 2), (1 - scale,))]
    return [Pass((0, 2), (scale, 1 - scale))]


def runs(settings: Settings, windows: int, steps: int | None = None) -> int:
    """How often a target graph runs for a clip, or for its first `steps` steps: what the progress bar counts."""
    conditions, last = cfg.conditions(settings.guidance), settings.steps if steps is None else steps
    return windows * sum(len(passes(settings, number, conditions)) for number in range(1, last + 1))


def target_graphs(target: str, settings: Settings) -> tuple[str, ...]:
    """The graphs that a clip is denoised with: the target, and its shallow twin where features are reused."""
    return (target, f"{target}_shallow") if settings.reuse > 1 else (target,)


class Denoiser:
    """The predictor of one clip: to be called once a step, in order, with all frames' latents (F, C, h, w)."""

    def __init__(
        self,
        network: Network,
        features: Features,
        settings: Settings,
        on_window: Callable[[], None],
        checkpoint: Checkpoint | None = None,
    ) -> None:
        self.network, self.features, self.settings, self.on_window = network, features, settings, on_window
        self.plan = network.plan(len(features))
        self.checkpoint = checkpoint
        self.state = State() if checkpoint is None else checkpoint.state
        self.number = self.state.done
        self.deep = DeepStore()

    def go_on(self, state: State) -> None:
        """Begin with the steps that this state leaves."""
        self.state, self.number = state, state.done

    def __enter__(self) -> "Denoiser":
        return self

    def __exit__(self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None) -> None:
        self.deep.__exit__(kind, value, trace)
        if self.checkpoint is not None:
            self.checkpoint.end_log()

    def __call__(self, latents: Latents, timestep: int) -> Iterator[Latents]:
        """The guided prediction (C, h, w) for one frame after the other, blended where windows overlap.

        A frame comes as soon as no window that is still to run needs it: the sampler may step it at once, and no prediction of the whole
        clip is held. That takes all passes over a window together; with two passes, each over all windows, the sum of both is held.
        """
        self.number += 1
        each_pass = passes(self.settings, self.number, self.network.conditions)
        sums, first = latents[:0], 0
        found = self.found([(window.stop - window.start, *latents.shape[1:]) for _, window in product(each_pass, self.plan)])
        for (number, each), (index, window) in product(enumerate(each_pass, 1), enumerate(self.plan)):
            mixed = next(found, None)
            if mixed is None:
                mixed = self.run(latents, timestep, each, index, window)
            missing = max(0, window.stop - first - len(sums))
            sums = np.concatenate([sums, np.zeros((missing, *latents.shape[1:]), np.float32)]) if missing else sums
            sums[window.start - first : window.stop - first] += window.weights[:, None, None, None] * mixed
            self.on_window()
            if number == len(each_pass):
                done = self.plan[index + 1].start if index + 1 < len(self.plan) else window.stop
                yield from sums[: done - first]
                sums, first = sums[done - first :], done

    def run(self, latents: Latents, timestep: int, each: Pass, index: int, window: Window) -> Latents:
        """One window's guided prediction (f, C, h, w), kept for a run that has to go on."""
        self.network.show(each.rows, shallow=self.settings.reuse > 1)
        mixed = cfg.mixed(self.predict(latents, timestep, each, index, window), each.shares)
        self.keep(mixed)
        return mixed

    def found(self, shapes: list[tuple[int, ...]]) -> Iterator[Latents]:
        """This step's predictions that an earlier run kept. None where features are reused: the deep ones of that run are gone."""
        if self.checkpoint is None or self.settings.reuse > 1:
            return iter(())
        return self.checkpoint.predictions(self.number, iter(shapes))

    def keep(self, mixed: Latents) -> None:
        if self.checkpoint is not None and self.settings.reuse == 1:
            self.checkpoint.add(self.number, mixed)

    def step_done(self, number: int) -> None:
        """Keep the sampler's state, where the next step could begin from nothing else: with reused features, before whole steps alone."""
        if self.checkpoint is not None and (number == self.settings.steps or full_step(number + 1, self.settings.reuse)):
            self.checkpoint.save(self.state, number, number == self.settings.steps)

    def predict(self, latents: Latents, timestep: int, each: Pass, index: int, window: Window) -> Latents:
        """(conditions, f, C, h, w) for one window, by the whole network or by its outer layers."""
        place, graph = slice(window.start, window.stop), self.network.target
        feeds: dict[str, NDArray[Any]] = {"latents": latents[place], "timestep": np.array([timestep], np.float32)}
        feeds["pose_features"] = np.asarray(self.features[place], np.float32)
        reuse, key = self.settings.reuse, (each.rows[0], index)
        if reuse == 1:
            return self.network.sessions[graph].run(feeds, ("prediction",))["prediction"]
        if full_step(self.number, reuse):
            out = self.network.sessions[graph].run(feeds)
            self.deep[key] = out["deep"]
            return out["prediction"]
        feeds["deep"] = self.deep[key][: len(each.shares)]  # the first steps may have been guided and this one not
        return self.network.sessions[f"{graph}_shallow"].run(feeds)["prediction"]
