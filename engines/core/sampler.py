"""DDIM sampling (Song et al. 2021, eta = 0) over any predictor, and the path of steps that all samplers take. numpy only."""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from engines.core.schedule import NoiseSchedule, PredictionType

Latents = NDArray[np.float32]
Predict = Callable[[Latents, int], Iterable[Latents]]  # an array (frames, ...), or its frames one after the other
OnStep = Callable[[int], None] | None


@dataclass(frozen=True, slots=True)
class Step:
    """Step `number` (from 1): the network is asked at `timestep`, where a_t = `alpha` (0 to below 1), and it ends at a_t = `following`."""

    number: int
    timestep: int
    alpha: float
    following: float


@dataclass(slots=True)
class State:
    """What a sampler carries from step to step, and can go on from: latents (frames, ...) after `done` steps, and, of samplers of second
    order, the x_0 of the step before (`earlier`) and its a_t (`before`). Without latents it is a clip that has not begun."""

    latents: Latents | None = None
    earlier: Latents | None = None
    before: float = 0.0
    done: int = 0

    def begin(self, noise: Latents) -> Latents:
        """The latents to step in place: those that are here, or a copy of the noise."""
        if self.latents is None:
            self.latents = noise.astype(np.float32)
        return self.latents


def skipped(steps: int, strength: float) -> int:
    """How many of the first steps are left out with this strength (above 0, to 1); one step is always taken."""
    return steps - max(1, round(steps * strength))


def begun(start: Latents, noise: Latents, schedule: NoiseSchedule, steps: int, strength: float) -> State:
    """What sampling goes on from that begins with `start` (frames, ...), noised to where the last `strength` of its steps begin, instead
    of with noise alone (SDEdit, Meng et al. 2022). Strength 1 is noise alone."""
    done = skipped(steps, strength)
    if done == 0:
        return State(noise.astype(np.float32))
    alpha = float(schedule.alphas_cumprod()[schedule.timesteps(steps)[done]])
    return State(np.asarray(np.float32(alpha**0.5) * start + np.float32((1 - alpha) ** 0.5) * noise, np.float32), done=done)


def path(schedule: NoiseSchedule, steps: int, on_step: OnStep, done: int = 0) -> Iterator[Step]:
    """The `steps` steps (1 to schedule.train_timesteps) from the schedule's end to a_t = 1, `following` of the last, without the first
    `done` of them.

    `on_step(number)` is called once the step is done, which is when the next one is asked for.
    """
    alphas, timesteps = schedule.alphas_cumprod(), schedule.timesteps(steps)
    ends = [*alphas[timesteps[1:]], 1.0]
    for number, (timestep, following) in enumerate(zip(timesteps, ends, strict=True), 1):
        if number <= done:
            continue
        yield Step(number, int(timestep), float(alphas[timestep]), float(following))
        if on_step is not None:
            on_step(number)


def clean_and_noise(latents: Latents, prediction: Latents, alpha: float, kind: PredictionType) -> tuple[Latents, Latents]:
    """x_0 and epsilon that a prediction at a_t = alpha stands for. v-prediction also works where alpha is 0."""
    signal, noise = np.float32(alpha**0.5), np.float32((1 - alpha) ** 0.5)
    if kind == "epsilon" and alpha <= 0:
        raise ValueError("epsilon prediction cannot start from pure noise: alpha is 0")
    if kind == "v_prediction":
        return signal * latents - noise * prediction, signal * prediction + noise * latents
    return np.asarray((latents - noise * prediction) / signal, np.float32), prediction


def ddim_step(latents: Latents, prediction: Latents, alpha: float, alpha_next: float, kind: PredictionType) -> Latents:
    """One deterministic step from a_t = alpha to alpha_next (1 at the very end)."""
    clean, noise = clean_and_noise(latents, prediction, alpha, kind)
    return np.float32(alpha_next**0.5) * clean + np.float32((1 - alpha_next) ** 0.5) * noise


def frame_noise(shape: tuple[int, int, int], frames: int, seed: int, shared: float) -> Latents:
    """Initial noise (frames, C, h, w) of unit variance, `shared` (0 to 1) of which all frames have in common.

    Frames that start alike end alike where nothing moves. Frame i depends on (seed, i) alone: a longer clip begins like a shorter one.
    """
    # [seed, 0, 1] and not [seed]: numpy pads seeds with zeros, so [seed] is frame 0's own
    common = np.random.default_rng([seed, 0, 1]).standard_normal(shape, dtype=np.float32) * np.float32(shared**0.5)
    out = np.empty((frames, *shape), np.float32)
    for index in range(frames):
        own = np.random.default_rng([seed, index]).standard_normal(shape, dtype=np.float32)
        out[index] = common + np.float32((1 - shared) ** 0.5) * own
    return out


def ddim_frames(latents: Latents, prediction: Iterable[Latents], step: Step, kind: PredictionType) -> None:
    """One DDIM step of latents (frames, ...), in their place."""
    for frame, predicted in zip(latents, prediction, strict=True):
        frame[...] = ddim_step(frame, predicted, step.alpha, step.following, kind)


def ddim_sample(
    predict: Predict,
    noise: Latents,
    schedule: NoiseSchedule,
    steps: int,
    on_step: OnStep = None,
    seed: int = 0,
    state: State | None = None,
) -> Latents:
    """Latents from noise (frames, ...) in `steps` steps. `predict(latents, timestep)`; `on_step(number)` after each step, from 1.

    Frame by frame in place: a long clip costs its latents and one prediction, not a copy for every term of the formula. The prediction
    has no name here, so that it is gone before the next one is made. `seed` is for samplers that draw noise: DDIM draws none.
    `state` is what to go on from, and where `on_step` finds the latents. ValueError where an epsilon prediction would start from pure
    noise (a_t = 0).
    """
    state = state or State()
    latents = state.begin(noise)
    del noise  # the caller's may be the only other copy
    for step in path(schedule, steps, on_step, state.done):
        ddim_frames(latents, predict(latents, step.timestep), step, schedule.prediction_type)
    return latents
