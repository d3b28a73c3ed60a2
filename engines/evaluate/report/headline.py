"""The top of the report: key figures, the table of all figures with intervals and N, definitions, what was skipped."""

from collections.abc import Mapping, Sequence
from typing import Any

from engines.evaluate.report.markup import MISSING, Html, arrow, el, interval, joined, number, scrolled, section, with_unit

Metric = Mapping[str, Any]
KEY = ("psnr", "ssim_", "lpips_", "mae", "fid_clean", "fid_pytorchfid", "fid_vid", "fvd_")  # the first of each, at most KEYS
KEYS = 5
# the same quantity in the convention of other tables
TWINS = {
    "psnr": "psnr_legacy_uint8", "mae": "l1_disco", "ssim_rgb_gaussian": "ssim_gray_uniform7", "lpips_vgg": "lpips_vgg_unnormalized",
    "fid_clean": "fid_pytorchfid", "kid_clean": "kid_pytorchfid",
}  # fmt: skip


def count(n: Mapping[str, int]) -> str:
    """ "10 videos, 1,000 frames"; of videos with one frame each "10 pictures"."""
    if len(n) == 2 and len(set(n.values())) == 1 and ({"frames", "pictures"} & set(n)):
        n = {"pictures": n["videos"]}
    return ", ".join(f"{value:,} {what[:-1] if value == 1 else what}" for what, value in n.items())


def twins_of(metrics: Sequence[Metric]) -> dict[str, Metric]:
    """By name of a metric the same quantity in another convention, where both are there."""
    named = {metric["name"]: metric for metric in metrics}
    return {name: named[other] for name, other in TWINS.items() if name in named and other in named}


def key_metrics(metrics: Sequence[Metric]) -> list[Metric]:
    hidden = {twin["name"] for twin in twins_of(metrics).values()}
    out: list[Metric] = []
    for start in KEY:
        out += [metric for metric in metrics if metric["name"].startswith(start) and metric["name"] not in hidden][:1]
    return (out or list(metrics))[:KEYS]


def tile(metric: Metric) -> Html:
    """One key figure, large."""
    unit = (" ", el("span", metric["unit"], class_="unit")) if metric["unit"] else ()
    below = f"95 % {interval(metric['ci'])}" if metric["ci"] else count(metric["n"])
    what = el("span", metric["title"], " ", arrow(metric["better"]), class_="what")
    return el("li", what, el("span", number(metric["value"]), *unit, class_="value"), el("span", below, class_="small"))


def value_cells(metric: Metric) -> list[Html]:
    low_high = el("td", interval(metric["ci"]), class_="num", title=metric["ci_method"])
    unit = el("span", f" {metric['unit']}", class_="unit") if metric["unit"] else ""
    return [el("td", el("strong", number(metric["value"])), unit, class_="num"), low_high]


def name_cell(metric: Metric, twin: Metric | None) -> Html:
    notes = list(metric["notes"])
    if twin is not None:
        notes += [f"{twin['title']}: {note}" for note in twin["notes"] if note not in notes]
    said = el("ul", *(el("li", note) for note in notes), class_="notes") if notes else ""
    return el("th", metric["title"], " ", arrow(metric["better"]), el("br"), el("code", metric["name"], class_="tiny"), said, scope="row")


def twin_cell(twin: Metric | None) -> Html:
    if twin is None:
        return el("td", MISSING, class_="num none")
    name = el("code", twin["name"], class_="tiny")
    return el("td", with_unit(twin["value"], twin["unit"]), el("div", interval(twin["ci"]), class_="small"), name, class_="num")


def control_cells(metric: Metric, controls: Sequence[str]) -> list[Html]:
    return [el("td", number(metric["controls"].get(name)), class_="num") for name in controls]


