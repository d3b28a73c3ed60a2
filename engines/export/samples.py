"""Held-out clips as a graph meets them: for parity on real inputs, and to measure the ranges that int8 needs."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from engines.core.errors import ScdError
from engines.core.manifest import Clip, read_manifest
from engines.media.fit import fit_and_pad
from engines.media.images import read_image
from engines.pose.draw import DrawStyle, draw_pose
from engines.pose.files import load_track

Pictures = NDArray[np.uint8]


@dataclass(frozen=True)
class Sample:
    """One reference picture (H, W, 3) and the pose pictures (F, H, W, 3) of its clip's frames; the first is the reference's own."""

    picture: Pictures
    poses: Pictures


def read_sample(data: Path, clip: Clip, size: tuple[int, int], frames: int) -> Sample:
    track = load_track(data / clip.keypoints)
    picture = fit_and_pad(read_image(data / clip.frame_path(0)), size, "edge")[0]
    return Sample(picture, np.stack([draw_pose(points, track.size, size, DrawStyle()) for points in track.points[:frames]]))


def held_out_samples(data: Path, size: tuple[int, int], clips: int, frames: int) -> list[Sample]:
    """The first clips of the split 'val', `frames` frames each. ScdError when the data set has none."""
    found = read_manifest(data, "val")
    if not found:
        raise ScdError(f"{data} holds no clips of the split 'val'", "make a larger data set with scd prepare-data")
    return [read_sample(data, clip, size, frames) for clip in found[:clips]]
