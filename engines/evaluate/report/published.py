"""The paper's Tables 1 and 2 beside this evaluation, and what would have to be equal before the two could be compared."""

import json
from collections.abc import Mapping, Sequence
from importlib.resources import files
from typing import Any

from engines.evaluate.report.markup import MISSING, Html, arrow, el, scrolled, section

SAME, OTHER, UNKNOWN = "same", "differs", "not known"
WORDS = {SAME: "✓ same", OTHER: "✗ differs", UNKNOWN: "? not known"}
FLOATING = "PSNR in floating point; with 8-bit overflow it would say about 28 to 33 dB of any pictures, and the tables stand at 12 to 19"
Condition = tuple[str, str, str, str]  # what, in the paper, here, SAME OTHER or UNKNOWN


def paper() -> dict[str, Any]:
    """paper.json: source, columns with the names of the metrics that stand for them, and tables of printed numbers."""
    data: dict[str, Any] = json.loads((files("engines.evaluate.report") / "paper.json").read_text(encoding="utf-8"))
    return data


def conditions(document: Mapping[str, Any]) -> list[Condition]:
    """What both sides must share, with what is known of it."""
    p, names = document["protocol"], {metric["name"] for metric in document["metrics"]}
    size = f"{p['size'][0]}x{p['size'][1]}" if p["size"] else "native size"
    crop = "no crop" if p["crop"] == "none" else "centre square crop"
    square = p["crop"] == "centre-square" and p["size"] == [256, 256]
    lpips = [name for name in ("lpips_vgg_unnormalized", "lpips_vgg") if name in names]
    mean = {"frames": "all frames", "videos": "videos"}.get(p["pooling"], p["pooling"])
    return [
        ("Test videos", "ten TikTok videos, no list published", f"{document['inputs']['videos']} videos", UNKNOWN),
        ("Crop and size", "centre square crop, 256x256", f"{crop}, {size}", SAME if square else OTHER),
        ("Mean of paired figures", "over all frames", f"over {mean}", SAME if p["pooling"] == "frames" else OTHER),
        (
            "Clips of FID-VID and FVD", "16 frames; DisCo's script for pictures starts one at every frame",
            f"{p['clip_frames']} frames, stride {p['clip_stride']}", UNKNOWN if p["clip_stride"] == 1 else OTHER,
        ),
        ("PSNR", FLOATING, "psnr is floating point" if "psnr" in names else "not computed", UNKNOWN if "psnr" in names else OTHER),
        (
            "LPIPS", "VGG, input left in [0, 1] (DisCo's script)", ", ".join(lpips) or "not computed",
            SAME if "lpips_vgg_unnormalized" in lpips else OTHER,
        ),
        ("Weights of the networks", "no checksums published", "checksums are under Definitions", UNKNOWN),
    ]  # fmt: skip


def in_print(value: float, column: str) -> str:
    """A value with the decimals that the paper prints in this column."""
    if column == "L1":
        return f"{value:.2E}"
    return f"{value:.3f}" if column in ("SSIM", "LPIPS") else f"{value:.2f}"


def cell(column: Mapping[str, Any], values: Mapping[str, float]) -> Html:
    """Ours: the metric that stands for the column, below it what is a relative of it."""
    there = [name for name in column["metrics"] if name in values]
    if not there:
        return el("td", MISSING, el("span", " not computed", class_="unseen"), class_="num none")
    lines = []
    for place, name in enumerate(there):
        second = place > 0 or name != column["metrics"][0]
        lines.append(el("div", in_print(values[name], column["title"]), class_="second" if second else None))
        lines.append(el("code", name, class_="tiny"))
    return el("td", *lines, class_="num")


def table(data: Mapping[str, Any], number: int, values: Mapping[str, float]) -> Html:
    """One of the paper's tables under the row of this evaluation."""
    columns, printed = data["columns"], data["tables"][number]
    head = el(
        "tr", el("th", "Method", scope="col"), *(el("th", c["title"], " ", arrow(c["better"]), scope="col", class_="num") for c in columns)
    )
    ours = el("tr", el("th", "This evaluation", scope="row"), *(cell(column, values) for column in columns), class_="ours")
    rows = [el("tr", el("th", row[0], scope="row"), *(el("td", v or MISSING, class_="num") for v in row[1:])) for row in printed["rows"]]
    body = el("table", el("caption", printed["title"]), el("thead", head), el("tbody", ours, *rows), class_="paper")
    return scrolled(body, printed["title"])


def checklist(rows: Sequence[Condition]) -> Html:
    head = el("tr", *(el("th", text, scope="col") for text in ("Condition", "Paper", "Here", "Same?")))
    body = [
        el("tr", el("th", what, scope="row"), el("td", there), el("td", here), el("td", WORDS[state], class_=f"state {state.split()[0]}"))
        for what, there, here, state in rows
    ]
    caption = el("caption", "What would have to be equal")
    return scrolled(el("table", caption, el("thead", head), el("tbody", *body), class_="words"), "Conditions of a comparison")


def published(document: Mapping[str, Any]) -> Html:
    """The section about the paper; of try-on pictures a sentence."""
    data = paper()
    heading = "Beside the paper"
    if document["protocol"].get("pictures"):
        return section(
            "paper", heading, el("p", "The paper's Tables 1 and 2 are about videos of dancers; it prints no figures of try-on pictures.")
        )
    values = {metric["name"]: metric["value"] for metric in document["metrics"]}
    rows = conditions(document)
    unequal = [what for what, _, _, state in rows if state != SAME]
    note = el(
        "p", el("strong", "Not comparable unless "), "the videos, crop and size, clips, PSNR variant, LPIPS input range and network "
        f"weights are the same. Here {len(unequal)} of {len(rows)} conditions differ or are not known.", class_="note",
    )  # fmt: skip
    return section(
        "paper", heading, note, checklist(rows), *(table(data, n, values) for n in range(2)), el("p", data["source"], class_="small")
    )
