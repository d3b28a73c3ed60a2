"""The geometry of protocols, and frames read through it: decoded one after the other, cropped, brought to a size, uint8 throughout."""

from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from engines.core.errors import ScdError
from engines.evaluate.videos import Video
from engines.media import fit
from engines.media.images import read_image
from engines.media.video import probe, read_frames

Picture = NDArray[np.uint8]
Size = tuple[int, int]
Crop = Literal["none", "centre-square"]
Resample = Literal["pillow-bilinear", "pillow-lanczos", "pillow-bicubic", "area"]
Match = Literal["none", "truth", "prediction"]
ROLES = ("the prediction", "the truth")
PILLOW = {
    "pillow-bilinear": Image.Resampling.BILINEAR, "pillow-lanczos": Image.Resampling.LANCZOS, "pillow-bicubic": Image.Resampling.BICUBIC,
}  # fmt: skip
ORIENTATION, TURNED = 0x0112, range(5, 9)  # the EXIF tag, and its values that swap width and height


@dataclass(frozen=True, slots=True)
class Geometry:
    """First the crop, then `size` (width, height), or without one whose size the other side takes.

    "centre-square" with "pillow-bilinear" is what torchvision's RandomResizedCrop(size, scale=(1, 1), ratio=(1, 1)) does to a PIL picture
    that is not square, DisCo's choice: no random crop fits, so that it falls back to the middle, its left and top rounded down
    (torchvision/transforms/transforms.py, get_params). Pillow's filters average when they shrink. "area" is `engines.media.fit.resize`.
    """

    crop: Crop
    size: Size | None
    resample: Resample
    match: Match


def size_of(picture: Picture) -> Size:
    return picture.shape[1], picture.shape[0]


def resize(picture: Picture, size: Size, resample: Resample) -> Picture:
    """uint8 (H, W, 3) to (width, height); the same picture when it has that size."""
    if size_of(picture) == size:
        return picture
    if resample == "area":
        return fit.resize(picture, size)
    return np.asarray(Image.fromarray(picture).resize(size, PILLOW[resample]), np.uint8)


def cropped(size: Size, crop: Crop) -> Size:
    """What a crop leaves of a size (width, height)."""
    return (min(size), min(size)) if crop == "centre-square" else size


def settle(geometry: Geometry, picture: Picture) -> Picture:
    """One side's crop and size; untouched when it has both already."""
    if geometry.crop == "centre-square" and picture.shape[0] != picture.shape[1]:
        side = min(size_of(picture))
        left, top = (picture.shape[1] - side) // 2, (picture.shape[0] - side) // 2
        picture = np.ascontiguousarray(picture[top : top + side, left : left + side])
    return picture if geometry.size is None else resize(picture, geometry.size, geometry.resample)


def match(geometry: Geometry, pred: Picture, truth: Picture, names: tuple[str, str] = ROLES) -> tuple[Picture, Picture]:
    """A settled prediction and truth at one size. ScdError naming both when they differ and no rule says whose size counts."""
    if geometry.match == "none" or geometry.size is not None:
        check_equal(size_of(pred), size_of(truth), names)
    elif geometry.match == "truth":
        pred = resize(pred, size_of(truth), geometry.resample)
    else:
        truth = resize(truth, size_of(pred), geometry.resample)
    return pred, truth


def apply(geometry: Geometry, pred: Picture, truth: Picture, names: tuple[str, str] = ROLES) -> tuple[Picture, Picture]:
    """A prediction and its truth, uint8 (H, W, 3), as the protocol compares them: one size, uint8. ScdError as of `match`."""
    return match(geometry, settle(geometry, pred), settle(geometry, truth), names)


def check_equal(pred: Size, truth: Size, names: tuple[str, str]) -> None:
    if pred != truth:
        sizes = f"{names[0]} is {pred[0]}x{pred[1]} pixels and {names[1]} {truth[0]}x{truth[1]}"
        raise ScdError(sizes, "add --resize truth or --resize prediction, or use a protocol that has a size")


def decoded(video: Video, what: str) -> Iterator[Picture]:
    """The frames of a video as they are in its files, one for each number. ScdError names the file that cannot be read."""
    if video.film is None:
        for path in video.files:
            yield read_image(path, what)
        return
    count = 0
    for frame in read_frames(video.film, 0, len(video.numbers), what):
        count += 1
        yield frame
    if count < len(video.numbers):
        raise ScdError(f"{what} {video.film} gives {count} of its {len(video.numbers)} frames", "convert it again")


def settled(geometry: Geometry, video: Video, what: str) -> Iterator[Picture]:
    """The frames of a video through crop and size. ScdError for one that then differs from the first in size."""
    first: Size | None = None
    for index, frame in enumerate(decoded(video, what)):
        picture = settle(geometry, frame)
        first = first or size_of(picture)
        if size_of(picture) != first:
            width, height = size_of(picture)
            message = f"{what} {video.file_of(index)} is {width}x{height} pixels and the video's first frame {first[0]}x{first[1]}"
            raise ScdError(message, "bring all frames of a video to one size, or use a protocol that has one")
        yield picture


def native_size(video: Video, what: str) -> Size:
    """Upright (width, height) of a video's first frame, without decoding it where the file tells. ScdError as of `read_image`."""
    if video.film is not None:
        return probe(video.film, what).size
    return picture_size(video.files[0], what)


def picture_size(path: Path, what: str) -> Size:
    with suppress(Exception), Image.open(path) as image:  # whatever is wrong with it, read_image says
        turned = image.getexif().get(ORIENTATION) in TURNED
        return (image.height, image.width) if turned else image.size
    return size_of(read_image(path, what))
