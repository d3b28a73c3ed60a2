"""How the figures came about: the protocol, inputs with checksums, versions, the command, and whose pictures these are."""

from collections.abc import Iterator, Mapping
from typing import Any

from engines.evaluate.report.headline import count, listed
from engines.evaluate.report.markup import Html, el, section

LICENCE = (
    "media/ holds frames of the data that was judged. They stay under that data's licence: TikTok (Jafarian and Park) and VITON-HD are "
    "CC BY-NC 4.0, DressCode may not be passed on even altered, and people can be recognised. Check before you publish this folder; "
    "metrics.json, the tables and the curves hold no pictures."
)
CROPS = {"none": "none", "centre-square": "centre square"}


def hashed(text: str | None) -> Html:
    return el("code", text or "not known", class_="hash")


def facts(document: Mapping[str, Any]) -> Iterator[tuple[str, object]]:
    """(term, what it is) of the protocol box."""
    p, made, inputs = document["protocol"], document["made"], document["inputs"]
    layout = inputs.get("layout") or {}
    yield "Protocol", el("span", p["text"])
    if p.get("about"):
        yield "Stands for", p["about"]
    yield "Crop", CROPS.get(p["crop"], p["crop"])
    yield "Size", f"{p['size'][0]} × {p['size'][1]}, {p['resize']}" if p["size"] else "as the frames are"
    if not p.get("pictures"):
        yield "Clips", f"{p['clip_frames']} frames, one every {p['clip_stride']}, never across videos"
    yield "Headline mean", f"over {p['pooling']}"
    yield "N", count({"videos": inputs["videos"], "frames": inputs["frames"]})
    for key, name in (("pred", "Predictions"), ("gt", "Truth")):
        yield (
            name,
            el(
                "span",
                el("code", inputs[key]),
                f" ({layout[key]})" if layout.get(key) else "",
                el("br"),
                "sha256 ",
                hashed(inputs.get(f"{key}_sha256")),
            ),
        )
    for key, name in (("reference", "Reference"), ("split", "Split")):
        if inputs.get(key):
            yield name, el("code", inputs[key])
    yield "Command", el("code", made["command"], class_="command")
    yield "Made", f"{made['date']} in {made['seconds']} s on {made['machine']}"
    yield "Versions", listed({"scd": made["scd"], **made["versions"]})


def setting(document: Mapping[str, Any]) -> Html:
    rows = [el("div", el("dt", term), el("dd", what)) for term, what in facts(document)]
    return section("protocol", "Protocol", el("dl", *rows, class_="facts"))


def licence(clips: bool) -> Html:
    text = LICENCE if clips else "This folder holds no pictures of the data that was judged, only its figures and the names of its videos."
    return section("licence", "Whose pictures these are", el("p", text))
