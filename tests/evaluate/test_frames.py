"""The geometry of protocols, and frames read through it."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from engines.core.errors import ScdError
from engines.evaluate.frames import Geometry, apply, native_size, resize, settle, settled
from engines.evaluate.layouts import find_videos
from engines.media.images import read_image
from tests.evaluate import trees

NATIVE = Geometry("none", None, "area", "none")
SQUARE = Geometry("centre-square", (256, 256), "pillow-bilinear", "none")


def noise(width: int, height: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, (height, width, 3), dtype=np.uint8)


@pytest.mark.parametrize(
    ("size", "corner"), [((604, 1080), (0, 238)), ((1080, 605), (237, 0)), ((605, 1080), (0, 237)), ((300, 256), (22, 0))]
)
def test_square_is_what_torchvision_cuts(size: tuple[int, int], corner: tuple[int, int]) -> None:
    """The fallback of RandomResizedCrop.get_params rounds corners down, and a PIL picture is cut, then resized."""
    frame, side = noise(*size), min(size)
    left, top = corner
    wanted = Image.fromarray(frame).crop((left, top, left + side, top + side)).resize((256, 256), Image.Resampling.BILINEAR)
    assert (settle(SQUARE, frame) == np.asarray(wanted)).all()


def test_what_has_the_size_is_untouched() -> None:
    frame = noise(256, 256)
    assert settle(SQUARE, frame) is frame
    pred, truth = apply(NATIVE, frame, frame)
    assert pred is frame
    assert truth is frame


@pytest.mark.parametrize("resample", ["pillow-bilinear", "pillow-lanczos", "pillow-bicubic", "area"])
def test_resampling(resample: str) -> None:
    """Each filter averages when it shrinks: noise of many pixels comes out near its mean; and each is another filter."""
    small = resize(noise(640, 480), (20, 15), resample)  # type: ignore[arg-type]
    assert small.shape == (15, 20, 3)
    assert small.dtype == np.uint8
    assert small.std() < 6
    others = {r: resize(noise(640, 480), (20, 15), r) for r in ("pillow-bilinear", "pillow-lanczos", "pillow-bicubic", "area")}  # type: ignore[arg-type]
    assert sum((small == other).all() for other in others.values()) == 1


def test_whose_size_counts() -> None:
    pred, truth = noise(40, 60), noise(20, 30, 1)
    by_truth = Geometry("none", None, "pillow-lanczos", "truth")
    one, other = apply(by_truth, pred, truth)
    assert other is truth
    assert (one == np.asarray(Image.fromarray(pred).resize((20, 30), Image.Resampling.LANCZOS))).all()
    one, other = apply(Geometry("none", None, "pillow-bicubic", "prediction"), pred, truth)
    assert one is pred
    assert (other == np.asarray(Image.fromarray(truth).resize((40, 60), Image.Resampling.BICUBIC))).all()
    one, other = apply(Geometry("none", (16, 18), "area", "none"), pred, truth)
    assert one.shape == other.shape == (18, 16, 3)
    one, other = apply(Geometry("centre-square", None, "area", "truth"), pred, truth)
    assert one.shape == other.shape == (20, 20, 3)


def test_different_sizes_without_a_rule() -> None:
    with pytest.raises(ScdError) as caught:
        apply(NATIVE, noise(40, 60), noise(20, 30), ("the prediction a.png", "the truth b.png"))
    assert caught.value.message == "the prediction a.png is 40x60 pixels and the truth b.png 20x30"
    assert "--resize truth" in str(caught.value.hint)


def test_frames_come_in_order_and_exactly(tmp_path: Path) -> None:
    video = find_videos(trees.frames(tmp_path / "v", range(8, 12)), "the truth").videos["v"]
    for number, frame in zip(range(8, 12), settled(NATIVE, video, "the truth"), strict=True):
        assert (frame == read_image(tmp_path / "v" / f"{number:04d}.png")).all()
        assert frame[0, 0, 0] == trees.shade("v", number)


def test_a_frame_of_another_size(tmp_path: Path) -> None:
    trees.picture(trees.frames(tmp_path / "v") / "0001.png", size=(30, 32))
    video = find_videos(tmp_path / "v", "the truth").videos["v"]
    with pytest.raises(ScdError, match=r"0001.png is 30x32 pixels and the video's first frame 24x32"):
        list(settled(NATIVE, video, "the truth"))
    assert len(list(settled(SQUARE, video, "the truth"))) == 3


def test_native_size_is_upright(tmp_path: Path) -> None:
    turned = Image.Exif()
    turned[0x0112] = 6
    Image.fromarray(noise(40, 20)).save(tmp_path / "a.jpg", exif=turned)
    video = find_videos(tmp_path / "a.jpg", "the truth").videos["a"]
    assert native_size(video, "the truth") == (20, 40) == read_image(tmp_path / "a.jpg").shape[1::-1]
    film = find_videos(trees.film(tmp_path / "b.mp4"), "the truth").videos["b"]
    assert native_size(film, "the truth") == (64, 48)
