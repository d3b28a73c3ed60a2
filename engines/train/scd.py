"""Stages 2 and 3: SCD-I (one frame a target) and SCD-V (consecutive frames, motion modules), METHOD Eq. 1."""

from collections.abc import Iterator
from copy import deepcopy
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from engines.core.report import Report
from engines.model import checkpoint as checkpoints
from engines.model.autoencoder import strongest_channels
from engines.model.checkpoint import load_strict, prefixed, under
from engines.model.loading import load_autoencoder
from engines.model.scd import SCD, repeat_kv
from engines.pose.draw import DrawStyle, draw_pose
from engines.train.frames import TrainingClip, data_fingerprint, load_clips, prefetched
from engines.train.latents import all_latents, as_tensor, channel_weights
from engines.train.loop import Progress, Stage, run_loop
from engines.train.recipe import Batching, PoseStyle, ScdRecipe
from engines.train.validation import Validation


@dataclass(frozen=True)
class Batch:
    """R references and T targets for each: ref_latents (R, C, h, w), ref_pose (R, 3, H, W), latents (R*T, C, h, w), pose (R*T, 3, H, W),
    noise like latents, timesteps (R*T,) whole numbers; the T targets of one reference lie side by side."""

    ref_latents: Tensor
    ref_pose: Tensor
    latents: Tensor
    pose: Tensor
    noise: Tensor
    timesteps: Tensor


def pose_tensor(pictures: list[NDArray[np.uint8]]) -> Tensor:
    """uint8 pictures (H, W, 3) -> (n, 3, H, W) in [0, 1]."""
    return torch.from_numpy(np.stack(pictures)).permute(0, 3, 1, 2).float() / 255.0


def random_style(rng: np.random.Generator, style: PoseStyle) -> DrawStyle:
    width = float(rng.uniform(*style.width_range))
    return DrawStyle(width=width, hands=bool(rng.random() >= style.drop_hands), face=bool(rng.random() >= style.drop_face))


def choose_frames(rng: np.random.Generator, frames: int, batching: Batching) -> tuple[int, NDArray[np.int64]]:
    """A reference frame and the target frames of one clip; with `consecutive`, a run of neighbours."""
    reference = int(rng.integers(frames))
    if batching.consecutive:
        start = int(rng.integers(frames - batching.targets + 1))
        return reference, np.arange(start, start + batching.targets)
    return reference, rng.choice(frames, batching.targets, replace=frames < batching.targets)


def shifted_timesteps(rng: np.random.Generator, count: int, shift: float, total: int) -> NDArray[np.int64]:
    """t = s u / (1 + (s - 1) u) of uniform u, as whole timesteps 0 .. total - 1."""
    u = rng.random(count)
    return np.minimum((shift * u / (1 + (shift - 1) * u) * total).astype(np.int64), total - 1)


