"""report.html of a data set: counts, histograms of what the clips are like, a contact sheet, and what was dropped and why. No scripts."""

from collections.abc import Sequence
from html import escape
from pathlib import Path
from typing import Any

import numpy as np

from engines.core.manifest import SPLITS
from engines.media.images import read_image, write_png
from engines.media.sheets import contact_sheet
from engines.prepare.writing import write_text

TILES, COLUMNS, TILE = 60, 10, 120  # of the contact sheet: at most so many clips, tiles a row, pixels of one
BINS, BAR = 24, 12  # of a histogram, and the width of one in pixels
HIGH = 80  # pixels
ROWS = 500  # lines of the table of what was dropped; dropped.jsonl has all
MEASURES = (
    ("seconds", "seconds"), ("height", "height of the person in the source, pixels"), ("joints", "points of the body seen, of 17"),
    ("motion", "motion, sizes of the person a second"), ("sharpness", "sharpness"),
)  # fmt: skip
STYLE = (
    "body{font:15px/1.5 system-ui,sans-serif;max-width:1200px;margin:2em auto;padding:0 1em;color:#222;background:#fff}"
    "table{border-collapse:collapse}td,th{border:1px solid #ccc;padding:.2em .6em;text-align:left;vertical-align:top}"
    "figure{display:inline-block;margin:.5em 1.5em .5em 0}figcaption{font-size:13px;color:#555}img{max-width:100%}rect{fill:#4477aa}"
    "text{font-size:11px;fill:#555}"
)


def write_page(out: Path, summary: dict[str, Any], clips: Sequence[dict[str, Any]], dropped: Sequence[dict[str, Any]]) -> None:
    """report.html and, where there are clips, contact.png beside it."""
    if clips:
        write_sheet(out, clips)
    write_text(out / "report.html", page(summary, clips, dropped))


def write_sheet(out: Path, clips: Sequence[dict[str, Any]]) -> None:
    """The middle picture of clips spread over the whole set, each with the letter of its split and its place in the list."""
    numbers = sorted({int(n) for n in np.linspace(0, len(clips) - 1, min(TILES, len(clips))).round()})
    shown = [clips[n] for n in numbers]
    paths = [out / "clips" / clip["clip_id"] / "frames" / f"{clip['frames'] // 2:04d}.png" for clip in shown]
    labels = [f"{clip['split'][:2]} {number}" for number, clip in zip(numbers, shown, strict=True)]
    columns = min(COLUMNS, len(paths))
    sheet = contact_sheet([read_image(path) for path in paths], columns, columns * TILE, labels)
    write_png(out / "contact.png", sheet, overwrite=True)


def page(summary: dict[str, Any], clips: Sequence[dict[str, Any]], dropped: Sequence[dict[str, Any]]) -> str:
    title = f"Data set from {summary['source']}"
    reasons = table(("reason", "count"), list(summary["dropped"].items())) if dropped else "<p>Nothing.</p>"
    sheet = '<img src="contact.png" alt="one picture of each of up to 60 clips">' if clips else "<p>No clip was kept.</p>"
    drops = [(d["source"], seconds(d["span"]), d["reason"], d["detail"]) for d in dropped]
    more = f"<p>and {len(drops) - ROWS} more in dropped.jsonl</p>" if len(drops) > ROWS else ""
    return (
        f'<!doctype html><html lang="en"><meta charset="utf-8"><meta name="viewport" content="width=device-width">'
        f"<title>{escape(title)}</title><style>{STYLE}</style><h1>{escape(title)}</h1>"
        f"<p>{escape(summary['provenance']['origin'])}: {summary['recordings']} recordings, {len(clips)} clips. "
        f"Licence: {escape(summary['provenance']['licence'])}.</p>"
        f"{table(('', *SPLITS), [(name, *(summary[name][s] for s in SPLITS)) for name in ('clips', 'identities', 'frames', 'seconds')])}"
        f"<h2>Clips</h2>{''.join(histogram([clip['measures'][key] for clip in clips], text) for key, text in MEASURES)}"
        f"<h2>Contact sheet</h2>{sheet}"
        f"<h2>Dropped</h2>{reasons}<p></p>{table(('source', 'seconds', 'reason', 'why'), drops[:ROWS]) if drops else ''}{more}</html>\n"
    )


def seconds(span: Sequence[float] | None) -> str:
    return "" if span is None else f"{span[0]:.2f}-{span[1]:.2f}"


def table(head: Sequence[object], rows: Sequence[Sequence[object]]) -> str:
    def line(cells: Sequence[object], tag: str) -> str:
        return "<tr>" + "".join(f"<{tag}>{escape(str(cell))}</{tag}>" for cell in cells) + "</tr>"

    return f"<table>{line(head, 'th')}{''.join(line(row, 'td') for row in rows)}</table>"


def histogram(values: Sequence[float], caption: str) -> str:
    """Inline SVG with the least and the largest value below the bars, and the fullest bar's count above."""
    if not values:
        return ""
    heights, _ = np.histogram(values, BINS)
    tallest, wide = int(heights.max()), BINS * BAR
    bars = "".join(
        f'<rect x="{n * BAR}" y="{14 + HIGH - HIGH * count / tallest:.1f}" width="{BAR - 1}" height="{HIGH * count / tallest:.1f}">'
        f"<title>{count}</title></rect>"
        for n, count in enumerate(heights.tolist())
    )
    words = (
        f'<text x="0" y="10">up to {tallest} clips</text><text x="0" y="{HIGH + 27}">{min(values):g}</text>'
        f'<text x="{wide}" y="{HIGH + 27}" text-anchor="end">{max(values):g}</text>'
    )
    shape = f'width="{wide}" height="{HIGH + 30}" role="img" aria-label="{escape(caption)}"'
    return f"<figure><svg {shape}>{bars}{words}</svg><figcaption>{escape(caption)}</figcaption></figure>"
