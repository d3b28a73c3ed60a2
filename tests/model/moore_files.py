"""Moore-AnimateAnyone's files with random weights at reduced width, made of diffusers' and transformers' own networks.

The names come from diffusers (Stable Diffusion 1.5) and from AnimateDiff's file of motion modules, not from this project's classes;
test_moore.py holds this project's names against the public files' at full width.
"""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import diffusers
import torch
import transformers
from torch import Tensor, nn

from tests.model.stable import VAE
from tests.model.tiny import stirred

TOKEN, HEADS, GROUPS, FRAMES = 24, 8, 32, 16
ADAPTER_TO_FILE = {
    ".transformer_blocks": ".temporal_transformer.transformer_blocks", ".proj_": ".temporal_transformer.proj_",
    ".norm.": ".temporal_transformer.norm.", ".attn1.": ".attention_blocks.0.", ".attn2.": ".attention_blocks.1.",
    ".norm1.": ".norms.0.", ".norm2.": ".norms.1.", ".norm3.": ".ff_norm.",
}  # fmt: skip


@dataclass(frozen=True)
class Layout:
    """How much of Stable Diffusion 1.5's shape: widths by level, which have attention, layers a level."""

    channels: tuple[int, ...]
    attention: tuple[bool, ...]
    layers: int
    middle: bool = True


WHOLE = Layout((32, 64, 64, 64), (True, True, True, False), 2)
SMALL = Layout((32, 64), (True, False), 1)  # a trace costs time by the layer


def unet_of(layout: Layout, seed: int) -> Any:
    torch.manual_seed(seed)
    down = tuple("CrossAttnDownBlock2D" if has else "DownBlock2D" for has in layout.attention)
    up = tuple("CrossAttnUpBlock2D" if has else "UpBlock2D" for has in reversed(layout.attention))
    return stirred(
        diffusers.UNet2DConditionModel(
            sample_size=8, in_channels=4, out_channels=4, layers_per_block=layout.layers, block_out_channels=layout.channels,
            down_block_types=down, up_block_types=up, cross_attention_dim=TOKEN, attention_head_dim=HEADS, norm_num_groups=GROUPS,
        )
    )  # fmt: skip


def motion_of(layout: Layout) -> dict[str, Tensor]:
    """Motion modules under the names of AnimateDiff's own file, with both position tables of a module."""
    torch.manual_seed(2)
    adapter = diffusers.MotionAdapter(
        block_out_channels=layout.channels, motion_layers_per_block=layout.layers, motion_mid_block_layers_per_block=1,
        motion_num_attention_heads=HEADS, motion_norm_num_groups=GROUPS, motion_max_seq_length=FRAMES, use_motion_mid_block=True,
    )  # fmt: skip
    out = {}
    for name, tensor in stirred(adapter).state_dict().items():
        for theirs, file in ADAPTER_TO_FILE.items():
            name = name.replace(theirs, file)
        if name.endswith("pos_embed.pe"):
            for number in range(2):
                out[name.replace("pos_embed.pe", f"attention_blocks.{number}.pos_encoder.pe")] = tensor
        else:
            out[name] = tensor
    return out


def pose_of(layout: Layout) -> dict[str, Tensor]:
    torch.manual_seed(4)
    widths = (4, 8, 8, 16)
    layers: dict[str, nn.Module] = {"conv_in": nn.Conv2d(3, widths[0], 3), "conv_out": nn.Conv2d(widths[-1], layout.channels[0], 3)}
    for stage in range(3):
        layers[f"blocks.{2 * stage}"] = nn.Conv2d(widths[stage], widths[stage], 3)
        layers[f"blocks.{2 * stage + 1}"] = nn.Conv2d(widths[stage], widths[stage + 1], 3)
    return {f"{name}.{part}": tensor for name, layer in layers.items() for part, tensor in layer.state_dict().items()}


def clip() -> Any:
    torch.manual_seed(5)
    config = transformers.CLIPVisionConfig(
        hidden_size=16, intermediate_size=32, num_hidden_layers=2, num_attention_heads=2, image_size=28, patch_size=14,
        projection_dim=TOKEN, hidden_act="quick_gelu",
    )  # fmt: skip
    return stirred(transformers.CLIPVisionModelWithProjection(config))


def write_clip(folder: Path) -> None:
    """As the public folder: a pickle, with the places' numbers that older versions of transformers saved."""
    folder.mkdir()
    network = clip()
    places = {"vision_model.embeddings.position_ids": torch.arange(5)[None]}
    torch.save(network.state_dict() | places, folder / "pytorch_model.bin")
    (folder / "config.json").write_text(json.dumps(network.config.to_dict(), default=str))


def write_moore(folder: Path, layout: Layout, motion: str = "file") -> Path:
    """All that its download script gets; the motion modules in their own `file`, in the denoising UNet's ("inside") or "none"."""
    folder.mkdir(parents=True)
    reading, denoising = unet_of(layout, 0).state_dict(), dict(unet_of(layout, 1).state_dict())
    modules = motion_of(layout)
    if motion == "file":
        torch.save(modules, folder / "motion_module.pth")
    torch.save(
        {name: tensor for name, tensor in reading.items() if not name.startswith(("conv_norm_out", "conv_out"))},
        folder / "reference_unet.pth",
    )
    torch.save(denoising | (modules if motion == "inside" else {}), folder / "denoising_unet.pth")
    torch.save(pose_of(layout), folder / "pose_guider.pth")
    torch.manual_seed(6)
    stirred(diffusers.AutoencoderKL(**VAE)).save_pretrained(folder / "sd-vae-ft-mse", safe_serialization=False)
    write_clip(folder / "image_encoder")
    return folder
