"""LPIPS v0.1, the learned perceptual distance of two pictures (Zhang et al. 2018), over VGG-16, AlexNet or SqueezeNet 1.1. Needs torch.

Names of tensors are those of torchvision's files for the trunks and of the lpips package's for the heads.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor, nn

from engines.core.errors import ScdError
from engines.evaluate.frames import resize
from engines.evaluate.networks.loading import load_state, loaded, scaled

Trunk = Literal["vgg", "alex", "squeeze"]
SHIFT, SCALE = (-0.030, -0.088, -0.188), (0.458, 0.448, 0.450)  # the trunks' mean and deviation, moved to a range of -1..1
TINY = 1e-10
UNUSED = ("classifier.*",)  # of the trunks' files


class Fire(nn.Module):
    """SqueezeNet's block (Iandola et al. 2016): to few channels, and from those by two convolutions to many."""

    def __init__(self, inputs: int, few: int, many: int) -> None:
        super().__init__()
        self.squeeze = nn.Conv2d(inputs, few, 1)
        self.expand1x1 = nn.Conv2d(few, many, 1)
        self.expand3x3 = nn.Conv2d(few, many, 3, padding=1)

    def forward(self, x: Tensor) -> Tensor:
        x = F.relu(self.squeeze(x))
        return F.relu(torch.cat([self.expand1x1(x), self.expand3x3(x)], 1))


def vgg_layers() -> list[nn.Module]:
    out: list[nn.Module] = []
    inputs = 3
    for outputs, count in ((64, 2), (128, 2), (256, 3), (512, 3), (512, 3)):
        for _ in range(count):
            out += [nn.Conv2d(inputs, outputs, 3, padding=1), nn.ReLU()]
            inputs = outputs
        out.append(nn.MaxPool2d(2))
    return out[:-1]


def alex_layers() -> list[nn.Module]:
    first = [nn.Conv2d(3, 64, 11, stride=4, padding=2), nn.ReLU(), nn.MaxPool2d(3, 2), nn.Conv2d(64, 192, 5, padding=2), nn.ReLU()]
    last = [nn.Conv2d(192, 384, 3, padding=1), nn.ReLU(), nn.Conv2d(384, 256, 3, padding=1), nn.ReLU(), nn.Conv2d(256, 256, 3, padding=1)]
    return [*first, nn.MaxPool2d(3, 2), *last, nn.ReLU()]


def squeeze_layers() -> list[nn.Module]:
    def pool() -> nn.Module:
        return nn.MaxPool2d(3, 2, ceil_mode=True)

    return [
        nn.Conv2d(3, 64, 3, stride=2), nn.ReLU(), pool(), Fire(64, 16, 64), Fire(128, 16, 64), pool(), Fire(128, 32, 128),
        Fire(256, 32, 128), pool(), Fire(256, 48, 192), Fire(384, 48, 192), Fire(384, 64, 256), Fire(512, 64, 256),
    ]  # fmt: skip


LAYERS = {"vgg": vgg_layers, "alex": alex_layers, "squeeze": squeeze_layers}
# trunk -> layer whose output is compared: its channels
TAPS: Mapping[Trunk, Mapping[int, int]] = {
    "vgg": {3: 64, 8: 128, 15: 256, 22: 512, 29: 512},
    "alex": {1: 64, 4: 192, 7: 384, 9: 256, 11: 256},
    "squeeze": {1: 64, 4: 128, 7: 256, 9: 384, 10: 384, 11: 512, 12: 512},
}
LEAST = {"vgg": 16, "alex": 31, "squeeze": 17}  # pixels of a side below which a pooling has nothing left


class Features(nn.Module):
    """A trunk: (N, 3, H, W) -> the outputs that LPIPS compares, each with its channels scaled to a length of 1 in every place."""

    def __init__(self, trunk: Trunk) -> None:
        super().__init__()
        self.features = nn.Sequential(*LAYERS[trunk]())
        self.taps = TAPS[trunk]

    def forward(self, x: Tensor) -> list[Tensor]:
        out = []
        for number, layer in enumerate(self.features):
            x = layer(x)
            if number in self.taps:
                out.append(x / (x.square().sum(1, keepdim=True).sqrt() + TINY))
        return out


class Heads(nn.Module):
    """One weight for each channel of each output, as 1x1 convolutions named lin0.model.1, lin1.model.1, ..."""

    def __init__(self, trunk: Trunk) -> None:
        super().__init__()
        for number, channels in enumerate(TAPS[trunk].values()):
            self.add_module(f"lin{number}", nn.ModuleDict({"model": nn.ModuleDict({"1": nn.Conv2d(channels, 1, 1, bias=False)})}))

    def weights(self) -> list[Tensor]:
        """(1, C, 1, 1) each."""
        return list(self.parameters())


@dataclass
class Lpips:
    """Pairs (N, 3, H, W) -> distances (N): squared differences of the outputs, weighted, averaged over the picture and summed."""

    features: Features
    heads: Heads

    def __call__(self, a: Tensor, b: Tensor) -> Tensor:
        shift, scale = (torch.tensor(v, device=a.device).view(1, 3, 1, 1) for v in (SHIFT, SCALE))
        both = torch.cat([a, b])
        outputs = [f.chunk(2) for f in self.features((both - shift) / scale)]
        parts = [F.conv2d((p - q).square(), w).mean((1, 2, 3)) for (p, q), w in zip(outputs, self.heads.weights(), strict=True)]
        return torch.stack(parts).sum(0)


def prepared(pictures: NDArray[np.uint8], normalized: bool, shrink: int | None, where: torch.device) -> Tensor:
    """uint8 (N, H, W, 3) -> (N, 3, h, w) on `where`.

    `normalized`: -1..1, which the network is made for, else 0..1 as DisCo's script leaves it. `shrink`: the pictures are first squashed
    to this side, in uint8, by Pillow's antialiased bilinear, as HR-VITON's script does with 128.
    """
    small = pictures if shrink is None else np.stack([resize(picture, (shrink, shrink), "pillow-bilinear") for picture in pictures])
    x = scaled(small, where)
    return 2 * x - 1 if normalized else x


class LpipsDistance:
    """Two stacks of pictures, uint8 (N, H, W, 3) each -> distances (N, 1), by the weights in two files. See `prepared` for the rest."""

    width = 1

    def __init__(self, trunk: Trunk, features: Path, heads: Path, normalized: bool = True, shrink: int | None = None) -> None:
        self.least, self.normalized, self.shrink = LEAST[trunk], normalized, shrink
        self.network = Lpips(
            loaded(lambda: Features(trunk), load_state(features), features, UNUSED), loaded(lambda: Heads(trunk), load_state(heads), heads)
        )

    def __call__(self, *items: NDArray[np.uint8], where: torch.device) -> Tensor:
        """ScdError for pictures that are too small for the trunk."""
        a, b = (prepared(pictures, self.normalized, self.shrink, where) for pictures in items)
        if min(a.shape[2:]) < self.least:
            raise ScdError(f"LPIPS needs pictures of {self.least} pixels a side, not {a.shape[3]}x{a.shape[2]}", "choose other metrics")
        return self.network(a, b)[:, None]
