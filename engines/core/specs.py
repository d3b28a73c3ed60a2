"""What a model is made of: the numbers that the torch modules, the exporter and the run time agree on. stdlib only."""

from dataclasses import dataclass
from typing import Literal

from engines.core.errors import ScdError
from engines.core.sites import Site


@dataclass(frozen=True, slots=True, kw_only=True)
class AutoencoderSpec:
    """KL autoencoder, x8 down: one pixel-unshuffle by 2, then two strided stages. `channels` has one width a resolution (1/2, 1/4, 1/8)."""

    latent_channels: int
    channels: tuple[int, int, int]
    blocks: tuple[int, int, int]
    groups: int


@dataclass(frozen=True, slots=True, kw_only=True)
class TextSpec:
    """The text embedding that cross-attention layers look at, (1, tokens, channels): always the empty prompt's."""

    tokens: int
    channels: int


@dataclass(frozen=True, slots=True, kw_only=True)
class UNetSpec:
    """Denoising UNet of Stable Diffusion's shape. `attention[i]`: level i has transformer blocks (the middle always does).

    Heads are `head_size` wide, or, with `heads` above 0, as many at every level as Stable Diffusion 1.5's 8. `text` adds
    cross-attention. The two have defaults because bundles of before know neither.
    """

    latent_channels: int
    channels: tuple[int, ...]
    attention: tuple[bool, ...]
    layers_per_block: int
    head_size: int
    feed_forward_ratio: int
    groups: int
    heads: int = 0
    text: TextSpec | None = None

    def heads_of(self, width: int) -> int:
        return self.heads or width // self.head_size


@dataclass(frozen=True, slots=True, kw_only=True)
class PoseEncoderSpec:
    """Pose picture (3, H, W) -> features (width of the UNet's first level, H/8, W/8). Three strided stages.

    Layout "mini" folds the first stage into channels and has three widths; "controlnet" is the full-size one, two convolutions a
    stage and four widths (16, 32, 96, 256), laid out as diffusers' ControlNetConditioningEmbedding.
    `position_frequencies` n > 0 appends 4n Fourier features of the place in the picture, so that attention can ask "what was here
    in the reference": a small model trained from nothing has no other sense of place.
    """

    channels: tuple[int, ...]
    position_frequencies: int
    layout: Literal["mini", "controlnet"] = "mini"


@dataclass(frozen=True, slots=True, kw_only=True)
class MotionSpec:
    """Temporal attention after every spatial layer of these levels, as AnimateDiff's; `max_frames`: length of the position table.

    Layout "mini" has one attention a module and learnt positions; "animatediff" is diffusers' MotionAdapter: two attentions, fixed
    sinusoidal positions. `middle`: the middle block has a module too (v2 has one, v1 and v3 have none). `heads` as in UNetSpec.
    `frame_norm`: its GroupNorm sees each frame by itself, as in AnimateAnyone's code, not all of a clip together, as in diffusers.
    """

    levels: tuple[int, ...]
    max_frames: int
    head_size: int
    feed_forward_ratio: int
    layout: Literal["mini", "animatediff"] = "mini"
    middle: bool = True
    heads: int = 0
    frame_norm: bool = False

    def heads_of(self, width: int) -> int:
        return self.heads or width // self.head_size


@dataclass(frozen=True, slots=True, kw_only=True)
class ReferenceNetSpec:
    """A second UNet of the same shape reads the reference, in the place of the denoising one (engines.model.reference_net).

    `pose`: it is given the reference's pose. It is not in AnimateAnyone. `initial`: training starts it as a copy of the denoising UNet, or
    with random weights (METHOD, Table 2 has both); the default is for bundles of before, which do not know it.
    """

    pose: bool
    initial: Literal["copy", "random"] = "copy"


