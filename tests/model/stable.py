"""The real model classes in Stable Diffusion 1.5's layout at tiny size, and diffusers' own networks of the same shape."""

from dataclasses import asdict, replace
from pathlib import Path
from typing import Any, cast

import torch
from torch import nn

from engines.core.schedule import NoiseSchedule
from engines.core.specs import ModelSpec, MotionSpec, PoseEncoderSpec, Sampling, TextSpec, UNetSpec
from engines.model.checkpoint import prefixed, save_checkpoint
from engines.model.scd import SCD
from engines.model.stable_vae import STABLE, StableVae
from tests.model.tiny import stirred

CHANNELS, HEADS, TEXT, TOKENS = (32, 64, 64, 64), 2, 24, 7  # heads 16 and 32 wide: what TensorRT fuses
UNET = UNetSpec(
    latent_channels=4, channels=CHANNELS, attention=(True, True, True, False), layers_per_block=2, head_size=0, feed_forward_ratio=4,
    groups=8, heads=HEADS, text=TextSpec(tokens=TOKENS, channels=TEXT),
)  # fmt: skip
POSE = PoseEncoderSpec(channels=(4, 8, 8, 16), position_frequencies=0, layout="controlnet")
MOTION = MotionSpec(levels=(0, 1, 2, 3), max_frames=32, head_size=0, feed_forward_ratio=4, layout="animatediff", heads=HEADS)
SCHEDULE = NoiseSchedule(train_timesteps=1000, beta_start=0.00085, beta_end=0.012, zero_terminal_snr=False, prediction_type="epsilon")
SAMPLING = Sampling(steps=3, guidance=1.0, shared_noise=0.0, window=4, overlap=2)
VAE = {
    "in_channels": 3, "out_channels": 3, "latent_channels": 4, "layers_per_block": 1, "block_out_channels": [8, 8, 16, 16],
    "down_block_types": ["DownEncoderBlock2D"] * 4, "up_block_types": ["UpDecoderBlock2D"] * 4, "norm_num_groups": 4,
    "act_fn": "silu", "sample_size": 64, "scaling_factor": 0.18215,
}  # fmt: skip
DIFFUSERS: dict[str, Any] = {
    "sample_size": 8, "in_channels": 4, "out_channels": 4, "layers_per_block": 2, "block_out_channels": CHANNELS,
    "down_block_types": ("CrossAttnDownBlock2D",) * 3 + ("DownBlock2D",), "up_block_types": ("UpBlock2D",) + ("CrossAttnUpBlock2D",) * 3,
    "cross_attention_dim": TEXT, "attention_head_dim": HEADS, "norm_num_groups": 8,
}  # fmt: skip


SMALL_UNET = replace(UNET, channels=CHANNELS[:2], attention=(True, False), layers_per_block=1)  # a trace costs time by the layer
SMALL_MOTION = replace(MOTION, levels=(0,), middle=False)
SMALL = ModelSpec(size=(64, 128), downscale=8, unet=SMALL_UNET, pose=POSE, motion=SMALL_MOTION)


def stable_spec(motion: bool, middle: bool = True, size: tuple[int, int] = (64, 128)) -> ModelSpec:
    return ModelSpec(size=size, downscale=8, unet=UNET, pose=POSE, motion=replace(MOTION, middle=middle) if motion else None)


def random_scd(spec: ModelSpec) -> SCD:
    """As if trained: fresh queries and keys are alike and the prompt is zero, and TensorRT-RTX 1.7 crashes on an attention whose inputs
    are one tensor."""
    torch.manual_seed(0)
    model = cast(SCD, stirred(SCD(spec)))
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if name.endswith("to_k.weight"):
                parameter += 0.02 * torch.randn(parameter.shape)
        if model.unet.prompt is not None:
            model.unet.prompt.normal_()
    return model


def stable_scd(motion: bool) -> SCD:
    return random_scd(stable_spec(motion))


def stable_vae() -> nn.Module:
    torch.manual_seed(0)
    return stirred(StableVae(VAE))


def save_stable_run(run: Path, motion: bool) -> Path:
    """A checkpoint as `scd train` writes it, of two levels."""
    model = random_scd(SMALL if motion else replace(SMALL, motion=None))
    recipe = {
        "data": "/somewhere/data", "autoencoder": "", "initial": "", "model": asdict(model.spec), "schedule": asdict(SCHEDULE),
        "sampling": asdict(SAMPLING),
    }  # fmt: skip
    facts = {"kind": "scd", "name": "stable", "step": 1, "recipe": recipe, "data": "none", "autoencoder": {"layout": STABLE, "config": VAE}}
    save_checkpoint(run, prefixed("scd", model.state_dict()) | prefixed("autoencoder", stable_vae().state_dict()), {}, facts, keep=1)
    return run
