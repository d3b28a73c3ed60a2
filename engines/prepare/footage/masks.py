"""The mask of a pair: the data set's own where it is one, else made from its parse map, or from the pose and the person's colours."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from engines.core.errors import ScdError
from engines.core.garments import Category, MaskStyle
from engines.core.pairs import Pair
from engines.core.report import NullReport, Report
from engines.media.images import opened, read_image
from engines.media.mask_files import read_labels, read_mask
from engines.pose.detectors import open_detector
from engines.pose.filmed import picture_pose
from engines.pose.garment import Mask, Points, growth
from engines.pose.networks import networks
from engines.pose.parse import labels_of, parse_mask
from engines.pose.segment import Segmenter
from engines.pose.worn import garment_mask

Picture = np.ndarray[tuple[int, int, int], np.dtype[np.uint8]]


@dataclass(frozen=True)
class FoundMask:
    """(H, W) at the person's size, True is repainted; `how`: file, parse map or pose."""

    mask: Mask
    how: str


class MaskFinder:
    """Detector and segmenter; made when the first mask is missing."""

    def __init__(self, report: Report) -> None:
        self.detector = open_detector(None, report)
        self.segmenter = Segmenter(networks(report))

    def points(self, picture: Picture) -> Points | None:
        found = picture_pose(picture, self.detector)
        return None if found is None else np.asarray(found[0], np.float32)


def checked_mask(pair: Pair, category: Category, style: MaskStyle, finder: Callable[[], MaskFinder]) -> FoundMask:
    """ScdError for pictures that cannot be read, masks that are none (another size, inverted, empty), and where none can be found."""
    picture = read_image(pair.person, "the person")
    with opened(pair.garment, "the garment") as image:
        image.load()  # damage shows only then
    size = (picture.shape[1], picture.shape[0])
    if pair.mask is not None:
        return FoundMask(read_mask(pair.mask, size, False, NullReport()), "file")
    if pair.parse is not None:
        what = f"the parse map {pair.parse}"
        labels = read_labels(pair.parse, size, NullReport())
        kind = labels_of(labels, pair.labels, what)
        points = None if style == "shape" else finder().points(picture)
        return FoundMask(parse_mask(labels, kind, category, style, growth(style, None, size[1]), points, what), "parse map")
    return from_pose(picture, pair, category, style, finder())


def from_pose(picture: Picture, pair: Pair, category: Category, style: MaskStyle, finder: MaskFinder) -> FoundMask:
    points = finder.points(picture)
    if points is None:
        raise ScdError(f"nobody is found in {pair.person}, which has no mask", "give the data set's masks in agnostic-mask/")
    mask = garment_mask(picture, points, finder.segmenter.mask(picture), category, style)
    if mask is None or not mask.any():
        raise ScdError(
            f"no garment of the category {category} is found in {pair.person}, which has no mask", "give masks in agnostic-mask/"
        )
    return FoundMask(mask, "pose")
