"""The batches of SCD stages: references, targets, drawn poses, noise and timesteps, each row from (seed, step, row) alone."""

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
from engines.train.distributed import device_of, half
from engines.train.frames import TrainingClip
from engines.train.objective import channel_offset
from engines.train.order import Shares, chosen, parts_between
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

    def to(self, device: torch.device) -> "Batch":
        moved = {name: value.to(device) for name, value in vars(self).items() if isinstance(value, Tensor)}
        return Batch(**moved, own_steps=self.own_steps)


@dataclass(frozen=True)
class Row:
    """One reference and its T targets before encoding: latents (1 + T, C, h, w), the reference first, which are still to be made where
    `pictures`, uint8 (1 + T, H, W, 3), are given; `null`: the reference becomes the null reference. Poses are uint8 (H, W, 3)."""

    latents: NDArray[np.float32]
    pictures: NDArray[np.uint8] | None
    null: bool
    ref_pose: NDArray[np.uint8]
    poses: list[NDArray[np.uint8]]
    timesteps: NDArray[np.int64]
    noise: NDArray[np.float32]


@dataclass(frozen=True)
class Draft:
    """Rows of a step's batch before encoding."""

    rows: list[Row]
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
    """Makes rows of a step's batch, each from (seed, step, row) alone; each pass over the clips, which have `needed_frames`, is a fresh
    permutation. The tensors lie where the autoencoder does."""

    def __init__(
        self, recipe: ScdRecipe, clips: list[TrainingClip], latents: list[NDArray[np.float16]], autoencoder: AnyAutoencoder
    ) -> None:
        self.recipe, self.clips, self.latents, self.autoencoder = recipe, clips, latents, autoencoder
        buckets = recipe.batching.buckets
        self.order = BucketOrder(recipe.seed, recipe.batching.references, [clip.size for clip in clips]) if buckets else None

    def numbers(self, step: int, rows: range) -> list[int]:
        """Clip numbers of these rows of a step."""
        if self.order is None:
            return chosen(self.recipe.seed, step, rows, self.recipe.batching.references, len(self.clips))
        whole = self.order.of(step)
        return [whole[row] for row in rows]

    def view(self, rng: np.random.Generator, clip: TrainingClip, frames: list[int]) -> View:
        augmentation = self.recipe.augmentation
        if rng.random() >= augmentation.share:
            return View(None, clip.points[frames], clip.points_size)
        pictures, points = vary_clip(clip, frames, draw_variation(rng, augmentation))
        return View(pictures, points, (pictures.shape[2], pictures.shape[1]))

    def row(self, step: int, row: int, number: int) -> Row:
        """A row of a step, of the clip of this number."""
        recipe, batching = self.recipe, self.recipe.batching
        rng = np.random.default_rng([recipe.seed, 1, step, row])
        clip = self.clips[number]
        reference, targets = choose_frames(rng, clip.clip.frames, batching)
        frames = [reference, *targets.tolist()]
        style, view = random_style(rng, recipe.pose_style), self.view(rng, clip, frames)
        null, no_ref_pose, no_pose = (
            bool(rng.random() < share) for share in (batching.drop_reference, batching.drop_ref_pose, batching.drop_pose)
        )
        drawn = [draw_pose(points, view.size, clip.size, style) for points in view.points]
        latents = np.asarray(self.latents[number][frames], np.float32)
        return Row(
            latents, view.pictures, null, np.zeros_like(drawn[0]) if null or no_ref_pose else drawn[0],
            [np.zeros_like(pose) if no_pose else pose for pose in drawn[1:]],
            self.timesteps(rng), self.noise(rng, latents.shape[1:]),
        )  # fmt: skip

    def draft(self, step: int, rows: range) -> Draft:
        """Everything of these rows but the passes of the encoder; numpy alone, so that it can be made beside the training."""
        recipe, batching = self.recipe, self.recipe.batching
        numbers = self.numbers(step, rows)
        own_steps = 0
        if batching.own_steps:
            own_steps = int(np.random.default_rng([recipe.seed, 2, step]).integers(1, batching.own_steps + 1))
        return Draft([self.row(step, row, number) for row, number in zip(rows, numbers, strict=True)], own_steps)

    def timesteps(self, rng: np.random.Generator) -> NDArray[np.int64]:
        """One timestep a target; the frames of a video share theirs."""
        batching, total = self.recipe.batching, self.recipe.schedule.train_timesteps
        if batching.consecutive:
            return np.repeat(shifted_timesteps(rng, 1, batching.timestep_shift, total), batching.targets)
        return shifted_timesteps(rng, batching.targets, batching.timestep_shift, total)

    def noise(self, rng: np.random.Generator, shape: tuple[int, ...]) -> NDArray[np.float32]:
        """(T, C, h, w). The targets have a share of their noise in common, drawn from the recipe's range; a video's frames their offset."""
        batching = self.recipe.batching
        common = np.float32(rng.uniform(*batching.shared_noise))
        own = rng.standard_normal((batching.targets, *shape), dtype=np.float32)
        one = rng.standard_normal((1, *shape), dtype=np.float32)
        offset = channel_offset(rng, 1 if batching.consecutive else batching.targets, shape, self.recipe.loss.noise_offset)
        return (np.sqrt(common) * one + np.sqrt(1 - common) * own + offset).astype(np.float32)

    def encoded(self, rows: list[Row]) -> Tensor:
        """Latents (R, 1 + T, C, h, w): the cached ones, and those of rows that are seen anew."""
        device = device_of(self.autoencoder)
        latents = torch.from_numpy(np.stack([row.latents for row in rows])).to(device)
        fresh = {number: row.pictures for number, row in enumerate(rows) if row.pictures is not None}
        if fresh:
            pictures = to_tensor(np.concatenate(list(fresh.values()))).to(device)
            with torch.no_grad(), half(device, self.recipe.optim.precision):
                made = self.autoencoder.encode(pictures).float()
            latents[list(fresh)] = made.unflatten(0, (len(fresh), -1))
        return latents

    def finish(self, draft: Draft) -> Batch:
        rows, latents = draft.rows, self.encoded(draft.rows)
        read = torch.tensor([not row.null for row in rows]).float()[:, None, None, None]
        return Batch(
            latents[:, 0] * read.to(latents.device), pose_tensor([row.ref_pose for row in rows]), latents[:, 1:].flatten(0, 1),
            pose_tensor([pose for row in rows for pose in row.poses]), torch.from_numpy(np.concatenate([row.noise for row in rows])),
            torch.from_numpy(np.concatenate([row.timesteps for row in rows])), draft.own_steps,
        ).to(latents.device)  # fmt: skip

    def make(self, step: int) -> Batch:
        """The whole batch of a step."""
        return self.finish(self.draft(step, range(self.recipe.batching.references)))

    def between(self, start: int, stop: int, shares: Shares) -> Iterator[Batch]:
        """The parts of these steps that fall to a process; the next draft is made in a thread."""
        return map(self.finish, parts_between(self.draft, shares, self.recipe.batching.references, start, stop))
