"""The training pictures: clips of a data set, shrunk once to the model's size and kept beside it as plain arrays.

One file a clip, so a data set that is still being written can be read, and a stopped run goes on where it was.
"""

import hashlib
import json
import os
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from engines.core.errors import ScdError
from engines.core.manifest import Clip, read_manifest
from engines.media.fit import fit_and_pad
from engines.media.images import read_image
from engines.pose.files import load_track
from engines.train.buckets import nearest_size


@dataclass(frozen=True)
class TrainingClip:
    """frames uint8 (F, H, W, 3) and points float32 (F, 1, 133, 3) in pixels of `points_size`; both at hand without decoding."""

    clip: Clip
    frames: NDArray[np.uint8]
    labels: NDArray[np.uint8]
    points: NDArray[np.float32]
    points_size: tuple[int, int]

    @property
    def size(self) -> tuple[int, int]:
        """(width, height) of the frames."""
        return self.frames.shape[2], self.frames.shape[1]


def cache_folder(data: Path, size: tuple[int, int]) -> Path:
    return data / ".cache" / f"{size[0]}x{size[1]}"


def save_array(path: Path, array: NDArray[np.generic]) -> None:
    """Write a .npy so that a reader never sees half of it."""
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    with temporary.open("wb") as file:
        np.save(file, array, allow_pickle=False)
    os.replace(temporary, path)


def shrink_clip(data: Path, clip: Clip, size: tuple[int, int]) -> NDArray[np.uint8]:
    """(F, H, W, 4): RGB fit into `size`, the label map as fourth channel, 0 where the data set has none."""
    out = np.zeros((clip.frames, size[1], size[0], 4), np.uint8)
    for index in range(clip.frames):
        out[index, :, :, :3] = fit_and_pad(read_image(data / clip.frame_path(index)), size, "edge")[0]
        path = clip.label_path(index)
        if path is not None:
            out[index, :, :, 3] = read_labels(data / path, size)
    return out


def read_labels(path: Path, size: tuple[int, int]) -> NDArray[np.uint8]:
    """A label map (H, W) at `size`. ScdError for what is no picture."""
    labels = cv2.imread(str(path), cv2.IMREAD_GRAYSCALE)
    if labels is None:
        raise ScdError(f"{path} cannot be read", "make the data set again with scd prepare-data")
    return np.asarray(cv2.resize(labels, size, interpolation=cv2.INTER_NEAREST), np.uint8)


def load_clip(data: Path, clip: Clip, size: tuple[int, int]) -> TrainingClip:
    path = cache_folder(data, size) / f"{clip.clip_id}.npy"
    if not path.exists():
        save_array(path, shrink_clip(data, clip, size))
    pixels = np.load(path, mmap_mode="r", allow_pickle=False)
    track = load_track(data / clip.keypoints)
    return TrainingClip(clip, pixels[..., :3], pixels[..., 3], track.points, track.size)


def load_clips(data: Path, split: str, *sizes: tuple[int, int]) -> list[TrainingClip]:
    """Every clip of a split, at the size of those given whose shape is nearest to its own. ScdError when there is none."""
    clips = [load_clip(data, clip, nearest_size(clip.size, sizes)) for clip in read_manifest(data, split)]
    if not clips:
        raise ScdError(f"{data} holds no clips of the split '{split}'", "make a larger data set with scd prepare-data")
    return clips


def data_fingerprint(clips: list[TrainingClip]) -> str:
    """sha256 over what the manifest says of the clips, seed included: runs with one fingerprint saw the same clips in the same order."""
    return hashlib.sha256(json.dumps([c.clip.record for c in clips], sort_keys=True).encode()).hexdigest()


def with_frames(clips: list[TrainingClip], least: int) -> list[TrainingClip]:
    """The clips of at least so many frames. ScdError when there is none."""
    long = [clip for clip in clips if clip.clip.frames >= least]
    if not long:
        raise ScdError(
            f"the recipe needs clips of {least} frames, and the longest has {max(clip.clip.frames for clip in clips)}",
            "make clips with more --frames, or lower batching.targets with --set",
        )
    return long
