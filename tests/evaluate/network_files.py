"""Files of weights for the learned metrics with random numbers, in the layouts of the real ones, which are written down here by rule.

The layouts are those of pytorch-fid's Inception, torchvision's VGG-16, AlexNet and SqueezeNet 1.1, lpips' heads, kenshohara's 3D ResNet-50,
piergiaj's I3D and VideoMAE v2: names and shapes of every tensor.
"""

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from safetensors.torch import save_file
from torch import Tensor

Layout = dict[str, tuple[int, ...]]
State = dict[str, Tensor]

STEM = "Conv2d_1a_3x3 3 32 3 3, Conv2d_2a_3x3 32 32 3 3, Conv2d_2b_3x3 32 64 3 3, Conv2d_3b_1x1 64 80 1 1, Conv2d_4a_3x3 80 192 3 3"
A = (
    "branch1x1 {i} 64 1 1, branch5x5_1 {i} 48 1 1, branch5x5_2 48 64 5 5, branch3x3dbl_1 {i} 64 1 1, branch3x3dbl_2 64 96 3 3, "
    "branch3x3dbl_3 96 96 3 3, branch_pool {i} {p} 1 1"
)
B = "branch3x3 {i} 384 3 3, branch3x3dbl_1 {i} 64 1 1, branch3x3dbl_2 64 96 3 3, branch3x3dbl_3 96 96 3 3"
C = (
    "branch1x1 {i} 192 1 1, branch7x7_1 {i} {p} 1 1, branch7x7_2 {p} {p} 1 7, branch7x7_3 {p} 192 7 1, "
    "branch7x7dbl_1 {i} {p} 1 1, branch7x7dbl_2 {p} {p} 7 1, branch7x7dbl_3 {p} {p} 1 7, branch7x7dbl_4 {p} {p} 7 1, "
    "branch7x7dbl_5 {p} 192 1 7, branch_pool {i} 192 1 1"
)
D = (
    "branch3x3_1 {i} 192 1 1, branch3x3_2 192 320 3 3, branch7x7x3_1 {i} 192 1 1, branch7x7x3_2 192 192 1 7, branch7x7x3_3 192 192 7 1, "
    "branch7x7x3_4 192 192 3 3"
)
E = (
    "branch1x1 {i} 320 1 1, branch3x3_1 {i} 384 1 1, branch3x3_2a 384 384 1 3, branch3x3_2b 384 384 3 1, branch3x3dbl_1 {i} 448 1 1, "
    "branch3x3dbl_2 448 384 3 3, branch3x3dbl_3a 384 384 1 3, branch3x3dbl_3b 384 384 3 1, branch_pool {i} 192 1 1"
)
BLOCKS = {
    "5b": (A, 192, 32), "5c": (A, 256, 64), "5d": (A, 288, 64), "6a": (B, 288, 0), "6b": (C, 768, 128), "6c": (C, 768, 160),
    "6d": (C, 768, 160), "6e": (C, 768, 192), "7a": (D, 768, 0), "7b": (E, 1280, 0), "7c": (E, 2048, 0),
}  # fmt: skip


