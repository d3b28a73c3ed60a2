"""The batches of SCD stages: references, targets, drawn poses, noise and timesteps, each step's from (seed, step) alone."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from engines.pose.draw import DrawStyle, draw_pose
from engines.train.autoencoder import to_tensor
from engines.train.buckets import BucketOrder
from engines.train.frames import TrainingClip, prefetched
from engines.train.objective import channel_offset
from engines.train.order import chosen
from engines.train.recipe import Batching, PoseStyle, ScdRecipe
from engines.train.start import AnyAutoencoder
from engines.train.variation import draw_variation, vary_clip


@dataclass(frozen=True)
class Batch:
    """R references and T targets for each: ref_latents (R, C, h, w), ref_pose (R, 3, H, W), latents (R*T, C, h, w), pose (R*T, 3, H, W),
    noise like latents, timesteps (R*T,) whole numbers; the T targets of one reference lie side by side. `own_steps`: DDIM steps of its
    own that the model takes from the noise to the timesteps; 0 = the noised truth."""

    ref_latents: Tensor
    ref_pose: Tensor
    latents: Tensor
    pose: Tensor
    noise: Tensor
    timesteps: Tensor
    own_steps: int


@dataclass(frozen=True)
class Draft:
    """A batch before encoding: latents (R, 1 + T, C, h, w), the reference first; rows `fresh` are still to be filled from
    `pictures`, uint8 (1 + T, H, W, 3) each; references where `null` (R,) become the null reference."""

    latents: NDArray[np.float32]
    fresh: list[int]
    pictures: list[NDArray[np.uint8]]
    null: NDArray[np.bool_]
    poses: list[NDArray[np.uint8]]
    ref_poses: list[NDArray[np.uint8]]
    timesteps: NDArray[np.int64]
    noise: NDArray[np.float32]
    own_steps: int


class View(NamedTuple):
    """Frames of a clip as a step sees them: pictures where they differ from the data set's, points, and the size these count in."""

    pictures: NDArray[np.uint8] | None
    points: NDArray[np.float32]
    size: tuple[int, int]


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


def needed_frames(batching: Batching) -> int:
    """Of a clip that can be learnt from: its targets in a row, or a reference and another frame."""
    return batching.targets if batching.consecutive else 2


def shifted_timesteps(rng: np.random.Generator, count: int, shift: float, total: int) -> NDArray[np.int64]:
    """t = s u / (1 + (s - 1) u) of uniform u, as whole timesteps 0 .. total - 1."""
    u = rng.random(count)
    return np.minimum((shift * u / (1 + (shift - 1) * u) * total).astype(np.int64), total - 1)


