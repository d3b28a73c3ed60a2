"""Stable Diffusion's autoencoder (diffusers' AutoencoderKL) behind the two calls that this project's own one has."""

from collections.abc import Mapping
from typing import Any

from torch import Tensor, nn

STABLE = "stable-diffusion"  # the `layout` of an autoencoder that is Stable Diffusion's, in a checkpoint's facts
VAE_15 = {  # Stable Diffusion 1.5's, for what is to be known of it without the file
    "in_channels": 3, "out_channels": 3, "latent_channels": 4, "layers_per_block": 2, "block_out_channels": [128, 256, 512, 512],
    "down_block_types": ["DownEncoderBlock2D"] * 4, "up_block_types": ["UpDecoderBlock2D"] * 4, "norm_num_groups": 32,
    "act_fn": "silu", "sample_size": 512, "scaling_factor": 0.18215,
}  # fmt: skip
RENAMED = {"query": "to_q", "key": "to_k", "value": "to_v", "proj_attn": "to_out.0"}  # of the middle attention, before diffusers 0.17


class StableVae(nn.Module):
    """Pictures (n, 3, H, W) in [-1, 1] <-> latents (n, C, H/8, W/8), times the scaling factor (0.18215 in Stable Diffusion 1.5)."""

    def __init__(self, config: Mapping[str, Any]) -> None:
        super().__init__()
        from diffusers import AutoencoderKL

        self.config = {key: value for key, value in config.items() if not key.startswith("_")}
        self.vae = AutoencoderKL.from_config(self.config)
        self.scaling_factor = float(self.vae.config.scaling_factor)

    def facts(self) -> dict[str, Any]:
        """What a checkpoint says of it, for engines.model.loading.codec to build it again."""
        return {"layout": STABLE, "config": self.config}

    def encode(self, image: Tensor) -> Tensor:
        """The posterior's mean, scaled."""
        moments = self.vae.quant_conv(self.vae.encoder(image))
        return moments.chunk(2, dim=1)[0] * self.scaling_factor

    def decode(self, latents: Tensor) -> Tensor:
        """Scaled latents -> picture, about [-1, 1], not clipped."""
        return self.vae.decoder(self.vae.post_quant_conv(latents / self.scaling_factor))


def today(weights: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Older files' names of the middle attention as diffusers has them now; 1x1 convolutions become the linear layers they are."""
    out = {}
    for name, tensor in weights.items():
        head, dot, last = name.rpartition(".")
        stem, _, part = head.rpartition(".")
        if ".attentions." in name and part in RENAMED:
            name = f"{stem}.{RENAMED[part]}{dot}{last}"
        if ".attentions." in name and tensor.dim() == 4:
            tensor = tensor[:, :, 0, 0]
        out[name] = tensor
    return out
