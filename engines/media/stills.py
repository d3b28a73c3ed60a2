"""Outputs made of pictures: a GIF, and a folder of numbered PNGs. Both are written as frames come, in flat memory."""

import io
import struct
from collections.abc import Iterator, Mapping
from fractions import Fraction
from pathlib import Path
from typing import IO

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from PIL.PngImagePlugin import PngInfo

from engines.media.sink import Sink, described

Picture = NDArray[np.uint8]
GIF_MOST = Fraction(50)  # frames a second: players slow a delay below two hundredths of a second down
GIF_SIDE = 65535
IMAGE = 0x2C  # the byte that a picture's block begins with
STAYS = 1 << 2  # what a frame leaves is the ground of the next
FOR_EVER = b"!\xff\x0bNETSCAPE2.0\x03\x01\x00\x00\x00"


class FolderSink(Sink):
    """A folder of 000000.png, 000001.png ... Metadata are text chunks of every picture: each may travel alone."""

    def __init__(self, path: Path, size: tuple[int, int], metadata: Mapping[str, str]) -> None:
        super().__init__(size)
        path.mkdir()
        self.path = path
        self.texts = PngInfo()
        for key, value in described(metadata).items():
            self.texts.add_text(key.encode("latin-1", "replace")[:79].decode("latin-1"), value)

    def put(self, picture: Picture) -> None:
        Image.fromarray(picture).save(self.path / f"{self.count:06d}.png", pnginfo=self.texts)


def changed(before: Picture, after: Picture) -> tuple[int, int, int, int]:
    """Left, top, right, below of the pixels that differ; the first pixel where none do, for a GIF's frame cannot be empty."""
    differs = (before != after).any(axis=2)
    rows, columns = np.flatnonzero(differs.any(axis=1)), np.flatnonzero(differs.any(axis=0))
    if not len(rows):
        return 0, 0, 1, 1
    return int(columns[0]), int(rows[0]), int(columns[-1]) + 1, int(rows[-1]) + 1


def comment(text: str) -> Iterator[bytes]:
    """A comment extension: blocks of up to 255 bytes."""
    raw = text.encode()
    yield b"!\xfe"
    for start in range(0, len(raw), 255):
        yield struct.pack("B", len(raw[start : start + 255])) + raw[start : start + 255]
    yield b"\0"


def image_block(part: Image.Image, left: int, top: int) -> bytes:
    """A palette picture as one block of a GIF with colours of its own: Pillow's whole GIF of it, its colour table moved into the block."""
    whole = io.BytesIO()
    part.save(whole, format="GIF", interlace=0)
    raw = whole.getvalue()
    bits = raw[10] & 7  # of the colour table's size
    table = 13 + 3 * 2 ** (bits + 1)
    kind, _, _, width, height = struct.unpack_from("<BHHHH", raw, table)
    if kind != IMAGE:
        raise ValueError(f"Pillow wrote a block {kind:#x} before the picture")
    return struct.pack("<BHHHHB", IMAGE, left, top, width, height, 0x80 | bits) + raw[13:table] + raw[table + 10 : -1]


class GifSink(Sink):
    """Frames with a palette each, written as they come: of each only the rectangle that differs from the frame before.

    Delays are whole hundredths of a second, spread so that their sum stays true to the frame rate, which is at most `GIF_MOST`.
    """

    def __init__(self, path: Path, fps: Fraction, size: tuple[int, int], metadata: Mapping[str, str]) -> None:
        super().__init__(size)
        if max(size) > GIF_SIDE:
            raise ValueError(f"a GIF of {size}")
        self.fps = fps
        self.before: Picture | None = None
        self.file: IO[bytes] = path.open("wb")
        self.file.write(b"GIF89a" + struct.pack("<HHBBB", *size, 0x70, 0, 0) + FOR_EVER)
        if metadata:
            self.file.writelines(comment(described(metadata)["comment"]))

    def put(self, picture: Picture) -> None:
        left, top, right, below = (0, 0, *picture.shape[1::-1]) if self.before is None else changed(self.before, picture)
        part = Image.fromarray(np.ascontiguousarray(picture[top:below, left:right]))
        part = part.quantize(256, method=Image.Quantize.MEDIANCUT, dither=Image.Dither.FLOYDSTEINBERG)
        edges = [round(100 * index / self.fps) for index in (self.count, self.count + 1)]  # hundredths of a second
        self.file.write(b"!\xf9\x04" + struct.pack("<BHBB", STAYS, edges[1] - edges[0], 0, 0) + image_block(part, left, top))
        self.before = picture.copy()

    def finish(self) -> None:
        self.file.write(b";")
        self.close()

    def close(self) -> None:
        self.file.close()
