"""A tiny model for try-on, a request that works, and looks at what became of it."""

import hashlib
from collections.abc import Callable, Collection
from dataclasses import replace
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from engines.core.keypoints import PoseTrack
from engines.core.report import NullReport
from engines.generate import studio as studios
from engines.generate.pipeline import Pipeline, pipeline_on
from engines.generate.tryon import tryon
from engines.generate.tryon_request import MaskWish, TryonRequest
from engines.pose.files import save_track
from engines.sessions.base import Arrays, Session
from tests.generate.tiny_bundle import write_tiny_bundle
from tests.generate.tiny_model import SIZE, TinyModel
from tests.pose.test_parse import keypoints

STEPS = 3
TORSO = np.s_[4:44, 9:23]  # of a picture of the model's size: the window around it is the whole picture
Pixels = NDArray[np.uint8]
Place = tuple[slice, slice]


@pytest.fixture(scope="session")
def dresser(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, TinyModel]:
    """Folder and numpy twin of a tiny model for try-on."""
    folder = tmp_path_factory.mktemp("dresser") / "tiny"
    return folder, write_tiny_bundle(folder, task="tryon")


def smooth(seed: int, size: tuple[int, int] = SIZE) -> Pixels:
    """A picture (H, W, 3) of soft colours."""
    small = np.random.default_rng(seed).integers(0, 256, (5, 4, 3), dtype=np.uint8)
    return np.asarray(cv2.resize(small, size, interpolation=cv2.INTER_CUBIC), np.uint8)


def write_white(path: Path, place: Place, size: tuple[int, int]) -> Path:
    mask = np.zeros(size[::-1], np.uint8)
    mask[place] = 255
    Image.fromarray(mask).save(path)
    return path


@pytest.fixture
def request_(dresser: tuple[Path, TinyModel], tmp_path: Path) -> TryonRequest:
    """A request that works: all pictures of the model's size, a mask file."""
    given, out = tmp_path / "in", tmp_path / "out"
    given.mkdir()
    out.mkdir()
    Image.fromarray(smooth(1)).save(given / "person.png")
    Image.fromarray(smooth(2)).save(given / "shirt.png")
    mask = MaskWish(file=write_white(given / "mask.png", TORSO, SIZE))
    return TryonRequest(
        person=given / "person.png", garment=given / "shirt.png", output=out / "dressed.png", model=str(dresser[0]), mask=mask, steps=STEPS
    )


def pixels(path: Path) -> Pixels:
    with Image.open(path) as image:
        return np.array(image.convert("RGB"), np.uint8)


def white(path: Path) -> NDArray[np.bool_]:
    with Image.open(path) as image:
        assert image.mode == "L"
        return np.array(image) > 0


def made(request: TryonRequest, **changes: Any) -> Pixels:
    """The result's pixels, under a name of its own."""
    other = replace(request, output=request.output.with_name("other.png"), overwrite=True, **changes)
    tryon(other, NullReport())
    return pixels(other.output)


def left(request: TryonRequest) -> dict[str, str]:
    """The files beside the result, with what is in them."""
    paths = sorted(request.output.parent.iterdir())
    return {path.name: hashlib.sha256(path.read_bytes()).hexdigest() if path.is_file() else "folder" for path in paths}


def with_person(request: TryonRequest, size: tuple[int, int], place: Place) -> TryonRequest:
    """Another picture of a person, and its mask; sizes are width, height."""
    Image.fromarray(smooth(3, size)).save(request.person)
    write_white(request.person.with_name("mask.png"), place, size)
    return request


def check_outside(before: Pixels, after: Pixels, mask: NDArray[np.bool_]) -> None:
    assert after.shape == before.shape
    assert np.array_equal(after[~mask], before[~mask])
    assert (after != before).any(-1)[mask].mean() > 0.9


def person_points(size: tuple[int, int]) -> NDArray[np.float32]:
    """The drawn person of the parse maps, (133, 3), in a picture of another size."""
    points = keypoints()
    points[:, :2] *= np.array(size, np.float32) / (100, 150)
    return points


def with_keypoints(request: TryonRequest, size: tuple[int, int] = SIZE) -> TryonRequest:
    path = request.person.with_name("points.npz")
    save_track(path, PoseTrack(person_points(size)[None, None], size), True)
    return replace(request, mask=replace(request.mask, keypoints=path))


class Watched:
    """A session that tells what it is fed, and raises what it is told to."""

    def __init__(self, inner: Session, on_run: Callable[[Arrays], None]) -> None:
        self.inner, self.on_run, self.device = inner, on_run, inner.device

    def run(self, feeds: Arrays, wanted: Collection[str] | None = None) -> dict[str, NDArray[Any]]:
        self.on_run(feeds)
        return self.inner.run(feeds, wanted)

    def pin(self, constants: Arrays) -> None:
        self.inner.pin(constants)

    def close(self) -> None:
        self.inner.close()


def watch(monkeypatch: pytest.MonkeyPatch, name: str, on_run: Callable[[Arrays], None]) -> None:
    """Every pipeline's session of that graph calls `on_run` before it runs."""

    def opened(*given: Any) -> Pipeline:
        pipeline = pipeline_on(*given)
        return Pipeline(pipeline.spec, {**pipeline.sessions, name: Watched(pipeline.sessions[name], on_run)})

    monkeypatch.setattr(studios, "pipeline_on", opened)
