"""The SCD denoising UNet: reference keys and values are arguments and returns; nothing is hooked, patched or banked (METHOD, Eq. 1)."""

from collections.abc import Iterable, Iterator, Sequence
from typing import cast

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from engines.core.specs import SHALLOW, ModelSpec, self_attention_sites
from engines.model.layers import KeyValue, ResnetBlock, SpatialTransformer, TimestepEmbedding, run, timestep_features
from engines.model.motion import motion_modules


class Sampler2d(nn.Module):
    """Down- or upsampling by 2; the parameter is called `conv` in both, as in diffusers."""

    def __init__(self, channels: int, up: bool) -> None:
        super().__init__()
        self.up = up
        self.conv = nn.Conv2d(channels, channels, 3, stride=1 if up else 2, padding=1)

    def forward(self, hidden: Tensor) -> Tensor:
        return self.conv(F.interpolate(hidden, scale_factor=2.0, mode="nearest") if self.up else hidden)


class Level(nn.Module):
    """One resolution on the way down or up: layers of resnet (+ spatial transformer) (+ motion module), then a resampler."""

    def __init__(self, spec: ModelSpec, level: int, inputs: Sequence[int], up: bool, resample: bool) -> None:
        super().__init__()
        unet = spec.unet
        width = unet.channels[level]
        self.resnets = nn.ModuleList([ResnetBlock(c, width, unet.channels[0] * 4, unet.groups) for c in inputs])
        self.attentions = nn.ModuleList([SpatialTransformer(width, unet) for _ in inputs] if unet.attention[level] else [])
        self.motion_modules = nn.ModuleList(motion_modules(spec, level, len(inputs)))
        name = "upsamplers" if up else "downsamplers"
        self.add_module(name, nn.ModuleList([Sampler2d(width, up)] if resample else []))

    @property
    def samplers(self) -> nn.ModuleList:
        return cast(nn.ModuleList, self.upsamplers if hasattr(self, "upsamplers") else self.downsamplers)

    def layer(self, index: int, hidden: Tensor, time: Tensor, clips: int, references: "Feed") -> Tensor:
        hidden = run(self.resnets[index], hidden, time)
        if len(self.attentions):
            hidden = references.through(self.attentions[index], hidden)
        if clips and len(self.motion_modules):
            hidden = run(self.motion_modules[index], hidden, clips)
        return hidden


class Feed:
    """Hands each site its reference K/V in site order, and what cross-attention looks at; collects the K/V that the sites make, and `deep`.

    `read` (B, 1, 1): 0 for items of the batch that are to see no reference, 1 for the others.
    """

    deep: Tensor

    def __init__(self, reference: Sequence[KeyValue] | None, prompt: Tensor | None, read: Tensor | None = None) -> None:
        self.prompt, self.read = prompt, () if read is None else (read,)
        self.reference: Iterator[KeyValue] | None = None if reference is None else iter(reference)
        self.collected: list[KeyValue] = []

    def through(self, block: nn.Module, hidden: Tensor) -> Tensor:
        hidden, own = run(block, hidden, None if self.reference is None else (*next(self.reference), *self.read), self.prompt)
        self.collected.append(own)
        return hidden


class MiddleBlock(nn.Module):
    def __init__(self, spec: ModelSpec) -> None:
        super().__init__()
        unet, width = spec.unet, spec.unet.channels[-1]
        self.resnets = nn.ModuleList([ResnetBlock(width, width, unet.channels[0] * 4, unet.groups) for _ in range(2)])
        self.attentions = nn.ModuleList([SpatialTransformer(width, unet)])
        middle = spec.motion is not None and spec.motion.middle
        self.motion_modules = nn.ModuleList(motion_modules(spec, len(unet.channels) - 1, 1) if middle else [])

    def forward(self, hidden: Tensor, time: Tensor, clips: int, references: Feed) -> Tensor:
        hidden = references.through(self.attentions[0], run(self.resnets[0], hidden, time))
        if clips and len(self.motion_modules):
            hidden = run(self.motion_modules[0], hidden, clips)
        return run(self.resnets[1], hidden, time)


