"""report.html of an evaluation: one page with its pictures in media/, which opens from disk and asks no network for anything."""

from collections.abc import Mapping, Sequence
from importlib.resources import files
from pathlib import Path, PurePath
from string import Template
from typing import Any

from engines.core.report import Report
from engines.evaluate.report.choice import Ranking, chosen, file_stem, ranking, telling_frames
from engines.evaluate.report.headline import count, figures, skipped, warnings
from engines.evaluate.report.markup import Html, el, number, safe
from engines.evaluate.report.media import Order, Panels, Shown, make_all
from engines.evaluate.report.published import published
from engines.evaluate.report.setting import licence, setting
from engines.evaluate.report.videos import curves_section, videos_section

LINES = 24  # videos in a chart
NAV = {
    "figures": "Figures", "videos": "Videos", "curves": "Frame by frame", "paper": "Paper", "protocol": "Protocol", "skipped": "Skipped",
    "licence": "Licence",
}  # fmt: skip


def asset(name: str) -> str:
    return (files("engines.evaluate.report") / name).read_text(encoding="utf-8")


def order_of(index: int, panels: Panels, document: Mapping[str, Any], ranked: Ranking | None) -> Order:
    """What to make of one video: sheets of its telling frames by the headline metric, where it has frames to choose from."""
    video = panels.id
    row = document["per_frame"].get(video, {"numbers": [], "metrics": {}})
    values = row["metrics"].get(ranked.name, []) if ranked else []
    sheets = telling_frames(values, ranked.lower) if ranked else {}
    places = [place for kind in sheets.values() for place in kind]
    labels = {place: f"{row['numbers'][place]}: {number(values[place], minus='-')}" for place in places}
    return Order(panels, file_stem(index, video), document["per_video"][video]["frames"], sheets, labels)


def orders_of(document: Mapping[str, Any], panels: Sequence[Panels], ranked: Ranking | None, media: int) -> list[Order]:
    by_id = {one.id: (index, one) for index, one in enumerate(panels, 1)}
    videos = chosen([one.id for one in panels if one.id in document["per_video"]], ranked, media)
    return [order_of(*by_id[video], document, ranked) for video in videos]


def named(path: str) -> str:
    return PurePath(path).name or path


def masthead(document: Mapping[str, Any]) -> Html:
    inputs, made = document["inputs"], document["made"]
    facts = [count({"videos": inputs["videos"], "frames": inputs["frames"]}), f"protocol {document['protocol']['name']}", made["date"]]
    if document["protocol"].get("pictures"):
        facts[0] = count({"pictures": inputs["frames"]})
    title = el(
        "h1",
        el("span", "scd evaluate", class_="over"),
        named(inputs["pred"]),
        el("span", f" against {named(inputs['gt'])}", class_="against"),
    )
    return el("header", title, el("p", " · ".join(facts), class_="facts-line"), el("p", document["protocol"]["text"], class_="small"))


def body(document: Mapping[str, Any], shown: Sequence[Shown], ranked: Ranking | None) -> Html:
    """Everything between header and footer, with the way to it."""
    anchors = {one.order.panels.id: f"v-{one.order.stem}" for one in shown}
    lines = chosen(list(document["per_frame"]), ranked, LINES)
    parts: dict[str, Html | None] = {
        "warnings": warnings(document), "figures": figures(document), "videos": videos_section(document, shown, ranked, anchors),
        "curves": curves_section(document, lines), "paper": published(document), "protocol": setting(document),
        "skipped": skipped(document), "licence": licence(bool(shown)),
    }  # fmt: skip
    names = NAV | ({"videos": "Pictures", "curves": "Spread"} if document["protocol"].get("pictures") else {})
    links = [el("li", el("a", text, href=f"#{name}")) for name, text in names.items() if parts[name] is not None]
    nav = el("nav", el("ul", *links), aria_label="Parts of the report")
    return Html(f"{nav}{el('main', *(part for part in parts.values() if part is not None), id='content', tabindex=-1)}")


def write_report(
    folder: Path, document: Mapping[str, Any], panels: Sequence[Panels], report: Report, media: int = 12, headline: str | None = None
) -> None:
    """Write folder/report.html and the files it shows, folder/media/, beside metrics.json.

    `document` is metrics.json as a dict. `media`: for how many videos clips, or stills of videos with one frame, are made: the worst,
    best, median and evenly between by the metric `headline`, else PSNR, an SSIM or MAE; 0 makes none. The same document and frames give
    the same bytes. UsageError for a headline without values per video; ScdError of frames that cannot be read.
    """
    ranked = ranking(document, headline)
    shown = make_all(folder / "media", orders_of(document, panels, ranked, media), report)
    title = f"{named(document['inputs']['pred'])} against {named(document['inputs']['gt'])}: scd evaluate"
    text = Template(asset("page.html")).substitute(
        title=safe(title), css=asset("page.css"), js=asset("page.js"), masthead=masthead(document), body=body(document, shown, ranked),
        version=safe(document["made"]["scd"]),
    )  # fmt: skip
    (folder / "report.html").write_text(text, encoding="utf-8", errors="replace", newline="\n")
