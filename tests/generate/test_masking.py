"""`scd tryon --mask-only` on real photos and on what cannot be."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from typer.testing import CliRunner

from engines.core.errors import ScdError
from engines.core.report import NullReport
from engines.generate.masking import MaskRequest, make_mask
from engines.pose.networks import networks
from scd_cli.main import app

PHOTOS = [("omnitry_person_top_cloth.jpg", "upper", 0.15, 0.35), ("omnitry_person_bottom_cloth.jpg", "lower", 0.03, 0.1)]
PHOTOS += [("omnitry_person_dress.jpg", "dress", 0.05, 0.2), ("fashn_model.webp", "upper", 0.08, 0.2)]
PHOTOS += [("schp_photo_2000px.jpg", "upper", 0.15, 0.5)]


@pytest.fixture(scope="module", autouse=True)
def fetched() -> None:
    try:
        networks(NullReport())
    except ScdError as error:
        pytest.skip(f"the pose networks cannot be had: {error}")


@pytest.mark.realdata
@pytest.mark.parametrize(("name", "category", "least", "most"), PHOTOS)
def test_photos(name: str, category: str, least: float, most: float, testdata: Path, tmp_path: Path) -> None:
    out = tmp_path / "mask.png"
    done = CliRunner().invoke(app, ["tryon", str(testdata / "tryon" / name), "--mask-only", "--category", category, "-o", str(out)])
    assert done.exit_code == 0, done.output
    assert done.stdout == f"{out}\n"
    with Image.open(out) as mask, Image.open(testdata / "tryon" / name) as photo:
        assert (mask.mode, mask.size) == ("L", photo.size)
        pixels = np.asarray(mask)
    assert set(np.unique(pixels)) == {0, 255}
    assert least < (pixels > 0).mean() < most


def test_nobody(tmp_path: Path) -> None:
    Image.new("RGB", (200, 300), (90, 120, 90)).save(tmp_path / "wall.png")
    with pytest.raises(ScdError, match=r"nobody is found in the picture .*wall\.png; name keypoints with --keypoints"):
        make_mask(MaskRequest(person=tmp_path / "wall.png", out=tmp_path / "mask.png", category="upper"), NullReport())
    assert {p.name for p in tmp_path.iterdir()} == {"wall.png"}


def test_a_place_is_needed(tmp_path: Path) -> None:
    done = CliRunner().invoke(app, ["tryon", str(tmp_path / "a.png"), "--mask-only"])
    assert "--mask-only needs a place for the mask; give -o mask.png" in str(done.exception)