class UNet(nn.Module):
    """eps_theta of the paper. One network reads the reference (timestep 0) and denoises the target."""

    prompt: Tensor | None

    def __init__(self, spec: ModelSpec) -> None:
        super().__init__()
        unet = spec.unet
        self.spec = spec
        self.sites = self_attention_sites(spec)
        widths, layers = unet.channels, unet.layers_per_block
        self.conv_in = nn.Conv2d(unet.latent_channels, widths[0], 3, padding=1)
        self.time_embedding = TimestepEmbedding(widths[0], widths[0] * 4)
        # the empty prompt's embedding: of the text encoder, never trained; a picture's token comes with the reference instead
        empty = unet.text if spec.picture is None else None
        self.register_buffer("prompt", None if empty is None else torch.zeros(1, empty.tokens, empty.channels))
        skips = [widths[0]]
        self.down_blocks = nn.ModuleList()
        for level, width in enumerate(widths):
            last = level == len(widths) - 1
            inputs = [skips[-1] if j == 0 else width for j in range(layers)]
            self.down_blocks.append(Level(spec, level, inputs, up=False, resample=not last))
            skips += [width] * (layers + (not last))
        self.mid_block = MiddleBlock(spec)
        self.up_blocks = nn.ModuleList()
        hidden = widths[-1]
        for level in reversed(range(len(widths))):
            inputs = []
            for _ in range(layers + 1):
                inputs.append(hidden + skips.pop())
                hidden = widths[level]
            self.up_blocks.append(Level(spec, level, inputs, up=True, resample=level != 0))
        self.conv_norm_out = nn.GroupNorm(unet.groups, widths[0])
        self.conv_out = nn.Conv2d(widths[0], unet.latent_channels, 3, padding=1)

    def forward(
        self, latents: Tensor, timestep: Tensor, pose_features: Tensor, reference: Sequence[KeyValue] | None = None, clips: int = 0
    ) -> tuple[Tensor, list[KeyValue]]:
        """Predict for noisy latents, attending to a reference where one is given.

        latents (B, C, H, W); timestep (1,) or (B,); pose_features (B, channels[0], H, W), added after conv_in; reference: one
        (K, V) pair of crossing_sites(spec), each (B, tokens, channels), or None for the reference pass; clips: how many clips the batch
        holds (frames = B / clips) for the motion modules; 0 leaves the motion modules out, as in the reference pass.
        Returns the prediction (B, C, H, W) and this pass's own K/V per site in `sites` order.
        """
        feed = self.feed(reference)
        return self.whole(latents, timestep, pose_features, feed, clips), feed.collected

    def feed(self, reference: Sequence[KeyValue] | None) -> Feed:
        """What the sites are given: the pairs of crossing_sites(spec) or of shallow_sites(spec), each (B, tokens, channels)."""
        if reference is None or self.spec.picture is None:
            return Feed(reference, self.prompt)
        *pairs, (read, token) = reference
        return Feed(pairs, token, read[..., :1])

    def begin(self, latents: Tensor, timestep: Tensor, pose_features: Tensor) -> tuple[Tensor, Tensor]:
        """Time embedding, and the first features."""
        features = timestep_features(timestep, self.spec.unet.channels[0]).to(latents.dtype)
        return self.time_embedding(features), self.conv_in(latents) + pose_features

    def end(self, hidden: Tensor) -> Tensor:
        return self.conv_out(F.silu(self.conv_norm_out(hidden)))

    def whole(self, latents: Tensor, timestep: Tensor, pose_features: Tensor, feed: Feed, clips: int) -> Tensor:
        """`forward` without its list; leaves in `feed` what it collects."""
        time, hidden = self.begin(latents, timestep, pose_features)
        cut = self.up_blocks[-1], self.spec.unet.layers_per_block - SHALLOW
        skips = [hidden]
        for block in cast(Iterable[Level], self.down_blocks):
            for index in range(len(block.resnets)):
                hidden = block.layer(index, hidden, time, clips, feed)
                skips.append(hidden)
            for sampler in block.samplers:
                hidden = sampler(hidden)
                skips.append(hidden)
        hidden = self.mid_block(hidden, time, clips, feed)
        for block in cast(Iterable[Level], self.up_blocks):
            for index in range(len(block.resnets)):
                if (block, index) == cut:
                    feed.deep = hidden
                hidden = block.layer(index, torch.cat([hidden, skips.pop()], dim=1), time, clips, feed)
            for sampler in block.samplers:
                hidden = sampler(hidden)
        return self.end(hidden)

    def shallow(
        self, latents: Tensor, timestep: Tensor, pose_features: Tensor, deep: Tensor, reference: Sequence[KeyValue], clips: int = 0
    ) -> Tensor:
        """The outermost layers alone, over features that `whole` left at an earlier step (Ma et al. 2024, DeepCache).

        `deep` (B, deep_channels(spec), H, W) is what enters the last level's layer SHALLOW before its last; `reference` has the K/V of
        shallow_sites(spec). The rest as in `forward`.
        """
        time, hidden = self.begin(latents, timestep, pose_features)
        feed, layers = self.feed(reference), self.spec.unet.layers_per_block
        down, up = cast(Level, self.down_blocks[0]), cast(Level, self.up_blocks[-1])
        skips = [hidden]
        for index in range(SHALLOW):
            skips.append(down.layer(index, skips[-1], time, clips, feed))
        hidden = deep
        for index in range(layers - SHALLOW, layers + 1):
            hidden = up.layer(index, torch.cat([hidden, skips.pop()], dim=1), time, clips, feed)
        return self.end(hidden)
