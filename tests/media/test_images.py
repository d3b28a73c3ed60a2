"""Pictures of every kind become upright RGB; what is no picture is refused in one sentence."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from engines.core.errors import ScdError
from engines.media import images
from engines.media.images import read_image, write_png


def gradient(height: int = 40, width: int = 30) -> np.ndarray:
    y, x = np.mgrid[0:height, 0:width]
    return np.stack([x * 8, y * 6, np.full_like(x, 100)], axis=2).astype(np.uint8)


@pytest.mark.parametrize("name", ["a.png", "a.webp", "a.bmp", "a.tiff", "png_in.jpg"])
def test_formats_are_told_by_content(tmp_path: Path, name: str) -> None:
    kind = {"webp": "WEBP", "bmp": "BMP", "tiff": "TIFF"}.get(name.split(".")[1], "PNG")
    Image.fromarray(gradient()).save(tmp_path / name, format=kind, lossless=True)
    np.testing.assert_array_equal(read_image(tmp_path / name), gradient())


def test_transparency_lies_over_white(tmp_path: Path) -> None:
    Image.new("RGBA", (20, 20), (255, 0, 0, 0)).save(tmp_path / "clear.png")
    assert (read_image(tmp_path / "clear.png") == 255).all()


def test_palette_with_a_clear_colour(tmp_path: Path) -> None:
    picture = Image.new("P", (20, 20), 1)
    picture.putpalette([0, 0, 0, 10, 20, 30])
    picture.save(tmp_path / "p.png", transparency=0)
    assert tuple(read_image(tmp_path / "p.png")[0, 0]) == (10, 20, 30)


def test_sixteen_bits_are_scaled_not_clipped(tmp_path: Path) -> None:
    Image.fromarray(np.full((20, 20), 32896, np.uint16)).save(tmp_path / "deep.png")
    assert set(np.unique(read_image(tmp_path / "deep.png"))) == {128}


def test_cmyk_becomes_rgb(tmp_path: Path) -> None:
    Image.new("CMYK", (20, 20), (0, 255, 255, 0)).save(tmp_path / "ink.jpg")
    red = read_image(tmp_path / "ink.jpg")[10, 10]
    assert red[0] > 200
    assert red[1:].max() < 60


def test_exif_rotation_is_applied(tmp_path: Path) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6  # turn by 90 degrees clockwise
    Image.fromarray(gradient()).save(tmp_path / "turned.png", exif=exif)
    np.testing.assert_array_equal(read_image(tmp_path / "turned.png"), np.rot90(gradient(), -1))


@pytest.mark.realdata
def test_jpeg_named_png(testdata: Path) -> None:
    assert read_image(testdata / "references" / "jpeg_named_png.png").shape == (1024, 1024, 3)


def bad_files(folder: Path, huge: bool) -> dict[str, Path]:
    paths = {name: folder / name for name in ("missing.png", "empty.png", "text.png", "cut.png", "dot.png", "huge.png")}
    paths["empty.png"].touch()
    paths["text.png"].write_text("not a picture at all")
    Image.fromarray(np.random.default_rng(0).integers(0, 255, (90, 90, 3), dtype=np.uint8)).save(paths["cut.png"])
    paths["cut.png"].write_bytes(paths["cut.png"].read_bytes()[:3000])
    Image.new("RGB", (1, 1)).save(paths["dot.png"])
    if huge:  # slow to make
        Image.new("1", (20000, 20000)).save(paths["huge.png"])
    return paths | {"folder": folder}


@pytest.mark.parametrize("case", ["missing.png", "empty.png", "text.png", "cut.png", "dot.png", "huge.png", "folder"])
def test_what_is_no_picture_is_named(tmp_path: Path, case: str) -> None:
    path = bad_files(tmp_path, case == "huge.png")[case]
    with pytest.raises(ScdError) as caught:
        read_image(path, "the reference picture")
    assert str(path) in caught.value.message
    assert caught.value.hint
    assert "\n" not in str(caught.value)


def test_writing_is_atomic(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object, **__: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Image.Image, "save", full)
    with pytest.raises(ScdError, match="the disk is full"):
        write_png(tmp_path / "out.png", gradient(), overwrite=False)
    assert list(tmp_path.iterdir()) == []


def test_existing_output_needs_overwrite(tmp_path: Path) -> None:
    write_png(tmp_path / "out.png", gradient(), overwrite=False)
    with pytest.raises(ScdError, match="--overwrite"):
        write_png(tmp_path / "out.png", gradient(), overwrite=False)
    write_png(tmp_path / "out.png", gradient(50), overwrite=True)
    assert images.read_image(tmp_path / "out.png").shape[0] == 50
