"""Poses of a film: decoded ahead, detected once, of one person, with warnings that name frames."""

import threading
from collections.abc import Iterable, Iterator
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest

from engines.core.errors import ScdError
from engines.core.keypoints import COUNT
from engines.core.report import NullReport
from engines.pose.detector import MOST
from engines.pose.filmed import ahead, detect_film, film_track, picture_pose

SIZE = (160, 96)


class Fake:
    """Finds somebody where the frame is bright: further right the brighter."""

    name = "fake-1"

    def __init__(self, people: int = 1) -> None:
        self.frames, self.people = 0, people

    def track(self, pictures: Iterable[np.ndarray], most: int = MOST) -> Iterator[np.ndarray]:
        for picture in pictures:
            self.frames += 1
            count = self.people if picture.mean() > 40 else 0
            yield (
                np.stack([figure(float(picture.mean()) / 2, 20 + 10 * n) for n in range(count)])
                if count
                else np.zeros((0, COUNT, 3), np.float32)
            )


def figure(x: float, height: float) -> np.ndarray:
    shape = np.random.default_rng(1).uniform(-0.5, 0.5, (COUNT, 2)) * height
    return np.column_stack([shape + np.array([x, 48]), np.full(COUNT, 0.9)]).astype(np.float32)


def film(path: Path, levels: list[int]) -> Path:
    """Grey frames of these levels."""
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", rate=25, options={"crf": "1"})
        stream.width, stream.height, stream.pix_fmt = *SIZE, "yuv420p"
        for level in levels:
            frame = av.VideoFrame.from_ndarray(np.full((SIZE[1], SIZE[0], 3), level, np.uint8), format="rgb24")
            container.mux(stream.encode(frame))
        container.mux(stream.encode())
    return path


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("SCD_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache" / "poses"


class Bar(NullReport):
    """Counts what is reported."""

    def __init__(self) -> None:
        self.stages: list[tuple[str, int]] = []
        self.done = 0

    def stage(self, name: str, total: int, done: int = 0) -> "Bar":  # type: ignore[override]
        self.stages.append((name, total))
        return self

    def __enter__(self) -> "Bar":
        return self

    def __exit__(self, *exc: object) -> None:
        return None

    def advance(self, count: int) -> None:
        self.done += count


def test_every_frame_of_the_range_once_with_progress(tmp_path: Path) -> None:
    levels = [50 + 10 * n for n in range(12)]
    path, bar, fake = film(tmp_path / "a.mp4", levels), Bar(), Fake()
    found = detect_film(path, 3, 9, fake, bar)
    assert fake.frames == 6
    assert abs(found[0][0, :, 0].mean() - figure(levels[3] / 2, 20)[:, 0].mean()) < 2
    np.testing.assert_allclose(np.diff([p[0, 0, 0] for p in found]), 5, atol=1.5)
    assert bar.stages == [("detect poses", 6)]
    assert bar.done == 6


def test_a_second_time_comes_from_the_cache_until_something_differs(tmp_path: Path) -> None:
    path, fake = film(tmp_path / "a.mp4", [60, 10, 80]), Fake()
    first = detect_film(path, 0, None, fake, NullReport())
    again = detect_film(path.rename(tmp_path / "b.mp4"), 0, 3, fake, NullReport())
    assert fake.frames == 3, "another name and the same range are the same film"
    for a, b in zip(first, again, strict=True):
        np.testing.assert_array_equal(a, b)
    assert [len(p) for p in again] == [1, 0, 1]
    detect_film(tmp_path / "b.mp4", 0, 2, fake, NullReport())
    assert fake.frames == 5
    fake.name = "fake-2"
    detect_film(tmp_path / "b.mp4", 0, None, fake, NullReport())
    assert fake.frames == 8
    detect_film(film(tmp_path / "b.mp4", [90, 10, 80]), 0, None, fake, NullReport())
    assert fake.frames == 11


@pytest.mark.parametrize("harm", ["cut", "text", "counts", "nan", "pickle"])
def test_a_damaged_cache_is_not_trusted(tmp_path: Path, cache: Path, harm: str) -> None:
    path, fake = film(tmp_path / "a.mp4", [60, 70, 80]), Fake()
    good = detect_film(path, 0, None, fake, NullReport())
    (kept,) = cache.glob("*.npz")
    with np.load(kept) as data:
        arrays = dict(data)
    if harm == "cut":
        kept.write_bytes(kept.read_bytes()[:-400])
    elif harm == "text":
        kept.write_text("no")
    elif harm == "counts":
        np.savez(kept, counts=np.array([1, 1]), points=arrays["points"])
    elif harm == "nan":
        np.savez(kept, counts=arrays["counts"], points=arrays["points"] * np.nan)
    else:
        np.savez(kept, counts=np.array([{}], object), points=arrays["points"])
    again = detect_film(path, 0, None, fake, NullReport())
    assert fake.frames == 6
    np.testing.assert_array_equal(np.concatenate(good), np.concatenate(again))


def test_a_cache_that_cannot_be_written_costs_nothing_else(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("SCD_CACHE", str(tmp_path / "file"))
    assert len(detect_film(film(tmp_path / "a.mp4", [60, 70]), 0, None, Fake(), NullReport())) == 2


def threads() -> list[str]:
    return [t.name for t in threading.enumerate() if t.name == "scd-decode"]


def test_decoding_ahead_keeps_order_passes_errors_on_and_ends_when_left() -> None:
    def frames(fail: bool) -> Iterator[np.ndarray]:
        for n in range(50):
            if fail and n == 7:
                raise ScdError("frame 7 is damaged")
            yield np.full((2, 2, 3), n, np.uint8)

    with ahead(frames(False)) as taken:
        assert [int(f[0, 0, 0]) for f in taken] == list(range(50))
    seen: list[int] = []

    def take() -> None:
        with ahead(frames(True)) as taken:
            seen.extend(int(f[0, 0, 0]) for f in taken)

    with pytest.raises(ScdError, match="frame 7"):
        take()
    assert seen == list(range(7))
    with ahead(frames(False)) as taken:
        next(taken)
    assert threads() == []


def test_one_person_in_every_frame_with_warnings_that_name_frames(tmp_path: Path) -> None:
    levels = [10, 10] + [100] * 10 + [10, 10] + [100] * 30 + [10] * 20 + [100] * 10
    track, warnings = film_track(film(tmp_path / "a.mp4", levels), 0, None, Fake(2), NullReport(), "the driver", limit=5)
    assert track.points.shape == (len(levels), 1, COUNT, 3)
    assert track.size == SIZE
    assert track.fps == Fraction(25)
    assert (track.points[..., 2] > 0.3).all()
    assert np.ptp(track.points[0, 0, :, 1]) > 25, "the larger of the two"
    interpolated, held = warnings
    assert "frames 12-13;" in interpolated
    assert "frames 0-1, 44-63;" in held
    assert "the driver" in held
    smaller, _ = film_track(tmp_path / "a.mp4", 0, None, Fake(2), NullReport(), person=2)
    assert np.ptp(smaller.points[0, 0, :, 1]) < 25


def test_warnings_count_frames_of_the_film_not_of_the_range(tmp_path: Path) -> None:
    _, warnings = film_track(film(tmp_path / "a.mp4", [100] * 8 + [10] + [100] * 8), 5, 12, Fake(), NullReport())
    assert len(warnings) == 1
    assert "frames 8;" in warnings[0]


def test_nobody_in_any_frame(tmp_path: Path) -> None:
    with pytest.raises(ScdError, match=r"the driver .* shows nobody in any of its 4 frames"):
        film_track(film(tmp_path / "a.mp4", [10] * 4), 0, None, Fake(), NullReport(), "the driver")


def test_more_people_asked_for_than_there_are(tmp_path: Path) -> None:
    with pytest.raises(ScdError, match=r"no person 3.*only 2"):
        film_track(film(tmp_path / "a.mp4", [100] * 4), 0, None, Fake(2), NullReport(), person=3)


def test_the_largest_person_of_a_picture() -> None:
    bright, dark = (np.full((96, 160, 3), level, np.uint8) for level in (100, 10))
    pose = picture_pose(bright, Fake(3))
    assert pose is not None
    assert pose.shape == (1, COUNT, 3)
    assert np.ptp(pose[0, :, 1]) > 35
    assert picture_pose(dark, Fake(3)) is None
