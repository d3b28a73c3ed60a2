"""Building blocks of the UNet, named as diffusers names them so that Stable Diffusion weights map by key.

Shapes: B batch (conditions x frames), F frames, T tokens (rows x columns), C channels, H W latent rows and columns.
"""

import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn

KeyValue = tuple[Tensor, Tensor]


def timestep_features(timestep: Tensor, width: int) -> Tensor:
    """Sinusoidal features of a timestep (B,) -> (B, width), cosines first (diffusers' flip_sin_to_cos)."""
    half = width // 2
    frequencies = torch.exp(-math.log(10000.0) * torch.arange(half, dtype=torch.float32, device=timestep.device) / half)
    angles = timestep.float()[:, None] * frequencies[None]
    return torch.cat([angles.cos(), angles.sin()], dim=1)


class TimestepEmbedding(nn.Module):
    def __init__(self, features: int, width: int) -> None:
        super().__init__()
        self.linear_1 = nn.Linear(features, width)
        self.linear_2 = nn.Linear(width, width)

    def forward(self, features: Tensor) -> Tensor:
        return self.linear_2(F.silu(self.linear_1(features)))


class ResnetBlock(nn.Module):
    def __init__(self, channels_in: int, channels_out: int, time_width: int, groups: int) -> None:
        super().__init__()
        self.norm1 = nn.GroupNorm(groups, channels_in)
        self.conv1 = nn.Conv2d(channels_in, channels_out, 3, padding=1)
        self.time_emb_proj = nn.Linear(time_width, channels_out)
        self.norm2 = nn.GroupNorm(groups, channels_out)
        self.conv2 = nn.Conv2d(channels_out, channels_out, 3, padding=1)
        self.conv_shortcut = nn.Conv2d(channels_in, channels_out, 1) if channels_in != channels_out else None

    def forward(self, hidden: Tensor, time: Tensor) -> Tensor:
        out = self.conv1(F.silu(self.norm1(hidden)))
        out = out + self.time_emb_proj(F.silu(time))[:, :, None, None]
        out = self.conv2(F.silu(self.norm2(out)))
        return out + (hidden if self.conv_shortcut is None else self.conv_shortcut(hidden))


QUERY_GAIN = 2.5


class Attention(nn.Module):
    """Self-attention whose keys and values may be preceded by a reference's (Eq. 1): K = [K_ref, K], V = [V_ref, V].

    Fresh queries and keys start alike and large, so that a token looks from the first step on for tokens like itself: the same
    place, the same limb of the reference. From independent ones the same loss takes about twice the steps (docs/decisions.md).
    """

    def __init__(self, channels: int, head_size: int) -> None:
        super().__init__()
        self.heads = channels // head_size
        self.to_q = nn.Linear(channels, channels, bias=False)
        self.to_k = nn.Linear(channels, channels, bias=False)
        self.to_v = nn.Linear(channels, channels, bias=False)
        self.to_out = nn.ModuleList([nn.Linear(channels, channels)])
        with torch.no_grad():
            self.to_q.weight *= QUERY_GAIN
            self.to_k.weight.copy_(self.to_q.weight)

    def forward(self, hidden: Tensor, reference: KeyValue | None = None) -> tuple[Tensor, KeyValue]:
        """hidden (B, T, C), reference K/V (B, T_ref, C) each -> (out (B, T, C), this layer's own K/V (B, T, C))."""
        query, key, value = self.to_q(hidden), self.to_k(hidden), self.to_v(hidden)
        own = (key, value)
        if reference is not None:
            key = torch.cat([reference[0].to(key.dtype), key], dim=1)
            value = torch.cat([reference[1].to(value.dtype), value], dim=1)
        return self.to_out[0](attend(query, key, value, self.heads)), own


def attend(query: Tensor, key: Tensor, value: Tensor, heads: int) -> Tensor:
    """Multi-head attention on (B, T, C) tensors; becomes onnxruntime's fused MultiHeadAttention node during an export for it."""
    if torch.onnx.is_in_onnx_export():
        from engines.model.fused_attention import multi_head_attention

        return multi_head_attention(query, key, value, heads)
    q, k, v = (x.unflatten(2, (heads, -1)).transpose(1, 2) for x in (query, key, value))
    return F.scaled_dot_product_attention(q, k, v).transpose(1, 2).flatten(2)


