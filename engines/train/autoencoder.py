"""Stage 1: the KL autoencoder, on single frames."""

from collections.abc import Iterator
from copy import deepcopy
from dataclasses import asdict
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor, nn

from engines.core.report import Report
from engines.evaluate.pixel import Compared, psnr
from engines.model import checkpoint as checkpoints
from engines.model.autoencoder import Autoencoder
from engines.train.distributed import device_of
from engines.train.frames import TrainingClip, data_fingerprint, load_clips
from engines.train.loop import Progress, Stage, run_loop
from engines.train.order import Shares, parts_between
from engines.train.recipe import AutoencoderRecipe
from engines.train.sheets import contact_sheet, save_sheet

Frames = NDArray[np.uint8]
DOWNSCALE = 8  # of the layers, whatever their widths


def to_tensor(frames: NDArray[np.uint8]) -> Tensor:
    """uint8 (n, H, W, 3) -> float32 (n, 3, H, W) in [-1, 1], channels last in memory."""
    return torch.from_numpy(np.ascontiguousarray(frames)).permute(0, 3, 1, 2).float() / 127.5 - 1.0


def to_frames(images: Tensor) -> NDArray[np.uint8]:
    """(n, 3, H, W) about [-1, 1] -> uint8 (n, H, W, 3)."""
    array: NDArray[np.uint8] = ((images.float().clamp(-1, 1) + 1) * 127.5).round().to(torch.uint8).permute(0, 2, 3, 1).cpu().numpy()
    return array


def measure_latents(model: Autoencoder, clips: list[TrainingClip]) -> None:
    """Set `latent_mean` and `latent_std` from one frame of up to 200 clips."""
    with torch.inference_mode():
        means = torch.cat([model.posterior(to_tensor(c.frames[:1]).to(device_of(model)))[0] for c in clips[:200]])
    model.latent_mean.copy_(means.mean((0, 2, 3)))
    model.latent_std.copy_(means.std((0, 2, 3)))


class Pictures(NamedTuple):
    """images (n, 3, H, W) in [-1, 1] and the noise of their latents (n, C, h, w)."""

    images: Tensor
    noise: Tensor


class AutoencoderLoss(nn.Module):
    """L1 + MSE + KL of a batch, as the recipe weighs them."""

    def __init__(self, model: Autoencoder, recipe: AutoencoderRecipe) -> None:
        super().__init__()
        self.model, self.recipe = model, recipe

    def forward(self, step: int, batch: Pictures) -> Tensor:
        mean, log_variance = self.model.posterior(batch.images)
        out = self.model.decoder(mean + (0.5 * log_variance).exp() * batch.noise).float()
        kl = 0.5 * (mean**2 + log_variance.exp() - 1 - log_variance).sum((1, 2, 3)).mean()
        return F.l1_loss(out, batch.images) + self.recipe.mse_weight * F.mse_loss(out, batch.images) + self.recipe.kl_weight * kl


class PictureBatches:
    """Makes rows of a step's batch: single frames, each from (seed, step, row) alone."""

    def __init__(self, recipe: AutoencoderRecipe, clips: list[TrainingClip]) -> None:
        self.recipe, self.clips = recipe, clips

    def row(self, step: int, row: int) -> tuple[Frames, NDArray[np.float32]]:
        rng = np.random.default_rng([self.recipe.seed, 1, step, row])
        frames = self.clips[rng.integers(len(self.clips))].frames
        columns, rows = (side // DOWNSCALE for side in self.recipe.size)
        noise = rng.standard_normal((self.recipe.autoencoder.latent_channels, rows, columns), dtype=np.float32)
        return frames[rng.integers(len(frames))], noise

    def part(self, step: int, rows: range) -> Pictures:
        made = [self.row(step, row) for row in rows]
        return Pictures(to_tensor(np.stack([frame for frame, _ in made])), torch.from_numpy(np.stack([noise for _, noise in made])))

    def between(self, start: int, stop: int, shares: Shares) -> Iterator[Pictures]:
        return parts_between(self.part, shares, self.recipe.batch, start, stop)


def train_autoencoder(recipe: AutoencoderRecipe, data: Path, run: Path, resume: bool, report: Report) -> Progress:
    """Train or go on; the run folder gets checkpoints, log.jsonl and validation sheets (picture over reconstruction)."""
    clips, held_out = load_clips(data, "train", recipe.size), load_clips(data, "val", recipe.size)
    torch.manual_seed(recipe.seed)
    model = Autoencoder(recipe.autoencoder).to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    test = np.stack(
        [
            held_out[i % len(held_out)].frames[(i // len(held_out) * 5) % held_out[0].clip.frames]
            for i in range(recipe.logging.validation_pairs)
        ]
    )

    def validate(average: nn.Module, step: int) -> dict[str, float]:
        assert isinstance(average, Autoencoder)
        with torch.inference_mode():
            parts = [to_tensor(x).to(device_of(average)) for x in np.array_split(test, 6)]
            out = to_frames(torch.cat([average.decode(average.encode(x)) for x in parts]))
        save_sheet(run / "sheets" / f"{step:06d}.png", contact_sheet([test[:12], out[:12]]))
        return {"psnr": float(np.mean([psnr(Compared(a, b)) for a, b in zip(out, test, strict=True)]))}

    def weights(average: nn.Module) -> dict[str, Tensor]:
        finished = deepcopy(average)
        assert isinstance(finished, Autoencoder)
        measure_latents(finished, clips)
        return finished.state_dict()

    facts = {"kind": "autoencoder", "name": recipe.name, "recipe": asdict(recipe), "data": data_fingerprint(clips)}
    batches, rows = PictureBatches(recipe, clips).between, recipe.batch
    stage = Stage(model, AutoencoderLoss(model, recipe), batches, rows, rows, validate, weights, facts)
    return run_loop(stage, recipe.optim, recipe.logging, run, checkpoints.latest(run) if resume else None, report)
