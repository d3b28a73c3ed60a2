"""Whether two clips show the same: the same bytes under two names, or pictures that look alike in two parts of the set."""

from collections import defaultdict
from typing import Any

import numpy as np
from numpy.typing import NDArray

from engines.prepare.footage.reel import Picture, thumbnail
from engines.prepare.footage.request import Dropped

SIDE = 16  # a look is SIDE x SIDE bits: in which direction brightness goes from one pixel of a thumbnail to the next
ALIKE = (
    16  # bits of the 256 that may differ between two pictures of the same: copies of half the size differ in up to 10, other poses in 30
)
FEWEST = 12  # bits of 256 that a look has at least of either kind: a flat picture looks like any other flat one


def look(picture: Picture) -> str:
    """64 hexadecimal digits that hardly change when a picture is scaled or compressed anew."""
    grey = thumbnail(picture, (SIDE + 1, SIDE)).astype(np.int32).sum(axis=2)
    return np.packbits(grey[:, 1:] > grey[:, :-1]).tobytes().hex()


def bits(looks: list[str]) -> NDArray[np.uint8]:
    """(looks, 256) of 0 and 1."""
    return np.unpackbits(np.array([list(bytes.fromhex(text)) for text in looks], np.uint8).reshape(len(looks), -1), axis=1)


def duplicates(records: list[dict[str, Any]]) -> dict[str, Dropped]:
    """By clip: of recordings with the same bytes all but the first, in the order of the records."""
    first: dict[str, str] = {}
    out = {}
    for record in records:
        source = record["provenance"]["file"]
        original = first.setdefault(record["provenance"]["sha256"], source)
        if original != source:
            out[record["clip_id"]] = Dropped(source, "duplicate", f"the same bytes as {original}")
    return out


def overlaps(records: list[dict[str, Any]], splits: dict[str, str]) -> dict[str, Dropped]:
    """By clip: those of train (or val) that look like one of val or test (or test) in all of their looks; the held-out one stays.

    `splits` by identity. Clips of one part may look alike.
    """
    parts = defaultdict(list)
    for record in records:
        parts[splits[record["identity"]]].append(record)
    out: dict[str, Dropped] = {}
    for lower, uppers in (("train", ("val", "test")), ("val", ("test",))):
        held = [record for part in uppers for record in parts[part]]
        for record in parts[lower]:
            twin = like(record, held)
            if twin is not None:
                part, other = splits[twin["identity"]], twin["provenance"]["file"]
                out[record["clip_id"]] = Dropped(record["provenance"]["file"], "overlap", f"looks like {other}, which is in {part}")
    return out


def like(record: dict[str, Any], held: list[dict[str, Any]]) -> dict[str, Any] | None:
    """The first of the held-out clips with a picture alike for every look of this one."""
    mine = bits(record["look"])
    if not held or (np.minimum(mine.sum(1), mine.shape[1] - mine.sum(1)) < FEWEST).any():
        return None
    theirs = bits([text for other in held for text in other["look"]])
    owners = np.repeat(np.arange(len(held)), [len(other["look"]) for other in held])
    near = [set(owners[(row != theirs).sum(1) <= ALIKE].tolist()) for row in mine]
    common = set.intersection(*near)
    return held[min(common)] if common else None