@pytest.fixture(scope="module", autouse=True)
def one_thread() -> Iterator[None]:
    """Threads that wait for each other on a busy machine take several times as long."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


def norm(name: str, channels: int) -> Layout:
    return {f"{name}.{part}": (channels,) for part in ("weight", "bias", "running_mean", "running_var")} | {
        f"{name}.num_batches_tracked": ()
    }


def inception() -> Layout:
    out: Layout = {}
    for prefix, text in [("", STEM), *((f"Mixed_{n}.", t.format(i=i, p=p)) for n, (t, i, p) in BLOCKS.items())]:
        for row in text.split(", "):
            name, inputs, outputs, *kernel = row.split()
            out |= {
                f"{prefix}{name}.conv.weight": (int(outputs), int(inputs), *map(int, kernel)),
                **norm(f"{prefix}{name}.bn", int(outputs)),
            }
    return out | {"fc.weight": (1008, 2048), "fc.bias": (1008,)}


def convolution(name: str, *shape: int) -> Layout:
    return {f"{name}.weight": shape, f"{name}.bias": shape[:1]}


def vgg16() -> Layout:
    places = zip((0, 2, 5, 7, 10, 12, 14, 17, 19, 21, 24, 26, 28), (64, 64, 128, 128, *[256] * 3, *[512] * 6), strict=True)
    out, inputs = convolution("classifier.6", 10, 4), 3  # of the classifier, a stand-in: nothing reads it
    for place, outputs in places:
        out |= convolution(f"features.{place}", outputs, inputs, 3, 3)
        inputs = outputs
    return out


def alexnet() -> Layout:
    rows = {0: (64, 3, 11, 11), 3: (192, 64, 5, 5), 6: (384, 192, 3, 3), 8: (256, 384, 3, 3), 10: (256, 256, 3, 3)}
    return {k: v for place, shape in rows.items() for k, v in convolution(f"features.{place}", *shape).items()} | {
        "classifier.1.bias": (9,)
    }


def squeezenet() -> Layout:
    fires = {3: (64, 16, 64), 4: (128, 16, 64), 6: (128, 32, 128), 7: (256, 32, 128), 9: (256, 48, 192), 10: (384, 48, 192)}
    out = convolution("features.0", 64, 3, 3, 3) | convolution("classifier.1", 10, 512, 1, 1)
    for place, (inputs, few, many) in (fires | {11: (384, 64, 256), 12: (512, 64, 256)}).items():
        out |= convolution(f"features.{place}.squeeze", few, inputs, 1, 1)
        out |= convolution(f"features.{place}.expand1x1", many, few, 1, 1) | convolution(f"features.{place}.expand3x3", many, few, 3, 3)
    return out


def heads(*channels: int) -> Layout:
    return {f"lin{i}.model.1.weight": (1, c, 1, 1) for i, c in enumerate(channels)}


def resnet3d() -> Layout:
    out: Layout = {"conv1.weight": (64, 3, 7, 7, 7), **norm("bn1", 64), "fc.weight": (400, 2048), "fc.bias": (400,)}
    inputs = 64
    for layer, (mid, count) in enumerate(((64, 3), (128, 4), (256, 6), (512, 3)), 1):
        for block in range(count):
            name = f"layer{layer}.{block}"
            rows = ((mid, inputs, 1), (mid, mid, 3), (4 * mid, mid, 1))
            for number, (a, b, k) in enumerate(rows, 1):
                out |= {f"{name}.conv{number}.weight": (a, b, k, k, k), **norm(f"{name}.bn{number}", a)}
            if block == 0:
                out |= {f"{name}.downsample.0.weight": (4 * mid, inputs, 1, 1, 1), **norm(f"{name}.downsample.1", 4 * mid)}
            inputs = 4 * mid
    return out


I3D_STEM = {"Conv3d_1a_7x7": (64, 3, 7), "Conv3d_2b_1x1": (64, 64, 1), "Conv3d_2c_3x3": (192, 64, 3)}
I3D_MIXED = """3b 192 64 96 128 16 32 32
3c 256 128 128 192 32 96 64
4b 480 192 96 208 16 48 64
4c 512 160 112 224 24 64 64
4d 512 128 128 256 24 64 64
4e 512 112 144 288 32 64 64
4f 528 256 160 320 32 128 128
5b 832 256 160 320 32 128 128
5c 832 384 192 384 48 128 128"""


def i3d_units() -> Iterator[tuple[str, int, int, int]]:
    """Name, channels out and in, side of the kernel."""
    for name, (outputs, inputs, k) in I3D_STEM.items():
        yield name, outputs, inputs, k
    for row in I3D_MIXED.splitlines():
        block, *sizes = row.split()
        i, b0, b1a, b1b, b2a, b2b, b3b = map(int, sizes)
        for name, outputs, inputs, k in (("b0", b0, i, 1), ("b1a", b1a, i, 1), ("b1b", b1b, b1a, 3), ("b2a", b2a, i, 1)):
            yield f"Mixed_{block}.{name}", outputs, inputs, k
        yield f"Mixed_{block}.b2b", b2b, b2a, 3
        yield f"Mixed_{block}.b3b", b3b, i, 1


def i3d() -> Layout:
    out = convolution("logits.conv3d", 400, 1024, 1, 1, 1)
    for name, outputs, inputs, k in i3d_units():
        out |= {f"{name}.conv3d.weight": (outputs, inputs, k, k, k), **norm(f"{name}.bn", outputs)}
    return out


def videomae(width: int = 32, hidden: int = 48, depth: int = 2, patch: tuple[int, int, int] = (2, 56, 56)) -> Layout:
    """As ViT-g's file, whose width is 1408, hidden 6144, depth 40 and patch (2, 14, 14)."""
    out = convolution("patch_embed.proj", width, 3, *patch) | convolution("head", 174, width) | convolution("fc_norm", width)
    for b in (f"blocks.{i}" for i in range(depth)):
        out |= convolution(f"{b}.norm1", width) | convolution(f"{b}.norm2", width)
        out |= {f"{b}.attn.q_bias": (width,), f"{b}.attn.v_bias": (width,), f"{b}.attn.qkv.weight": (3 * width, width)}
        out |= convolution(f"{b}.attn.proj", width, width)
        out |= convolution(f"{b}.mlp.fc1", hidden, width) | convolution(f"{b}.mlp.fc2", width, hidden)
    return out


