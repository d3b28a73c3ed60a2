"""Where the weights of the learned metrics lie: the table of files (weights.json) and the search for them. Nothing is ever fetched."""

import importlib.util
import json
import os
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache, lru_cache
from pathlib import Path

from engines.core import bundle
from engines.core.errors import ScdError, UsageError

VARIABLE = "SCD_EVAL_WEIGHTS"
FLAG = "--weights-dir"
TENSORS = ".safetensors"


class WeightsMissing(ScdError):
    """A file of weights is nowhere. The message says where to get it."""


@dataclass(frozen=True, slots=True)
class Weights:
    """A file of weights, or a folder in transformers' layout. `sha256` is the file's, or that of the folder's file of weights."""

    key: str
    path: Path
    sha256: str

    def entry(self) -> dict[str, str]:
        """As metrics.json has it."""
        return {"file": self.path.name, "sha256": self.sha256}


@dataclass(frozen=True, slots=True)
class Entry:
    """A row of weights.json. `names`: file names that count, the first is the canonical one. `sha256` or the first digits of it
    (`sha256_prefix`), where known. `packages`: where an installed package has the file. `file`: the weights in a folder, where the names
    are folders'. `source` and `licence` in words; `what` describes it.
    """

    names: tuple[str, ...]
    source: str
    licence: str
    what: str
    sha256: str | None = None
    sha256_prefix: str | None = None
    packages: tuple[tuple[str, str], ...] = ()
    file: str | None = None


@cache
def table() -> dict[str, Entry]:
    """key -> entry, as weights.json has them."""
    rows = json.loads(Path(__file__).with_name("weights.json").read_text("utf-8"))
    return {
        key: Entry(**row | {"names": tuple(row["names"]), "packages": tuple(row.get("packages", {}).items())}) for key, row in rows.items()
    }


def find(key: str, folder: Path | None) -> Weights:
    """The weights of this key in `folder`, else in $SCD_EVAL_WEIGHTS, else (LPIPS' own small files) in an installed package.

    Beside x.pth or x.pt, x.safetensors is accepted: the same tensors as its owner converted them, whose sha256 no table knows.
    WeightsMissing where it is nowhere; ScdError where the first file found is another than the table's; UsageError for a folder that is
    none.
    """
    entry = table()[key]
    for path in candidates(entry, folder):
        if path.exists():
            return checked(key, entry, path)
    canonical = entry.names[0]
    raise WeightsMissing(f"{canonical} not found, get it from {entry.source}", f"name its folder with {FLAG} or ${VARIABLE}")


def candidates(entry: Entry, folder: Path | None) -> Iterator[Path]:
    """Where the weights may lie, in the order of precedence."""
    for place in places(folder):
        for name in entry.names:
            yield place / name
        for name in entry.names:
            if name.endswith((".pth", ".pt")):
                yield place / (name.rpartition(".")[0] + TENSORS)
    for package, inside in entry.packages:
        spec = importlib.util.find_spec(package)  # finds without importing: both packages import torchvision
        for root in (spec.submodule_search_locations or ()) if spec else ():
            yield Path(root) / inside


def places(folder: Path | None) -> list[Path]:
    """The folders of weights. UsageError for one that is not there."""
    variable = os.environ.get(VARIABLE)
    out = [] if folder is None else [folder]
    if variable:
        out.append(Path(variable).expanduser())
    for place in out:
        if not place.is_dir():
            raise UsageError(f"the folder of weights {place} is not there", f"correct {FLAG if place == folder else '$' + VARIABLE}")
    return out


def checked(key: str, entry: Entry, path: Path) -> Weights:
    """`path` with its sha256. ScdError if that is not the table's, and for folders where files are expected or the other way round."""
    file = path if entry.file is None else path / entry.file
    if not file.is_file():
        what = f"has no {entry.file}" if entry.file and path.is_dir() else "is not a file" if path.is_dir() else "is not a folder"
        raise ScdError(f"{path} {what}", f"get it from {entry.source}")
    facts = file.stat()
    digest = digest_of(file, facts.st_size, facts.st_mtime_ns)
    known = entry.sha256 or entry.sha256_prefix
    if known and path.suffix != TENSORS and not digest.startswith(known):
        raise ScdError(
            f"wrong file {path}, its sha256 begins with {digest[: max(8, min(len(known), 12))]} and not with {known[:12]}",
            f"get it from {entry.source}",
        )
    return Weights(key, path, digest)


@lru_cache(maxsize=64)
def digest_of(path: Path, size: int, changed: int) -> str:
    """The sha256 of a file of this size and time of change, read once."""
    try:
        return bundle.sha256(path)
    except OSError as error:
        raise ScdError(f"{path} cannot be read ({error.strerror})", "correct its permissions") from error