@dataclass(frozen=True, slots=True, kw_only=True)
class PictureSpec:
    """CLIP's image encoder: a square picture of `size` pixels a side, in patches of `patch`, becomes one token of `channels` numbers.

    Cross-attention looks at that token, not at the empty prompt, and the null reference is none at all: its token is zero, and the
    target's self-attention sees its own tokens alone. `width`, `inner`: of the transformer's tokens and feed-forward layers. `weights`: a
    folder or hub id of trained ones, which stay as they are; "" has the encoder learn with the rest (and is what bundles of before mean).
    """

    size: int
    patch: int
    width: int
    layers: int
    heads: int
    inner: int
    channels: int
    activation: str
    weights: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelSpec:
    """One SCD model: picture size (width, height) in pixels, the UNet and the pose encoder; `motion` None is SCD-I, else SCD-V.

    `reference_net` and `picture` make of it a Reference-Net model, as AnimateAnyone is one with both. `condition`, how the target sees the
    reference, is "attention" in SCD; the others are baselines of the paper's Table 2 (engines/model/baselines.py): "joint" one picture
    of both side by side (SCD-dagger), "channels" further input channels, "picture" the token of `picture` alone. `reference_pose`: the
    reference is given its own pose.
    """

    size: tuple[int, int]
    downscale: int
    unet: UNetSpec
    pose: PoseEncoderSpec
    motion: MotionSpec | None = None
    reference_net: ReferenceNetSpec | None = None
    picture: PictureSpec | None = None
    condition: Literal["attention", "joint", "channels", "picture"] = "attention"
    reference_pose: bool = True

    @property
    def latent_size(self) -> tuple[int, int]:
        """(columns, rows) of the latents."""
        return self.size[0] // self.downscale, self.size[1] // self.downscale

    @property
    def posed(self) -> bool:
        """Whether the reference pass takes the reference's pose."""
        return self.reference_pose if self.reference_net is None else self.reference_net.pose


@dataclass(frozen=True, slots=True, kw_only=True)
class Sampling:
    """What the bundle recommends and validation uses: DDIM steps and guidance scale; the share of the variance of the initial noise
    that all frames have in common; frames per window and their overlap; whether the model was distilled for few steps (sampler "lcm").
    `strength` (above 0, to 1): the share of the steps, the last ones, that a try-on model takes from the garment laid upon the person,
    noised (SDEdit, Meng et al. 2022); with 1 it starts from noise alone."""

    steps: int
    guidance: float
    shared_noise: float
    window: int
    overlap: int
    distilled: bool = False
    strength: float = 1.0


def self_attention_sites(spec: ModelSpec) -> tuple[Site, ...]:
    """The ordered site list of a model: every self-attention layer in execution order, down -> mid -> up.

    The one list that model, exporter and run time read; nothing pairs K/V by sorting or counting.
    """
    unet, (columns, rows) = spec.unet, spec.latent_size
    last = len(unet.channels) - 1
    step = spec.downscale << last
    if any(side % step for side in spec.size):
        raise ScdError(f"this model cannot make pictures of {spec.size[0]}x{spec.size[1]}", f"use sides that are multiples of {step}")

    def site(name: str, level: int) -> Site:
        return Site(name, (columns >> level) * (rows >> level), unet.channels[level])

    down = [site(f"down.{i}.{j}", i) for i in range(last + 1) if unet.attention[i] for j in range(unet.layers_per_block)]
    up = [site(f"up.{i}.{j}", last - i) for i in range(last + 1) if unet.attention[last - i] for j in range(unet.layers_per_block + 1)]
    return (*down, site("mid", last), *up)


PICTURE = "picture"  # name of the pair that is no self-attention layer's


def crossing_sites(spec: ModelSpec) -> tuple[Site, ...]:
    """What goes from the reference pass to the target pass, in graph order: the K/V of the self-attention layers and, with a picture
    encoder, one pair more. Its V is the picture's token, its K is 1 throughout where the reference is read and 0 where it is not."""
    own = self_attention_sites(spec)
    return own if spec.picture is None else (*own, Site(PICTURE, 1, spec.picture.channels))


SHALLOW = 1  # layers of the finest level that run on the way down in the shallow network; one more runs on the way up


def shallow_sites(spec: ModelSpec) -> tuple[Site, ...]:
    """Of `crossing_sites`, those left when the deep features are reused (see engines.model.unet.UNet.shallow), in the same order."""
    unet = spec.unet
    top = len(unet.channels) - 1
    kept = {f"down.0.{j}" for j in range(SHALLOW)} | {
        f"up.{top}.{j}" for j in range(unet.layers_per_block - SHALLOW, unet.layers_per_block + 1)
    }
    return tuple(site for site in crossing_sites(spec) if site.name in {*kept, PICTURE})


def deep_channels(spec: ModelSpec) -> int:
    """Width of the features that the shallow network takes in, at the latents' own resolution."""
    whole_level = spec.unet.layers_per_block == SHALLOW
    return spec.unet.channels[1] if whole_level and len(spec.unet.channels) > 1 else spec.unet.channels[0]
