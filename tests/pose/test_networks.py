"""The pose networks: fetched once by pip, checked, kept, and fetched again when damaged."""

import shutil
import threading
import time
import zipfile
from pathlib import Path

import pytest

from engines.core.errors import ScdError
from engines.core.report import NullReport
from engines.pose import networks as module
from engines.pose.networks import FACES, LICENCE, MEMBERS, SELFIE, broken, networks


class Notes(NullReport):
    def __init__(self) -> None:
        self.said: list[str] = []

    def note(self, text: str) -> None:
        self.said.append(text)


@pytest.fixture(scope="session")
def real() -> Path:
    """The real networks in the user's cache, fetched by pip if need be."""
    try:
        return networks(NullReport())
    except ScdError as error:
        pytest.skip(str(error))


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("SCD_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache" / "pose" / "mediapipe-0.10.21"


def wheel(folder: Path, source: Path, names: list[str], spoil: str = "") -> Path:
    """A package with these members, taken from `source`; `spoil` names one with other contents."""
    path = folder / "mediapipe-0.10.21-cp311-cp311-manylinux_2_28_x86_64.whl"
    with zipfile.ZipFile(path, "w") as archive:
        for name in names:
            archive.writestr(MEMBERS[name][0], b"spoilt" if name == spoil else (source / name).read_bytes())
    return path


def test_the_fetched_files_are_the_tested_ones_with_their_licence(real: Path) -> None:
    assert broken(real) == []
    assert "Apache License" in (real / LICENCE).read_text()


def test_what_is_in_the_cache_needs_no_pip(real: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.executable", "/nowhere/python")
    notes = Notes()
    assert networks(notes) == real
    assert notes.said == []


def test_a_damaged_file_is_fetched_again_and_the_others_are_left_alone(real: Path, cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    shutil.copytree(real, cache)
    (cache / FACES).write_bytes((real / FACES).read_bytes()[:-1])
    monkeypatch.setattr(module, "download", lambda folder: wheel(folder, real, [FACES]))  # any other member is missing here
    notes = Notes()
    assert networks(notes) == cache
    assert broken(cache) == []
    assert len(notes.said) == 1


@pytest.mark.parametrize("spoilt", [SELFIE, "missing"])
def test_a_package_with_other_contents_is_refused_and_leaves_nothing(
    real: Path, cache: Path, monkeypatch: pytest.MonkeyPatch, spoilt: str
) -> None:
    members = [name for name in MEMBERS if spoilt != "missing" or name != SELFIE]
    monkeypatch.setattr(module, "download", lambda folder: wheel(folder, real, members, spoilt))
    with pytest.raises(ScdError, match="sha256" if spoilt == SELFIE else "lacks") as caught:
        networks(NullReport())
    assert "--pose-model" in str(caught.value)
    assert not (cache / SELFIE).exists()
    assert [path.name for path in cache.iterdir() if path.name.startswith(".")] == []


def test_offline_is_one_sentence_with_the_ways_out(cache: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(tmp_path))
    with pytest.raises(ScdError) as caught:
        networks(NullReport())
    for way in ("pip index", "--pose-model det.onnx,pose.onnx", "--ref-pose"):
        assert way in str(caught.value)
    assert "\n" not in str(caught.value)
    assert "mediapipe==0.10.21" in caught.value.message


def test_a_python_without_pip(cache: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    script = tmp_path / "python"
    script.write_text("#!/bin/sh\necho 'python: No module named pip' >&2\nexit 1\n")
    script.chmod(0o755)
    monkeypatch.setattr("sys.executable", str(script))
    with pytest.raises(ScdError, match="No module named pip"):
        networks(NullReport())


def test_a_python_that_does_not_know_where_it_is(cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.executable", "/nowhere/python")
    with pytest.raises(ScdError, match="pip could not fetch"):
        networks(NullReport())


def test_a_cache_that_cannot_be_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("SCD_CACHE", str(tmp_path / "file"))
    with pytest.raises(ScdError, match="SCD_CACHE"):
        networks(NullReport())


def test_two_that_fetch_at_once(real: Path, cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def slowly(folder: Path) -> Path:
        time.sleep(0.1)
        return wheel(folder, real, list(MEMBERS))

    monkeypatch.setattr(module, "download", slowly)
    failures: list[BaseException] = []

    def fetch() -> None:
        try:
            networks(NullReport())
        except BaseException as error:
            failures.append(error)

    threads = [threading.Thread(target=fetch) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failures == []
    assert broken(cache) == []
    assert sorted(path.name for path in cache.iterdir()) == sorted(MEMBERS)
