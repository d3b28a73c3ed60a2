"""KL autoencoder, pictures (n, 3, H, W) in [-1, 1] <-> latents (n, C, H/8, W/8) of about zero mean and unit variance."""

from dataclasses import replace

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from engines.core.errors import ScdError
from engines.core.specs import AutoencoderSpec


class Residual(nn.Module):
    def __init__(self, channels: int, groups: int) -> None:
        super().__init__()
        self.norm1 = nn.GroupNorm(groups, channels)
        self.conv1 = nn.Conv2d(channels, channels, 3, padding=1)
        self.norm2 = nn.GroupNorm(groups, channels)
        self.conv2 = nn.Conv2d(channels, channels, 3, padding=1)

    def forward(self, hidden: Tensor) -> Tensor:
        return hidden + self.conv2(F.silu(self.norm2(self.conv1(F.silu(self.norm1(hidden))))))


def encoder_layers(spec: AutoencoderSpec) -> nn.Sequential:
    layers: list[nn.Module] = [nn.PixelUnshuffle(2), nn.Conv2d(12, spec.channels[0], 3, padding=1)]
    for index, (width, blocks) in enumerate(zip(spec.channels, spec.blocks, strict=True)):
        layers += [Residual(width, spec.groups) for _ in range(blocks)]
        if index < 2:
            layers.append(nn.Conv2d(width, spec.channels[index + 1], 3, stride=2, padding=1))
    return nn.Sequential(*layers, nn.Conv2d(spec.channels[2], 2 * spec.latent_channels, 3, padding=1))


def decoder_layers(spec: AutoencoderSpec) -> nn.Sequential:
    layers: list[nn.Module] = [nn.Conv2d(spec.latent_channels, spec.channels[2], 3, padding=1)]
    for index in (2, 1, 0):
        width = spec.channels[index]
        layers += [Residual(width, spec.groups) for _ in range(spec.blocks[index] + 1)]
        target = spec.channels[index - 1] * 4 if index else 12
        layers += [nn.Conv2d(width, target, 3, padding=1), nn.PixelShuffle(2)]
    return nn.Sequential(*layers)


class Autoencoder(nn.Module):
    """`latent_mean` and `latent_std` (C,) are measured after training; they whiten the latents, as Stable Diffusion's 0.18215 does."""

    latent_mean: Tensor
    latent_std: Tensor

    def __init__(self, spec: AutoencoderSpec) -> None:
        super().__init__()
        self.spec = spec
        self.encoder = encoder_layers(spec)
        self.decoder = decoder_layers(spec)
        self.register_buffer("latent_mean", torch.zeros(spec.latent_channels))
        self.register_buffer("latent_std", torch.ones(spec.latent_channels))

    def posterior(self, image: Tensor) -> tuple[Tensor, Tensor]:
        """Mean and log-variance of the raw latents, each (n, C, h, w)."""
        mean, log_variance = self.encoder(image).float().chunk(2, dim=1)
        return mean, log_variance.clamp(-12.0, 4.0)

    def encode(self, image: Tensor) -> Tensor:
        """The posterior's mean, whitened: (n, 3, H, W) in [-1, 1] -> (n, C, H/8, W/8)."""
        return (self.posterior(image)[0] - self.latent_mean[:, None, None]) / self.latent_std[:, None, None]

    def decode(self, latents: Tensor) -> Tensor:
        """Whitened latents -> picture, about [-1, 1], not clipped."""
        return self.decoder(latents * self.latent_std[:, None, None] + self.latent_mean[:, None, None])


def strongest_channels(model: Autoencoder, count: int) -> Autoencoder:
    """The same autoencoder with only the `count` latent channels of largest raw deviation; ScdError where it has fewer.

    The KL term shrinks what the decoder hardly needs: whitened, such channels would weigh in diffusion as much as the picture itself.
    """
    if count > model.spec.latent_channels:
        have = model.spec.latent_channels
        raise ScdError(
            f"the autoencoder has {have} latent channels, fewer than the model's {count}", f"use --set model.unet.latent_channels={have}"
        )
    keep = model.latent_std.topk(count).indices.sort().values
    rows = torch.cat([keep, keep + model.spec.latent_channels])  # means, then log-variances
    last = f"encoder.{len(model.encoder) - 1}"
    chosen = {
        f"{last}.weight": (0, rows),
        f"{last}.bias": (0, rows),
        "decoder.0.weight": (1, keep),
        "latent_mean": (0, keep),
        "latent_std": (0, keep),
    }
    small = Autoencoder(replace(model.spec, latent_channels=count))
    small.load_state_dict({name: x.index_select(*chosen[name]) if name in chosen else x for name, x in model.state_dict().items()})
    return small.requires_grad_(False).eval().to(memory_format=torch.channels_last)  # type: ignore[call-overload]
