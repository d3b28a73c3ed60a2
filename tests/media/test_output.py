"""Outputs: refused before work begins, whole or absent afterwards, and nobody's folder lost."""

import tempfile
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest
from PIL import Image

from engines.core.errors import ScdError
from engines.media import writer
from engines.media.output import atomic, check_output
from engines.media.writer import open_writer

RATE = Fraction(24)


def noise(count: int, width: int = 48, height: int = 64) -> list[np.ndarray]:
    rng = np.random.default_rng(5)
    return [rng.integers(0, 255, (height, width, 3), dtype=np.uint8) for _ in range(count)]


def fill(path: Path, pictures: list[np.ndarray], overwrite: bool = False, fps: Fraction = RATE) -> None:
    with open_writer(path, fps, (48, 64), overwrite) as sink:
        for picture in pictures:
            sink.write(picture)


def sentence(error: ScdError, path: Path) -> None:
    text = str(error)
    assert str(path) in text
    assert error.hint
    assert "\n" not in text
    assert ". " not in text


def test_outputs_that_cannot_be_are_refused_first(tmp_path: Path) -> None:
    there, file = tmp_path / "there.mp4", tmp_path / "file"
    there.write_text("mine")
    file.write_text("mine")
    for path, word in ((there, "--overwrite"), (tmp_path / "no" / "a.mp4", "does not exist"), (file / "a.mp4", "is a file")):
        with pytest.raises(ScdError, match=word) as caught:
            check_output(path, overwrite=False)
        sentence(caught.value, path.parent)
    assert sorted(p.name for p in tmp_path.iterdir()) == ["file", "there.mp4"]


def test_a_folder_that_takes_no_files_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(tempfile, "TemporaryFile", refuse)
    with pytest.raises(ScdError, match="Permission denied") as caught:
        check_output(tmp_path / "a.mp4", overwrite=False)
    sentence(caught.value, tmp_path)


def test_a_link_that_leads_nowhere_counts_as_there(tmp_path: Path) -> None:
    (tmp_path / "a.mp4").symlink_to(tmp_path / "gone")
    with pytest.raises(ScdError, match="--overwrite"):
        check_output(tmp_path / "a.mp4", overwrite=False)


@pytest.mark.parametrize("ending", [".mp4", ".png"])
def test_a_folder_of_somebodys_pictures_is_never_replaced(tmp_path: Path, ending: str) -> None:
    folder = tmp_path / f"holiday{ending}"
    folder.mkdir()
    (folder / "beach.jpg").write_text("mine")
    with pytest.raises(ScdError, match="other things") as caught:
        fill(folder, noise(1), overwrite=True)
    sentence(caught.value, folder)
    assert (folder / "beach.jpg").read_text() == "mine"


def test_a_sequence_of_ours_is_replaced_whole(tmp_path: Path) -> None:
    fill(tmp_path / "a.png", noise(5))
    fill(tmp_path / "a.png", noise(2), overwrite=True)
    assert [p.name for p in sorted((tmp_path / "a.png").iterdir())] == ["000000.png", "000001.png"]
    assert [p.name for p in tmp_path.iterdir()] == ["a.png"]


@pytest.mark.parametrize("ending", [".mp4", ".webm", ".gif", ".png"])
def test_a_failed_overwrite_keeps_what_was_there(tmp_path: Path, ending: str) -> None:
    path = tmp_path / f"a{ending}"
    fill(path, noise(2))
    before = sorted(p.stat().st_size for p in (path.iterdir() if path.is_dir() else [path]))

    def broken() -> None:
        with open_writer(path, RATE, (48, 64), overwrite=True) as sink:
            sink.write(noise(1)[0])
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        broken()
    assert [p.name for p in tmp_path.iterdir()] == [path.name]
    assert sorted(p.stat().st_size for p in (path.iterdir() if path.is_dir() else [path])) == before


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs /dev/full")
@pytest.mark.parametrize("ending", [".mp4", ".webm"])
@pytest.mark.parametrize("count", [1, 40])
def test_a_full_disk_is_named_whenever_it_fills(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, ending: str, count: int) -> None:
    class FullDisk:
        def open(self, path: str, mode: Any, options: dict[str, str]) -> Any:
            return av.open("/dev/full", mode, format=ending[1:], options=options)

        def __getattr__(self, name: str) -> Any:
            return getattr(av, name)

    monkeypatch.setattr(writer, "av", FullDisk())
    with pytest.raises(ScdError, match="the disk is full") as caught:
        fill(tmp_path / f"a{ending}", noise(count))
    sentence(caught.value, tmp_path)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("ending", [".gif", ".png"])