class Batches:
    """Makes the batch of a step from (seed, step) alone; each pass over the clips, which have `needed_frames`, is a fresh permutation."""

    def __init__(
        self, recipe: ScdRecipe, clips: list[TrainingClip], latents: list[NDArray[np.float16]], autoencoder: AnyAutoencoder
    ) -> None:
        self.recipe, self.clips, self.latents, self.autoencoder = recipe, clips, latents, autoencoder
        buckets = recipe.batching.buckets
        self.order = BucketOrder(recipe.seed, recipe.batching.references, [clip.size for clip in clips]) if buckets else None

    def chosen_clips(self, step: int) -> list[int]:
        """Clip numbers of a step."""
        if self.order is not None:
            return self.order.of(step)
        return chosen(self.recipe.seed, step, self.recipe.batching.references, len(self.clips))

    def view(self, rng: np.random.Generator, clip: TrainingClip, frames: list[int]) -> View:
        augmentation = self.recipe.augmentation
        if rng.random() >= augmentation.share:
            return View(None, clip.points[frames], clip.points_size)
        pictures, points = vary_clip(clip, frames, draw_variation(rng, augmentation))
        return View(pictures, points, (pictures.shape[2], pictures.shape[1]))

    def draft(self, step: int) -> Draft:
        """Everything of a step's batch but the passes of the encoder; numpy alone, so that it can be made beside the training."""
        recipe, batching = self.recipe, self.recipe.batching
        rng = np.random.default_rng([recipe.seed, 1, step])
        rows, fresh, pictures, null, poses, ref_poses, times = [], [], [], [], [], [], []
        for row, number in enumerate(self.chosen_clips(step)):
            clip = self.clips[number]
            reference, targets = choose_frames(rng, clip.clip.frames, batching)
            frames = [reference, *targets.tolist()]
            style, view = random_style(rng, recipe.pose_style), self.view(rng, clip, frames)
            no_reference, no_pose = rng.random() < batching.drop_reference, rng.random() < batching.drop_ref_pose
            blind = batching.drop_pose > 0 and rng.random() < batching.drop_pose
            drawn = [draw_pose(points, view.size, clip.size, style) for points in view.points]
            rows.append(np.asarray(self.latents[number][frames], np.float32))
            if view.pictures is not None:
                fresh.append(row)
                pictures.append(view.pictures)
            null.append(no_reference)
            ref_poses.append(np.zeros_like(drawn[0]) if no_reference or no_pose else drawn[0])
            poses += [np.zeros_like(one) for one in drawn[1:]] if blind else drawn[1:]
            times.append(self.clip_timesteps(rng))
        noise = self.noise(rng, rows[0].shape[1:])
        own_steps = int(rng.integers(1, batching.own_steps + 1)) if batching.own_steps else 0
        return Draft(np.stack(rows), fresh, pictures, np.array(null), poses, ref_poses, np.concatenate(times), noise, own_steps)

    def noise(self, rng: np.random.Generator, shape: tuple[int, ...]) -> NDArray[np.float32]:
        """(R*T, C, h, w). The targets of a reference have a share of their noise in common, drawn from the recipe's range for each."""
        batching = self.recipe.batching
        common = rng.uniform(*batching.shared_noise, (batching.references, 1, 1, 1, 1)).astype(np.float32)
        own = rng.standard_normal((batching.references, batching.targets, *shape), dtype=np.float32)
        one = rng.standard_normal((batching.references, 1, *shape), dtype=np.float32)
        out = (np.sqrt(common) * one + np.sqrt(1 - common) * own).reshape(-1, *shape).astype(np.float32)
        return out + self.offset(rng, shape)

    def offset(self, rng: np.random.Generator, shape: tuple[int, ...]) -> NDArray[np.float32]:
        """(R*T, C, 1, 1); the frames of a video share theirs."""
        batching, deviation = self.recipe.batching, self.recipe.loss.noise_offset
        if batching.consecutive:
            return np.repeat(channel_offset(rng, batching.references, shape, deviation), batching.targets, axis=0)
        return channel_offset(rng, batching.references * batching.targets, shape, deviation)

    def finish(self, draft: Draft) -> Batch:
        latents = torch.from_numpy(draft.latents)
        if draft.fresh:
            with torch.no_grad(), torch.autocast("cpu", torch.bfloat16):
                encoded = self.autoencoder.encode(to_tensor(np.concatenate(draft.pictures))).float()
            latents[draft.fresh] = encoded.unflatten(0, (len(draft.fresh), -1))
        references = latents[:, 0] * torch.from_numpy(~draft.null).float()[:, None, None, None]
        return Batch(
            references, pose_tensor(draft.ref_poses), latents[:, 1:].flatten(0, 1), pose_tensor(draft.poses),
            torch.from_numpy(draft.noise), torch.from_numpy(draft.timesteps), draft.own_steps,
        )  # fmt: skip

    def make(self, step: int) -> Batch:
        return self.finish(self.draft(step))

    def clip_timesteps(self, rng: np.random.Generator) -> NDArray[np.int64]:
        """One timestep a target; the frames of a video share theirs."""
        batching, total = self.recipe.batching, self.recipe.schedule.train_timesteps
        if batching.consecutive:
            return np.repeat(shifted_timesteps(rng, 1, batching.timestep_shift, total), batching.targets)
        return shifted_timesteps(rng, batching.targets, batching.timestep_shift, total)

    def between(self, start: int, stop: int) -> Iterator[Batch]:
        """The batches of these steps; the next draft is made in a thread."""
        return map(self.finish, prefetched(self.draft, start, stop))
