"""Stable Diffusion's autoencoder (diffusers' AutoencoderKL) behind the two calls that this project's own one has."""

from collections.abc import Mapping
from typing import Any

from torch import Tensor, nn

RENAMED = {"query": "to_q", "key": "to_k", "value": "to_v", "proj_attn": "to_out.0"}  # of the middle attention, before diffusers 0.17


class StableVae(nn.Module):
    """Pictures (n, 3, H, W) in [-1, 1] <-> latents (n, C, H/8, W/8), times the scaling factor (0.18215 in Stable Diffusion 1.5)."""

    def __init__(self, config: Mapping[str, Any]) -> None:
        super().__init__()
        from diffusers import AutoencoderKL

        self.config = {key: value for key, value in config.items() if not key.startswith("_")}
        self.vae = AutoencoderKL.from_config(self.config)
        self.scaling_factor = float(self.vae.config.scaling_factor)

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
