"""CLIP's image encoder: one token of the reference picture, for cross-attention layers to look at."""

import torch
from torch import Tensor, nn

from engines.core.specs import PictureSpec

MEAN, DEVIATION = (0.48145466, 0.4578275, 0.40821073), (0.26862954, 0.26130258, 0.27577711)  # CLIP's, of red, green and blue


class PictureEncoder(nn.Module):
    """Pictures (n, 3, size, size) in [0, 1] -> their projected image embeddings (n, 1, channels), transformers' vision model inside.

    Frozen where the spec names trained weights (engines.model.picture_weights loads them).
    """

    def __init__(self, spec: PictureSpec) -> None:
        super().__init__()
        self.spec = spec
        from transformers import CLIPVisionConfig, CLIPVisionModelWithProjection

        config = CLIPVisionConfig(
            image_size=spec.size, patch_size=spec.patch, hidden_size=spec.width, intermediate_size=spec.inner, projection_dim=spec.channels,
            num_hidden_layers=spec.layers, num_attention_heads=spec.heads, hidden_act=spec.activation,
        )  # fmt: skip
        self.clip = CLIPVisionModelWithProjection(config)
        self.requires_grad_(not spec.weights)

    def forward(self, picture: Tensor) -> Tensor:
        # constants and not buffers: an export rounds buffers to float16
        mean, deviation = (torch.tensor(x, dtype=picture.dtype)[:, None, None].to(picture.device) for x in (MEAN, DEVIATION))
        return self.clip((picture - mean) / deviation).image_embeds[:, None]
