"""A photo that is to come back changed in one place alone: its pixels as they are, and what goes with them: alpha, colour profile, EXIF."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageOps
from PIL.PngImagePlugin import PngInfo

from engines.core.errors import ScdError, UsageError
from engines.media.images import eight_bit, has_alpha, opened
from engines.media.output import atomic

Picture = NDArray[np.uint8]
ENDINGS = (".png", ".webp", ".jpg", ".jpeg")
EXACT = (".png", ".webp")  # what keeps every pixel; a JPEG never does
COLOURS = ("RGB", "RGBA", "P", "PA")  # whose colour profile, if any, is one of RGB: others are converted, and theirs fits no more
JPEG_QUALITY = 95


@dataclass(frozen=True)
class Photo:
    """Upright: `rgb` uint8 (H, W, 3), `alpha` (H, W) where the file has one; `icc` and `exif` are the file's, without the rotation."""

    rgb: Picture
    alpha: Picture | None = None
    icc: bytes | None = None
    exif: bytes | None = None

    @property
    def seen(self) -> Picture:
        """The picture as it looks over white, (H, W, 3)."""
        if self.alpha is None:
            return self.rgb
        share = self.alpha[..., None].astype(np.float32) / 255
        return np.asarray(np.rint(self.rgb * share + 255 * (1 - share)), np.uint8)

    def repainted(self, rgb: Picture) -> "Photo":
        return replace(self, rgb=rgb)


def read_photo(path: Path, what: str = "the picture") -> Photo:
    """A file as a Photo: EXIF rotation applied, 16 bits a channel become 8, CMYK, palettes and greys RGB. ScdError as read_image."""
    with opened(path, what) as image:
        icc = image.info.get("icc_profile") if image.mode in COLOURS else None
        upright = eight_bit(ImageOps.exif_transpose(image))
        exif = upright.getexif().tobytes() or None
        if has_alpha(upright):
            whole = np.array(upright.convert("RGBA"), np.uint8)
            return Photo(np.ascontiguousarray(whole[..., :3]), np.ascontiguousarray(whole[..., 3]), icc, exif)
        return Photo(np.array(upright.convert("RGB"), np.uint8), None, icc, exif)


def check_ending(path: Path) -> None:
    """UsageError for an ending that no photo is written with."""
    if path.suffix.lower() not in ENDINGS:
        raise UsageError(f"the output {path} ends in no format of pictures", f"use -o with one of: {' '.join(ENDINGS)}")


def write_photo(path: Path, photo: Photo, overwrite: bool, said: Mapping[str, str], workspace: Path | None = None) -> None:
    """Write it, atomically, in the format of the ending: PNG and WebP bit for bit, JPEG (over white, without alpha) nearly.

    `said`: what the file says of itself, as text chunks of a PNG. `workspace` as of atomic. UsageError for other endings, ScdError for what
    the format cannot hold.
    """
    check_ending(path)
    kind = path.suffix.lower()
    pixels = photo.rgb if photo.alpha is None else np.dstack([photo.rgb, photo.alpha])
    options: dict[str, object] = {"icc_profile": photo.icc, "exif": photo.exif}
    options = {name: value for name, value in options.items() if value is not None}
    if kind == ".png":
        options |= {"pnginfo": text_chunks(said)}
    elif kind == ".webp":
        options |= {"lossless": True, "exact": True}  # exact: colours below alpha 0 stay what they are
    else:
        pixels, options = photo.seen, options | {"quality": JPEG_QUALITY, "subsampling": 0}
    with atomic(path, overwrite, workspace) as temporary:
        try:
            Image.fromarray(pixels).save(temporary, format={".png": "PNG", ".webp": "WEBP"}.get(kind, "JPEG"), **options)
        except ValueError as error:  # sides above 16383 in WebP, EXIF above 64 kB in JPEG
            raise ScdError(f"the result cannot be written as {kind} ({error})", "use -o with a .png") from error


def text_chunks(said: Mapping[str, str]) -> PngInfo:
    out = PngInfo()
    for name, text in said.items():
        out.add_text(name, text)
    return out