def test_a_full_disk_is_named_by_pictures_too(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, ending: str) -> None:
    def full(*_: object, **__: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Image.Image, "save", full)
    with pytest.raises(ScdError, match="the disk is full"):
        fill(tmp_path / f"a{ending}", noise(3))
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("ending", [".mp4", ".webm", ".gif", ".png"])
def test_a_clip_without_frames_is_not_written(tmp_path: Path, ending: str) -> None:
    with pytest.raises(ScdError, match="no frames") as caught:
        fill(tmp_path / f"a{ending}", [])
    sentence(caught.value, tmp_path)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("ending", [".mp4", ".gif", ".png"])
def test_a_frame_of_another_size_is_a_fault_of_the_caller(tmp_path: Path, ending: str) -> None:
    with pytest.raises(ValueError, match="shape"):
        fill(tmp_path / f"a{ending}", noise(1, 50, 64))
    assert list(tmp_path.iterdir()) == []


def test_capital_endings_are_the_same_formats(tmp_path: Path) -> None:
    fill(tmp_path / "A.MP4", noise(3))
    with av.open(str(tmp_path / "A.MP4")) as container:
        assert container.streams.video[0].codec_context.name == "h264"


@pytest.mark.parametrize("fps", [Fraction(30000, 1001), Fraction(24), Fraction(25, 2)])
def test_mp4_lasts_exactly_its_frames_and_starts_fast(tmp_path: Path, fps: Fraction) -> None:
    fill(tmp_path / "a.mp4", noise(13), fps=fps)
    with av.open(str(tmp_path / "a.mp4")) as container:
        stream = container.streams.video[0]
        assert (stream.frames, stream.average_rate) == (13, fps)
        assert stream.duration is not None
        assert stream.time_base is not None
        assert stream.duration * stream.time_base == 13 / fps
    raw = (tmp_path / "a.mp4").read_bytes()
    assert raw.index(b"moov") < raw.index(b"mdat")


def test_a_workspace_takes_what_is_not_ready(tmp_path: Path) -> None:
    shop, out = tmp_path / "shop", tmp_path / "out"
    shop.mkdir()
    out.mkdir()
    seen = []
    with open_writer(out / "a.gif", RATE, (48, 64), overwrite=False, workspace=shop) as sink:
        sink.write(noise(1)[0])
        seen += [len(list(folder.iterdir())) for folder in (shop, out)]
    assert seen == [1, 0]
    assert [p.name for p in out.iterdir()] == ["a.gif"]
    assert list(shop.iterdir()) == []


def test_a_folder_is_replaced_by_way_of_the_workspace(tmp_path: Path) -> None:
    (tmp_path / "shop").mkdir()
    fill(tmp_path / "a.png", noise(3))
    with open_writer(tmp_path / "a.png", RATE, (48, 64), overwrite=True, workspace=tmp_path / "shop") as sink:
        sink.write(noise(1)[0])
    assert [p.name for p in (tmp_path / "a.png").iterdir()] == ["000000.png"]
    assert sorted(p.name for p in tmp_path.iterdir()) == ["a.png", "shop"]
    assert list((tmp_path / "shop").iterdir()) == []


def test_a_workspace_on_another_disk_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def elsewhere(*_: object) -> None:
        raise OSError(18, "Invalid cross-device link")

    monkeypatch.setattr("os.replace", elsewhere)
    with pytest.raises(ScdError, match="another disk") as caught:
        fill(tmp_path / "a.gif", noise(1))
    sentence(caught.value, tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_an_error_that_is_no_files_passes_unchanged(tmp_path: Path) -> None:
    def broken() -> None:
        with atomic(tmp_path / "a.png", overwrite=False) as temporary:
            temporary.write_text("half")
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        broken()
    assert list(tmp_path.iterdir()) == []
