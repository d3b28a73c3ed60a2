"""The mask of a garment in a picture of a person: from a file, a parse map, keypoints or the pose that is detected, without torch."""

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from engines.core.errors import ScdError, UsageError
from engines.core.keypoints import FACE
from engines.core.report import Report
from engines.generate.studio import Studio
from engines.generate.tryon_request import MaskWish
from engines.media.images import read_image, write_mask
from engines.media.mask_files import read_labels, read_mask
from engines.media.output import check_output
from engines.pose.files import load_track
from engines.pose.filmed import picture_pose
from engines.pose.garment import Canvas, Mask, Points, body_of, grown, growth, regions
from engines.pose.parse import labels_of, parse_mask
from engines.pose.worn import garment_mask

Picture = NDArray[np.uint8]
LEAST, MOST = 0.05, 0.7  # of the picture: a mask outside of these is warned of
FACE_HIDDEN = 0.05  # of the face: a mask that covers more is warned of
INVERTED_FACE, INVERTED_TORSO = 0.9, 0.1  # a mask that covers so much of the face and so little of the torso is inverted


@dataclass(frozen=True)
class FoundMask:
    """`mask` (H, W) at the picture's size, True is repainted; `points` (133, 3) in its pixels where they were given or had to be detected;
    `how` says where the mask comes from, in a few words for people and reports. `looked`: without points there is nobody to be found."""

    mask: Mask
    points: Points | None
    how: str
    looked: bool = False


@dataclass(frozen=True, kw_only=True)
class MaskRequest(MaskWish):
    """A mask alone: of the picture `person`, written to `out`, a PNG."""

    person: Path
    out: Path
    overwrite: bool = False


def given_points(path: Path, picture: Picture) -> Points:
    """(133, 3) of a keypoint file in the picture's pixels. ScdError as of load_track, and where it holds nobody."""
    track = load_track(path)
    if 0 in track.points.shape:
        raise ScdError(f"the keypoint file {path} holds nobody", "use another, or leave --keypoints out")
    if track.assumed:
        return np.asarray(track.points[0, 0], np.float32)
    scale = np.array([picture.shape[1] / track.size[0], picture.shape[0] / track.size[1], 1])
    return np.asarray(track.points[0, 0] * scale, np.float32)


def pose_points(picture: Picture, wish: MaskWish, where: Path, studio: Studio) -> Points | None:
    """(133, 3) in the pixels of the picture (H, W, 3) of the file `where`: given, else detected. None where nobody is found, and with a
    warning where the pose networks cannot be had; ScdError for a keypoint file that cannot be used."""
    if wish.keypoints is not None:
        return given_points(wish.keypoints, picture)
    try:
        detector = studio.detector(None)
    except ScdError as error:
        studio.report.warn(f"the pose in {where} is not known: {error}")
        return None
    found = picture_pose(picture, detector)
    return None if found is None else np.asarray(found[0], np.float32)


def from_pose(picture: Picture, where: Path, wish: MaskWish, studio: Studio) -> FoundMask:
    """By the colours of what the pose shows. ScdError where nobody is found, or not enough of them."""
    if wish.keypoints is None:
        seen = picture_pose(picture, studio.detector(None))
        points = None if seen is None else np.asarray(seen[0], np.float32)
    else:
        points = given_points(wish.keypoints, picture)
    if points is None:
        raise ScdError(f"nobody is found in the picture {where}", "name keypoints with --keypoints, or a mask with --mask")
    mask = garment_mask(picture, points, studio.segmenter().mask(picture), wish.category, wish.style, wish.grow)
    if mask is None:
        hint = "use a picture that shows them, or name a mask with --mask"
        raise ScdError(f"the picture {where} does not show the person's shoulders", hint)
    if not mask.any():
        hint = "use another --category, or name a mask with --mask"
        raise ScdError(f"no garment of --category {wish.category} is found in {where}", hint)
    return FoundMask(mask, points, "detected" if wish.keypoints is None else f"keypoints {wish.keypoints.name}")


