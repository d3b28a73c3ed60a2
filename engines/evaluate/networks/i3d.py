"""I3D on RGB, the network of FVD (Carreira, Zisserman 2017; Unterthiner et al. 2018), as DisCo's script uses it. Needs torch.

Names of tensors are those of piergiaj's conversion, which i3d_pretrained_400.pt shares.
"""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor, nn

from engines.evaluate.networks.loading import load_state, loaded
from engines.evaluate.networks.pixels import bicubic

SIDE = 224
WIDTH = 400
Triple = tuple[int, int, int]


def padded(x: Tensor, kernel: Triple, stride: Triple) -> Tensor:
    """x (N, C, T, H, W) with zeros as TensorFlow's "SAME" puts them: ceil(n / stride) places, the odd zero at the end."""
    pads: list[int] = []
    for size, k, s in zip(x.shape[:1:-1], kernel[::-1], stride[::-1], strict=True):
        missing = max((-(-size // s) - 1) * s + k - size, 0)
        pads += [missing // 2, missing - missing // 2]
    return F.pad(x, pads)


class Unit(nn.Module):
    """Convolution, normalisation, ReLU."""

    def __init__(self, inputs: int, outputs: int, kernel: int, stride: int = 1) -> None:
        super().__init__()
        self.kernel, self.stride = (kernel,) * 3, (stride,) * 3
        self.conv3d = nn.Conv3d(inputs, outputs, kernel, stride, bias=False)
        self.bn = nn.BatchNorm3d(outputs, eps=1e-3)

    def forward(self, x: Tensor) -> Tensor:
        return F.relu(self.bn(self.conv3d(padded(x, self.kernel, self.stride))))


class Pool(nn.Module):
    """The largest of each window. It follows a ReLU, so the zeros of the border never win over what TensorFlow would take."""

    def __init__(self, kernel: Triple, stride: Triple) -> None:
        super().__init__()
        self.kernel, self.stride = kernel, stride

    def forward(self, x: Tensor) -> Tensor:
        return F.max_pool3d(padded(x, self.kernel, self.stride), self.kernel, self.stride)


class Mixed(nn.Module):
    """Four parallel branches, joined by channel. `sizes`: channels of b0, b1a, b1b, b2a, b2b, b3b."""

    def __init__(self, inputs: int, sizes: Sequence[int]) -> None:
        super().__init__()
        self.b0 = Unit(inputs, sizes[0], 1)
        self.b1a, self.b1b = Unit(inputs, sizes[1], 1), Unit(sizes[1], sizes[2], 3)
        self.b2a, self.b2b = Unit(inputs, sizes[3], 1), Unit(sizes[3], sizes[4], 3)
        self.b3a, self.b3b = Pool((3, 3, 3), (1, 1, 1)), Unit(inputs, sizes[5], 1)
        self.outputs = sizes[0] + sizes[2] + sizes[4] + sizes[5]

    def forward(self, x: Tensor) -> Tensor:
        return torch.cat([self.b0(x), self.b1b(self.b1a(x)), self.b2b(self.b2a(x)), self.b3b(self.b3a(x))], 1)


MIXED = {
    "3b": (64, 96, 128, 16, 32, 32), "3c": (128, 128, 192, 32, 96, 64), "4b": (192, 96, 208, 16, 48, 64), "4c": (160, 112, 224, 24, 64, 64),
    "4d": (128, 128, 256, 24, 64, 64), "4e": (112, 144, 288, 32, 64, 64), "4f": (256, 160, 320, 32, 128, 128),
    "5b": (256, 160, 320, 32, 128, 128), "5c": (384, 192, 384, 48, 128, 128),
}  # fmt: skip
HALVED_BEFORE = {"4b": ((3, 3, 3), (2, 2, 2)), "5b": ((2, 2, 2), (2, 2, 2))}


class Logits(nn.Module):
    """The last layer, a linear one in every place."""

    def __init__(self, inputs: int) -> None:
        super().__init__()
        self.conv3d = nn.Conv3d(inputs, WIDTH, 1)

    def forward(self, x: Tensor) -> Tensor:
        y: Tensor = self.conv3d(x)
        return y


class I3d(nn.Module):
    """Clips (N, 3, T, 224, 224) in -1..1 -> 400 logits (N, 400), averaged over time."""

    def __init__(self) -> None:
        super().__init__()
        self.Conv3d_1a_7x7 = Unit(3, 64, 7, 2)
        self.Conv3d_2b_1x1 = Unit(64, 64, 1)
        self.Conv3d_2c_3x3 = Unit(64, 192, 3)
        self.flat_pool = Pool((1, 3, 3), (1, 2, 2))
        inputs = 192
        for name, sizes in MIXED.items():
            if name in HALVED_BEFORE:
                self.add_module(f"pool_{name}", Pool(*HALVED_BEFORE[name]))
            block = Mixed(inputs, sizes)
            self.add_module(f"Mixed_{name}", block)
            inputs = block.outputs
        self.logits = Logits(inputs)

    def forward(self, x: Tensor) -> Tensor:
        x = self.flat_pool(self.Conv3d_1a_7x7(x))
        x = self.flat_pool(self.Conv3d_2c_3x3(self.Conv3d_2b_1x1(x)))
        for name, block in self.named_children():
            if name.startswith(("Mixed_", "pool_")):
                x = block(x)
        x = self.logits(F.avg_pool3d(x, (1, SIDE // 32, SIDE // 32), stride=1))
        return x.mean((2, 3, 4))


def prepared(clip: NDArray[np.uint8], where: torch.device) -> Tensor:
    """uint8 (T, H, W, 3) -> (1, 3, T, 224, 224) on `where`, in -1..1 but for overshoots of the resizing.

    Frames are squashed by Pillow's antialiased bicubic in floating point (DisCo's script; VideoGPT's and CD-FVD's are bilinear).
    """
    x = torch.from_numpy(np.stack([bicubic(frame, SIDE) for frame in clip])).to(where)
    return (x / 127.5 - 1).permute(3, 0, 1, 2)[None].contiguous()


class I3dFeatures:
    """One clip uint8 (1, T, H, W, 3) -> logits (1, 400), by the weights in the file `path`."""

    width = WIDTH

    def __init__(self, path: Path) -> None:
        self.network = loaded(I3d, load_state(path), path)

    def __call__(self, *items: NDArray[np.uint8], where: torch.device) -> Tensor:
        logits: Tensor = self.network(prepared(items[0][0], where))
        return logits
