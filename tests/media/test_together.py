"""Files that come into their places together, or not at all."""

import json
import shutil
from pathlib import Path

import pytest

from engines.core.bundle import sha256
from engines.core.errors import ScdError
from engines.media import together
from engines.media.together import PLACES, put, take_back


@pytest.fixture
def room(tmp_path: Path) -> Path:
    """A workspace in a folder that is else empty."""
    (tmp_path / ".out.scd").mkdir()
    return tmp_path


def ready(room: Path) -> dict[Path, Path]:
    out = {}
    for name in ("mask.png", "second.png", "first.png"):
        out[room / name] = room / ".out.scd" / name
        out[room / name].write_text(name)
    return out


def texts(room: Path) -> dict[str, str]:
    return {path.name: path.read_text() for path in sorted(room.iterdir()) if path.is_file()}


ALL = {name: name for name in ("first.png", "mask.png", "second.png")}


def test_all_come_into_their_places(room: Path) -> None:
    put(ready(room), False, room / ".out.scd")
    assert texts(room) == ALL
    assert list((room / ".out.scd").iterdir()) == []


def test_none_comes_where_one_is_in_the_way(room: Path) -> None:
    (room / "first.png").write_text("mine")
    with pytest.raises(ScdError, match=r"first\.png exists already"):
        put(ready(room), False, room / ".out.scd")
    assert texts(room) == {"first.png": "mine"}
    put(ready(room), True, room / ".out.scd")
    assert texts(room) == ALL


@pytest.mark.parametrize("error", [OSError(28, "No space left on device"), KeyboardInterrupt()])
def test_a_failure_takes_back_what_was_moved(room: Path, monkeypatch: pytest.MonkeyPatch, error: BaseException) -> None:
    real, files = shutil.move, ready(room)

    def failing(file: Path, place: Path) -> None:
        if file.name == "first.png":
            raise error
        real(file, place)

    monkeypatch.setattr(together.shutil, "move", failing)
    with pytest.raises(ScdError if isinstance(error, OSError) else KeyboardInterrupt):
        put(files, False, room / ".out.scd")
    assert texts(room) == {}
    assert not (room / ".out.scd" / PLACES).exists()


def test_what_a_killed_process_had_put_is_taken_back_and_nothing_else(room: Path) -> None:
    """It had put the mask and a picture; the mask was painted over since, and one that it had not come to is somebody's own."""
    files = ready(room)
    places = {str(place): sha256(file) for place, file in files.items()}
    for place in (room / "mask.png", room / "second.png"):
        shutil.move(files[place], place)
    (room / "mask.png").write_text("painted over")
    (room / "first.png").write_text("mine")
    (room / ".out.scd" / PLACES).write_text(json.dumps(places))
    take_back(room / ".out.scd", keep=[room / "second.png"])
    assert sorted(texts(room)) == ["first.png", "mask.png", "second.png"], "kept, for it is an input now"
    take_back(room / ".out.scd")
    assert texts(room) == {"mask.png": "painted over", "first.png": "mine"}


@pytest.mark.parametrize("content", [None, "", '{"half'])
def test_without_a_whole_list_nothing_is_taken(room: Path, content: str | None) -> None:
    (room / "mask.png").write_text("mine")
    if content is not None:
        (room / ".out.scd" / PLACES).write_text(content)
    take_back(room / ".out.scd")
    assert texts(room) == {"mask.png": "mine"}


def test_a_place_on_another_disk(room: Path) -> None:
    other = Path("/dev/shm")
    if not other.is_dir() or other.stat().st_dev == room.stat().st_dev:
        pytest.skip("no other disk is here")
    place = other / f"scd-{room.parent.name}-{room.name}.txt"
    file = room / ".out.scd" / "mask.txt"
    file.write_text("mask")
    try:
        put({place: file}, False, room / ".out.scd")
        assert place.read_text() == "mask"
    finally:
        place.unlink(missing_ok=True)
