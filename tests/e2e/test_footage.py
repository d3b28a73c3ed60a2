"""The main job on real footage: a photo and a filmed person with sound, in one command. Needs ../shared/testdata."""

from pathlib import Path

import pytest
from PIL import Image

from engines.media.video import probe
from tests.e2e.running import scd
from tests.e2e.test_bad_drivers import sound_seconds

pytestmark = [pytest.mark.realdata, pytest.mark.slow]


def test_a_photo_and_a_film(tiny: Path, testdata: Path, tmp_path: Path) -> None:
    reference, film = testdata / "references" / "wan_reference.jpeg", testdata / "drivers" / "person_dance_1080p_audio.mp4"
    out = tmp_path / "out.mp4"
    ran = scd("animate", reference, "--poses", film, "-o", out, "--model", tiny, "--steps", 1, "--size", "640x640")
    assert ran.code == 0, ran.err
    info = probe(out)
    assert (info.frames, info.fps, info.size) == (106, 30, (640, 360)), "all frames, the film's rate, the photo's shape"
    assert sound_seconds(out) == pytest.approx(106 / 30, abs=0.01)
    assert "filmed person: 106 frames at 30 fps" in ran.err
    assert "milliseconds a frame: " in ran.err
    assert "warning" not in ran.err, "the person was seen in every frame, and the reference's pose was found"


def test_sound_that_outlasts_the_film_is_cut(tiny: Path, testdata: Path, tmp_path: Path) -> None:
    """12 s of sound over 4.7 s of a talking head; the reference's pose is found in a picture with a wrong name."""
    head, out = testdata / "drivers" / "talking_head_audio_longer_than_video.mp4", tmp_path / "out.mov"
    ran = scd("animate", testdata / "references" / "jpeg_named_png.png", "--poses", head, "-o", out, "--model", tiny, "--steps", 1)
    assert ran.code == 0, ran.err
    info = probe(out)
    assert (info.frames, info.size) == (141, (32, 32))
    assert sound_seconds(out) == pytest.approx(float(141 / info.fps), abs=0.01)


def test_a_photo_as_driver(tiny: Path, testdata: Path, tmp_path: Path) -> None:
    """One picture of a person poses another."""
    folder, out = testdata / "references", tmp_path / "out.png"
    ran = scd("animate", folder / "wan_reference.jpeg", "--poses", folder / "flux_woman_halfbody_1024.png", "-o", out, "--model", tiny)
    assert ran.code == 0, ran.err
    assert "photo: 1 frames" in ran.err
    with Image.open(out / "000000.png") as picture:
        assert picture.size == (32, 18)
