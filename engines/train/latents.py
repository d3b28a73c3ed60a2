"""Latents of the training frames, encoded once by a frozen autoencoder and kept beside the data."""

import hashlib
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from engines.core.report import Report
from engines.model.autoencoder import Autoencoder
from engines.model.stable_vae import StableVae
from engines.train.autoencoder import to_tensor
from engines.train.frames import TrainingClip, cache_folder, save_array


def fingerprint(model: Autoencoder) -> str:
    """First 16 hex digits of the sha256 of the encoder's weights: latents of another autoencoder are never mixed in."""
    digest = hashlib.sha256()
    for name, tensor in sorted(model.state_dict().items()):
        digest.update(name.encode() + tensor.detach().contiguous().numpy().tobytes())
    return digest.hexdigest()[:16]


def clip_latents(data: Path, clip: TrainingClip, model: Autoencoder, key: str, size: tuple[int, int]) -> NDArray[np.float16]:
    """Whitened latents (F, C, h, w) of a clip, float16 on disk."""
    path = cache_folder(data, size) / f"latents-{key}" / f"{clip.clip.clip_id}.npy"
    if not path.exists():
        with torch.inference_mode(), torch.autocast("cpu", torch.bfloat16):
            encoded = model.encode(to_tensor(clip.frames))
        save_array(path, encoded.float().numpy().astype(np.float16))
    loaded: NDArray[np.float16] = np.load(path, mmap_mode="r", allow_pickle=False)
    return loaded


def all_latents(
    data: Path, clips: list[TrainingClip], model: Autoencoder, size: tuple[int, int], report: Report
) -> list[NDArray[np.float16]]:
    key, out = fingerprint(model), []
    with report.stage("encode frames", len(clips)) as bar:
        for clip in clips:
            out.append(clip_latents(data, clip, model, key, size))
            bar.advance(1)
    return out


def as_tensor(latents: NDArray[np.float16]) -> Tensor:
    return torch.from_numpy(np.asarray(latents, np.float32))


@torch.no_grad()  # not inference_mode: the weights take part in training
def channel_weights(model: Autoencoder | StableVae, latents: Tensor) -> Tensor:
    """How much each latent channel weighs in the loss, (C,) with mean 1, from latents (n, C, h, w).

    The square root of the picture's squared error per squared error of the channel: halfway between judging latents, where a
    channel of fine grain weighs as much as brightness, and judging pictures, where colours would hardly count.
    """
    generator, untouched = torch.Generator().manual_seed(0), model.decode(latents)
    errors = []
    for channel in range(latents.shape[1]):
        moved = latents.clone()
        moved[:, channel] += 0.3 * torch.randn(moved[:, channel].shape, generator=generator)
        errors.append((model.decode(moved) - untouched).square().mean().sqrt())
    weights = torch.stack(errors)
    return weights / weights.mean()
