"""Bundles that are damaged or contradict themselves, on a tiny bundle: each is refused in one sentence that names what is wrong."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from engines.core import bundle as module
from engines.core.bundle import DEFAULT_MODEL, FACTS, GRAPHS, read_bundle, resolve_model
from engines.core.errors import ScdError
from engines.core.sites import kv_names
from tests.generate.tiny_bundle import write_tiny_bundle

Change = Callable[[dict[str, Any]], object]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    write_tiny_bundle(tmp_path / "bundle")
    return tmp_path / "bundle"


def refusal(folder: Path) -> str:
    with pytest.raises(ScdError) as caught:
        read_bundle(folder)
    sentence = str(caught.value)
    assert "\n" not in sentence
    return sentence


def changed(folder: Path, change: Change) -> str:
    facts = json.loads((folder / FACTS).read_text())
    change(facts)
    (folder / FACTS).write_text(json.dumps(facts))
    return refusal(folder)


def test_reads_back_what_was_written(folder: Path) -> None:
    bundle = read_bundle(folder)
    assert bundle.facts.size == (32, 48)
    assert all(bundle.graph_path(name).is_file() for name in GRAPHS)
    assert set(bundle.facts.files) == {p.name for p in folder.iterdir()} - {FACTS}
    assert list(bundle.facts.graphs["target"]["inputs"])[3:] == kv_names(bundle.sites)


def test_the_shipped_bundle_is_whole() -> None:
    assert read_bundle(resolve_model(DEFAULT_MODEL)).facts.name == "scd-mini"


def test_schema_version_names_both(folder: Path) -> None:
    sentence = changed(folder, lambda facts: facts.update(schema_version=7))
    assert "version 7" in sentence
    assert "version 1" in sentence


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda f: f.update(colour="red"), "unknown key colour"),
        (lambda f: f["window"].update(lenght=3), "unknown key lenght"),
        (lambda f: f.pop("schedule"), "lacks the key schedule"),
        (lambda f: f.update(size=["wide", 3]), "size"),
        (lambda f: f["graphs"].pop("target"), "lacks its target graph"),
        (lambda f: f["graphs"].update(target={}), "lacks its target graph"),
        (lambda f: f["graphs"]["pose"].update(file="pose2.onnx"), "lacks its pose graph"),
        (lambda f: f["files"].pop("decoder.onnx"), "no sha256 of decoder.onnx"),
        (lambda f: f["files"].update({"../secret": "00"}), "outside the folder"),
        (lambda f: f["files"].update({"gone.data": "00"}), "lacks the file gone.data"),
        (lambda f: f["window"].update(overlap=8), "overlap < default"),
        (lambda f: f["window"].update(default=17), "default <= max"),
        (lambda f: f["latents"].update(downscale=5), "no multiple"),
        (lambda f: f["sampling"].update(steps=0), "sampling.steps"),
        (lambda f: f["sampling"].update(shared_noise=1.5), "sampling.shared_noise"),
        (lambda f: f["schedule"].update(prediction_type="epsilon"), "cannot predict epsilon"),
        (lambda f: f["schedule"].update(prediction_type="x0"), "one of v_prediction, epsilon"),
    ],
)
def test_facts_that_cannot_be(folder: Path, change: Change, said: str) -> None:
    assert said in changed(folder, change)


@pytest.mark.parametrize("content", ["", "{", "[]", "null"])
def test_facts_that_are_no_table(folder: Path, content: str) -> None:
    (folder / FACTS).write_text(content)
    assert FACTS in refusal(folder)


@pytest.mark.parametrize("name", ["weights.data", "target.onnx"])
def test_a_changed_byte_is_found(folder: Path, name: str) -> None:
    data = bytearray((folder / name).read_bytes())
    data[len(data) // 2] ^= 1
    (folder / name).write_bytes(data)
    assert f"{name} is damaged" in refusal(folder)


def test_a_missing_file_is_named(folder: Path) -> None:
    (folder / "weights.data").unlink()
    assert "weights.data" in refusal(folder)


def test_models_by_name_and_by_path(folder: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(module, "SHIPPED", tmp_path)
    assert resolve_model("bundle") == folder
    assert resolve_model(str(folder)) == folder
    with pytest.raises(ScdError, match=r"no model nothing.*bundle"):
        resolve_model("nothing")
    (tmp_path / "folder").mkdir()
    with pytest.raises(ScdError, match="not a bundle"):
        resolve_model(str(tmp_path / "folder"))
