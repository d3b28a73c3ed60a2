"""Miniature trees of every layout that `scd evaluate` takes, with pictures of 24x32 pixels whose shade tells video and frame."""

from collections.abc import Iterable
from fractions import Fraction
from pathlib import Path

import numpy as np
from PIL import Image

from tests.media import making

SIZE = (24, 32)


def shade(*parts: object) -> int:
    """A grey of its own for nearly every name."""
    return sum(ord(c) * (i + 7) for i, c in enumerate(" ".join(map(str, parts)))) % 200 + 20


def picture(path: Path, grey: int | None = None, size: tuple[int, int] = SIZE) -> Path:
    """A plain picture with one bright pixel; PNG or JPEG by the ending."""
    path.parent.mkdir(parents=True, exist_ok=True)
    pixels = np.full((size[1], size[0], 3), shade(path.stem) if grey is None else grey, np.uint8)
    pixels[1, 2] = 255
    Image.fromarray(pixels).save(path)
    return path


def frames(folder: Path, numbers: Iterable[int] = range(3), ending: str = "png", shift: int = 0, size: tuple[int, int] = SIZE) -> Path:
    """folder/0000.png and so on."""
    for number in numbers:
        picture(folder / f"{number:04d}.{ending}", shade(folder.name, number) + shift, size)
    return folder


def film(path: Path, count: int = 3, fps: int = 25, codec: str = "libx264") -> Path:
    """A film of 64x48 pixels, frame n of the grey 8 n."""
    path.parent.mkdir(parents=True, exist_ok=True)
    return making.film(path, range(count), Fraction(1, fps), codec)


def videos(root: Path, ids: Iterable[str] = ("a", "b"), **options: object) -> Path:
    """root/a/0000.png and so on."""
    for id in ids:
        frames(root / id, **options)  # type: ignore[arg-type]
    return root


def tiktok(root: Path, ids: Iterable[str] = ("00335", "00336")) -> Path:
    for id in ids:
        for part in ("images", "masks", "densepose"):
            frames(root / id / part, range(1, 4))
    return root


def one_to_all(root: Path) -> Path:
    for id in ("000", "001"):
        frames(root / id)
        picture(root / f"{id}_reference.png")
    return root


def disco(root: Path) -> Path:
    """Names as DisCo writes them."""
    for video in ("00337", "00338"):
        for number in (9, 10, 11):
            picture(root / f"TiktokDance_{video}_{number:04d}png.png")
    for number in (348, 349):
        picture(root / f"TiktokDance_203_006_1x1_{number:05d}jpg.png")
    picture(root / "TiktokDance_00001_0001_1x1.png")
    picture(root / "S001C002P003R002A013_0005.png")
    return root


def viton(root: Path) -> Path:
    for part in ("image", "cloth", "cloth-mask"):
        for person in ("00006_00", "00008_00"):
            picture(root / "test" / part / f"{person}.jpg")
    picture(root / "train" / "image" / "00000_00.jpg")
    (root / "test_pairs.txt").write_text("00006_00.jpg 00008_00.jpg\n00008_00.jpg 00006_00.jpg\n")
    return root


def dress_code(root: Path, ids: Iterable[str] = ("020714", "013563", "000012")) -> Path:
    for category, id in zip(("dresses", "lower_body", "upper_body"), ids, strict=True):
        for part in ("images", "keypoints"):
            for kind in "01":
                picture(root / category / part / f"{id}_{kind}.jpg")
    return root
