"""Finding recipes, and reading every shipped one strictly."""

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import pytest

from engines.core.errors import ScdError
from engines.core.recipe import parse, read_toml
from scd_cli.recipes import find_recipe, recipe_names, recipe_root


def test_shipped_recipes_are_found_by_name_and_by_path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    found = find_recipe("mini/scd-i")
    assert found == recipe_root() / "mini" / "scd-i.toml"
    assert find_recipe("recipes/mini/scd-i.toml") == found
    own = tmp_path / "own.toml"
    own.write_text("")
    assert find_recipe("own.toml") == Path("own.toml")


def test_unknown_recipe_tells_the_nearest() -> None:
    with pytest.raises(ScdError, match=r"there is no recipe mini/scdi.*did you mean mini/scd-[iv]"):
        find_recipe("mini/scdi")


@pytest.mark.parametrize("name", recipe_names())
def test_every_shipped_recipe_parses(name: str) -> None:
    schema = pytest.importorskip("engines.train.recipe")
    table = read_toml(find_recipe(name), [])
    kinds = {"autoencoder": schema.AutoencoderRecipe, "scd": schema.ScdRecipe, "tryon": schema.TryonRecipe}
    assert parse(kinds[table["kind"]], table, name).name


@dataclass(frozen=True)
class Inner:
    rate: float
    sides: tuple[int, int]


@dataclass(frozen=True)
class Outer:
    kind: Literal["a", "b"]
    steps: int
    on: bool
    note: str | None
    inner: Inner
    weights: tuple[float, ...] = (1.0,)


GOOD = {"kind": "a", "steps": 3, "on": True, "note": "x", "inner": {"rate": 1, "sides": [2, 3]}}


def test_nested_tables_become_dataclasses() -> None:
    made = parse(Outer, GOOD, "r.toml")
    assert made == Outer("a", 3, True, "x", Inner(1.0, (2, 3)))
    assert isinstance(made.inner.rate, float)


WRONG = {
    "unknown key": ({"stepz": 1}, r"r\.toml has the unknown key stepz; did you mean steps\?"),
    "nested unknown": (
        {"inner": {"rate": 1, "sides": [1, 2], "rates": 1}},
        r"r\.toml: inner has the unknown key rates; did you mean rate\?",
    ),
    "text for a number": ({"steps": "many"}, r"r\.toml: steps = 'many' is not of the type int"),
    "float for an int": ({"steps": 1.5}, r"steps = 1\.5 is not of the type int"),
    "bool for an int": ({"steps": True}, "steps = True is not of the type int"),
    "int for a bool": ({"on": 1}, "on = 1 is not of the type bool"),
    "not a choice": ({"kind": "c"}, "kind = 'c' is not one of a, b"),
    "wrong length": ({"inner": {"rate": 1, "sides": [1, 2, 3]}}, "sides"),
    "table for a number": ({"steps": {}}, "steps"),
}


@pytest.mark.parametrize("name", WRONG)
def test_wrong_values_name_file_and_key(name: str) -> None:
    change, message = WRONG[name]
    with pytest.raises(ScdError, match=message):
        parse(Outer, {**GOOD, **change}, "r.toml")


def test_missing_key_is_named() -> None:
    with pytest.raises(ScdError, match=r"r\.toml lacks the key steps"):
        parse(Outer, {k: v for k, v in GOOD.items() if k != "steps"}, "r.toml")


def test_overrides_take_toml_values(tmp_path: Path) -> None:
    path = tmp_path / "r.toml"
    path.write_text('kind = "a"\nsteps = 3\n[inner]\nrate = 1.0\nsides = [1, 2]\n')
    table = read_toml(path, ["steps=5", "kind=b", "inner.sides=[3, 4]", "inner.rate=5e-4"])
    assert table == {"kind": "b", "steps": 5, "inner": {"rate": 5e-4, "sides": [3, 4]}}


OVERRIDES = {
    "steps": "not of the form key=value",
    "stepz=1": r"no key stepz.*did you mean steps",
    "iner.rate=1": r"no section \[iner\].*did you mean inner",
    "steps.x=1": r"no section \[steps\]",
}


@pytest.mark.parametrize("override", OVERRIDES)
def test_wrong_overrides(tmp_path: Path, override: str) -> None:
    path = tmp_path / "r.toml"
    path.write_text('kind = "a"\nsteps = 3\n[inner]\nrate = 1.0\n')
    with pytest.raises(ScdError, match=OVERRIDES[override]):
        read_toml(path, [override])


@pytest.mark.parametrize("content", [b"kind = ", b"\xff\xfe\x00", None])
def test_unreadable_recipe(tmp_path: Path, content: bytes | None) -> None:
    path = tmp_path / "r.toml"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(ScdError, match=r"r\.toml"):
        read_toml(path, [])
