"""Strict recipes: every mistake names file and key."""

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import pytest

from engines.core.errors import ScdError
from engines.core.recipe import parse, read_toml


@dataclass(frozen=True, kw_only=True)
class Inner:
    rate: float
    sizes: tuple[int, ...]


@dataclass(frozen=True, kw_only=True)
class Outer:
    kind: Literal["a", "b"]
    pair: tuple[int, int]
    inner: Inner
    maybe: Inner | None = None


GOOD = {"kind": "a", "pair": [1, 2], "inner": {"rate": 1, "sizes": [3, 4, 5]}}


def test_a_complete_table_becomes_the_dataclass() -> None:
    assert parse(Outer, GOOD, "x.toml") == Outer(kind="a", pair=(1, 2), inner=Inner(rate=1.0, sizes=(3, 4, 5)))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"knid": "a"}, r"x.toml has the unknown key knid; did you mean kind\?"),
        ({"kind": "c"}, "kind = 'c' is not one of a, b"),
        ({"pair": [1, 2, 3]}, "pair"),
        ({"pair": [1, "2"]}, "pair"),
        ({"inner": {"rate": "fast", "sizes": []}}, "rate = 'fast'"),
        ({"inner": {"rate": True, "sizes": []}}, "rate"),
        ({"inner": {"sizes": []}}, "lacks the key rate"),
    ],
)
def test_mistakes_are_named(change: dict[str, object], message: str) -> None:
    with pytest.raises(ScdError, match=message):
        parse(Outer, {**GOOD, **change}, "x.toml")


def test_overrides_set_existing_keys_only(tmp_path: Path) -> None:
    path = tmp_path / "r.toml"
    path.write_text("[a]\nb = 1\nc = 'x'\n")
    assert read_toml(path, ["a.b=2.5", "a.c=word"]) == {"a": {"b": 2.5, "c": "word"}}
    for wrong in ("a.d=1", "z.b=1", "novalue"):
        with pytest.raises(ScdError):
            read_toml(path, [wrong])
