"""Pictures in and out: whatever a file holds becomes upright 8-bit RGB."""

import stat
import struct
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageOps, UnidentifiedImageError

from engines.core.errors import ScdError
from engines.media.output import atomic

Picture = NDArray[np.uint8]
MIN_SIDE = 16  # pixels; anything smaller holds no person
MAX_PIXELS = 100_000_000


def need_file(path: Path, what: str) -> None:
    """Refuse what is missing, a folder, or empty; `what` names its role, as "the reference picture"."""
    try:
        facts = path.stat()
    except (FileNotFoundError, NotADirectoryError) as error:
        raise ScdError(f"{what} {path} does not exist", "check the path") from error
    except OSError as error:
        raise ScdError(f"{what} {path} cannot be opened ({error.strerror})", "check the path and its permissions") from error
    if stat.S_ISDIR(facts.st_mode):
        raise ScdError(f"{what} {path} is a folder", "name a file")
    if facts.st_size == 0:
        raise ScdError(f"{what} {path} is empty", "name another file")


def check_size(path: Path, size: tuple[int, int], what: str) -> None:
    if min(size) < MIN_SIDE:
        raise ScdError(f"{what} {path} is {size[0]}x{size[1]} pixels", f"use one of at least {MIN_SIDE} pixels a side")
    if size[0] * size[1] > MAX_PIXELS:
        raise ScdError(f"{what} {path} is {size[0]}x{size[1]} pixels", f"shrink it below {MAX_PIXELS // 1_000_000} megapixels")


def eight_bit(image: Image.Image) -> Image.Image:
    """16-bit and float greys to 8 bits; Pillow's own conversion would clip them. Floats up to 1 are shares of white, else 8- or 16-bit."""
    if image.mode in ("I;16", "I;16B", "I;16L", "I;16N", "I", "F"):
        grey = np.nan_to_num(np.asarray(image, np.float64))
        top = 65535.0 if image.mode != "F" else next((t for t in (1.0, 255.0) if grey.max() <= t), 65535.0)
        return Image.fromarray((np.clip(grey / top, 0, 1) * 255).round().astype(np.uint8))
    return image


def has_alpha(image: Image.Image) -> bool:
    return image.mode in ("RGBA", "LA", "PA", "La", "RGBa") or "transparency" in image.info


def flatten(image: Image.Image) -> Image.Image:
    """Upright RGB; transparency over white."""
    image = eight_bit(ImageOps.exif_transpose(image))
    if has_alpha(image):
        clear = image.convert("RGBA")
        return Image.alpha_composite(Image.new("RGBA", clear.size, "white"), clear).convert("RGB")
    return image.convert("RGB")


@contextmanager
def opened(path: Path, what: str = "the picture") -> Iterator[Image.Image]:
    """A picture of a sane size as Pillow opens it; whatever is wrong with the file, here or while it is decoded, is a ScdError."""
    need_file(path, what)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of damaged metadata and large pictures: the size is checked here
            with Image.open(path) as image:
                check_size(path, image.size, what)
                yield image
    except UnidentifiedImageError as error:
        raise ScdError(f"{what} {path} is not a picture in a format that can be read", "use PNG, JPEG or WebP") from error
    except Image.DecompressionBombError as error:
        raise ScdError(f"{what} {path} is too large ({error})", f"shrink it below {MAX_PIXELS // 1_000_000} megapixels") from error
    except PermissionError as error:
        raise ScdError(f"{what} {path} may not be read", "change its permissions or use another") from error
    except (OSError, SyntaxError, ValueError, TypeError, ArithmeticError, LookupError, EOFError, struct.error) as error:
        raise ScdError(f"{what} {path} is damaged ({error})", "save it again or use another") from error


def read_image(path: Path, what: str = "the picture") -> Picture:
    """uint8 (H, W, 3) RGB: EXIF rotation applied, alpha over white, palettes, 16-bit and CMYK converted. ScdError for anything else."""
    with opened(path, what) as image:
        return np.array(flatten(image), np.uint8)


def write_png(path: Path, rgb: Picture, overwrite: bool) -> None:
    """Write uint8 (H, W, 3) as PNG, atomically."""
    with atomic(path, overwrite) as temporary:
        Image.fromarray(rgb).save(temporary, format="PNG")


def write_mask(path: Path, mask: NDArray[np.bool_], overwrite: bool, workspace: Path | None = None) -> None:
    """Write (H, W) as 8-bit grey PNG, 255 where True, atomically; `workspace` as of atomic."""
    with atomic(path, overwrite, workspace) as temporary:
        Image.fromarray(mask.astype(np.uint8) * 255).save(temporary, format="PNG")
