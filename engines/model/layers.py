"""Building blocks of the UNet, named as diffusers names them so that Stable Diffusion weights map by key.

Shapes: B batch (conditions x frames), F frames, T tokens (rows x columns), C channels, H W latent rows and columns.
"""

import math
from collections.abc import Callable
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from engines.core.specs import UNetSpec

KeyValue = tuple[Tensor, Tensor]
# K and V, and in Reference-Net models with a null of their own which items of the batch read them, (B, 1, 1)
Reference = tuple[Tensor, ...]
Attend = Callable[[Tensor, Tensor, Tensor, int], Tensor]


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


class Block(nn.Module):
    """A part of the network that `run` can call without keeping what it computes inside. It must be a pure function of its arguments."""

    recompute = False


def run(block: nn.Module, *arguments: Any) -> Any:
    """block(*arguments); where it is a Block set to `recompute`, only its arguments are kept for the backward pass, which computes it again
    (Chen et al. 2016)."""
    if isinstance(block, Block) and block.recompute and torch.is_grad_enabled():
        return checkpoint(block, *arguments, use_reentrant=False, preserve_rng_state=False)
    return block(*arguments)


def set_recompute(module: nn.Module, recompute: bool) -> None:
    """Of all Blocks inside."""
    for block in module.modules():
        if isinstance(block, Block):
            block.recompute = recompute


class ResnetBlock(Block):
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

    def __init__(self, channels: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.attend: Attend = attend
        self.to_q = nn.Linear(channels, channels, bias=False)
        self.to_k = nn.Linear(channels, channels, bias=False)
        self.to_v = nn.Linear(channels, channels, bias=False)
        self.to_out = nn.ModuleList([nn.Linear(channels, channels)])
        with torch.no_grad():
            self.to_q.weight *= QUERY_GAIN
            self.to_k.weight.copy_(self.to_q.weight)

    def forward(self, hidden: Tensor, reference: Reference | None = None) -> tuple[Tensor, KeyValue]:
        """hidden (B, T, C), reference K/V (B, T_ref, C) each -> (out (B, T, C), this layer's own K/V (B, T, C))."""
        query, key, value = self.to_q(hidden), self.to_k(hidden), self.to_v(hidden)
        own = (key, value)
        if reference is not None:
            ref_key, ref_value = where_read(reference, own)
            key = torch.cat([ref_key.to(key.dtype), key], dim=1)
            value = torch.cat([ref_value.to(value.dtype), value], dim=1)
        return self.to_out[0](self.attend(query, key, value, self.heads)), own


def where_read(reference: Reference, own: KeyValue) -> KeyValue:
    """The K/V that go before a layer's own: the reference's, and its own once more for items that read no reference.

    Softmax over every token twice is softmax over every token once, so such an item sees itself alone, exactly and without a mask, which
    fused attention kernels do not take. Needs as many reference tokens as own ones.
    """
    if len(reference) == 2:
        return reference[0], reference[1]
    read = reference[2]
    key, value = (read * given + (1 - read) * made for given, made in zip(reference[:2], own, strict=True))
    return key, value


def attend(query: Tensor, key: Tensor, value: Tensor, heads: int) -> Tensor:
    """Multi-head attention on (B, T, C) tensors. An export puts another of its kind in its place (engines/export/exportable.py)."""
    if query.device.type == "cpu" and query.dtype == torch.bfloat16:  # there its fused kernel is up to 7 times slower than float32's
        with torch.autocast("cpu", enabled=False):
            return attend_in_float32(query, key, value, heads)
    q, k, v = (x.unflatten(2, (heads, -1)).transpose(1, 2) for x in (query, key, value))
    return F.scaled_dot_product_attention(q, k, v).transpose(1, 2).flatten(2)


def attend_in_float32(query: Tensor, key: Tensor, value: Tensor, heads: int) -> Tensor:
    return attend(query.float(), key.float(), value.float(), heads).to(query.dtype)


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


class CrossAttention(nn.Module):
    """Attention to the empty prompt, or to a picture's token, named as diffusers' attn2."""

    def __init__(self, channels: int, text_channels: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.attend: Attend = attend
        self.to_q = nn.Linear(channels, channels, bias=False)
        self.to_k = nn.Linear(text_channels, channels, bias=False)
        self.to_v = nn.Linear(text_channels, channels, bias=False)
        self.to_out = nn.ModuleList([nn.Linear(channels, channels)])

    def prompt_kv(self, prompt: Tensor) -> KeyValue:
        return self.to_k(prompt), self.to_v(prompt)

    def forward(self, hidden: Tensor, prompt: Tensor) -> Tensor:
        """hidden (B, T, C), prompt (1 or B, tokens, text channels) -> (B, T, C)."""
        key, value = (x.expand(hidden.shape[0], -1, -1) for x in self.prompt_kv(prompt))
        return self.to_out[0](self.attend(self.to_q(hidden), key, value, self.heads))


class TransformerBlock(nn.Module):
    """diffusers' BasicTransformerBlock: attn1 sees the reference, attn2 (with a text spec) the empty prompt."""

    def __init__(self, channels: int, spec: UNetSpec) -> None:
        super().__init__()
        heads = spec.heads_of(channels)
        self.norm1 = nn.LayerNorm(channels)
        self.attn1 = Attention(channels, heads)
        self.has_text = spec.text is not None
        if spec.text is not None:
            self.norm2 = nn.LayerNorm(channels)
            self.attn2 = CrossAttention(channels, spec.text.channels, heads)
        self.norm3 = nn.LayerNorm(channels)
        self.ff = FeedForward(channels, spec.feed_forward_ratio)

    def forward(self, tokens: Tensor, reference: Reference | None, prompt: Tensor | None) -> tuple[Tensor, KeyValue]:
        attended, own = self.attn1(self.norm1(tokens), reference)
        tokens = tokens + attended
        if self.has_text:
            tokens = tokens + self.attn2(self.norm2(tokens), prompt)
        return tokens + self.ff(self.norm3(tokens)), own


class SpatialTransformer(Block):
    """diffusers' Transformer2DModel with one block; returns the K/V of its self-attention beside its output."""

    def __init__(self, channels: int, spec: UNetSpec) -> None:
        super().__init__()
        self.norm = nn.GroupNorm(spec.groups, channels, eps=1e-6)
        self.proj_in = nn.Conv2d(channels, channels, 1)
        self.transformer_blocks = nn.ModuleList([TransformerBlock(channels, spec)])
        self.proj_out = nn.Conv2d(channels, channels, 1)

    def forward(self, hidden: Tensor, reference: Reference | None = None, prompt: Tensor | None = None) -> tuple[Tensor, KeyValue]:
        rows, columns = hidden.shape[2:]
        tokens = self.proj_in(self.norm(hidden)).flatten(2).transpose(1, 2)
        tokens, own = self.transformer_blocks[0](tokens, reference, prompt)
        out = tokens.transpose(1, 2).unflatten(2, (rows, columns))
        return hidden + self.proj_out(out), own
