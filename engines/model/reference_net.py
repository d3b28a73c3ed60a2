"""Reference-Net (Hu et al. 2024, Animate Anyone): a second UNet reads the reference, and the denoising UNet makes keys and values of it."""

from dataclasses import replace
from typing import cast

import torch
from torch import Tensor, nn

from engines.core.errors import ScdError
from engines.core.sites import Site
from engines.core.specs import ModelSpec
from engines.model.layers import Attention, KeyValue, Reference, SpatialTransformer, TransformerBlock
from engines.model.picture_encoder import PictureEncoder
from engines.model.scd import SCD
from engines.model.unet import Feed, Level, UNet


class WritingAttention(Attention):
    """Self-attention that leaves what it was given, the hidden states after the block's first norm, in the place of its K/V."""

    def forward(self, hidden: Tensor, reference: Reference | None = None) -> tuple[Tensor, KeyValue]:
        """hidden (B, T, C) -> (out (B, T, C), hidden twice)."""
        return super().forward(hidden, reference)[0], (hidden, hidden)


class ReferenceUNet(UNet):
    """A UNet that is read at its self-attention layers, not at its end: no last norm and convolution, as in AnimateAnyone."""

    def __init__(self, spec: ModelSpec) -> None:
        super().__init__(replace(spec, motion=None))
        del self.conv_norm_out, self.conv_out
        for site in self.sites:
            block = block_at(self, site)
            block.attn1 = WritingAttention(site.channels, spec.unet.heads_of(site.channels))

    def end(self, hidden: Tensor) -> Tensor:
        return hidden

    def unread(self) -> list[nn.Module]:
        """What runs after the last state that is read. It stays, since the public files have it."""
        transformer, place = transformer_at(self, self.sites[-1]), self.sites[-1].name.split(".")
        block = cast(TransformerBlock, transformer.transformer_blocks[0])
        last = [transformer.proj_out, *(child for name, child in block.named_children() if name != "norm1")]
        if place[0] == "mid":
            return [*last, self.mid_block.resnets[1], self.up_blocks]
        level = int(place[1])
        return [*last, cast(Level, self.up_blocks[level]).samplers, self.up_blocks[level + 1 :]]

    def states(self, latents: Tensor, pose_features: Tensor, token: Tensor | None) -> list[Tensor]:
        """What each self-attention layer sees at timestep 0, (c, tokens, channels) in `sites` order; token (c, 1, channels)."""
        feed = Feed(None, self.prompt if token is None else token)
        self.whole(latents, torch.zeros(1, dtype=torch.float32, device=latents.device), pose_features, feed, clips=0)
        return [states for states, _ in feed.collected]


def transformer_at(unet: UNet, site: Site) -> SpatialTransformer:
    """The spatial transformer of a self-attention site."""
    side, *place = site.name.split(".")
    level = unet.mid_block if side == "mid" else getattr(unet, f"{side}_blocks")[int(place[0])]
    return cast(SpatialTransformer, level.attentions[int(place[-1]) if place else 0])


def block_at(unet: UNet, site: Site) -> TransformerBlock:
    return cast(TransformerBlock, transformer_at(unet, site).transformer_blocks[0])


class ReferenceNet(SCD):
    """The interface of SCD with two UNets: `unet` denoises and is built like SCD's, `reference_unet` reads.

    Both read the same prompt: the empty one, or the token of the reference picture where `spec.picture` has an encoder for it.
    All parameters can be trained but those that nothing reads: what runs after the reading UNet's last self-attention.
    """

    def __init__(self, spec: ModelSpec) -> None:
        super().__init__(spec)
        if self.posed and spec.picture is not None:
            raise ScdError("reference_net.pose is for models without a picture encoder", "set reference_net.pose to false")
        self.reference_unet = ReferenceUNet(spec)
        for unread in self.reference_unet.unread():
            unread.requires_grad_(False)
        self.picture_encoder = None if spec.picture is None else PictureEncoder(spec.picture)

    def reference(self, ref_latents: Tensor, ref_pose_features: Tensor | None = None, ref_token: Tensor | None = None) -> list[KeyValue]:
        """Latents (c, C, h, w), and what the spec asks for of pose features (c, D, h, w) and picture token (c, 1, channels), -> K/V by
        crossing_sites(spec), each (c, tokens, channels).

        The K/V are the denoising UNet's own projections of the reading UNet's states. With a token, an item of zero latents is the null
        reference: its last pair says that the target is not to read it.
        """
        states = self.reference_unet.states(ref_latents, self.ref_features(ref_pose_features), ref_token)
        layers = [block_at(self.unet, site).attn1 for site in self.unet.sites]
        pairs = [(layer.to_k(seen), layer.to_v(seen)) for layer, seen in zip(layers, states, strict=True)]
        return pairs if ref_token is None else [*pairs, (is_read(ref_latents).expand_as(ref_token), ref_token)]


def is_read(ref_latents: Tensor) -> Tensor:
    """(c, C, h, w) -> (c, 1, 1): 0 where all latents are zero, as the null reference's are, else 1."""
    strongest = ref_latents.abs().amax(dim=(1, 2, 3))
    return (strongest > 0).to(ref_latents.dtype)[:, None, None]
