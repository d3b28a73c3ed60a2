"""Validation of SCD stages: held-out people in held-out motion, sampled as `scd animate` samples them."""

from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from engines.core.sampler import ddim_sample, frame_noise
from engines.evaluate.pixel import Compared, psnr
from engines.model.scd import SCD, repeat_kv
from engines.pose.draw import DrawStyle, draw_pose
from engines.train.autoencoder import to_frames, to_tensor
from engines.train.frames import TrainingClip
from engines.train.recipe import ScdRecipe
from engines.train.sheets import contact_sheet, save_sheet
from engines.train.start import AnyAutoencoder

Frames = NDArray[np.uint8]


def drawn(clip: TrainingClip, frames: list[int], size: tuple[int, int]) -> Frames:
    """Plainly drawn pose pictures, uint8 (n, H, W, 3)."""
    return np.stack([draw_pose(clip.points[f], clip.points_size, size, DrawStyle()) for f in frames])


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

    @torch.inference_mode()
    def sample(self, model: SCD) -> Frames:
        recipe, times = self.recipe, len(self.truth) // len(self.references)
        pose = torch.from_numpy(self.poses).permute(0, 3, 1, 2).float() / 255
        ref_pose = torch.from_numpy(self.ref_poses).permute(0, 3, 1, 2).float() / 255
        with torch.autocast("cpu", torch.bfloat16):
            kv = model.reference(self.autoencoder.encode(to_tensor(self.references)), model.pose_encoder(ref_pose))
            kv, features = repeat_kv(kv, times), model.pose_encoder(pose)
        clips = len(self.references) if recipe.model.motion else 0

        def predict(latents: NDArray[np.float32], timestep: int) -> NDArray[np.float32]:
            x = torch.from_numpy(np.asarray(latents, np.float32))
            with torch.autocast("cpu", torch.bfloat16):
                out: Tensor = model.target(x, torch.tensor([float(timestep)]), features, kv, clips)
            array: NDArray[np.float32] = out.float().numpy()
            return array

        columns, rows = recipe.model.latent_size
        shape, shared = (recipe.model.unet.latent_channels, rows, columns), recipe.sampling.shared_noise
        noise = np.concatenate([frame_noise(shape, times, recipe.seed + clip, shared) for clip in range(len(self.references))])
        latents = ddim_sample(predict, noise, recipe.schedule, recipe.sampling.steps)
        return to_frames(
            torch.cat(
                [
                    self.autoencoder.decode(torch.from_numpy(np.asarray(x, np.float32)))
                    for x in np.array_split(latents, min(8, len(latents)))
                ]
            )
        )

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
