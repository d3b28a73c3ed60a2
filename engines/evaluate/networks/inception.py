"""Inception-v3 as FID uses it: the weights of 2015 by Google, with the poolings that TensorFlow's graph has. Needs torch.

Szegedy et al. 2016, "Rethinking the Inception Architecture"; Heusel et al. 2017 for FID. Names of tensors are those of pytorch-fid's file.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Literal

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor, nn

from engines.evaluate.networks.loading import load_state, loaded, scaled
from engines.evaluate.networks.pixels import bicubic

SIDE = 299
WIDTH = 2048
CLASSES = 1008  # of Google's file: the last layer is there and not used
Kernel = tuple[int, int]
Size = tuple[int, int, Kernel, int]  # channels in and out, kernel, stride
Step = Mapping[str, Size]  # units that see the same input, whose outputs are joined
Pool = Literal["mean", "largest", "halving"]
FrontEnd = Literal["pytorchfid", "clean"]


class Unit(nn.Module):
    """Convolution, normalisation, ReLU."""

    def __init__(self, inputs: int, outputs: int, kernel: Kernel, stride: int, padding: Kernel) -> None:
        super().__init__()
        self.conv = nn.Conv2d(inputs, outputs, kernel, stride, padding, bias=False)
        self.bn = nn.BatchNorm2d(outputs, eps=1e-3)

    def forward(self, x: Tensor) -> Tensor:
        return F.relu(self.bn(self.conv(x)))


class Mixed(nn.Module):
    """A block of parallel chains, joined by channel. The last chain begins with the pooling.

    TensorFlow's mean leaves the zeros of the border out; in the last block of the file of 2015 the largest takes its place.
    """

    def __init__(self, pool: Pool, *chains: Sequence[Step]) -> None:
        super().__init__()
        self.pool = pool
        self.chains = [[tuple(step) for step in chain] for chain in chains]
        for step in (step for chain in chains for step in chain):
            for name, (inputs, outputs, kernel, stride) in step.items():
                padding = (0, 0) if stride > 1 else (kernel[0] // 2, kernel[1] // 2)
                self.add_module(name, Unit(inputs, outputs, kernel, stride, padding))

    def pooled(self, x: Tensor) -> Tensor:
        if self.pool == "mean":
            return F.avg_pool2d(x, 3, stride=1, padding=1, count_include_pad=False)
        return F.max_pool2d(x, 3, stride=1, padding=1) if self.pool == "largest" else F.max_pool2d(x, 3, stride=2)

    def forward(self, x: Tensor) -> Tensor:
        out = []
        for number, chain in enumerate(self.chains):
            y = self.pooled(x) if number == len(self.chains) - 1 else x
            for step in chain:
                y = torch.cat([self.get_submodule(name)(y) for name in step], 1)
            out.append(y)
        return torch.cat(out, 1)


def unit(name: str, inputs: int, outputs: int, kernel: int | Kernel = 1, stride: int = 1) -> Step:
    return {name: (inputs, outputs, (kernel, kernel) if isinstance(kernel, int) else kernel, stride)}


def block_a(inputs: int, pooled: int) -> Mixed:
    return Mixed(
        "mean",
        [unit("branch1x1", inputs, 64)],
        [unit("branch5x5_1", inputs, 48), unit("branch5x5_2", 48, 64, 5)],
        [unit("branch3x3dbl_1", inputs, 64), unit("branch3x3dbl_2", 64, 96, 3), unit("branch3x3dbl_3", 96, 96, 3)],
        [unit("branch_pool", inputs, pooled)],
    )


def block_b(inputs: int) -> Mixed:
    return Mixed(
        "halving",
        [unit("branch3x3", inputs, 384, 3, 2)],
        [unit("branch3x3dbl_1", inputs, 64), unit("branch3x3dbl_2", 64, 96, 3), unit("branch3x3dbl_3", 96, 96, 3, 2)],
        [],
    )


def block_c(inputs: int, mid: int) -> Mixed:
    wide, tall = (1, 7), (7, 1)
    double: list[tuple[int, int, int | Kernel]] = [(inputs, mid, 1), (mid, mid, tall), (mid, mid, wide), (mid, mid, tall), (mid, 192, wide)]
    return Mixed(
        "mean",
        [unit("branch1x1", inputs, 192)],
        [unit("branch7x7_1", inputs, mid), unit("branch7x7_2", mid, mid, wide), unit("branch7x7_3", mid, 192, tall)],
        [unit(f"branch7x7dbl_{i}", *size) for i, size in enumerate(double, 1)],
        [unit("branch_pool", inputs, 192)],
    )


def block_d(inputs: int) -> Mixed:
    long: list[tuple[int, int, int | Kernel]] = [(inputs, 192, 1), (192, 192, (1, 7)), (192, 192, (7, 1))]
    return Mixed(
        "halving",
        [unit("branch3x3_1", inputs, 192), unit("branch3x3_2", 192, 320, 3, 2)],
        [*(unit(f"branch7x7x3_{i}", *size) for i, size in enumerate(long, 1)), unit("branch7x7x3_4", 192, 192, 3, 2)],
        [],
    )


def block_e(inputs: int, pool: Pool) -> Mixed:
    def fork(name: str) -> Step:
        return {**unit(f"{name}a", 384, 384, (1, 3)), **unit(f"{name}b", 384, 384, (3, 1))}

    return Mixed(
        pool,
        [unit("branch1x1", inputs, 320)],
        [unit("branch3x3_1", inputs, 384), fork("branch3x3_2")],
        [unit("branch3x3dbl_1", inputs, 448), unit("branch3x3dbl_2", 448, 384, 3), fork("branch3x3dbl_3")],
        [unit("branch_pool", inputs, 192)],
    )


class Inception(nn.Module):
    """Scaled pictures (N, 3, 299, 299), about -1..1 -> features (N, 2048), the last average pooling ("pool3")."""

    def __init__(self) -> None:
        super().__init__()
        self.Conv2d_1a_3x3 = Unit(3, 32, (3, 3), 2, (0, 0))
        self.Conv2d_2a_3x3 = Unit(32, 32, (3, 3), 1, (0, 0))
        self.Conv2d_2b_3x3 = Unit(32, 64, (3, 3), 1, (1, 1))
        self.Conv2d_3b_1x1 = Unit(64, 80, (1, 1), 1, (0, 0))
        self.Conv2d_4a_3x3 = Unit(80, 192, (3, 3), 1, (0, 0))
        for name, block in (
            ("5b", block_a(192, 32)), ("5c", block_a(256, 64)), ("5d", block_a(288, 64)), ("6a", block_b(288)),
            ("6b", block_c(768, 128)), ("6c", block_c(768, 160)), ("6d", block_c(768, 160)), ("6e", block_c(768, 192)),
            ("7a", block_d(768)), ("7b", block_e(1280, "mean")), ("7c", block_e(2048, "largest")),
        ):  # fmt: skip
            self.add_module(f"Mixed_{name}", block)
        self.fc = nn.Linear(WIDTH, CLASSES)

    def forward(self, x: Tensor) -> Tensor:
        x = self.Conv2d_2b_3x3(self.Conv2d_2a_3x3(self.Conv2d_1a_3x3(x)))
        x = self.Conv2d_4a_3x3(self.Conv2d_3b_1x1(F.max_pool2d(x, 3, stride=2)))
        x = F.max_pool2d(x, 3, stride=2)
        for name, block in self.named_children():
            if name.startswith("Mixed_"):
                x = block(x)
        return x.mean((2, 3))


def prepared(pictures: NDArray[np.uint8], front_end: FrontEnd, where: torch.device) -> Tensor:
    """uint8 (N, H, W, 3) -> (N, 3, 299, 299) on `where`, scaled for the network as one of the two FID programs does.

    "pytorchfid": 0..1, bilinear without antialiasing, then 2x - 1. "clean": Pillow's bicubic with antialiasing, then (x - 128) / 128.
    """
    if front_end == "clean":
        x = torch.from_numpy(np.stack([bicubic(picture, SIDE) for picture in pictures])).to(where)
        return (x.permute(0, 3, 1, 2).contiguous() - 128) / 128
    return 2 * F.interpolate(scaled(pictures, where), size=(SIDE, SIDE), mode="bilinear", align_corners=False) - 1


class InceptionFeatures:
    """Pictures uint8 (N, H, W, 3) -> features (N, 2048), by the weights in the file `path`."""

    width = WIDTH

    def __init__(self, path: Path, front_end: FrontEnd) -> None:
        self.front_end = front_end
        self.network = loaded(Inception, load_state(path), path)

    def __call__(self, *items: NDArray[np.uint8], where: torch.device) -> Tensor:
        features: Tensor = self.network(prepared(items[0], self.front_end, where))
        return features
