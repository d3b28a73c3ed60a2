"""Motion modules: attention over the frames at each place of the picture, scd-mini's own and AnimateDiff's.

Shapes: B clips x F frames, C channels, H W latent rows and columns. Both take (B, C, H, W) and the number of clips. Their output starts at
zero: a fresh SCD-V equals its SCD-I frame by frame.
"""

import math

import torch
from torch import Tensor, nn

from engines.core.specs import ModelSpec
from engines.model.layers import Attention, Block, FeedForward


def motion_modules(spec: ModelSpec, level: int, count: int) -> list[nn.Module]:
    """The modules of one level, `count` layers; none where the model has none there."""
    motion = spec.motion
    if motion is None or level not in motion.levels:
        return []
    width, groups = spec.unet.channels[level], spec.unet.groups
    animatediff = FrameNormModule if motion.frame_norm else AnimateDiffModule
    kind = animatediff if motion.layout == "animatediff" else MotionModule
    return [kind(width, motion.heads_of(width), motion.feed_forward_ratio, groups, motion.max_frames) for _ in range(count)]


class TemporalLayer(Block):
    """What both have in common: norm and projections around something that works on (places, F, C)."""

    def __init__(self, channels: int, groups: int) -> None:
        super().__init__()
        self.norm = nn.GroupNorm(groups, channels, eps=1e-6)
        self.proj_in = nn.Linear(channels, channels)
        self.proj_out = nn.Linear(channels, channels)
        nn.init.zeros_(self.proj_out.weight)
        nn.init.zeros_(self.proj_out.bias)

    def over_frames(self, tokens: Tensor) -> Tensor:
        raise NotImplementedError

    def normed(self, hidden: Tensor, clips: int) -> Tensor:
        """GroupNorm of each frame by itself."""
        return self.norm(hidden).unflatten(0, (clips, -1))

    def forward(self, hidden: Tensor, clips: int) -> Tensor:
        """hidden (clips x F, C, H, W) -> the same shape."""
        rows, columns = hidden.shape[2:]
        # (clips, F, C, H, W) -> (clips*H*W, F, C)
        places = self.normed(hidden, clips).permute(0, 3, 4, 1, 2).flatten(0, 2)
        out = self.proj_out(self.over_frames(self.proj_in(places)))
        return hidden + out.unflatten(0, (clips, rows, columns)).permute(0, 3, 4, 1, 2).flatten(0, 1)


class MotionModule(TemporalLayer):
    """One attention and a feed-forward layer, positions learnt."""

    def __init__(self, channels: int, heads: int, ratio: int, groups: int, max_frames: int) -> None:
        super().__init__(channels, groups)
        self.position = nn.Parameter(0.02 * torch.randn(1, max_frames, channels))
        self.norm1 = nn.LayerNorm(channels)
        self.attn1 = Attention(channels, heads)
        self.norm3 = nn.LayerNorm(channels)
        self.ff = FeedForward(channels, ratio)

    def over_frames(self, tokens: Tensor) -> Tensor:
        moved = self.norm1(tokens) + self.position[:, : tokens.shape[1]]
        tokens = tokens + self.attn1(moved)[0]
        return tokens + self.ff(self.norm3(tokens))


class Positions(nn.Module):
    """Sinusoidal positions (1, frames, C), sine on even channels; a buffer `pe` that checkpoints carry."""

    pe: Tensor

    def __init__(self, channels: int, frames: int) -> None:
        super().__init__()
        place = torch.arange(frames)[:, None]
        rates = torch.exp(torch.arange(0, channels, 2) * (-math.log(10000.0) / channels))
        table = torch.zeros(1, frames, channels)
        table[0, :, 0::2], table[0, :, 1::2] = torch.sin(place * rates), torch.cos(place * rates)
        self.register_buffer("pe", table)

    def forward(self, tokens: Tensor) -> Tensor:
        return tokens + self.pe[:, : tokens.shape[1]]


class TemporalBlock(nn.Module):
    """diffusers' BasicTransformerBlock with two self-attentions over the frames, positions added before each."""

    def __init__(self, channels: int, heads: int, ratio: int, max_frames: int) -> None:
        super().__init__()
        self.pos_embed = Positions(channels, max_frames)
        self.norm1, self.norm2, self.norm3 = (nn.LayerNorm(channels) for _ in range(3))
        self.attn1, self.attn2 = Attention(channels, heads), Attention(channels, heads)
        self.ff = FeedForward(channels, ratio)

    def forward(self, tokens: Tensor) -> Tensor:
        tokens = tokens + self.attn1(self.pos_embed(self.norm1(tokens)))[0]
        tokens = tokens + self.attn2(self.pos_embed(self.norm2(tokens)))[0]
        return tokens + self.ff(self.norm3(tokens))


class AnimateDiffModule(TemporalLayer):
    """AnimateDiff's motion module (Guo et al. 2024) under diffusers' names (MotionAdapter)."""

    def __init__(self, channels: int, heads: int, ratio: int, groups: int, max_frames: int) -> None:
        super().__init__(channels, groups)
        self.transformer_blocks = nn.ModuleList([TemporalBlock(channels, heads, ratio, max_frames)])

    def normed(self, hidden: Tensor, clips: int) -> Tensor:
        """GroupNorm over all frames of a clip together, as diffusers' AnimateDiffTransformer3D has it."""
        together = hidden.unflatten(0, (clips, -1)).transpose(1, 2)
        return self.norm(together).transpose(1, 2)

    def over_frames(self, tokens: Tensor) -> Tensor:
        return self.transformer_blocks[0](tokens)


class FrameNormModule(AnimateDiffModule):
    """The same with the GroupNorm of AnimateDiff's and AnimateAnyone's own code."""

    def normed(self, hidden: Tensor, clips: int) -> Tensor:
        """GroupNorm of each frame by itself."""
        return TemporalLayer.normed(self, hidden, clips)
