"""The specs of Moore-AnimateAnyone's networks, from the names and shapes in their files. What those cannot say is a constant here."""

import re
from collections.abc import Mapping
from pathlib import Path

from torch import Tensor

from engines.core.errors import ScdError
from engines.core.specs import MotionSpec, PictureSpec, PoseEncoderSpec, TextSpec, UNetSpec

HEADS, GROUPS = 8, 32
FRAMES = 32  # of a position table, where a file has none and is about to be refused for it
HINT = "get the file again, or use the four files of patrolli/AnimateAnyone"
CLIP_HINT = "give CLIP's image encoder with projection with --image-encoder"
POSITIONS = ".pos_encoder.pe"
TO_TOKEN = "mid_block.attentions.0.transformer_blocks.0.attn2.to_k.weight"


def count(weights: Mapping[str, Tensor], pattern: str) -> int:
    """How many numbers `pattern` finds as its group in the names."""
    return len({found[1] for name in weights if (found := re.match(pattern, name))})


def side(weights: Mapping[str, Tensor], key: str, axis: int, where: Path) -> int:
    """The length of one axis of a tensor. ScdError when the file has no such tensor."""
    if key not in weights or weights[key].dim() <= axis:
        raise ScdError(f"{where} has no {key}" if key not in weights else f"{where} has a misshapen {key}", HINT)
    return weights[key].shape[axis]


def unet_spec(weights: Mapping[str, Tensor], where: Path) -> UNetSpec:
    """Of a UNet in Stable Diffusion 1.5's layout."""
    levels = count(weights, r"down_blocks\.(\d+)\.")
    channels = tuple(side(weights, f"down_blocks.{i}.resnets.0.conv1.weight", 0, where) for i in range(levels))
    odd = [width for width in channels if width % GROUPS]
    if odd:
        raise ScdError(f"{where} has layers of {odd[0]} channels, no multiple of {GROUPS}", HINT)
    return UNetSpec(
        latent_channels=side(weights, "conv_in.weight", 1, where), channels=channels,
        attention=tuple(any(name.startswith(f"down_blocks.{i}.attentions.") for name in weights) for i in range(levels)),
        layers_per_block=count(weights, r"down_blocks\.0\.resnets\.(\d+)\."), head_size=0, feed_forward_ratio=4, groups=GROUPS, heads=HEADS,
        text=TextSpec(tokens=1, channels=side(weights, TO_TOKEN, 1, where)),
    )  # fmt: skip


def pose_spec(weights: Mapping[str, Tensor], where: Path) -> PoseEncoderSpec:
    """Three stages, of two convolutions each."""
    last = ("conv_in.weight", "blocks.1.weight", "blocks.3.weight", "blocks.5.weight")
    return PoseEncoderSpec(channels=tuple(side(weights, name, 0, where) for name in last), position_frequencies=0, layout="controlnet")


def motion_spec(weights: Mapping[str, Tensor], levels: int) -> MotionSpec | None:
    """One module a layer at every level and in the middle, as the original has them; None where there are no weights."""
    if not weights:
        return None
    frames = [tensor.shape[1] for name, tensor in weights.items() if name.endswith(POSITIONS) and tensor.dim() == 3]
    return MotionSpec(
        levels=tuple(range(levels)), max_frames=max(frames, default=FRAMES), head_size=0, feed_forward_ratio=4, layout="animatediff",
        middle=True, heads=HEADS, frame_norm=True,
    )  # fmt: skip


def picture_spec(config: Mapping[str, object], token: int, where: Path) -> PictureSpec:
    """From the config.json of transformers' CLIPVisionModelWithProjection; `token` is the width that the UNet looks at."""

    def number(key: str) -> int:
        value = config.get(key)
        if not isinstance(value, int) or value < 1:
            raise ScdError(f"{where} gives no {key}", CLIP_HINT)
        return value

    spec = PictureSpec(
        size=number("image_size"), patch=number("patch_size"), width=number("hidden_size"), layers=number("num_hidden_layers"),
        heads=number("num_attention_heads"), inner=number("intermediate_size"), channels=number("projection_dim"),
        activation=str(config.get("hidden_act")),
    )  # fmt: skip
    if spec.width % spec.heads or spec.size < spec.patch or spec.activation not in ("quick_gelu", "gelu"):
        raise ScdError(f"{where} is not of CLIP's image encoder (hidden_size, num_attention_heads, patch_size or hidden_act)", CLIP_HINT)
    if spec.channels != token:
        raise ScdError(f"{where} makes tokens of {spec.channels} numbers, and the UNet looks at {token}", CLIP_HINT)
    return spec
