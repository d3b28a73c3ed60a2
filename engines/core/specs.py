"""What a model is made of: the numbers that the torch modules, the exporter and the run time agree on. stdlib only."""

from dataclasses import dataclass

from engines.core.sites import Site


@dataclass(frozen=True, slots=True, kw_only=True)
class AutoencoderSpec:
    """KL autoencoder, x8 down: one pixel-unshuffle by 2, then two strided stages. `channels` has one width a resolution (1/2, 1/4, 1/8)."""

    latent_channels: int
    channels: tuple[int, int, int]
    blocks: tuple[int, int, int]
    groups: int


@dataclass(frozen=True, slots=True, kw_only=True)
class UNetSpec:
    """Denoising UNet of Stable Diffusion's shape. `attention[i]`: level i has transformer blocks (the middle always does)."""

    latent_channels: int
    channels: tuple[int, ...]
    attention: tuple[bool, ...]
    layers_per_block: int
    head_size: int
    feed_forward_ratio: int
    groups: int


@dataclass(frozen=True, slots=True, kw_only=True)
class PoseEncoderSpec:
    """Pose picture (3, H, W) -> features (width of the UNet's first level, H/8, W/8). Three strided stages.

    `position_frequencies` n > 0 appends 4n Fourier features of the place in the picture, so that attention can ask "what was here
    in the reference": a small model trained from nothing has no other sense of place.
    """

    channels: tuple[int, int, int]
    position_frequencies: int


@dataclass(frozen=True, slots=True, kw_only=True)
class MotionSpec:
    """Temporal attention after every spatial layer of these levels, as AnimateDiff's; `max_frames`: length of the position table."""

    levels: tuple[int, ...]
    max_frames: int
    head_size: int
    feed_forward_ratio: int


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelSpec:
    """One SCD model: picture size (width, height) in pixels, the UNet and the pose encoder; `motion` None is SCD-I, else SCD-V."""

    size: tuple[int, int]
    downscale: int
    unet: UNetSpec
    pose: PoseEncoderSpec
    motion: MotionSpec | None = None

    @property
    def latent_size(self) -> tuple[int, int]:
        """(columns, rows) of the latents."""
        return self.size[0] // self.downscale, self.size[1] // self.downscale


@dataclass(frozen=True, slots=True, kw_only=True)
class Sampling:
    """What the bundle recommends and validation uses: DDIM steps and guidance scale; the share of the variance of the initial noise
    that all frames have in common; frames per window and their overlap."""

    steps: int
    guidance: float
    shared_noise: float
    window: int
    overlap: int


def self_attention_sites(spec: ModelSpec) -> tuple[Site, ...]:
    """The ordered site list of a model: every self-attention layer in execution order, down -> mid -> up.

    The one list that model, exporter and run time read; nothing pairs K/V by sorting or counting.
    """
    unet, (columns, rows) = spec.unet, spec.latent_size
    last = len(unet.channels) - 1

    def site(name: str, level: int) -> Site:
        return Site(name, (columns >> level) * (rows >> level), unet.channels[level])

    down = [site(f"down.{i}.{j}", i) for i in range(last + 1) if unet.attention[i] for j in range(unet.layers_per_block)]
    up = [site(f"up.{i}.{j}", last - i) for i in range(last + 1) if unet.attention[last - i] for j in range(unet.layers_per_block + 1)]
    return (*down, site("mid", last), *up)
