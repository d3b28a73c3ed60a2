"""Photos come back as they were: alpha, profile, EXIF, rotation."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageCms

from engines.core.errors import ScdError, UsageError
from engines.media.photo import read_photo, write_photo

PIXELS = np.random.default_rng(0).integers(0, 256, (24, 32, 4), dtype=np.uint8)
PROFILE = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
ORIENTATION, ARTIST = 0x0112, 0x013B


def saved(path: Path, image: Image.Image, **options: object) -> Path:
    image.save(path, **options)
    return path


@pytest.mark.parametrize("ending", [".png", ".webp"])
def test_pixels_alpha_profile_and_exif_survive(tmp_path: Path, ending: str) -> None:
    exif = Image.Exif()
    exif[ARTIST] = "somebody"
    path = saved(tmp_path / "a.png", Image.fromarray(PIXELS), icc_profile=PROFILE, exif=exif)
    write_photo(tmp_path / f"b{ending}", read_photo(path), False, {"seed": "3"})
    with Image.open(tmp_path / f"b{ending}") as image:
        assert np.array_equal(np.array(image.convert("RGBA")), PIXELS)
        assert image.info["icc_profile"] == PROFILE
        assert image.getexif()[ARTIST] == "somebody"
        assert ending != ".png" or image.info["seed"] == "3"


def test_a_rotated_photo_is_upright_and_says_so(tmp_path: Path) -> None:
    exif = Image.Exif()
    exif[ORIENTATION] = 6
    upright = Image.fromarray(PIXELS[..., :3])
    path = saved(tmp_path / "a.png", upright.transpose(Image.Transpose.ROTATE_90), exif=exif)
    photo = read_photo(path)
    assert np.array_equal(photo.rgb, PIXELS[..., :3])
    write_photo(tmp_path / "b.png", photo, False, {})
    again = read_photo(tmp_path / "b.png")
    assert np.array_equal(again.rgb, PIXELS[..., :3])
    with Image.open(tmp_path / "b.png") as image:
        assert ORIENTATION not in image.getexif()


def test_seen_is_over_white(tmp_path: Path) -> None:
    pixels = PIXELS.copy()
    pixels[:5, :, 3], pixels[5:, :, 3] = 0, 255
    photo = read_photo(saved(tmp_path / "a.png", Image.fromarray(pixels)))
    assert (photo.seen[:5] == 255).all()
    assert np.array_equal(photo.seen[5:], pixels[5:, :, :3])
    assert np.array_equal(photo.rgb, pixels[..., :3])


def test_a_jpeg_is_written_over_white_and_nearly_exact(tmp_path: Path) -> None:
    smooth = np.tile(np.linspace(0, 255, 32, dtype=np.uint8)[None, :, None], (24, 1, 3))
    photo = read_photo(saved(tmp_path / "a.png", Image.fromarray(smooth)))
    write_photo(tmp_path / "b.jpg", photo, False, {})
    back = read_photo(tmp_path / "b.jpg")
    assert back.alpha is None
    assert np.abs(back.rgb.astype(int) - smooth).max() < 12


@pytest.mark.parametrize("mode", ["L", "P", "CMYK", "1", "LA"])
def test_other_modes_become_rgb_and_lose_a_profile_that_no_longer_fits(tmp_path: Path, mode: str) -> None:
    image = Image.fromarray(PIXELS[..., :3]).convert(mode)
    path = saved(tmp_path / ("a.tiff" if mode == "CMYK" else "a.png"), image)
    photo = read_photo(path)
    assert photo.rgb.shape == (24, 32, 3)
    assert (photo.alpha is not None) == (mode == "LA")
    assert np.array_equal(photo.seen, np.array(image.convert("RGBA" if mode == "LA" else "RGB"))[..., :3]) or mode == "LA"


def test_an_ending_that_is_no_format_is_refused(tmp_path: Path) -> None:
    photo = read_photo(saved(tmp_path / "a.png", Image.fromarray(PIXELS)))
    with pytest.raises(UsageError, match="gif"):
        write_photo(tmp_path / "b.gif", photo, False, {})
    assert list(tmp_path.iterdir()) == [tmp_path / "a.png"]


def test_what_is_there_is_kept_without_overwrite(tmp_path: Path) -> None:
    path = saved(tmp_path / "a.png", Image.fromarray(PIXELS))
    with pytest.raises(ScdError, match="exists"):
        write_photo(path, read_photo(path), False, {})
