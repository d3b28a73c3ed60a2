"""Pose encoder: a pose picture becomes features that are added to the UNet's first features, for target AND reference."""

import math
from itertools import pairwise

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from engines.core.specs import ModelSpec


def position_features(columns: int, rows: int, frequencies: int) -> Tensor:
    """Fourier features of the place, (1, 4 x frequencies, rows, columns): sin and cos of pi 2^k x and pi 2^k y, x and y in [-1, 1]."""
    y, x = torch.meshgrid(torch.linspace(-1, 1, rows), torch.linspace(-1, 1, columns), indexing="ij")
    angles = torch.cat([torch.stack([x, y]) * math.pi * 2.0**k / 2 for k in range(frequencies)])
    return torch.cat([angles.sin(), angles.cos()])[None]


def pose_encoder(spec: ModelSpec) -> "PoseEncoder | ControlNetPoseEncoder":
    return ControlNetPoseEncoder(spec) if spec.pose.layout == "controlnet" else PoseEncoder(spec)


def zeroed(layer: nn.Conv2d) -> nn.Conv2d:
    for parameter in layer.parameters():
        nn.init.zeros_(parameter)
    return layer


class ControlNetPoseEncoder(nn.Module):
    """(B, 3, H, W) in [0, 1] -> (B, width of the UNet's first level, H/8, W/8): 3 -> 16 -> 32 -> 96 -> 256 -> 320 in Stable Diffusion 1.5.

    Named as diffusers' ControlNetConditioningEmbedding, whose shape AnimateAnyone's pose guider has too.
    """

    def __init__(self, spec: ModelSpec) -> None:
        super().__init__()
        widths = spec.pose.channels
        self.conv_in = nn.Conv2d(3, widths[0], 3, padding=1)
        self.blocks = nn.ModuleList()
        for width, following in pairwise(widths):
            self.blocks += [nn.Conv2d(width, width, 3, padding=1), nn.Conv2d(width, following, 3, stride=2, padding=1)]
        self.conv_out = zeroed(nn.Conv2d(widths[-1], spec.unet.channels[0], 3, padding=1))

    def forward(self, pose: Tensor) -> Tensor:
        hidden = F.silu(self.conv_in(pose))
        for block in self.blocks:
            hidden = F.silu(block(hidden))
        return self.conv_out(hidden)

    def place(self) -> Tensor:
        """What stands for the features of a pose that is not given: nothing, ()."""
        return self.conv_out.weight.new_zeros(())


class PoseEncoder(nn.Module):
    """(B, 3, H, W) in [0, 1] -> (B, width of the UNet's first level, H/8, W/8); the last convolution starts at zero."""

    position: Tensor

    def __init__(self, spec: ModelSpec) -> None:
        super().__init__()
        one, two, three = spec.pose.channels
        self.conv_in = nn.Conv2d(12, one, 3, padding=1)
        self.blocks = nn.ModuleList(
            [
                nn.Conv2d(one, two, 3, stride=2, padding=1),
                nn.Conv2d(two, three, 3, stride=2, padding=1),
                nn.Conv2d(three, three, 3, padding=1),
            ]
        )
        extra = 4 * spec.pose.position_frequencies
        self.register_buffer(
            "position",
            position_features(*spec.latent_size, spec.pose.position_frequencies) if extra else torch.zeros(1, 0),
            persistent=False,
        )
        self.conv_out = zeroed(nn.Conv2d(three + extra, spec.unet.channels[0], 3, padding=1))

    def forward(self, pose: Tensor) -> Tensor:
        hidden = F.silu(self.conv_in(F.pixel_unshuffle(pose, 2)))
        for block in self.blocks:
            hidden = F.silu(block(hidden))
        if self.position.dim() == 4:
            hidden = torch.cat([hidden, self.position.to(hidden.dtype).expand(hidden.shape[0], -1, -1, -1)], dim=1)
        return self.conv_out(hidden)

    def place(self) -> Tensor:
        """What stands for the features of a pose that is not given: those of the places alone, (1, width, H/8, W/8), or nothing, ()."""
        if self.position.dim() != 4:
            return self.conv_out.weight.new_zeros(())
        return F.conv2d(self.position, self.conv_out.weight[:, -self.position.shape[1] :], padding=1)