def figures_table(metrics: Sequence[Metric]) -> Html:
    """Every metric, those of another convention beside their relatives; columns of controls where any metric has them."""
    twins = twins_of(metrics)
    hidden = {twin["name"] for twin in twins.values()}
    controls = [name for name in ("identity", "real_floor") if any(name in metric["controls"] for metric in metrics)]
    titles = ["Value", "95 % interval", *(["Other convention"] if twins else []), "N"]
    titles += [{"identity": "Truth against itself", "real_floor": "Real floor"}[name] for name in controls]
    head = el("tr", el("th", "Metric", scope="col"), *(el("th", text, scope="col", class_="num") for text in titles))
    rows = []
    for metric in (m for m in metrics if m["name"] not in hidden):
        twin = twins.get(metric["name"])
        cells = [*value_cells(metric), *([twin_cell(twin)] if twins else []), el("td", count(metric["n"]), class_="num n")]
        rows.append(el("tr", name_cell(metric, twin), *cells, *control_cells(metric, controls)))
    body = el("table", el("caption", "All figures", class_="unseen"), el("thead", head), el("tbody", *rows), class_="figures")
    return scrolled(body, "All figures")


def explained(metrics: Sequence[Metric]) -> Html:
    """What the columns of the table mean."""
    parts = ["Arrows point to the better side."]
    if any(m["name"] in TWINS.values() for m in metrics):
        parts.append("“Other convention” is the same quantity as other scripts and tables compute it.")
    if any("identity" in m["controls"] for m in metrics):
        parts.append(
            "“Truth against itself” is what a perfect prediction would get; of metrics per frame on the first frames of up to 12 videos."
        )
    if any("real_floor" in m["controls"] for m in metrics):
        parts.append("“Real floor” is what two halves of the real videos are apart: below it nothing can be told.")
    return el("p", " ".join(parts), class_="small")


def definitions(metrics: Sequence[Metric]) -> Html:
    """Sources, both poolings, the intervals' methods and weights, folded."""
    head = el(
        "tr",
        *(el("th", text, scope="col") for text in ("Metric", "Definition", "Mean over videos", "Mean over frames", "Interval", "Weights")),
    )
    rows = []
    for metric in metrics:
        both = metric["pooled"] or {}
        weights = [el("div", w["file"], el("br"), el("code", w["sha256"], class_="tiny hash")) for w in metric["weights"]]
        cells = [el("td", number(both.get(pooling)), class_="num") for pooling in ("videos", "frames")]
        method = el("td", metric["ci_method"] or MISSING)
        rows.append(
            el(
                "tr",
                el("th", el("code", metric["name"]), scope="row"),
                el("td", metric["source"]),
                *cells,
                method,
                el("td", *(weights or MISSING)),
            )
        )
    table = scrolled(el("table", el("thead", head), el("tbody", *rows), class_="words"), "Definitions")
    return el("details", el("summary", "Definitions, both means, weights"), table)


def figures(document: Mapping[str, Any]) -> Html:
    metrics = document["metrics"]
    tiles = el("ul", *(tile(metric) for metric in key_metrics(metrics)), class_="tiles")
    return section("figures", "Figures", tiles, figures_table(metrics), explained(metrics), definitions(metrics))


def warnings(document: Mapping[str, Any]) -> Html | None:
    """The warnings in a box; None of none."""
    if not document["warnings"]:
        return None
    rows = el("ul", *(el("li", text) for text in document["warnings"]))
    return el(
        "section", el("h2", "Warnings", id="warnings-heading"), rows, class_="note", id="warnings", aria_labelledby="warnings-heading"
    )


def skipped(document: Mapping[str, Any]) -> Html | None:
    """Metrics that have no figure, and why; None of none."""
    if not document["skipped"]:
        return None
    head = el("tr", *(el("th", text, scope="col") for text in ("Metric", "Why")))
    rows = [
        el(
            "tr",
            el("th", s["title"], el("br"), el("code", s["name"], class_="tiny"), scope="row"),
            el("td", s["reason"].removeprefix("skipped: ")),
        )
        for s in document["skipped"]
    ]
    table = el("table", el("caption", "Skipped metrics", class_="unseen"), el("thead", head), el("tbody", *rows))
    return section("skipped", "Skipped", scrolled(table, "Skipped metrics"))


def listed(pairs: Mapping[str, Any]) -> Html:
    """ "numpy 2.4, opencv 5.0" """
    return joined((f"{name} {value}" for name, value in pairs.items()), ", ")
