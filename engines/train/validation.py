"""Validation of SCD stages: held-out people in held-out motion, sampled as `scd animate` samples them."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from engines.core.sampler import ddim_sample, frame_noise
from engines.evaluate.pixel import Compared, psnr
from engines.model.baselines import read_reference
from engines.model.layers import KeyValue
from engines.model.scd import SCD, repeat_kv
from engines.pose.draw import DrawStyle, draw_pose
from engines.train.autoencoder import to_frames, to_tensor
from engines.train.batches import pose_tensor
from engines.train.distributed import device_of, half
from engines.train.frames import TrainingClip
from engines.train.recipe import ScdRecipe
from engines.train.sheets import contact_sheet, save_sheet
from engines.train.start import AnyAutoencoder

Frames = NDArray[np.uint8]


def drawn(clip: TrainingClip, frames: list[int], size: tuple[int, int]) -> Frames:
    """Plainly drawn pose pictures, uint8 (n, H, W, 3)."""
    return np.stack([draw_pose(clip.points[f], clip.points_size, size, DrawStyle()) for f in frames])


@dataclass(frozen=True)
class Wanted:
    """Pictures uint8: references (R, H, W, 3), their poses, and the poses to make pictures of, (R x T, H, W, 3), those of one reference
    side by side."""

    references: Frames
    ref_poses: Frames
    poses: Frames


def pairs_of(model: SCD, recipe: ScdRecipe, autoencoder: AnyAutoencoder, wanted: Wanted) -> list[KeyValue] | None:
    """What the targets see of their references; None for a model that learns without."""
    if recipe.batching.drop_reference == 1:
        return None
    device = device_of(model)
    latents = autoencoder.encode(to_tensor(wanted.references).to(device))
    features = model.pose_encoder(pose_tensor(list(wanted.ref_poses)).to(device))
    return repeat_kv(read_reference(model, latents, features, autoencoder.decode), len(wanted.poses) // len(wanted.references))


@torch.inference_mode()
def sampled(model: SCD, recipe: ScdRecipe, autoencoder: AnyAutoencoder, wanted: Wanted, noise: NDArray[np.float32]) -> Frames:
    """Pictures uint8 (R x T, H, W, 3) that a model of any kind makes from noise (R x T, C, h, w), as the recipe samples."""
    poses = np.zeros_like(wanted.poses) if recipe.batching.drop_pose == 1 else wanted.poses  # what the model has learnt on
    clips, device = len(wanted.references) if recipe.model.motion else 0, device_of(model)
    with half(device, recipe.optim.precision):
        kv, features = pairs_of(model, recipe, autoencoder, wanted), model.pose_encoder(pose_tensor(list(poses)).to(device))

    def predict(latents: NDArray[np.float32], timestep: int) -> NDArray[np.float32]:
        x = torch.from_numpy(np.asarray(latents, np.float32)).to(device)
        with half(device, recipe.optim.precision):
            out: Tensor = model.target(x, torch.tensor([float(timestep)], device=device), features, kv, clips)
        array: NDArray[np.float32] = out.float().cpu().numpy()
        return array

    latents = ddim_sample(predict, noise, recipe.schedule, recipe.sampling.steps)
    parts = np.array_split(latents, min(8, len(latents)))
    return to_frames(torch.cat([autoencoder.decode(torch.from_numpy(np.asarray(x, np.float32)).to(device)) for x in parts]))


class Validation:
    """`validation_pairs` references, each with one target (SCD-I) or one window of targets (SCD-V)."""

    def __init__(self, recipe: ScdRecipe, autoencoder: AnyAutoencoder, clips: list[TrainingClip], sheets: Path) -> None:
        self.recipe, self.autoencoder, self.sheets = recipe, autoencoder, sheets
        size = recipe.model.size
        self.clips = [clips[i % len(clips)] for i in range(recipe.logging.validation_pairs)]
        self.targets = [self.target_frames(clip) for clip in self.clips]
        self.references: Frames = np.stack([c.frames[0] for c in self.clips])
        self.ref_poses = np.concatenate([drawn(c, [0], size) for c in self.clips])
        self.truth: Frames = np.concatenate([c.frames[t] for c, t in zip(self.clips, self.targets, strict=True)])
        self.poses = np.concatenate([drawn(c, t, size) for c, t in zip(self.clips, self.targets, strict=True)])

    def target_frames(self, clip: TrainingClip) -> list[int]:
        if self.recipe.batching.consecutive:
            return list(range(clip.clip.frames - self.recipe.batching.targets, clip.clip.frames))
        return [clip.clip.frames - 1]

    def sample(self, model: SCD) -> Frames:
        recipe, times = self.recipe, len(self.truth) // len(self.references)
        columns, rows = recipe.model.latent_size
        shape, shared = (recipe.model.unet.latent_channels, rows, columns), recipe.sampling.shared_noise
        noise = np.concatenate([frame_noise(shape, times, recipe.seed + clip, shared) for clip in range(len(self.references))])
        return sampled(model, recipe, self.autoencoder, Wanted(self.references, self.ref_poses, self.poses), noise)

    def __call__(self, model: SCD, step: int) -> dict[str, float]:
        times = len(self.truth) // len(self.references)
        copied = np.repeat(self.references, times, axis=0)
        ref_poses = np.repeat(self.ref_poses, times, axis=0)
        result = self.sample(model)
        rows = [copied, ref_poses, self.poses, result, self.truth]
        save_sheet(self.sheets / f"{step:06d}.png", contact_sheet([row[:16] for row in rows]))
        return {"psnr": self.mean_psnr(result), "psnr_copy": self.mean_psnr(copied)}

    def mean_psnr(self, pictures: Frames) -> float:
        """Over the targets but those that are the reference itself (frame 0), where a copy is the truth."""
        numbers = [frame for frames in self.targets for frame in frames]
        return float(np.mean([psnr(Compared(a, b)) for a, b, number in zip(pictures, self.truth, numbers, strict=True) if number > 0]))
