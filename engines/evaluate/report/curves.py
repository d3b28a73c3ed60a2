"""Curves of values per frame as inline SVG: one chart a metric with a line a video, and the small strip under a video's clips."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

from engines.evaluate.report.markup import Html, arrow, el, joined, with_unit

Values = Sequence[float | None]
WIDTH, HEIGHT = 400, 230
LEFT, RIGHT, TOP, BOTTOM = 64, 8, 12, 40
STRIP_WIDTH, STRIP_HEIGHT = 1000, 48
POINTS = 400  # of a line at most; longer rows are thinned to the extremes of their buckets
TICKS = 4


@dataclass(frozen=True, slots=True)
class Line:
    """One video's row of values. `key` is the video's number on the page."""

    key: int
    name: str
    values: Values


def nice_step(span: float, ticks: int) -> float:
    """1, 2 or 5 times a power of ten, so that `span` holds about so many."""
    raw = span / ticks
    power = 10.0 ** math.floor(math.log10(raw))
    return next(factor * power for factor in (1, 2, 5, 10) if factor * power >= raw * (1 - 1e-9))


def ticks_of(low: float, high: float, ticks: int = TICKS) -> list[float]:
    """Round numbers from `low` to `high`."""
    step = nice_step(high - low, ticks)
    first, last = math.ceil(low / step - 1e-9), math.floor(high / step + 1e-9)
    return [index * step for index in range(first, last + 1)]


def limits(rows: Sequence[Values]) -> tuple[float, float] | None:
    """Lowest and highest value with a little air, never equal; None without values."""
    known = [value for row in rows for value in row if value is not None]
    if not known:
        return None
    low, high = min(known), max(known)
    air = (high - low) * 0.04 or abs(high) * 0.05 or 1.0
    return low - air, high + air


def thinned(values: Values, most: int = POINTS) -> list[tuple[int, float | None]]:
    """(place, value), at most about `most`: of longer rows the lowest and highest of each bucket, so that no peak is lost."""
    if len(values) <= most:
        return list(enumerate(values))
    size = math.ceil(2 * len(values) / most)
    out: list[tuple[int, float | None]] = []
    for start in range(0, len(values), size):
        known = [(value, start + i) for i, value in enumerate(values[start : start + size]) if value is not None]
        places = sorted({min(known)[1], max(known)[1]}) if known else [start]
        out += [(place, values[place]) for place in places]
    return out


def short(value: float) -> str:
    """A coordinate: one decimal, no trailing zero."""
    return f"{value:.1f}".removesuffix(".0")


def path_of(values: Values, span: tuple[float, float], box: tuple[float, float, float, float]) -> str:
    """The path's data in a box (left, top, width, height); a gap where a value is missing, a dot where one stands alone."""
    left, top, width, height = box
    low, high = span
    words, pen = [], False
    for place, value in thinned(values):
        if value is None:
            pen = False
            continue
        x = left + width * (place / (len(values) - 1) if len(values) > 1 else 0.5)
        y = top + height * (high - value) / (high - low)
        words.append(f"{'L' if pen else 'M'}{short(x)} {short(y)}{'' if pen else 'h0'}")
        pen = True
    return "".join(words)


def axes(span: tuple[float, float], last: int, y_label: str, x_label: str) -> Html:
    """Grid lines, numbers and names of both axes."""
    low, high = span
    width, height = WIDTH - LEFT - RIGHT, HEIGHT - TOP - BOTTOM
    parts = []
    for tick in ticks_of(low, high):
        y = short(TOP + height * (high - tick) / (high - low))
        parts += [el("line", x1=LEFT, x2=WIDTH - RIGHT, y1=y, y2=y, class_="grid"), el("text", label(tick), x=LEFT - 6, y=y, class_="y")]
    for tick in ticks_of(0, last) if last else [0.0]:
        if tick == int(tick):
            x = short(LEFT + width * (tick / last if last else 0.5))
            parts.append(el("text", int(tick), x=x, y=HEIGHT - BOTTOM + 16, class_="x"))
    parts.append(el("text", x_label, x=LEFT + width / 2, y=HEIGHT - 6, class_="x name"))
    parts.append(el("text", y_label, x=10, y=TOP + height / 2, class_="x name", transform=f"rotate(-90 10 {short(TOP + height / 2)})"))
    return joined(parts)


def label(tick: float) -> str:
    """A tick's number, short."""
    text = (
        f"{tick:.6g}"
        if tick == 0 or 1e-3 <= abs(tick) < 1e5
        else f"{tick:.1e}".replace(".0e", "e").replace("e-0", "e-").replace("e+0", "e")
    )
    return text.replace("-", "−")


def mean(values: Values) -> float | None:
    known = [value for value in values if value is not None]
    return sum(known) / len(known) if known else None


def line_of(line: Line, unit: str, span: tuple[float, float], box: tuple[float, float, float, float], prefix: str) -> Html:
    """A line, the wide invisible one that a pointer finds, and the title of both."""
    name = f"{prefix}-{line.key}"
    path = el("defs", el("path", d=path_of(line.values, span, box), id=name))
    title = el("title", f"{line.name}: mean {with_unit(mean(line.values), unit)}")
    both = [el("use", href=f"#{name}", class_=kind) for kind in ("hit", "curve")]
    return el("g", title, path, *both, class_="line", data_video=line.key)


def chart(name: str, title: str, unit: str, better: str, lines: Sequence[Line], x_label: str = "frame of the video") -> Html | None:
    """One metric: a line for each video. None where no line has a value."""
    span = limits([line.values for line in lines])
    if span is None:
        return None
    last = max(len(line.values) for line in lines) - 1
    width, height = WIDTH - LEFT - RIGHT, HEIGHT - TOP - BOTTOM
    drawn = []
    for line in lines:
        share = (len(line.values) - 1) / last if last else 1.0
        drawn.append(line_of(line, unit, span, (LEFT, TOP, width * share, height), f"c-{name}"))
    said = f"{title}: lines of {len(lines)} videos, from {with_unit(min(known(lines)), unit)} to {with_unit(max(known(lines)), unit)}"
    svg = el(
        "svg", el("title", said, id=f"c-{name}-title"), axes(span, last, unit or title, x_label), *drawn,
        viewBox=f"0 0 {WIDTH} {HEIGHT}", role="img", aria_labelledby=f"c-{name}-title", class_="chart",
    )  # fmt: skip
    return el("figure", el("figcaption", title, " ", arrow(better), " ", el("code", name)), svg, class_="plot")


def known(lines: Sequence[Line]) -> list[float]:
    return [value for line in lines for value in line.values if value is not None]


def strip(name: str, title: str, unit: str, values: Values) -> Html | None:
    """The headline metric under a video's clips, with a mark that the page moves along. None without values."""
    span = limits([values])
    if span is None:
        return None
    row = [value for value in values if value is not None]
    said = f"{title} per frame, {with_unit(min(row), '')} to {with_unit(max(row), unit)}"
    curve = el("path", d=path_of(values, span, (0, 2, STRIP_WIDTH, STRIP_HEIGHT - 4)), class_="curve")
    mark = el("line", x1=0, x2=0, y1=0, y2=STRIP_HEIGHT, class_="mark")
    svg = el(
        "svg", el("title", said, id=f"{name}-title"), curve, mark, viewBox=f"0 0 {STRIP_WIDTH} {STRIP_HEIGHT}", role="img",
        preserveAspectRatio="none", aria_labelledby=f"{name}-title",
    )  # fmt: skip
    return el("div", svg, el("p", said, class_="small", aria_hidden="true"), class_="strip")
