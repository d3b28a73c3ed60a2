"""The mask of a garment in a picture of a person: found, checked and written, without torch."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from engines.core.errors import ScdError
from engines.core.garments import MASK_STYLES, Category, MaskStyle
from engines.core.report import Report
from engines.media.images import read_image, write_mask
from engines.media.output import check_output
from engines.pose.detectors import open_detector
from engines.pose.files import load_track
from engines.pose.filmed import picture_pose
from engines.pose.garment import Mask, garment_mask
from engines.pose.networks import networks
from engines.pose.segment import Segmenter

Points = NDArray[np.float32]
LEAST, MOST = 0.02, 0.7  # of the picture: a mask outside of these is warned of


@dataclass(frozen=True, kw_only=True)
class MaskRequest:
    """`person`: a picture; `out`: a PNG; `keypoints` of the person, None to detect them; `grow` in pixels of the picture."""

    person: Path
    out: Path
    category: Category
    style: MaskStyle = MASK_STYLES[0]
    grow: int = 0
    keypoints: Path | None = None
    overwrite: bool = False


def pose_of(request: MaskRequest, picture: NDArray[np.uint8], report: Report) -> Points:
    """(133, 3) in the picture's pixels. ScdError where nobody is found."""
    if request.keypoints is not None:
        track = load_track(request.keypoints)
        if 0 in track.points.shape:
            raise ScdError(f"the keypoint file {request.keypoints} holds nobody", "use another, or leave --keypoints out")
        scale = np.array([picture.shape[1], picture.shape[0]]) / track.size
        return np.asarray(track.points[0, 0] * np.array([*scale, 1]), np.float32)
    seen = picture_pose(picture, open_detector(None, report))
    if seen is None:
        raise ScdError(f"nobody is found in the picture {request.person}", "name keypoints with --keypoints, or a mask with --mask")
    return np.asarray(seen[0], np.float32)


def checked(mask: Mask | None, request: MaskRequest, report: Report) -> Mask:
    """ScdError where there is nothing to repaint; a warning where it is suspiciously little or much."""
    if mask is None:
        hint = "use a picture that shows them, or name a mask with --mask"
        raise ScdError(f"the picture {request.person} does not show the person's shoulders", hint)
    share = float(mask.mean())
    if share == 0:
        raise ScdError(
            f"no garment of --category {request.category} is found in {request.person}",
            "use another --category, or name a mask with --mask",
        )
    if not LEAST <= share <= MOST:
        report.warn(f"the mask covers {share:.0%} of the picture {request.person}: look at it before you use it")
    return mask


def make_mask(request: MaskRequest, report: Report) -> dict[str, Any]:
    """Write the mask as 8-bit PNG of the picture's size, white is to be repainted; returns what it is. ScdError as above."""
    check_output(request.out, request.overwrite)
    picture = read_image(request.person, "the picture")
    points = pose_of(request, picture, report)
    person = Segmenter(networks(report)).mask(picture)
    found = checked(garment_mask(picture, points, person, request.category, request.style, request.grow), request, report)
    write_mask(request.out, found, request.overwrite)
    return {
        "mask": str(request.out), "category": request.category, "style": request.style, "grow": request.grow,
        "size": [picture.shape[1], picture.shape[0]], "share": round(float(found.mean()), 4),
    }  # fmt: skip
