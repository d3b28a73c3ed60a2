"""3D ResNet-50 on Kinetics, the network of FID-VID (Hara et al. 2018), as DisCo's script uses it. Needs torch.

Names of tensors are those of kenshohara's resnet-50-kinetics.pth, whose shortcuts are of type B.
"""

from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor, nn

from engines.evaluate.networks.loading import load_state, loaded
from engines.evaluate.networks.pixels import bicubic

SIDE = 112
FRAMES = 16
WIDTH = 2048
CLASSES = 400  # of the last layer, which is there and not used
MEAN = (114.7748, 107.7354, 99.4750)  # grey levels of red, green, blue in ActivityNet


class Bottleneck(nn.Module):
    """Three convolutions beside a shortcut. A first block of a layer has a convolution in its shortcut, too."""

    def __init__(self, inputs: int, mid: int, stride: int, first: bool) -> None:
        super().__init__()
        outputs = 4 * mid
        self.conv1, self.bn1 = nn.Conv3d(inputs, mid, 1, bias=False), nn.BatchNorm3d(mid)
        self.conv2, self.bn2 = nn.Conv3d(mid, mid, 3, stride, 1, bias=False), nn.BatchNorm3d(mid)
        self.conv3, self.bn3 = nn.Conv3d(mid, outputs, 1, bias=False), nn.BatchNorm3d(outputs)
        self.downsample = (
            nn.Sequential(nn.Conv3d(inputs, outputs, 1, stride, bias=False), nn.BatchNorm3d(outputs)) if first else nn.Identity()
        )

    def forward(self, x: Tensor) -> Tensor:
        y = F.relu(self.bn1(self.conv1(x)))
        y = F.relu(self.bn2(self.conv2(y)))
        return F.relu(self.bn3(self.conv3(y)) + self.downsample(x))


def layer(inputs: int, mid: int, count: int, stride: int) -> nn.Sequential:
    rest = (Bottleneck(4 * mid, mid, 1, False) for _ in range(count - 1))
    return nn.Sequential(Bottleneck(inputs, mid, stride, True), *rest)


class ResNet3d(nn.Module):
    """Segments (S, 3, 16, 112, 112) of red, green, blue in grey levels less MEAN -> features (S, 2048) before the last layer."""

    def __init__(self) -> None:
        super().__init__()
        self.conv1, self.bn1 = nn.Conv3d(3, 64, 7, (1, 2, 2), 3, bias=False), nn.BatchNorm3d(64)
        self.layer1, self.layer2 = layer(64, 64, 3, 1), layer(256, 128, 4, 2)
        self.layer3, self.layer4 = layer(512, 256, 6, 2), layer(1024, 512, 3, 2)
        self.fc = nn.Linear(WIDTH, CLASSES)

    def forward(self, x: Tensor) -> Tensor:
        x = F.relu(self.bn1(self.conv1(x)))
        x = F.max_pool3d(x, 3, stride=2, padding=1)
        x = self.layer4(self.layer3(self.layer2(self.layer1(x))))
        return x.mean((2, 3, 4))


def prepared(clip: NDArray[np.uint8], where: torch.device) -> Tensor:
    """uint8 (T, H, W, 3) -> segments (ceil(T / 16), 3, 16, 112, 112) on `where`; the last frame is repeated to fill the last one.

    Frames are squashed by Pillow's antialiased bicubic in floating point, and no deviation divides them (DisCo's script).
    """
    frames = np.stack([bicubic(frame, SIDE) for frame in clip])
    frames = np.concatenate([frames, np.repeat(frames[-1:], -len(frames) % FRAMES, 0)]) - np.asarray(MEAN, np.float64)
    x = torch.from_numpy(frames.astype(np.float32)).to(where)
    return x.view(-1, FRAMES, SIDE, SIDE, 3).permute(0, 4, 1, 2, 3).contiguous()


class ResNetFeatures:
    """One clip uint8 (1, T, H, W, 3) -> features (1, 2048), the mean over its segments, by the weights in the file `path`."""

    width = WIDTH

    def __init__(self, path: Path) -> None:
        self.network = loaded(ResNet3d, load_state(path), path)

    def __call__(self, *items: NDArray[np.uint8], where: torch.device) -> Tensor:
        segments = prepared(items[0][0], where).split(1)  # one at a time, so that a long clip takes no more memory
        return torch.cat([self.network(segment) for segment in segments]).mean(0, keepdim=True)