def random_state(layout: Layout, seed: int = 0) -> State:
    """Numbers under which signals neither die nor explode, and that differ in every place."""
    rng, out = torch.Generator().manual_seed(seed), {}
    for key, shape in layout.items():
        if not shape:
            out[key] = torch.tensor(7)
        elif len(shape) > 1:
            out[key] = torch.randn(shape, generator=rng) * (2 / np.prod(shape[1:])) ** 0.5
        elif key.endswith(("running_var", ".weight")):
            out[key] = torch.rand(shape, generator=rng) + 0.5
        else:
            out[key] = torch.randn(shape, generator=rng) * 0.1
    return out


FILES = {
    "pt_inception-2015-12-05-6726825d": inception(),
    "vgg16-397923af": vgg16(), "vgg": heads(64, 128, 256, 512, 512),
    "alexnet-owt-7be5be79": alexnet(), "alex": heads(64, 192, 384, 256, 256),
    "squeezenet1_1-b8a52dc0": squeezenet(), "squeeze": heads(64, 128, 256, 384, 384, 512, 512),
    "resnet-50-kinetics": resnet3d(), "i3d_pretrained_400": i3d(), "vit_g_hybrid_pt_1200e_ssv2_ft": videomae(),
}  # fmt: skip


def write(folder: Path, *names: str) -> dict[str, State]:
    """Random files of these names, as .safetensors: of those no table knows the sha256. Heads are positive, as LPIPS' are."""
    out = {}
    for number, name in enumerate(names):
        state = random_state(FILES[name], number)
        out[name] = {k: v.abs() for k, v in state.items()} if "lin0.model.1.weight" in state else state
        save_file(out[name], folder / f"{name}.safetensors")
    return out


def pictures(*shape: int, seed: int = 0) -> NDArray[np.uint8]:
    """uint8 (*shape, 3): blocks of 8 pixels of one colour under noise, so that both coarse and fine structure matters."""
    rng = np.random.default_rng(seed)
    *many, height, width = shape
    coarse = rng.integers(20, 236, (*many, -(-height // 8), -(-width // 8), 3)).repeat(8, -3).repeat(8, -2)[..., :height, :width, :]
    return (coarse + rng.integers(-20, 20, coarse.shape)).astype(np.uint8)


def normalised(state: State, name: str, weight: Tensor, eps: float) -> tuple[Tensor, Tensor]:
    """The weights of a convolution and its bias, with the normalisation that follows it reckoned into them."""
    scale = state[f"{name}.weight"] / torch.sqrt(state[f"{name}.running_var"] + eps)
    return weight * scale.view(-1, *[1] * (weight.ndim - 1)), state[f"{name}.bias"] - state[f"{name}.running_mean"] * scale


def resampled(picture: NDArray[np.uint8], side: int, antialias: bool) -> NDArray[np.float64]:
    """(H, W, 3) -> (side, side, 3): with antialiasing by Keys' cubic (a = -1/2) of stretched support, without by a triangle of width 1."""

    def matrix(size: int) -> NDArray[np.float64]:
        scale = size / side
        stretch = max(scale, 1.0) if antialias else 1.0
        d = np.abs((np.arange(size)[None] + 0.5 - (np.arange(side)[:, None] + 0.5) * scale) / stretch)
        if antialias:
            inner, outer = 1.5 * d**3 - 2.5 * d**2 + 1, -0.5 * d**3 + 2.5 * d**2 - 4 * d + 2
            weights = np.where(d < 1, inner, np.where(d < 2, outer, 0))
        else:
            weights = np.clip(1 - d, 0, None)
        return weights / weights.sum(1, keepdims=True)

    rows, columns = matrix(picture.shape[0]), matrix(picture.shape[1])
    out: NDArray[np.float64] = np.moveaxis(rows @ np.moveaxis(picture.astype(np.float64), -1, 0) @ columns.T, 0, -1)
    return out


def tensor(pictures: NDArray[np.floating]) -> Tensor:
    """(..., H, W, 3) -> float32 (..., 3, H, W)."""
    return torch.from_numpy(np.ascontiguousarray(np.moveaxis(pictures, -1, -3), np.float32))
