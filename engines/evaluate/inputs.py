"""Everything an evaluation reads: the pairs to judge, and beside them references, poses, masks and keypoints by video."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path

import numpy as np

from engines.core.errors import ScdError, UsageError
from engines.evaluate.features import Picture
from engines.evaluate.frames import Geometry
from engines.evaluate.layouts import find_videos
from engines.evaluate.pairing import pair
from engines.evaluate.pairs import Pair
from engines.evaluate.protocols import RESIZES, Protocol
from engines.evaluate.request import EvaluateRequest
from engines.evaluate.splits import read_split
from engines.evaluate.suspicions import check_sizes
from engines.evaluate.videos import Found
from engines.media.images import read_image
from engines.pose.draw import DrawStyle, draw_pose
from engines.pose.files import load_track


@dataclass
class Inputs:
    """`references`, `keypoints`: files by video id, where known. `masks`, `poses`: their frames paired with the truth's."""

    protocol: Protocol
    pairs: Sequence[Pair]
    pred: Found
    truth: Found
    references: Mapping[str, Path]
    keypoints: Mapping[str, Path]
    masks: Mapping[str, Pair] = field(default_factory=dict)
    poses: Mapping[str, Pair] = field(default_factory=dict)
    warnings: list[str] = field(default_factory=list)


def geometry_of(protocol: Protocol, resize: str | None) -> Geometry:
    """The protocol's, with the user's resize rule where it has no size. UsageError for a rule that is none or comes to nothing."""
    if resize is None:
        return protocol.geometry
    if resize not in RESIZES:
        raise UsageError(f"--resize {resize} is no rule", f"use one of: {', '.join(RESIZES)}")
    if protocol.geometry.size is not None:
        raise UsageError(f"--resize means nothing to --protocol {protocol.name}, which has a size", "leave it out or use --protocol native")
    return replace(protocol.geometry, match=resize)  # type: ignore[arg-type]


def gather(request: EvaluateRequest, protocol: Protocol) -> Inputs:
    """Find, pair and check all that the request names. ScdError and UsageError with what, where and the flag that mends it."""
    protocol = replace(protocol, geometry=geometry_of(protocol, request.resize))
    pred = find_videos(request.pred, "the prediction", protocol.pictures)
    truth = find_videos(request.gt, "the truth", protocol.pictures)
    split = None if request.split is None else read_split(request.split)
    pairs, warnings = pair(pred, truth, split, request.renumber)
    warnings += check_sizes(pairs, protocol.geometry)
    found = Inputs(protocol, pairs, pred, truth, truth.references, truth.keypoints, warnings=[*pred.warnings, *truth.warnings, *warnings])
    if request.reference is not None:
        found.references = references(request.reference, pairs)
    if request.masks is not None:
        found.masks = beside(request.masks, "the mask", found)
        check_sizes(list(found.masks.values()), protocol.geometry)
    if request.poses is not None:
        found.poses = beside(request.poses, "the pose picture", found)
    return found


def references(path: Path, pairs: Sequence[Pair]) -> dict[str, Path]:
    """One picture for all videos, or for each id its picture in a folder. ScdError names the first video without."""
    if path.is_file():
        return dict.fromkeys((p.id for p in pairs), path)
    pictures = find_videos(path, "the reference", pictures=True).videos
    out = {}
    for video in (p.id for p in pairs):
        if video not in pictures:
            raise ScdError(f"{path} has no reference for the video {video}", f"name it {video}.png, or give one picture for all")
        out[video] = (pictures[video].pictures or ())[0]
    return out


def beside(path: Path, what: str, found: Inputs) -> dict[str, Pair]:
    """Pictures that go with the truth's frames, paired like predictions."""
    pictures = find_videos(path, what, found.protocol.pictures)
    wanted = tuple(p.truth.id for p in found.pairs)
    return {p.id: p for p in pair(pictures, found.truth, wanted if len(found.truth.videos) > len(wanted) else None, False)[0]}


def masks_of(found: Inputs, video: str) -> Iterator[Picture] | None:
    """The masks of a video's frames, brought to the protocol's size like the frames."""
    return found.masks[video].pred_frames(found.protocol.geometry) if video in found.masks else None


def poses_of(found: Inputs, video: Pair) -> Callable[[], Iterator[Picture]] | None:
    """What gives the pictures of the poses asked for: those given, or keypoints drawn at their own size; None where none are known."""
    if video.id in found.poses:
        return partial(found.poses[video.id].pred_frames, found.protocol.geometry)
    return partial(drawn, found.keypoints[video.id], video.numbers) if video.id in found.keypoints else None


def places_of(count: int, numbers: Sequence[int]) -> Sequence[int]:
    """Where in a keypoint file of so many frames those of a video are: one after the other if it has as many, else at their numbers."""
    return range(count) if count == len(numbers) else numbers


def drawn(path: Path, numbers: Sequence[int]) -> Iterator[Picture]:
    track = load_track(path)
    for place in places_of(len(track.points), numbers):
        if place < len(track.points):
            yield np.asarray(draw_pose(track.points[place], track.size, track.size, DrawStyle()), np.uint8)


def reference_of(found: Inputs, video: str) -> partial[Picture] | None:
    """What reads the reference picture of a video, when asked."""
    return partial(read_image, found.references[video], "the reference picture") if video in found.references else None
