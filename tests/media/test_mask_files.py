"""Mask files of every kind, and what only looks like one."""

from pathlib import Path

import cv2
import numpy as np
import pytest
from PIL import Image

from engines.core.errors import ScdError
from engines.core.report import NullReport
from engines.media.mask_files import read_labels, read_mask

SIZE = (60, 80)


class Notes(NullReport):
    """Keeps what is said."""

    def __init__(self) -> None:
        self.said: list[str] = []

    def note(self, text: str) -> None:
        self.said.append(text)


def blob(size: tuple[int, int] = SIZE) -> np.ndarray:
    """A body-like ellipse, (H, W) bool."""
    out = np.zeros(size[::-1], np.uint8)
    cv2.ellipse(out, (size[0] // 2, size[1] // 2), (size[0] // 4, size[1] // 3), 0, 0, 360, 1, -1)
    return out > 0


MASK = blob()
WHITE = np.where(MASK, 255, 0).astype(np.uint8)


def photo(seed: int = 0) -> np.ndarray:
    """Smooth colours with noise, as a photograph has."""
    rng = np.random.default_rng(seed)
    small = rng.integers(0, 255, (6, 5, 3)).astype(np.uint8)
    large = cv2.resize(small, SIZE, interpolation=cv2.INTER_CUBIC).astype(float)
    return np.clip(large + rng.normal(0, 6, large.shape), 0, 255).astype(np.uint8)


def rgba(rgb: np.ndarray, alpha: np.ndarray) -> Image.Image:
    return Image.fromarray(np.dstack([rgb, alpha]).astype(np.uint8))


def grey3(grey: np.ndarray) -> np.ndarray:
    return np.repeat(grey[..., None], 3, axis=2)


def palette(labels: np.ndarray, colours: np.ndarray) -> Image.Image:
    out = Image.fromarray(labels.astype(np.uint8)).convert("P")
    out.putdata(labels.astype(np.uint8).ravel().tolist())
    out.putpalette(colours.astype(np.uint8).ravel().tolist())
    return out


def parts() -> np.ndarray:
    """A small parse map in LIP's labels: face, upper clothes, trousers, arms."""
    out = np.zeros(SIZE[::-1], np.uint8)
    out[5:20, 25:35], out[20:45, 20:40], out[45:75, 22:38], out[22:40, 10:20] = 13, 5, 9, 14
    return out


TWO = np.array([[0, 0, 0], [255, 255, 255]])
RAINBOW = np.random.default_rng(1).integers(0, 255, (20, 3))
KINDS = {
    "L.png": Image.fromarray(WHITE),
    "RGB.png": Image.fromarray(grey3(WHITE)),
    "LA.png": Image.fromarray(np.dstack([WHITE, np.full_like(WHITE, 255)])),
    "P.png": palette(MASK, TWO),
    "one-bit.png": Image.fromarray(MASK),
    "sixteen.png": Image.fromarray(WHITE.astype(np.uint16) * 257),
    "noisy.jpg": Image.fromarray(grey3(WHITE)),
    "web.webp": Image.fromarray(grey3(WHITE)),
    "soft.png": Image.fromarray(cv2.GaussianBlur(WHITE, (0, 0), 3)),
    "opaque.png": rgba(grey3(WHITE), np.full_like(WHITE, 255)),
    "paint on a clear layer.png": rgba(np.full((*MASK.shape, 3), 255), WHITE),
    "coloured paint.png": rgba(np.full((*MASK.shape, 3), (255, 160, 160)), WHITE),
    "white and black paint.png": rgba(grey3(WHITE), np.where(np.arange(80)[:, None] < 78, 255, 0) * np.ones_like(WHITE)),
    "hole in a picture.png": rgba(photo(), 255 - WHITE),
    "clear greys.png": Image.fromarray(np.dstack([np.full_like(WHITE, 255), WHITE])),
}


@pytest.mark.parametrize("name", KINDS)
def test_every_kind_is_read(name: str, tmp_path: Path) -> None:
    KINDS[name].save(tmp_path / name)
    notes = Notes()
    mask = read_mask(tmp_path / name, SIZE, False, notes)
    assert mask.dtype == bool
    assert mask.shape == (80, 60)
    assert (mask != MASK).mean() < 0.01
    assert notes.said == []


def test_inverted_on_request(tmp_path: Path) -> None:
    Image.fromarray(255 - WHITE).save(tmp_path / "m.png")
    assert (read_mask(tmp_path / "m.png", SIZE, True, NullReport()) == MASK).all()


def test_upright_by_exif(tmp_path: Path) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6
    one_sided = MASK & (np.arange(80)[:, None] < 40)
    turned = Image.fromarray(np.rot90(np.where(one_sided, 255, 0)).astype(np.uint8))
    turned.save(tmp_path / "m.png", exif=exif)
    assert (read_mask(tmp_path / "m.png", SIZE, False, NullReport()) == one_sided).all()


@pytest.mark.parametrize("factor", [0.5, 2, 4.01])
def test_the_same_shape_in_another_size_is_resized_and_said(factor: float, tmp_path: Path) -> None:
    size = round(60 * factor), round(80 * factor)
    Image.fromarray(np.where(blob(size), 255, 0).astype(np.uint8)).save(tmp_path / "m.png")
    notes = Notes()
    assert (read_mask(tmp_path / "m.png", SIZE, False, notes) != MASK).mean() < 0.05
    assert notes.said == [f"the mask {tmp_path / 'm.png'} is {size[0]}x{size[1]} pixels and is resized to the picture's 60x80"]


def everywhere(level: int) -> Image.Image:
    return Image.fromarray(np.full(MASK.shape, level, np.uint8))


def holed() -> np.ndarray:
    out = photo()
    out[MASK] = 128
    return out


REFUSED = {
    "black": (everywhere(0), r"m\.png is black everywhere; name the mask itself"),
    "white": (everywhere(255), r"is white everywhere; name the mask itself"),
    "clear": (rgba(np.zeros((*MASK.shape, 3)), np.zeros_like(WHITE)), r"is transparent everywhere; name the mask itself"),
    "bools": (Image.fromarray(MASK.astype(np.uint8)), r"near black everywhere, its brightest level is 1 of 255; save it with 255"),
    "inverted": (Image.fromarray(255 - WHITE), r"would repaint 7\d% of the picture.*it looks inverted; add --invert-mask"),
    "agnostic": (Image.fromarray(holed()), r"looks like an agnostic picture, a person with a grey hole.*agnostic-mask/NAME_mask\.png"),
    "photo": (Image.fromarray(photo()), r"looks like a picture and not like a mask; name the mask itself"),
    "grey photo": (Image.fromarray(cv2.cvtColor(photo(), cv2.COLOR_RGB2GRAY)), r"looks like a picture and not like a mask"),
    "parse map": (palette(parts(), RAINBOW), r"looks like a parse map, a number for each part of the body; name it with --parse"),
    "grey parse map": (Image.fromarray(parts()), r"looks like a parse map, a number for each part"),
    "painted parse map": (Image.fromarray(RAINBOW[parts()].astype(np.uint8)), r"looks like a parse map in colours"),
    "dark paint": (rgba(np.zeros((*MASK.shape, 3)), WHITE), r"is dark on a clear layer, which leaves open which of the two"),
    "wide": (Image.fromarray(WHITE[:40]), r"is 60x40 pixels, but the picture 60x80; name one that was made for this picture"),
}  # fmt: skip


@pytest.mark.parametrize("kind", REFUSED)
def test_what_only_looks_like_a_mask(kind: str, tmp_path: Path) -> None:
    image, said = REFUSED[kind]
    image.save(tmp_path / "m.png")
    with pytest.raises(ScdError, match=said):
        read_mask(tmp_path / "m.png", SIZE, False, NullReport())


def test_a_right_mask_that_is_inverted_is_refused_too(tmp_path: Path) -> None:
    Image.fromarray(WHITE).save(tmp_path / "m.png")
    with pytest.raises(ScdError, match=r"looks inverted; leave --invert-mask out"):
        read_mask(tmp_path / "m.png", SIZE, True, NullReport())


@pytest.mark.parametrize("name", ["missing.png", "text.png"])
def test_what_is_no_picture(name: str, tmp_path: Path) -> None:
    (tmp_path / "text.png").write_text("white")
    with pytest.raises(ScdError, match=rf"the mask .*{name}"):
        read_mask(tmp_path / name, SIZE, False, NullReport())


@pytest.mark.parametrize("make", [lambda p: palette(p, RAINBOW), Image.fromarray, lambda p: Image.fromarray(grey3(p))])
def test_labels_are_numbers_however_they_are_kept(make: object, tmp_path: Path) -> None:
    make(parts()).save(tmp_path / "p.png")  # type: ignore[operator]
    assert (read_labels(tmp_path / "p.png", SIZE, NullReport()) == parts()).all()


def test_labels_are_never_mixed(tmp_path: Path) -> None:
    Image.fromarray(np.kron(parts(), np.ones((3, 3), np.uint8))).save(tmp_path / "p.png")
    notes = Notes()
    labels = read_labels(tmp_path / "p.png", SIZE, notes)
    assert set(np.unique(labels)) == set(np.unique(parts()))
    assert len(notes.said) == 1


NO_LABELS = {
    "colours": (Image.fromarray(RAINBOW[parts()].astype(np.uint8)), r"is a map in colours, not of label numbers"),
    "photo": (Image.fromarray(photo()), r"is a picture, not of label numbers"),
    "mask": (Image.fromarray(WHITE), r"has numbers up to 255.*it is a mask; name it with --mask"),
    "grey": (Image.fromarray(cv2.cvtColor(photo(), cv2.COLOR_RGB2GRAY)), r"labels end at 19: it is none"),
    "tall": (Image.fromarray(parts()[:, :30]), r"the parse map .* is 30x80 pixels, but the picture 60x80"),
}


@pytest.mark.parametrize("kind", NO_LABELS)
def test_what_is_no_parse_map(kind: str, tmp_path: Path) -> None:
    image, said = NO_LABELS[kind]
    image.save(tmp_path / "p.png")
    with pytest.raises(ScdError, match=said):
        read_labels(tmp_path / "p.png", SIZE, NullReport())
