"""The videos of the report: the sortable table of all, the clips and contact sheets of some, the curves of their frames."""

from collections.abc import Mapping, Sequence
from fractions import Fraction
from typing import Any

from engines.evaluate.report.choice import Ranking, gap_of, paired, place_of
from engines.evaluate.report.curves import Line, chart, strip
from engines.evaluate.report.markup import Html, breakable, el, joined, number, scrolled, section, with_unit
from engines.evaluate.report.media import AMPLIFIED, CLIP_SIDE, STILL_SIDE, TITLES, Item, Shown

SPEEDS = ("0.25", "0.5", "1", "2")
KINDS = {"worst": "Worst", "median": "Median", "best": "Best"}


def header(title: str, code: str, numeric: bool) -> Html:
    """A column's head: a button that sorts by it."""
    button = el("button", title, el("span", class_="dir", aria_hidden="true"), type="button", class_="sort", title=code or None)
    return el("th", button, scope="col", class_="num" if numeric else None, aria_sort="none")


def value_cell(value: float | None) -> Html:
    return el("td", number(value), class_="num", data_value="" if value is None else repr(value))


def videos_table(document: Mapping[str, Any], anchors: Mapping[str, str]) -> Html:
    """A row for each video; names lead to their clips where there are any."""
    metrics = paired(document)
    head = [header("Video", "", False), header("Frames", "", True)]
    head += [header(m["title"], f"{m['name']}{', ' + m['unit'] if m['unit'] else ''}: {m['better']} is better", True) for m in metrics]
    rows = []
    for video, entry in document["per_video"].items():
        shown = breakable(video)
        name = el("a", shown, href=f"#{anchors[video]}") if video in anchors else shown
        values = [value_cell(entry["metrics"].get(metric["name"])) for metric in metrics]
        frames = el("td", entry["frames"], class_="num", data_value=entry["frames"])
        rows.append(el("tr", el("th", name, scope="row", data_value=video), frames, *values))
    caption = el("caption", "Means per video; the heads sort", class_="unseen")
    table = el("table", caption, el("thead", el("tr", *head)), el("tbody", *rows), class_="sortable")
    return joined([scrolled(table, "Means per video"), el("p", class_="unseen", role="status", id="sorted")])


def panel(item: Item, shown: Shown) -> Html:
    """One picture or clip with its name below."""
    width, height = item.size
    name, said = TITLES[item.role], f"{TITLES[item.role]} of {shown.order.panels.id}"
    if item.poster is None:
        inner = el("img", src=f"media/{item.file}", alt=said, width=width, height=height, loading="lazy", decoding="async")
    else:
        inner = el(
            "video", src=f"media/{item.file}", poster=f"media/{item.poster}", width=width, height=height, muted=True, loop=True,
            playsinline=True, preload="none", aria_label=said, data_role=item.role, controls=True,
        )  # fmt: skip
    return el("figure", inner, el("figcaption", name))


def controls(name: str, frames: int) -> Html:
    """Play, step, scrub and speed of one row of clips."""

    def button(action: str, sign: str, label: str) -> Html:
        return el("button", el("span", sign, aria_hidden="true"), type="button", class_=action, aria_label=label, title=label)

    slider = el("input", type="range", min=0, max=frames - 1, value=0, step=1, class_="scrub", aria_label=f"Frame of {name}")
    speeds = el("select", *(el("option", f"{s}×", value=s, selected=s == "1") for s in SPEEDS), class_="speed", aria_label="Speed")
    buttons = (button("play", "▶", "Play"), button("back", "−1", "One frame back"), button("next", "+1", "One frame on"))
    return el("div", slider, el("div", *buttons, el("output", class_="time", aria_live="off"), speeds, class_="buttons"), class_="controls")


def player(shown: Shown, entry: Mapping[str, Any], row: Mapping[str, Any], ranked: Ranking | None) -> Html:
    """Reference, pose, prediction, truth and difference side by side under one control."""
    order, name = shown.order, f"p-{shown.order.stem}"
    panels = el("div", *(panel(item, shown) for item in shown.items), class_="panels")
    if order.frames == 1:
        return el("div", panels, class_="player still")
    numbers = row["numbers"]
    consecutive = list(numbers) == list(range(numbers[0], numbers[0] + len(numbers)))
    curve = strip(name, ranked.title, ranked.unit, row["metrics"].get(ranked.name, [])) if ranked else None
    return el(
        "div", panels, curve or "", controls(order.panels.id, order.frames),
        class_="player", role="group", tabindex=0, data_fps=float(order.panels.fps), data_frames=order.frames,
        data_numbers=numbers[0] if consecutive else " ".join(map(str, numbers)),
        aria_label=f"Clips of {order.panels.id}: space plays and pauses, arrow keys step",
    )  # fmt: skip