class GEGLU(nn.Module):
    def __init__(self, channels: int, inner: int) -> None:
        super().__init__()
        self.proj = nn.Linear(channels, inner * 2)

    def forward(self, hidden: Tensor) -> Tensor:
        value, gate = self.proj(hidden).chunk(2, dim=-1)
        return value * F.gelu(gate)


class FeedForward(nn.Module):
    """diffusers' layout: net.0 = GEGLU, net.1 = dropout (none here), net.2 = linear."""

    def __init__(self, channels: int, ratio: int) -> None:
        super().__init__()
        self.net = nn.ModuleList([GEGLU(channels, channels * ratio), nn.Identity(), nn.Linear(channels * ratio, channels)])

    def forward(self, hidden: Tensor) -> Tensor:
        return self.net[2](self.net[0](hidden))


class TransformerBlock(nn.Module):
    def __init__(self, channels: int, head_size: int, ratio: int) -> None:
        super().__init__()
        self.norm1 = nn.LayerNorm(channels)
        self.attn1 = Attention(channels, head_size)
        self.norm3 = nn.LayerNorm(channels)
        self.ff = FeedForward(channels, ratio)

    def forward(self, tokens: Tensor, reference: KeyValue | None) -> tuple[Tensor, KeyValue]:
        attended, own = self.attn1(self.norm1(tokens), reference)
        tokens = tokens + attended
        return tokens + self.ff(self.norm3(tokens)), own


class SpatialTransformer(nn.Module):
    """diffusers' Transformer2DModel with one block; returns the K/V of its self-attention beside its output."""

    def __init__(self, channels: int, head_size: int, ratio: int, groups: int) -> None:
        super().__init__()
        self.norm = nn.GroupNorm(groups, channels, eps=1e-6)
        self.proj_in = nn.Conv2d(channels, channels, 1)
        self.transformer_blocks = nn.ModuleList([TransformerBlock(channels, head_size, ratio)])
        self.proj_out = nn.Conv2d(channels, channels, 1)

    def forward(self, hidden: Tensor, reference: KeyValue | None = None) -> tuple[Tensor, KeyValue]:
        rows, columns = hidden.shape[2:]
        tokens = self.proj_in(self.norm(hidden)).flatten(2).transpose(1, 2)
        tokens, own = self.transformer_blocks[0](tokens, reference)
        out = tokens.transpose(1, 2).unflatten(2, (rows, columns))
        return hidden + self.proj_out(out), own


class MotionModule(nn.Module):
    """Temporal self-attention over the frames at each place of the picture (AnimateDiff's motion module, one block).

    Zero-initialised output: a fresh SCD-V equals its SCD-I frame by frame.
    """

    def __init__(self, channels: int, head_size: int, ratio: int, groups: int, max_frames: int) -> None:
        super().__init__()
        self.norm = nn.GroupNorm(groups, channels, eps=1e-6)
        self.proj_in = nn.Linear(channels, channels)
        self.position = nn.Parameter(0.02 * torch.randn(1, max_frames, channels))
        self.norm1 = nn.LayerNorm(channels)
        self.attn1 = Attention(channels, head_size)
        self.norm3 = nn.LayerNorm(channels)
        self.ff = FeedForward(channels, ratio)
        self.proj_out = nn.Linear(channels, channels)
        nn.init.zeros_(self.proj_out.weight)
        nn.init.zeros_(self.proj_out.bias)

    def forward(self, hidden: Tensor, clips: int) -> Tensor:
        """hidden (clips x F, C, H, W) -> the same shape."""
        rows, columns = hidden.shape[2:]
        # (clips*F, C, H, W) -> (clips*H*W, F, C)
        places = self.norm(hidden).unflatten(0, (clips, -1)).permute(0, 3, 4, 1, 2).flatten(0, 2)
        tokens = self.proj_in(places)
        moved = self.norm1(tokens) + self.position[:, : tokens.shape[1]]
        tokens = tokens + self.attn1(moved)[0]
        tokens = tokens + self.ff(self.norm3(tokens))
        out = self.proj_out(tokens).unflatten(0, (clips, rows, columns)).permute(0, 3, 4, 1, 2).flatten(0, 1)
        return hidden + out
