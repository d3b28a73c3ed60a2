"""What the report shows of an evaluation: by which metric it ranks, which videos get clips, which frames stand in the sheets."""

import re
import unicodedata
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from engines.core.errors import UsageError

RANKING = ("psnr", "ssim_", "mae")  # what videos are ranked by, the first that is there
FRAMES = 4  # of each kind in a contact sheet
APART = 12  # frames of one kind lie at least this part of the clip from each other
LONGEST = 40  # characters of an id in a file name


@dataclass(frozen=True, slots=True)
class Ranking:
    """The headline paired metric, and the videos that have a value of it from the worst to the best."""

    name: str
    title: str
    unit: str
    lower: bool
    order: tuple[str, ...]


def paired(document: Mapping[str, Any]) -> list[dict[str, Any]]:
    """The metrics that have a value for single videos, in the document's order."""
    there = {name for entry in document["per_video"].values() for name, value in entry["metrics"].items() if value is not None}
    return [metric for metric in document["metrics"] if metric["name"] in there]


def ranking(document: Mapping[str, Any], headline: str | None) -> Ranking | None:
    """By `headline`, else PSNR, an SSIM, MAE or whatever is there; None without any value per video. UsageError for an unknown headline."""
    metrics = {metric["name"]: metric for metric in paired(document)}
    if headline is not None and headline not in metrics:
        raise UsageError(f"the report cannot rank videos by {headline}", f"use one of: {', '.join(metrics) or 'none is there'}")
    usual = (name for start in RANKING for name in metrics if name == start or (start.endswith("_") and name.startswith(start)))
    name = headline or next(usual, next(iter(metrics), None))
    if name is None:
        return None
    values = {video: entry["metrics"].get(name) for video, entry in document["per_video"].items()}
    lower = metrics[name]["better"] == "lower"
    known = [video for video, value in values.items() if value is not None]
    order = sorted(known, key=lambda video: values[video], reverse=lower)
    return Ranking(name, metrics[name]["title"], metrics[name]["unit"], lower, tuple(order))


def spread(count: int, wanted: int) -> list[int]:
    """`wanted` places of 0 .. count - 1, rising: the first, then the last, then the middle, and evenly between these."""
    if wanted >= count:
        return list(range(count))
    if wanted < 3:
        return [0, count - 1][: max(0, wanted)]
    middle, low = (count - 1) // 2, (wanted + 1) // 2
    high = wanted - low
    below = [round(i * middle / (low - 1)) for i in range(low)]
    return below + [middle + round((i + 1) * (count - 1 - middle) / high) for i in range(high)]


def chosen(videos: Sequence[str], ranked: Ranking | None, wanted: int) -> list[str]:
    """The videos to show, from the worst to the best: all, or the worst, the best, the median and evenly between."""
    order = list(ranked.order) if ranked else list(videos)
    there = set(videos)
    order = [video for video in order if video in there]
    if wanted >= len(videos):
        return order + [video for video in videos if video not in set(order)]
    return [order[place] for place in spread(len(order), wanted)]


def place_of(video: str, ranked: Ranking | None) -> str:
    """ "worst of 10", "3rd worst of 10", "best of 10"; "" without a rank."""
    if ranked is None or video not in ranked.order:
        return ""
    count, place = len(ranked.order), ranked.order.index(video)
    if count == 1:
        return ""
    names = {0: "worst", count - 1: "best"} | ({(count - 1) // 2: "median"} if count > 2 else {})
    word = names.get(place) or (f"{ordinal(place + 1)} worst" if place < count // 2 else f"{ordinal(count - place)} best")
    return f"{word} of {count} by {ranked.title}"


def ordinal(value: int) -> str:
    ending = "th" if value % 100 in (11, 12, 13) else {1: "st", 2: "nd", 3: "rd"}.get(value % 10, "th")
    return f"{value}{ending}"


def picked(order: Sequence[int], gap: int, wanted: int) -> list[int]:
    """The first places of `order` that lie at least `gap` from those taken before."""
    out: list[int] = []
    for place in order:
        if all(abs(place - other) >= gap for other in out):
            out.append(place)
        if len(out) == wanted:
            break
    return out


def gap_of(frames: int) -> int:
    """How far apart frames of one kind are chosen from a video of so many."""
    return max(1, frames // APART)


def telling_frames(values: Sequence[float | None], lower: bool) -> dict[str, list[int]]:
    """Places of the worst, median and best frames of a video, rising; those of one kind lie apart, and no frame stands twice."""
    known: dict[int, float] = {place: value for place, value in enumerate(values) if value is not None}
    order = sorted(known, key=lambda place: -known[place] if lower else known[place])
    if len(order) < 2:
        return {}
    each, gap = max(1, min(FRAMES, len(order) // 3)), gap_of(len(values))
    out = {"worst": picked(order, gap, each)}
    out["best"] = picked([place for place in reversed(order) if place not in out["worst"]], gap, each)
    taken = {*out["worst"], *out["best"]}
    middle = sorted(range(len(order)), key=lambda rank: (abs(rank - (len(order) - 1) / 2), rank))
    out["median"] = picked([order[rank] for rank in middle if order[rank] not in taken], gap, each)
    return {kind: sorted(out[kind]) for kind in ("worst", "median", "best") if out[kind]}


def file_stem(index: int, video: str) -> str:
    """A name for files of a video: safe on every system, unique by its index, with as much of the id as is plain."""
    plain = unicodedata.normalize("NFKD", video).encode("ascii", "ignore").decode().lower()
    slug = re.sub(r"[^a-z0-9]+", "-", plain)[:LONGEST].strip("-")
    return f"{index:04d}-{slug}" if slug else f"{index:04d}"
