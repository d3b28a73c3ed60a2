"""What is wrong with a bundle is named; models are found by name or path."""

import json
import shutil
from pathlib import Path

import pytest

from engines.core.bundle import SHIPPED, read_bundle, resolve_model
from engines.core.errors import ScdError

pytestmark = pytest.mark.skipif(not (SHIPPED / "mini").is_dir(), reason="the shipped bundle is not there")


@pytest.fixture
def copy(tmp_path: Path) -> Path:
    return Path(shutil.copytree(SHIPPED / "mini", tmp_path / "bundle"))


def test_the_shipped_bundle_is_whole() -> None:
    assert read_bundle(resolve_model("mini")).facts.name == "scd-mini"


def change(folder: Path, **values: object) -> None:
    path = folder / "bundle.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | values))


def test_wrong_schema_version_names_both(copy: Path) -> None:
    change(copy, schema_version=99)
    with pytest.raises(ScdError, match=r"99.*version 1"):
        read_bundle(copy)


def test_damaged_file_is_named(copy: Path) -> None:
    with (copy / "model.safetensors").open("r+b") as file:
        file.write(b"damage")
    with pytest.raises(ScdError, match=r"model.safetensors is damaged"):
        read_bundle(copy)


@pytest.mark.parametrize("name", ["encoder", "pose", "reference", "target", "decoder"])
def test_missing_graph_is_named(copy: Path, name: str) -> None:
    (copy / f"{name}.onnx").unlink()
    with pytest.raises(ScdError, match=f"lacks its {name} graph"):
        read_bundle(copy)


def test_unknown_key_is_named(copy: Path) -> None:
    change(copy, colour="red")
    with pytest.raises(ScdError, match=r"unknown key colour"):
        read_bundle(copy)


def test_unknown_models_are_refused(tmp_path: Path) -> None:
    with pytest.raises(ScdError, match=r"there is no model maxi.*mini"):
        resolve_model("maxi")
    with pytest.raises(ScdError, match=r"is not a bundle"):
        resolve_model(str(tmp_path))
