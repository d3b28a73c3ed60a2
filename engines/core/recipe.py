"""Strict reading of TOML into frozen dataclasses: an unknown, missing or wrongly typed key is an error that names file and key."""

import dataclasses
import difflib
import tomllib
import types
import typing
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, TypeVar

from engines.core.errors import ScdError

T = TypeVar("T")


def read_toml(path: Path, overrides: Sequence[str]) -> dict[str, Any]:
    """A TOML file with `a.b=value` overrides applied; values are TOML (a bare word is taken as a string)."""
    try:
        table = tomllib.loads(path.read_text())
    except (OSError, UnicodeDecodeError) as error:
        raise ScdError(f"the recipe {path} cannot be read ({error})", "check the path given with --recipe") from error
    except tomllib.TOMLDecodeError as error:
        raise ScdError(f"the recipe {path} is not TOML ({error})", "mend that line") from error
    for override in overrides:
        apply(table, override, str(path))
    return table


def apply(table: dict[str, Any], override: str, where: str) -> None:
    key, equals, text = override.partition("=")
    if not equals or not key:
        raise ScdError(f"--set {override} is not of the form key=value", "for example --set optim.steps=100")
    *parents, last = key.split(".")
    for parent in parents:
        if not isinstance(table.get(parent), dict):
            raise ScdError(f"{where} has no section [{parent}] for --set {override}", nearest(parent, table))
        table = table[parent]
    if last not in table:
        raise ScdError(f"{where} has no key {key} to set", nearest(last, table))
    try:
        table[last] = tomllib.loads(f"x = {text}")["x"]
    except tomllib.TOMLDecodeError:
        table[last] = text


def nearest(name: str, known: Mapping[str, Any]) -> str:
    close = difflib.get_close_matches(name, list(known), 1)
    return f"did you mean {close[0]}?" if close else f"known: {', '.join(known)}"


def parse(cls: type[T], data: Mapping[str, Any], where: str) -> T:
    """Make the dataclass `cls` from a table. ScdError names `where` and the key, and the nearest known key for an unknown one."""
    hints = typing.get_type_hints(cls)
    fields = {f.name: f for f in dataclasses.fields(cls)}  # type: ignore[arg-type]
    for key in data:
        if key not in fields:
            raise ScdError(f"{where} has the unknown key {key}", nearest(key, fields))
    missing = [
        n for n, f in fields.items() if n not in data and f.default is dataclasses.MISSING and f.default_factory is dataclasses.MISSING
    ]
    if missing:
        raise ScdError(f"{where} lacks the key {missing[0]}", "a recipe is complete: add it")
    return cls(**{key: convert(hints[key], value, f"{where}: {key}") for key, value in data.items()})


def convert(hint: Any, value: Any, where: str) -> Any:
    """A TOML or JSON value as the annotated type."""
    origin, arguments = typing.get_origin(hint), typing.get_args(hint)
    if dataclasses.is_dataclass(hint) and isinstance(hint, type) and isinstance(value, Mapping):
        return parse(hint, value, where)
    if origin in (typing.Union, types.UnionType):
        return None if value is None else convert(next(a for a in arguments if a is not type(None)), value, where)
    if origin is typing.Literal and value in arguments:
        return value
    if origin is tuple and isinstance(value, list | tuple):
        kinds = [arguments[0]] * len(value) if arguments[-1] is Ellipsis else list(arguments)
        if len(kinds) == len(value):
            return tuple(convert(kind, item, where) for kind, item in zip(kinds, value, strict=True))
    if hint is float and isinstance(value, int | float) and not isinstance(value, bool):
        return float(value)
    if hint in (int, str, bool) and type(value) is hint:
        return value
    if hint is Any or (origin is dict and isinstance(value, Mapping)):
        return dict(value) if isinstance(value, Mapping) else value
    raise ScdError(f"{where} = {value!r} is not {describe(hint)}", "mend that value")


def describe(hint: Any) -> str:
    if typing.get_origin(hint) is typing.Literal:
        return "one of " + ", ".join(str(a) for a in typing.get_args(hint))
    return f"of the type {getattr(hint, '__name__', hint)}"
