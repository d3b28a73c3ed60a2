"""Who is in train, val and test: by identity, so that nobody is in two of them; lists of the data set itself go first."""

import hashlib
import re
from collections import Counter
from collections.abc import Iterable, Sequence
from pathlib import Path, PurePosixPath

from engines.core.errors import ScdError
from engines.core.manifest import SPLITS
from engines.prepare.footage.request import Recording

HELD_OUT = ("val", "test")


def listed(path: Path) -> set[str]:
    """Ids of a list, one a line, as paths, addresses or names: what counts is the last part without its ending. ScdError for no text."""
    try:
        lines = path.read_text(encoding="utf-8-sig").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        why = getattr(error, "strerror", None) or "it is no UTF-8 text"
        raise ScdError(f"the list {path} cannot be read ({why})", "name another with --test-list") from error
    words = (re.split(r"[\s,]", re.sub(r"(^|\s)#.*", "", line).strip())[0] for line in lines)
    return {short(word) for word in words if word}


def short(name: str) -> str:
    return PurePosixPath(name.replace("\\", "/")).stem


def official(origin: Path) -> dict[str, str]:
    """Split by id from lists that lie in the data set, named after their part: fashion_train.txt, test.txt ..."""
    folder = origin if origin.is_dir() else origin.parent
    out: dict[str, str] = {}
    for path in sorted(folder.glob("*.txt")):
        part = next((s for s in SPLITS if re.search(rf"(^|[_\-. ]){s}([_\-. ]|$)", path.stem.lower())), None)
        if part is None:
            continue
        for name in listed(path):
            if out.setdefault(name, part) != part:
                raise ScdError(f"{name} is both in the {out[name]} and in the {part} list of {folder}", f"correct {path.name}")
    return out


def fixed(recordings: Iterable[Recording], origin: Path, test_list: Path | None) -> dict[str, str]:
    """Split by identity as far as it is given: by --test-list alone, else by the data set's own lists, else by its layout.

    Where two recordings of an identity are given to two parts, the held-out one counts for both.
    """
    recordings = list(recordings)
    if test_list is not None:
        ids = listed(test_list)
        if unknown := sorted(ids - {short(r.name) for r in recordings} - {short(r.identity) for r in recordings}):
            raise ScdError(f"{test_list} names {unknown[0]}, which is not in {origin}", "correct the list given with --test-list")
        return {r.identity: "test" for r in recordings if short(r.name) in ids or short(r.identity) in ids}
    own = official(origin)
    out: dict[str, str] = {}
    for r in recordings:
        part = own.get(short(r.name)) or r.split
        if part is not None and (r.identity not in out or SPLITS.index(part) > SPLITS.index(out[r.identity])):
            out[r.identity] = part
    return out


def drawn(identity: str, seed: int) -> float:
    """A number in [0, 1) of an identity, whoever else there is."""
    return int.from_bytes(hashlib.sha256(f"{seed}:{identity}".encode()).digest()[:8], "big") / 2**64


def assign(identities: Sequence[str], given: dict[str, str], seed: int, shares: tuple[float, float]) -> dict[str, str]:
    """Split by identity; `shares` are those of val and test among who is not given one.

    A part that somebody was given is not drawn for. A part of a share above 0 that would be empty gets one of another, where that keeps
    somebody: even a small set can be trained and judged on.
    """
    free = sorted(set(identities) - given.keys(), key=lambda name: drawn(name, seed))
    out = {name: part for name, part in given.items() if name in set(identities)}
    wanted = {part: share for part, share in zip(HELD_OUT, shares, strict=True) if share > 0 and part not in given.values()}
    low = 0.0
    for part, share in wanted.items():
        out |= {name: part for name in free if low <= drawn(name, seed) < low + share}
        low += share
    for part in wanted:
        if part not in out.values() and (spare := to_spare(free, out)):
            out[spare] = part
    return out | {name: "train" for name in free if name not in out}


def to_spare(free: Sequence[str], out: dict[str, str]) -> str | None:
    """Somebody whose part does not become empty without them, of train where it has several."""
    parts = {name: out.get(name, "train") for name in free}
    sizes = Counter(parts.values())
    several = [name for name in free if sizes[parts[name]] > 1]
    return min(several, key=lambda name: parts[name] != "train", default=None)
