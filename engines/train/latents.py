"""Latents of the training frames, encoded once by a frozen autoencoder and kept beside the data."""

import hashlib
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from engines.core.report import Report
from engines.train.autoencoder import to_tensor
from engines.train.distributed import device_of, half
from engines.train.frames import TrainingClip, cache_folder, save_array
from engines.train.start import AnyAutoencoder

WEIGHED_ON = 16  # pictures that say how much each latent channel counts

PIXELS = 4 * 512 * 512  # encoded at once: memory does not grow with the clip


def fingerprint(model: AnyAutoencoder) -> str:
    """First 16 hex digits of the sha256 of the encoder's weights: latents of another autoencoder are never mixed in."""
    digest = hashlib.sha256()
    for name, tensor in sorted(model.state_dict().items()):
        digest.update(name.encode() + tensor.detach().cpu().contiguous().numpy().tobytes())
    return digest.hexdigest()[:16]


def encode_frames(model: AnyAutoencoder, frames: NDArray[np.uint8], precision: str) -> Tensor:
    """Latents (F, C, h, w), float32 on the CPU, of frames (F, H, W, 3); a few at a time, in a recipe's `precision`, where the model is."""
    device = device_of(model)
    some = max(1, PIXELS // (frames.shape[1] * frames.shape[2]))
    with torch.no_grad(), half(device, precision):
        parts = [model.encode(to_tensor(frames[i : i + some]).to(device)).float().cpu() for i in range(0, len(frames), some)]
    return torch.cat(parts)


def clip_latents(data: Path, clip: TrainingClip, model: AnyAutoencoder, precision: str, key: str) -> NDArray[np.float16]:
    """Latents (F, C, h, w) of a clip, whitened or scaled as the autoencoder does it; float16, kept on disk by size, autoencoder and
    precision."""
    path = cache_folder(data, clip.size) / f"latents-{key}-{precision}" / f"{clip.clip.clip_id}.npy"
    if not path.exists():
        save_array(path, encode_frames(model, clip.frames, precision).numpy().astype(np.float16))
    loaded: NDArray[np.float16] = np.load(path, mmap_mode="r", allow_pickle=False)
    return loaded


def all_latents(data: Path, clips: list[TrainingClip], model: AnyAutoencoder, precision: str, report: Report) -> list[NDArray[np.float16]]:
    key, out = fingerprint(model), []
    with report.stage("encode frames", len(clips)) as bar:
        for clip in clips:
            out.append(clip_latents(data, clip, model, precision, key))
            bar.advance(1)
    return out


def no_latents(clips: list[TrainingClip], channels: int, downscale: int) -> list[NDArray[np.float16]]:
    """In the shape of `all_latents`, all zero and without memory: for a run that sees every clip anew and never looks at them."""
    shapes = [(clip.clip.frames, channels, clip.size[1] // downscale, clip.size[0] // downscale) for clip in clips]
    return [np.broadcast_to(np.float16(0), shape) for shape in shapes]


def first_latents(clips: list[TrainingClip], model: AnyAutoencoder, precision: str) -> Tensor:
    """Of the first frame of each of up to WEIGHED_ON clips of one size: what `channel_weights` takes."""
    same = [clip for clip in clips if clip.size == clips[0].size][:WEIGHED_ON]
    return encode_frames(model, np.stack([clip.frames[0] for clip in same]), precision)


@torch.no_grad()  # not inference_mode: the weights take part in training
def channel_weights(model: AnyAutoencoder, latents: Tensor) -> Tensor:
    """How much each latent channel weighs in the loss, (C,) with mean 1, from latents (n, C, h, w).

    The square root of the picture's squared error per squared error of the channel: halfway between judging latents, where a
    channel of fine grain weighs as much as brightness, and judging pictures, where colours would hardly count.
    """
    device = device_of(model)
    latents = latents.to(device)
    generator, untouched = torch.Generator().manual_seed(0), model.decode(latents)
    errors = []
    for channel in range(latents.shape[1]):
        moved = latents.clone()
        moved[:, channel] += 0.3 * torch.randn(moved[:, channel].shape, generator=generator).to(device)
        errors.append((model.decode(moved) - untouched).square().mean().sqrt())
    weights = torch.stack(errors).cpu()
    return weights / weights.mean()
