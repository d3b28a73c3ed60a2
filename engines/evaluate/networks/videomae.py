"""VideoMAE v2, the network of content-debiased FVD (Wang et al. 2023; Ge et al. 2024, CD-FVD). Needs torch.

CD-FVD takes the ViT-g that was tuned on Something-Something v2, without its last layer: the tokens' mean, normalised. All sizes but the
number of heads are those of the file.
"""

from collections.abc import Mapping
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor, nn

from engines.core.errors import ScdError
from engines.evaluate.networks.loading import load_state, loaded, scaled

SIDE = 224
FRAMES = 16
HEADS = 16  # of ViT-g
UNUSED = ("head.*",)  # the classes of Something-Something
PATCH = "patch_embed.proj.weight"


class Attention(nn.Module):
    """Every token looks at all tokens. The keys have no bias."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.qkv = nn.Linear(width, 3 * width, bias=False)
        self.q_bias, self.v_bias = nn.Parameter(torch.empty(width)), nn.Parameter(torch.empty(width))
        self.proj = nn.Linear(width, width)

    def forward(self, x: Tensor) -> Tensor:
        bias = torch.cat([self.q_bias, torch.zeros_like(self.q_bias), self.v_bias])
        parts = F.linear(x, self.qkv.weight, bias).chunk(3, -1)
        q, k, v = (p.unflatten(-1, (HEADS, -1)).transpose(1, 2) for p in parts)
        y: Tensor = self.proj(F.scaled_dot_product_attention(q, k, v).transpose(1, 2).flatten(2))
        return y


class Mlp(nn.Module):
    def __init__(self, width: int, hidden: int) -> None:
        super().__init__()
        self.fc1, self.fc2 = nn.Linear(width, hidden), nn.Linear(hidden, width)

    def forward(self, x: Tensor) -> Tensor:
        y: Tensor = self.fc2(F.gelu(self.fc1(x)))
        return y


class Block(nn.Module):
    def __init__(self, width: int, hidden: int) -> None:
        super().__init__()
        self.norm1, self.norm2 = nn.LayerNorm(width, eps=1e-6), nn.LayerNorm(width, eps=1e-6)
        self.attn, self.mlp = Attention(width), Mlp(width, hidden)

    def forward(self, x: Tensor) -> Tensor:
        x = x + self.attn(self.norm1(x))
        y: Tensor = x + self.mlp(self.norm2(x))
        return y


def positions(count: int, width: int) -> Tensor:
    """(count, width): sines at even and cosines at odd channels, of wavelengths up to 10000 (Vaswani et al. 2017), reckoned in float64."""
    channel = np.arange(width)
    angles = np.arange(count)[:, None] / 10000 ** (2 * (channel // 2) / width)
    return torch.from_numpy(np.where(channel % 2, np.cos(angles), np.sin(angles)).astype(np.float32))


class VideoMae(nn.Module):
    """Clips (N, 3, 16, 224, 224) in 0..1 -> features (N, width). `patch`: frames, height and width of what becomes a token."""

    def __init__(self, width: int, hidden: int, depth: int, patch: tuple[int, int, int]) -> None:
        super().__init__()
        self.width, self.patch = width, patch
        self.patch_embed = nn.ModuleDict({"proj": nn.Conv3d(3, width, patch, patch)})
        self.blocks = nn.ModuleList([Block(width, hidden) for _ in range(depth)])
        self.fc_norm = nn.LayerNorm(width, eps=1e-6)

    def forward(self, x: Tensor) -> Tensor:
        x = self.patch_embed["proj"](x).flatten(2).transpose(1, 2)
        x = x + positions(x.shape[1], self.width).to(x)
        for block in self.blocks:
            x = block(x)
        y: Tensor = self.fc_norm(x.mean(1))
        return y


def from_state(state: Mapping[str, Tensor], path: Path) -> VideoMae:
    """The network whose sizes the tensors have. ScdError, about the file `path`, if they are no such network's."""
    again = f"fetch {path.name} again"
    for key, dimensions in ((PATCH, 5), ("blocks.0.mlp.fc1.weight", 2)):
        if key not in state or state[key].ndim != dimensions:
            raise ScdError(f"{path} lacks {key}, a tensor of {dimensions} dimensions", again)
    width, _, *patch = state[PATCH].shape
    hidden = state["blocks.0.mlp.fc1.weight"].shape[0]
    depth = len({key.split(".")[1] for key in state if key.startswith("blocks.")})
    whole = FRAMES % patch[0] == 0 and SIDE % patch[1] == 0 and SIDE % patch[2] == 0
    if width % HEADS or not whole:
        raise ScdError(f"{path} has {PATCH} as {'x'.join(map(str, state[PATCH].shape))}, not a VideoMAE's of {HEADS} heads", again)
    return loaded(lambda: VideoMae(width, hidden, depth, (patch[0], patch[1], patch[2])), state, path, UNUSED)


def prepared(clip: NDArray[np.uint8], where: torch.device) -> Tensor:
    """uint8 (16, H, W, 3) -> (1, 3, 16, 224, 224) on `where` in 0..1: squashed bilinearly without antialiasing, and not standardised.

    So CD-FVD does it. ScdError for another number of frames.
    """
    if len(clip) != FRAMES:
        raise ScdError(f"VideoMAE takes clips of {FRAMES} frames, not of {len(clip)}", "choose another metric than fvd_videomae")
    x = F.interpolate(scaled(clip, where), size=(SIDE, SIDE), mode="bilinear", align_corners=False)
    return x.transpose(0, 1)[None].contiguous()


class VideoMaeFeatures:
    """One clip uint8 (1, 16, H, W, 3) -> features (1, width), by the weights in the file `path`."""

    def __init__(self, path: Path) -> None:
        self.network = from_state(load_state(path), path)
        self.width = self.network.width

    def __call__(self, *items: NDArray[np.uint8], where: torch.device) -> Tensor:
        features: Tensor = self.network(prepared(items[0][0], where))
        return features
