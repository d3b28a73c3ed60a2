"""What the hub has, made here with random weights in the real layouts: diffusers' folder of Stable Diffusion, a MotionAdapter."""

import json
from pathlib import Path
from typing import Any

import diffusers
import torch
import transformers

from tests.model.stable import CHANNELS, DIFFUSERS, HEADS, TEXT, TOKENS, VAE
from tests.model.tiny import stirred


def write_text_encoder(folder: Path, channels: int, tokens: int) -> None:
    """CLIP's text model and tokenizer, as small as they get: the empty prompt needs the two markers alone."""
    words = {"<|startoftext|>": 0, "<|endoftext|>": 1, "a</w>": 2, "a": 3}
    tokenizer = folder / "tokenizer"
    tokenizer.mkdir()
    (tokenizer / "vocab.json").write_text(json.dumps(words))
    (tokenizer / "merges.txt").write_text("#version: 0.2\n")
    config = {
        "bos_token": "<|startoftext|>", "eos_token": "<|endoftext|>", "unk_token": "<|endoftext|>", "pad_token": "<|endoftext|>",
        "model_max_length": tokens, "tokenizer_class": "CLIPTokenizer",
    }  # fmt: skip
    (tokenizer / "tokenizer_config.json").write_text(json.dumps(config))
    torch.manual_seed(3)
    sizes = {"hidden_size": channels, "intermediate_size": 32, "num_hidden_layers": 2, "num_attention_heads": 2}
    text = transformers.CLIPTextConfig(
        vocab_size=len(words), max_position_embeddings=tokens, bos_token_id=0, eos_token_id=1, pad_token_id=1, **sizes
    )
    transformers.CLIPTextModel(text).save_pretrained(folder / "text_encoder")


def write_stable_diffusion(folder: Path, unet: dict[str, Any] = DIFFUSERS, vae: dict[str, Any] = VAE, tokens: int = TOKENS) -> Path:
    """A pipeline folder of diffusers, tiny unless told otherwise."""
    torch.manual_seed(0)
    diffusers.UNet2DConditionModel(**unet).save_pretrained(folder / "unet")
    diffusers.AutoencoderKL(**vae).save_pretrained(folder / "vae")
    diffusers.PNDMScheduler(
        beta_start=0.00085, beta_end=0.012, beta_schedule="scaled_linear", num_train_timesteps=1000
    ).save_pretrained(folder / "scheduler")  # fmt: skip
    write_text_encoder(folder, unet["cross_attention_dim"], tokens)
    (folder / "model_index.json").write_text('{"_class_name": "StableDiffusionPipeline"}')
    return folder


def write_adapter(folder: Path, channels: tuple[int, ...] = CHANNELS, heads: int = HEADS, groups: int = 8) -> Path:
    """AnimateDiff's motion modules, version 2, as diffusers' MotionAdapter; tiny unless told otherwise."""
    torch.manual_seed(1)
    made = diffusers.MotionAdapter(
        block_out_channels=channels, motion_num_attention_heads=heads, motion_norm_num_groups=groups, use_motion_mid_block=True
    )
    stirred(made).save_pretrained(folder)
    return folder


TINY_STABLE = [  # settings that make a recipe of Stable Diffusion's size one for the folder above
    "model.size=[64,64]", f"model.unet.channels={list(CHANNELS)}", f"model.unet.heads={HEADS}", "model.unet.groups=8",
    f"model.unet.text.tokens={TOKENS}", f"model.unet.text.channels={TEXT}", "model.pose.channels=[4,8,8,16]",
]  # fmt: skip
