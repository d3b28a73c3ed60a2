"""The learned networks by the metric that needs them: features of pictures and clips, distances of pairs. torch comes in when one opens."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import cached_property, partial
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

import numpy as np
from numpy.typing import NDArray

from engines.core.errors import MissingExtra, UsageError
from engines.evaluate.weights import Weights, find

if TYPE_CHECKING:
    import torch
    from torch import Tensor

    from engines.evaluate.networks.inception import FrontEnd
    from engines.evaluate.networks.lpips import Trunk

Uint8 = NDArray[np.uint8]
Float64 = NDArray[np.float64]
EXTRA = "evaluate"
PICTURES_AT_ONCE = 32  # on a GPU


class ImageFeatures(Protocol):
    """uint8 pictures (N, H, W, 3) -> float64 (N, D). `name` says network and preprocessing: what has the same name gives the same."""

    name: str
    weights: tuple[Weights, ...]

    def __call__(self, pictures: Uint8, /) -> Float64: ...


class ClipFeatures(Protocol):
    """uint8 clips (N, T, H, W, 3) -> float64 (N, D)."""

    name: str
    weights: tuple[Weights, ...]

    def __call__(self, clips: Uint8, /) -> Float64: ...


class PairDistance(Protocol):
    """uint8 pictures (N, H, W, 3) and as many of the same size -> float64 (N,)."""

    name: str
    weights: tuple[Weights, ...]

    def __call__(self, a: Uint8, b: Uint8, /) -> Float64: ...


class Opened(Protocol):
    """A network in memory: stacks of `width` numbers for each item."""

    @property
    def width(self) -> int: ...

    def __call__(self, *items: Uint8, where: torch.device) -> Tensor: ...


class Extractor:
    """A network whose weights were found, and are read when it is first called.

    Calls raise ScdError for weights that are damaged or another network's. On the CPU one picture or pair is computed at a time: it is no
    slower, takes a fraction of the memory, and no figure hangs on what is computed beside it.
    """

    def __init__(self, name: str, weights: Sequence[Weights], opener: Callable[..., Opened], at_once: int = PICTURES_AT_ONCE) -> None:
        self.name, self.weights, self.opener, self.at_once = name, tuple(weights), opener, at_once

    @cached_property
    def network(self) -> Opened:
        return self.opener(*(w.path for w in self.weights))

    def rows(self, *items: Uint8) -> Float64:
        """float64 (N, D)."""
        from engines.evaluate.networks.loading import device, exact

        where, out = device(), [np.zeros((0, self.network.width))]
        step = self.at_once if where.type == "cuda" else 1
        with exact():
            for start in range(0, len(items[0]), step):
                found = self.network(*(part[start : start + step] for part in items), where=where)
                out.append(found.double().cpu().numpy())
        return np.concatenate(out)


class Features(Extractor):
    """ImageFeatures or ClipFeatures."""

    def __call__(self, items: Uint8, /) -> Float64:
        return self.rows(items)


class Distance(Extractor):
    """PairDistance."""

    def __call__(self, a: Uint8, b: Uint8, /) -> Float64:
        return self.rows(a, b)[:, 0]


def pictures(front_end: FrontEnd, folder: Path | None) -> Features:
    def opener(path: Path) -> Opened:
        from engines.evaluate.networks.inception import InceptionFeatures

        return InceptionFeatures(path, front_end)

    return Features(f"inception_fid {front_end}", [find("inception_fid", folder)], opener)


def pairs(trunk: Trunk, key: str, normalized: bool, shrink: int | None, folder: Path | None) -> Distance:
    def opener(trunk_path: Path, heads_path: Path) -> Opened:
        from engines.evaluate.networks.lpips import LpipsDistance

        return LpipsDistance(trunk, trunk_path, heads_path, normalized, shrink)

    name = f"lpips_{trunk} {'-1..1' if normalized else '0..1'}" + (f" {shrink}" if shrink else "")
    return Distance(name, [find(key, folder), find(f"lpips_{trunk}", folder)], opener)


def clips(key: str, folder: Path | None) -> Features:
    def opener(path: Path) -> Opened:
        if key == "resnet3d50":
            from engines.evaluate.networks.resnet3d import ResNetFeatures

            return ResNetFeatures(path)
        if key == "i3d400":
            from engines.evaluate.networks.i3d import I3dFeatures

            return I3dFeatures(path)
        from engines.evaluate.networks.videomae import VideoMaeFeatures

        return VideoMaeFeatures(path)

    return Features(key, [find(key, folder)], opener, at_once=1)


OPENERS: dict[str, Callable[[Path | None], Features | Distance]] = {
    "fid_pytorchfid": partial(pictures, "pytorchfid"),
    "kid_pytorchfid": partial(pictures, "pytorchfid"),
    "fid_clean": partial(pictures, "clean"),
    "kid_clean": partial(pictures, "clean"),
    "fid_vid_rn50": partial(clips, "resnet3d50"),
    "fvd_i3d400": partial(clips, "i3d400"),
    "fvd_videomae": partial(clips, "videomae"),
    "lpips_vgg": partial(pairs, "vgg", "vgg16", True, None),
    "lpips_vgg_unnormalized": partial(pairs, "vgg", "vgg16", False, None),
    "lpips_alex": partial(pairs, "alex", "alexnet", True, None),
    "lpips_alex_128": partial(pairs, "alex", "alexnet", True, 128),
    "lpips_squeeze": partial(pairs, "squeeze", "squeezenet", True, None),
}


def open_extractor(metric: str, folder: Path | None) -> Features | Distance:
    """The network of a learned metric: ImageFeatures for fid_* and kid_*, ClipFeatures for fid_vid_* and fvd_*, PairDistance for lpips_*.

    WeightsMissing where its weights are nowhere (see engines.evaluate.weights.find), ScdError where they are the wrong ones, MissingExtra
    without torch, UsageError for a name that is no learned metric.
    """
    if metric not in OPENERS:
        raise UsageError(f"there is no learned metric {metric}", "scd evaluate --list shows them")
    found = OPENERS[metric](folder)
    if find_spec("torch") is None:
        raise MissingExtra(f"the metric {metric}", EXTRA)
    return found
