"""What every source of `scd prepare-data` asks of numbers and of the folder it is to write."""

import json
from collections.abc import Iterable, Mapping
from fractions import Fraction
from pathlib import Path
from typing import Any

from engines.core.errors import ScdError, UsageError
from engines.prepare.writing import write_text

MIN_SIDE = 32  # pixels of a picture
OTHER = "name another folder with --out"


def check_size(size: tuple[int, int]) -> None:
    """UsageError for pictures (width, height) that are too small or odd."""
    if min(size) < MIN_SIDE or any(n % 2 for n in size):
        raise UsageError(f"--size is {size[0]}x{size[1]}, but both numbers must be even and at least {MIN_SIDE}")


def check_least(numbers: Iterable[tuple[str, float | Fraction, int]]) -> None:
    """UsageError for the first (flag, value, least) that is too small."""
    for name, value, least in numbers:
        if value < least:
            raise UsageError(f"--{name} is {value}, but at least {least} is needed")


def check_folder(out: Path, wanted: Mapping[str, Any], before: Mapping[str, Any], growing: str | None = None) -> None:
    """Make `out` and write there what its data set is made with. ScdError for a folder that is not empty and was not made with this: two
    kinds of data are never mixed. `before`: what sets were made with that do not say; the number `growing` may be larger than it was."""
    path = out / "arguments.json"
    if path.exists():
        found = dict(before) | read_arguments(path)
        differing = [k for k, v in wanted.items() if found.get(k) != v and not (k == growing and found.get(k, 0) < v)]
        if differing:
            what = f"{differing[0]} ({json.dumps(found.get(differing[0]))})"
            raise ScdError(f"{out} holds a data set made with another {what}", OTHER)
    # a run that was killed right here leaves a hidden file at most
    elif out.exists() and (not out.is_dir() or any(not entry.name.startswith(".") for entry in out.iterdir())):
        raise ScdError(f"{out} is not empty and not a data set of scd", OTHER)
    out.mkdir(parents=True, exist_ok=True)
    write_text(path, json.dumps(wanted) + "\n")


def read_arguments(path: Path) -> dict[str, Any]:
    try:
        found = json.loads(path.read_text())
        if isinstance(found, dict):
            return found
    except ValueError:
        pass
    raise ScdError(f"{path} is no JSON object", OTHER)