class Batches:
    """Makes the batch of a step from (seed, step) alone; each pass over the clips is a fresh permutation."""

    def __init__(self, recipe: ScdRecipe, clips: list[TrainingClip], latents: list[NDArray[np.float16]]) -> None:
        enough = [i for i, c in enumerate(clips) if c.clip.frames >= (recipe.batching.targets if recipe.batching.consecutive else 2)]
        self.recipe, self.clips, self.latents, self.usable = recipe, clips, latents, enough

    def chosen_clips(self, step: int) -> list[int]:
        """Clip numbers of a step: step after step walks through a permutation that depends on the seed and the pass alone."""
        count, total = self.recipe.batching.references, len(self.usable)
        positions = range(step * count, (step + 1) * count)
        return [self.usable[np.random.default_rng([self.recipe.seed, 7, p // total]).permutation(total)[p % total]] for p in positions]

    def draw(self, clip: TrainingClip, frame: int, style: DrawStyle) -> NDArray[np.uint8]:
        return draw_pose(clip.points[frame], clip.points_size, self.recipe.model.size, style)

    def make(self, step: int) -> Batch:
        recipe, batching = self.recipe, self.recipe.batching
        rng = np.random.default_rng([recipe.seed, 1, step])
        references, targets, ref_poses, poses, times = [], [], [], [], []
        for number in self.chosen_clips(step):
            clip, latents = self.clips[number], self.latents[number]
            reference, frames = choose_frames(rng, clip.clip.frames, batching)
            style = random_style(rng, recipe.pose_style)
            null, no_pose = rng.random() < batching.drop_reference, rng.random() < batching.drop_ref_pose
            references.append(np.zeros_like(latents[reference]) if null else latents[reference])
            picture = self.draw(clip, reference, style)
            ref_poses.append(np.zeros_like(picture) if null or no_pose else picture)
            targets.append(latents[frames])
            poses += [self.draw(clip, int(frame), style) for frame in frames]
            times.append(self.clip_timesteps(rng))
        noise = rng.standard_normal((len(poses), *targets[0].shape[1:]), dtype=np.float32)
        return Batch(
            as_tensor(np.stack(references)), pose_tensor(ref_poses), as_tensor(np.concatenate(targets)), pose_tensor(poses),
            torch.from_numpy(noise), torch.from_numpy(np.concatenate(times)),
        )  # fmt: skip

    def clip_timesteps(self, rng: np.random.Generator) -> NDArray[np.int64]:
        """One timestep a target; the frames of a video share theirs."""
        batching, total = self.recipe.batching, self.recipe.schedule.train_timesteps
        if batching.consecutive:
            return np.repeat(shifted_timesteps(rng, 1, batching.timestep_shift, total), batching.targets)
        return shifted_timesteps(rng, batching.targets, batching.timestep_shift, total)

    def between(self, start: int, stop: int) -> Iterator[Any]:
        return prefetched(self.make, start, stop)


def diffusion_loss(model: SCD, recipe: ScdRecipe, batch: Batch, weights: Tensor) -> Tensor:
    """Squared error of the prediction (v or epsilon), its mean over the targets under channel weights (C,).

    One reference pass serves all targets of a clip.
    """
    alpha = torch.from_numpy(recipe.schedule.alphas_cumprod()).float()[batch.timesteps][:, None, None, None]
    noisy = alpha.sqrt() * batch.latents + (1 - alpha).sqrt() * batch.noise
    velocity = alpha.sqrt() * batch.noise - (1 - alpha).sqrt() * batch.latents
    goal = velocity if recipe.schedule.prediction_type == "v_prediction" else batch.noise
    references = len(batch.ref_latents)
    features = model.pose_encoder(torch.cat([batch.ref_pose, batch.pose]))
    kv = model.reference(batch.ref_latents, features[:references])
    clips = references if recipe.model.motion else 0
    kv = repeat_kv(kv, len(batch.latents) // references)
    out = model.target(noisy, batch.timesteps, features[references:], kv, clips).float()
    return ((out - goal).square() * weights[:, None, None]).mean()


def fresh_model(recipe: ScdRecipe) -> SCD:
    """A new model, with the weights of `initial` where the recipe names one; with `train_only_motion` all else is frozen."""
    torch.manual_seed(recipe.seed)
    model = SCD(recipe.model)
    if not recipe.train_only_motion:  # torch 2.13's CPU convolution crashes in the backward pass when it is channels-last and frozen
        model = model.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    if recipe.initial:
        found = checkpoints.need(Path(recipe.initial), "scd", "--set initial=RUN")
        known = under("scd", found.weights())
        own = model.state_dict()
        added = {k: v for k, v in own.items() if "motion_modules" in k and k not in known}
        load_strict(model, known | added, found.folder)
    if recipe.train_only_motion:
        for name, parameter in model.named_parameters():
            parameter.requires_grad_("motion_modules" in name)
    return model


def train_scd(recipe: ScdRecipe, data: Path, run: Path, resume: bool, report: Report) -> Progress:
    """Train or go on; the run folder gets checkpoints, log.jsonl and validation sheets (reference | pose | result | truth)."""
    autoencoder = strongest_channels(load_autoencoder(Path(recipe.autoencoder)), recipe.model.unet.latent_channels)
    size: tuple[int, int] = recipe.model.size
    clips, held_out = load_clips(data, "train", size), load_clips(data, "val", size)
    latents = all_latents(data, clips, autoencoder, size, report)
    batches = Batches(recipe, clips, latents)
    loss_weights = channel_weights(autoencoder, as_tensor(np.stack([x[0] for x in latents[:16]])))
    model = fresh_model(recipe)
    ema = deepcopy(model).requires_grad_(False)
    validation = Validation(recipe, autoencoder, held_out, run / "sheets")

    def weights(average: nn.Module) -> dict[str, Tensor]:
        return prefixed("scd", average.state_dict()) | prefixed("autoencoder", autoencoder.state_dict())

    def validate(average: nn.Module, step: int) -> dict[str, float]:
        assert isinstance(average, SCD)
        return validation(average, step)

    facts = {
        "kind": "scd",
        "name": recipe.name,
        "recipe": asdict(recipe),
        "autoencoder": asdict(autoencoder.spec),
        "data": data_fingerprint(clips),
    }
    stage = Stage(
        model, ema, lambda _, batch: diffusion_loss(model, recipe, batch, loss_weights), batches.between, validate, weights, facts
    )
    return run_loop(stage, recipe.optim, recipe.logging, run, checkpoints.latest(run) if resume else None, report)