def sheets(shown: Shown, ranked: Ranking | None) -> Html | None:
    """The worst, median and best frames, predictions above truths."""
    if not shown.sheets or ranked is None:
        return None
    figures = []
    for kind, item in shown.sheets.items():
        frames = ", ".join(shown.order.labels[place] for place in shown.order.sheets[kind])
        said = f"{KINDS[kind]} frames of {shown.order.panels.id} by {ranked.title}, prediction above truth: {frames}"
        width, height = item.size
        image = el("img", src=f"media/{item.file}", alt=said, width=width, height=height, loading="lazy", decoding="async")
        apart = (
            el("span", f", at least {gap_of(shown.order.frames)} apart")
            if len(shown.order.sheets[kind]) > 1 and gap_of(shown.order.frames) > 1
            else ""
        )
        figures.append(el("figure", image, el("figcaption", f"{KINDS[kind]} frames by {ranked.title}", apart), class_=kind))
    return el("div", *figures, class_="sheets")


def rate(panels_fps: Fraction, entry: Mapping[str, Any]) -> str:
    text = f"{float(panels_fps):.3f}".rstrip("0").rstrip(".")
    return f"{text} frames/s" if entry.get("fps") else f"rate not known, shown at {text} frames/s"


def one_video(shown: Shown, document: Mapping[str, Any], ranked: Ranking | None, anchor: str) -> Html:
    """The section of one video."""
    order, video = shown.order, shown.order.panels.id
    entry, row = document["per_video"][video], document["per_frame"].get(video, {"numbers": list(range(order.frames)), "metrics": {}})
    facts = [place_of(video, ranked)] + ([] if order.frames == 1 else [f"{order.frames} frames", rate(order.panels.fps, entry)])
    values = [
        el("li", m["title"], " ", el("b", with_unit(entry["metrics"].get(m["name"]), m["unit"])))
        for m in paired(document)
    ]  # fmt: skip
    line = el("p", " · ".join(fact for fact in facts if fact), class_="small")
    parts = (line, player(shown, entry, row, ranked), sheets(shown, ranked) or "", el("ul", *values, class_="values"))
    return el("article", el("h3", video, id=f"{anchor}-heading"), *parts, class_="video", id=anchor, aria_labelledby=f"{anchor}-heading")


def legend(shown: Sequence[Shown], total: int, pictures: bool, amplified: bool) -> Html:
    """What is shown of how many, and how it may be read."""
    what = "pictures" if pictures else "videos"
    count = (
        f"All {total} {what}"
        if len(shown) == total
        else f"{len(shown)} of {total} {what}: the worst, the best, the median and evenly between"
    )
    side = STILL_SIDE if pictures else CLIP_SIDE
    loss = f"{'Pictures' if pictures else 'Clips'} are compressed and at most {side} pixels long; the figures are of the originals."
    keys = "" if pictures else " A row plays in step: space plays and pauses, arrow keys step, Home and End jump."
    text = f"{count}. Difference is |prediction − truth| times {AMPLIFIED}, clipped at white. {loss}{keys}"
    return el("p", text, class_="small")


def videos_section(document: Mapping[str, Any], shown: Sequence[Shown], ranked: Ranking | None, anchors: Mapping[str, str]) -> Html:
    pictures, total = bool(document["protocol"].get("pictures")), len(document["per_video"])
    parts = [videos_table(document, anchors)]
    if shown:
        parts.append(legend(shown, total, pictures, True))
        parts += [one_video(one, document, ranked, anchors[one.order.panels.id]) for one in shown]
    else:
        parts.append(el("p", "No clips were made (--media 0): the table has all videos.", class_="small"))
    return section("videos", "Pictures" if pictures else "Videos", *parts)


def curves_section(document: Mapping[str, Any], videos: Sequence[str]) -> Html | None:
    """Charts of the values per frame; of single pictures, their values in order. None without values."""
    pictures = all(len(row["numbers"]) < 2 for row in document["per_frame"].values())
    charts = [chart_of(document, metric, videos, pictures) for metric in document["metrics"]]
    if not any(charts):
        return None
    grid = el("div", *(one for one in charts if one), class_="charts")
    if pictures:
        return section("curves", "Spread", el("p", "The values of all pictures, from the lowest to the highest.", class_="small"), grid)
    swatch = el("span", class_="swatch", aria_hidden="true")
    choice = [
        el("button", swatch, video, type="button", class_="pick", aria_pressed="false", data_video=place)
        for place, video in enumerate(videos)
    ]
    total = len(document["per_video"])
    some = f" Lines of {len(videos)} of {total} videos: the worst, the best, the median and evenly between." if len(videos) < total else ""
    said = el("p", f"Each line is a video; choose videos to mark their lines.{some}", class_="small")
    return section("curves", "Frame by frame", said, el("div", *choice, class_="picks", role="group", aria_label="Videos to mark"), grid)


def chart_of(document: Mapping[str, Any], metric: Mapping[str, Any], videos: Sequence[str], pictures: bool) -> Html | None:
    rows = {video: entry["metrics"].get(metric["name"]) for video, entry in document["per_frame"].items()}
    if pictures:
        known = sorted(value for row in rows.values() for value in row or () if value is not None)
        lines = [Line(0, f"{len(known)} pictures", known)] if known else []
    else:
        lines = [Line(place, video, row) for place, video in enumerate(videos) if (row := rows.get(video))]
    what = "pictures, sorted" if pictures else "frame of the video"
    return chart(metric["name"], metric["title"], metric["unit"], metric["better"], lines, what) if lines else None