def from_parse(picture: Picture, path: Path, where: Path, wish: MaskWish, studio: Studio) -> FoundMask:
    """By the labels of a parse map. The pose is looked for where bare arms are part of the mask: it tells hands from arms."""
    height, width = picture.shape[:2]
    labels = read_labels(path, (width, height), studio.report)
    what = f"the parse map {path}"
    kind = labels_of(labels, wish.parse_labels, what)
    looked = wish.keypoints is not None or wish.style != "shape"
    points = pose_points(picture, wish, where, studio) if looked else None
    mask = parse_mask(labels, kind, wish.category, wish.style, growth(wish.style, wish.grow, height), points, what)
    return FoundMask(mask, points, f"parse map {path.name} ({kind})", looked)


def from_file(picture: Picture, path: Path, wish: MaskWish, studio: Studio) -> FoundMask:
    """As the file has it; `grow` only where it was asked for."""
    height, width = picture.shape[:2]
    mask = read_mask(path, (width, height), wish.invert, studio.report)
    points = None if wish.keypoints is None else given_points(wish.keypoints, picture)
    return FoundMask(grown(mask, wish.grow or 0), points, path.name + (", inverted" if wish.invert else ""))


def find_mask(picture: Picture, where: Path, wish: MaskWish, studio: Studio) -> FoundMask:
    """Where to repaint the picture uint8 (H, W, 3) of the file `where`: a mask file, else a parse map, else from the pose.

    Warns of masks that are suspiciously small or large, or hide the face. ScdError says what is wrong with which file or flag.
    """
    if wish.file is not None:
        found = from_file(picture, wish.file, wish, studio)
    elif wish.parse is not None:
        found = from_parse(picture, wish.parse, where, wish, studio)
    else:
        found = from_pose(picture, where, wish, studio)
    share = float(found.mask.mean())
    if not LEAST <= share <= MOST:
        studio.report.warn(f"the mask ({found.how}) covers {share:.0%} of the picture {where}: look at it")
    if found.points is not None:
        check_pose(found, found.points, where, wish, studio.report)
    return found


def check_pose(found: FoundMask, points: Points, where: Path, wish: MaskWish, report: Report) -> None:
    """What only the pose (133, 3) tells of a mask: a warning where it hides the face. ScdError where a file covers face and not torso."""
    face = Canvas(found.mask.view(np.uint8)).seen_hull(points[FACE])
    if not face.any():
        return
    hidden = float(found.mask[face].mean())
    body = body_of(points)
    if wish.file is not None and body is not None and hidden >= INVERTED_FACE:
        torso = regions(found.mask.view(np.uint8), points, body).torso
        if torso.any() and found.mask[torso].mean() <= INVERTED_TORSO:
            hint = "leave --invert-mask out" if wish.invert else "add --invert-mask if it is black where to repaint"
            raise ScdError(f"the mask {wish.file} covers the face and not the torso: it looks inverted", hint)
    if hidden > FACE_HIDDEN:
        report.warn(f"the mask ({found.how}) hides {hidden:.0%} of the face in {where}: it will be repainted, too")


def check_no_input(outputs: Iterable[Path], inputs: Iterable[Path | None]) -> None:
    """UsageError for an output that is also an input: --overwrite would destroy it."""
    read = [path for path in inputs if path is not None and path.exists()]
    for output in outputs:
        if output.exists() and any(path.samefile(output) for path in read):
            raise UsageError(f"the output {output} is also an input", "name another with -o or --mask-out")


def make_mask(request: MaskRequest, report: Report) -> dict[str, Any]:
    """Write the mask as 8-bit PNG of the picture's size, white is to be repainted; returns what it is. ScdError as of find_mask."""
    check_no_input([request.out], (request.person, request.file, request.parse, request.keypoints))
    if request.out.suffix.lower() != ".png":
        raise UsageError(f"the mask {request.out} is no .png", "name one with -o")
    check_output(request.out, request.overwrite)
    picture = read_image(request.person, "the picture")
    found = find_mask(picture, request.person, request, Studio(report))
    write_mask(request.out, found.mask, request.overwrite)
    return {
        "mask": str(request.out), "category": request.category, "style": request.style, "grow": request.grow, "how": found.how,
        "size": [picture.shape[1], picture.shape[0]], "share": round(float(found.mask.mean()), 4),
    }  # fmt: skip
