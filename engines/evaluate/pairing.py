"""Which predicted video and frame belongs to which of the truth; whatever has no partner is an error."""

from collections.abc import Sequence

from engines.core.errors import ScdError
from engines.evaluate.pairs import Pair
from engines.evaluate.suspicions import suspicions
from engines.evaluate.videos import Found, Video, few


def pair(pred: Found, truth: Found, split: tuple[str, ...] | None = None, renumber: bool = False) -> tuple[list[Pair], list[str]]:
    """The pairs in the truth's order, and warnings about what makes figures doubtful.

    Without `split` both sides must have the same videos; with it those that it names (an id, or its last part where that is clear).
    One video on each side is a pair whatever it is called. Frames pair by number: a film's with a folder's in their order, `renumber` all
    so. ScdError names what has no partner.
    """
    wanted = dict(truth.videos) if split is None else chosen(truth, split)
    partners = partners_of(pred, truth, wanted, split is not None)
    pairs = [pair_of(pred, truth, partners[id], video, renumber) for id, video in wanted.items()]
    return pairs, suspicions(pairs, pred, truth)


def chosen(truth: Found, split: Sequence[str]) -> dict[str, Video]:
    """The videos that a split names, in its order. ScdError for ids that no video has."""
    last: dict[str, list[str]] = {}
    for id in truth.videos:
        last.setdefault(id.rsplit("/")[-1], []).append(id)
    out, unknown = {}, []
    for name in split:
        alike = [name] if name in truth.videos else last.get(name.rsplit("/")[-1], [])
        if len(alike) == 1:
            out[alike[0]] = truth.videos[alike[0]]
        else:
            unknown.append(name)
    if unknown:
        message = f"{len(unknown)} of {len(split)} names of the split are no videos of {truth.what} {truth.path}, the first is {unknown[0]}"
        raise ScdError(message, f"its videos are {few(truth.videos)}; correct --split")
    return out


def partners_of(pred: Found, truth: Found, wanted: dict[str, Video], split: bool) -> dict[str, Video]:
    """id of the truth -> the prediction."""
    if len(pred.videos) == len(wanted) == 1:
        (id,), (only,) = wanted, pred.videos.values()
        if only.id == id or only.id not in truth.videos:
            return {id: only}
    missing = [id for id in wanted if id not in pred.videos]
    extra = [id for id in pred.videos if id not in truth.videos]
    if missing and len(missing) == len(wanted):
        message = f"no video of {pred.what} {pred.path} has a name of {truth.what}'s {truth.path}: {few(pred.videos)} beside {few(wanted)}"
        raise ScdError(message, "name predictions like the truth")
    if missing:
        message = f"{pred.what} {pred.path} lacks {len(missing)} of {len(wanted)} videos of {truth.what} {truth.path}: {few(missing)}"
        raise ScdError(message, "make them, or list the videos to judge in a file for --split")
    if extra and not split:
        message = f"{truth.what} {truth.path} lacks {len(extra)} of {len(pred.videos)} videos of {pred.what} {pred.path}: {few(extra)}"
        raise ScdError(message, "remove or rename them, or list the videos to judge in a file for --split")
    return {id: pred.videos[id] for id in wanted}


def pair_of(pred: Found, truth: Found, one: Video, other: Video, renumber: bool) -> Pair:
    """ScdError when the frame counts or numbers differ."""
    names = f"{pred.what} {one.path}", f"{truth.what} {other.path}"
    in_order = renumber or bool(one.film) or bool(other.film)
    if len(one.numbers) != len(other.numbers):
        raise ScdError(*counts_differ(names, one, other, in_order))
    if not in_order and one.numbers != other.numbers:
        raise ScdError(*numbers_differ(names, one, other))
    numbers = one.numbers if other.film and not one.film else other.numbers
    return Pair(other.id, one, other, numbers, (pred.what, truth.what))


def counts_differ(names: tuple[str, str], one: Video, other: Video, in_order: bool) -> tuple[str, str]:
    message = f"{names[0]} has {len(one.numbers)} frames and {names[1]} {len(other.numbers)}"
    if not in_order:
        sides = [("the first", set(other.numbers) - set(one.numbers)), ("the second", set(one.numbers) - set(other.numbers))]
        message += ": " + " and ".join(
            f"{side} lacks {'frame' if len(numbers) == 1 else 'frames'} {few(sorted(numbers))}" for side, numbers in sides if numbers
        )
    return message, "make the missing frames, or take those without a partner away"


def numbers_differ(names: tuple[str, str], one: Video, other: Video) -> tuple[str, str]:
    shift = one.numbers[0] - other.numbers[0]
    if all(a - b == shift for a, b in zip(one.numbers, other.numbers, strict=True)):
        message = f"{names[0]} counts its frames from {one.numbers[0]} and {names[1]} from {other.numbers[0]}"
        return message, "add --renumber to pair them in their order"
    alone = sorted(set(one.numbers) - set(other.numbers)), sorted(set(other.numbers) - set(one.numbers))
    message = f"{names[0]} has frames {few(alone[0])} without a partner, and {names[1]} frames {few(alone[1])}"
    return message, "give frames that belong together one number, or add --renumber to pair them in their order"
