"""Inputs of the end-to-end tests: a tiny bundle with random weights, a picture and a driver."""

from pathlib import Path

import pytest

from tests.e2e.running import write_person, write_skeletons
from tests.generate.blind import blind as blind
from tests.generate.tiny_bundle import write_tiny_bundle


@pytest.fixture(scope="session")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A bundle with the real layout and names, tiny and random."""
    folder = tmp_path_factory.mktemp("bundle") / "tiny"
    write_tiny_bundle(folder)
    return folder


@pytest.fixture(scope="session")
def dresser(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The tiny bundle as a model for try-on."""
    folder = tmp_path_factory.mktemp("dresser") / "tiny"
    write_tiny_bundle(folder, task="tryon")
    return folder


@pytest.fixture(scope="session")
def driver(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A skeleton video of 7 frames at 30000/1001 fps."""
    return write_skeletons(tmp_path_factory.mktemp("driver") / "wave.mp4")


@pytest.fixture(scope="session")
def reference(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_person(tmp_path_factory.mktemp("reference") / "person.png")


@pytest.fixture(autouse=True)
def no_debug(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("SCD_DEBUG", raising=False)
