"""The tiny bundle for all tests of this room."""

from pathlib import Path

import pytest

from tests.generate.blind import blind as blind
from tests.generate.dressing import dresser as dresser
from tests.generate.dressing import request_ as request_
from tests.generate.tiny_bundle import write_tiny_bundle
from tests.generate.tiny_model import TinyModel


@pytest.fixture(scope="session")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, TinyModel]:
    """Folder and numpy twin."""
    folder = tmp_path_factory.mktemp("bundle") / "tiny"
    return folder, write_tiny_bundle(folder)


@pytest.fixture(autouse=True)
def no_detection(blind: None) -> None:
    """The pictures of this room's tests are noise."""
