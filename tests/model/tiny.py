"""The real model classes at tiny size."""

import torch
from torch import nn

from engines.core.specs import AutoencoderSpec, ModelSpec, MotionSpec, PoseEncoderSpec, UNetSpec
from engines.model.autoencoder import Autoencoder
from engines.model.scd import SCD

AUTOENCODER = AutoencoderSpec(latent_channels=4, channels=(8, 8, 16), blocks=(1, 1, 1), groups=4)


def tiny_spec(motion: bool) -> ModelSpec:
    return ModelSpec(
        size=(32, 64),
        downscale=8,
        unet=UNetSpec(
            latent_channels=4, channels=(32, 64), attention=(True, True), layers_per_block=1, head_size=16, feed_forward_ratio=1, groups=8
        ),
        pose=PoseEncoderSpec(channels=(8, 8, 8), position_frequencies=2),
        motion=MotionSpec(levels=(0, 1), max_frames=8, head_size=16, feed_forward_ratio=1) if motion else None,
    )


def stirred(module: nn.Module) -> nn.Module:
    """Zero-initialised weights made random, so that nothing is silently switched off."""
    generator = torch.Generator().manual_seed(1)
    with torch.no_grad():
        for parameter in module.parameters():
            if not parameter.any():
                parameter.copy_(0.1 * torch.randn(parameter.shape, generator=generator))
    return module.eval().requires_grad_(False)


def tiny_scd(motion: bool) -> SCD:
    torch.manual_seed(0)
    model = stirred(SCD(tiny_spec(motion)))
    assert isinstance(model, SCD)
    return model


def tiny_autoencoder() -> Autoencoder:
    torch.manual_seed(0)
    model = stirred(Autoencoder(AUTOENCODER))
    assert isinstance(model, Autoencoder)
    return model
