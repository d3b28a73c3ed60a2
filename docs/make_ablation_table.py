"""Table, differences and contact sheet of the ablation, from what docs/make_ablation.py kept of each run, and from nothing else.

    python docs/make_ablation_table.py [--results docs/ablation]

Writes beside the results' folder: FOLDER.json, FOLDER-sheet.png, and, in FOLDER.md, what is between the two marks. The unit of all
statistics is the held-out clip; a row with several seeds counts with the mean of its seeds.
"""

import argparse
import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray
from scipy.stats import kendalltau

from engines.core.errors import ScdError
from engines.evaluate.compare import holm
from engines.evaluate.statistics import bootstrap, sign_flip
from engines.media.images import read_image, write_png

HERE = Path(__file__).parent
SCD = "scd"
NAMES = {
    "clip": "CLIP embedding", "channels": "Channel concatenation", "reference-net-random": "Reference-Net, random init",
    "reference-net": "Reference-Net", "scd-dagger-no-pose": "SCD† without reference pose", "scd-dagger": "SCD†",
    "scd-no-pose": "SCD without reference pose", SCD: "SCD",
}  # fmt: skip
PAPER = {  # Table 2 (arXiv 2412.14531): TikTok's test videos, 256x256; SSIM, PSNR, L1
    "clip": (0.474, 12.88, 6.84e-4), "channels": (0.577, 15.09, 5.15e-4), "reference-net-random": (0.690, 16.87, 3.65e-4),
    "reference-net": (0.720, 18.18, 3.02e-4), "scd-dagger-no-pose": (0.721, 18.14, 3.13e-4), "scd-dagger": (0.728, 18.59, 2.77e-4),
    "scd-no-pose": (0.728, 18.58, 2.70e-4), SCD: (0.726, 18.64, 2.72e-4),
}  # fmt: skip
COLUMNS = {  # metric: heading, digits
    "ssim_gray_uniform7": ("SSIM", 3), "psnr": ("PSNR, dB", 2), "mae": ("L1, grey levels", 2), "ssim_masked": ("SSIM, person", 3),
    "psnr_masked": ("PSNR, person, dB", 2),
}  # fmt: skip
COMPARED = {"ssim_gray_uniform7": (0, 1), "psnr": (1, 1), "mae": (2, -1)}  # metric: its place in PAPER, 1 where more is better
SAME = ("protocol", "truth", "base", "steps", "pictures")  # what all rows must have in common
BEGIN, END = "<!-- figures: docs/make_ablation_table.py -->", "<!-- end of figures -->"
MARGIN, LINE = 210, 16  # pixels of the sheet


@dataclass(frozen=True)
class Row:
    """The runs of one row, by seed; a yardstick has one."""

    name: str
    runs: Mapping[int, Mapping[str, Any]]

    def per_video(self, metric: str, videos: list[str], seeds: list[int] | None = None) -> list[float]:
        """The mean of the seeds, video by video."""
        chosen = [run for seed, run in self.runs.items() if seeds is None or seed in seeds]
        return [float(np.mean([run["per_video"][video][metric] for run in chosen])) for video in videos]

    def values(self, metric: str) -> list[float]:
        """The headline of each seed."""
        return [float(run["metrics"][metric]["value"]) for run in self.runs.values()]


def read_rows(folder: Path) -> dict[str, Row]:
    """The rows that are there, in the paper's order, between copying and the autoencoder. ScdError where two do not go together."""
    runs: dict[str, dict[int, dict[str, Any]]] = {}
    for path in sorted(folder.glob("*.json")):
        result = json.loads(path.read_text())
        runs.setdefault(result["row"], {})[result.get("seed", 0)] = result
    first = next((run for row in NAMES if row in runs for run in runs[row].values()), None)
    if first is None:
        raise ScdError(f"{folder} holds no result of a row", "make some with docs/make_ablation.py")
    for row, seeds in runs.items():
        for seed, run in seeds.items():
            apart = [key for key in SAME if key in run and run[key] != first[key]]
            if apart:
                where = f"{folder}/{row}-{seed}.json"
                raise ScdError(f"{where} has another {apart[0]} than the others", "make it again with docs/make_ablation.py")
    return {row: Row(row, runs[row]) for row in ("copied", *NAMES, "autoencoder") if row in runs}


def against(row: Row, scd: Row, metric: str, videos: list[str]) -> dict[str, Any]:
    """Row minus SCD over the seeds that both have: mean over videos, its interval, and p of the sign-flip test."""
    seeds = sorted(row.runs.keys() & scd.runs.keys())
    a, b = (x.per_video(metric, videos, seeds) for x in (row, scd))
    interval, test = bootstrap([p - q for p, q in zip(a, b, strict=True)], [1.0] * len(a)), sign_flip(a, b)
    ci = None if interval is None else [interval.low, interval.high]
    return {"difference": test.difference, "ci": ci, "p": test.p, "seeds": seeds}


def order(rows: Mapping[str, Row], metric: str) -> dict[str, Any]:
    """How far the rows stand in the paper's order: Kendall's tau-b, and how many pairs do (without pairs that tie in the paper)."""
    place, sign = COMPARED[metric]
    known = [row for row in NAMES if row in rows]
    here = [float(np.mean(rows[row].values(metric))) for row in known]
    paper = [sign * PAPER[row][place] for row in known]
    pairs = [(i, j) for i in range(len(known)) for j in range(i) if paper[i] != paper[j]]
    agreed = sum((paper[i] - paper[j]) * sign * (here[i] - here[j]) > 0 for i, j in pairs)
    tau = float(kendalltau(paper, [sign * x for x in here]).statistic) if len(known) > 2 else None
    return {"pairs": len(pairs), "agreed": agreed, "kendall_tau": tau}


def summary(rows: Mapping[str, Row]) -> dict[str, Any]:
    """docs/ablation.json as a dict."""
    some = next(row for name, row in rows.items() if name in NAMES)
    run = next(iter(some.runs.values()))
    videos = sorted(run["per_video"])
    out: dict[str, Any] = {key: run[key] for key in (*SAME, "videos", "frames")} | {"rows": {}, "against_scd": {}, "order": {}}
    for name, row in rows.items():
        entry: dict[str, Any] = {"seeds": sorted(row.runs), "paper": PAPER.get(name), "metrics": {}}
        for metric in COLUMNS:
            interval, values = bootstrap(row.per_video(metric, videos), [1.0] * len(videos)), row.values(metric)
            ci = None if interval is None else [interval.low, interval.high]
            entry["metrics"][metric] = {"value": float(np.mean(values)), "ci": ci, "of_seeds": values}
        for key in ("parameters", "seconds_per_step", "last_loss"):
            if name in NAMES:
                entry[key] = float(np.mean([one[key] for one in row.runs.values()]))
        out["rows"][name] = entry
    for metric in COLUMNS if SCD in rows else ():
        shared = [row for name, row in rows.items() if name in NAMES and name != SCD and row.runs.keys() & rows[SCD].runs.keys()]
        others = {row.name: against(row, rows[SCD], metric, videos) for row in shared}
        holm(list(others.values()))
        out["against_scd"][metric] = others
    out["order"] = {metric: order(rows, metric) for metric in COMPARED}
    return out


def shown(value: float, ci: list[float] | None, digits: int, sign: str = "") -> str:
    interval = "" if ci is None else f" [{ci[0]:{sign}.{digits}f}, {ci[1]:{sign}.{digits}f}]"
    return f"{value:{sign}.{digits}f}{interval}"


def table(heading: list[str], lines: list[list[str]]) -> str:
    return "\n".join("| " + " | ".join(cells) + " |" for cells in (heading, ["---"] * len(heading), *lines))


def title(name: str, found: Mapping[str, Any]) -> str:
    label = {"copied": "*copying the reference*", "autoencoder": "*the truth through the autoencoder*"}.get(name, NAMES.get(name, name))
    return label if len(found["seeds"]) < 2 else f"{label} ({len(found['seeds'])} seeds)"


def quality(found: Mapping[str, Any]) -> str:
    lines = []
    for name, entry in found["rows"].items():
        paper = (
            ["", "", ""] if entry["paper"] is None else [f"{entry['paper'][0]:.3f}", f"{entry['paper'][1]:.2f}", f"{entry['paper'][2]:.2E}"]
        )
        own = [shown(entry["metrics"][m]["value"], entry["metrics"][m]["ci"], digits) for m, (_, digits) in COLUMNS.items()]
        lines.append([title(name, entry), *own, *paper])
    return table(["row", *(heading for heading, _ in COLUMNS.values()), "paper: SSIM", "PSNR", "L1"], lines)


def p_value(p: float) -> str:
    return "p < 0.0001" if p < 0.00005 else f"p = {p:.4f}"


def differences(found: Mapping[str, Any]) -> str:
    lines = []
    for name in NAMES:
        cells = [found["against_scd"].get(m, {}).get(name) for m in COLUMNS]
        if cells[0] is not None:
            own = [
                f"{shown(c['difference'], c['ci'], d, '+')}, {p_value(c['p_holm'])}"
                for c, (_, d) in zip(cells, COLUMNS.values(), strict=True)
            ]
            lines.append([NAMES[name], ", ".join(map(str, cells[0]["seeds"])), *own])
    return table(["row minus SCD", "seeds", *(heading for heading, _ in COLUMNS.values())], lines) if lines else ""


def seeds_apart(found: Mapping[str, Any]) -> str:
    """What the seed alone does, where there are several."""
    lines = [
        [NAMES[n], *("; ".join(f"{v:.{d}f}" for v in e["metrics"][m]["of_seeds"]) for m, (_, d) in COLUMNS.items())]
        for n, e in found["rows"].items() if len(e["seeds"]) > 1
    ]  # fmt: skip
    return table(["seed by seed", *(heading for heading, _ in COLUMNS.values())], lines) if lines else ""


def cost(found: Mapping[str, Any]) -> str:
    rows = [(n, e) for n, e in found["rows"].items() if n in NAMES]
    lines = [[NAMES[n], f"{e['parameters'] / 1e6:.2f} M", f"{e['seconds_per_step']:.2f}", f"{e['last_loss']:.4f}"] for n, e in rows]
    return table(["row", "parameters", "seconds a step", "training loss at the end"], lines)


def text(found: Mapping[str, Any]) -> str:
    """All that stands between the marks."""
    head = (
        f"{found['videos']} held-out clips, {found['frames']} frames; {found['steps']} steps of training a row "
        f"({found['pictures']:,} targets). In brackets: 95 % intervals over clips."
    )
    said = [
        f"{COLUMNS[m][0]}: {o['agreed']} of {o['pairs']} pairs of rows stand in the paper's order"
        + ("" if o["kendall_tau"] is None else f" (Kendall's tau {o['kendall_tau']:.2f})")
        for m, o in found["order"].items() if o["pairs"]
    ]  # fmt: skip
    missing = [NAMES[row] for row in NAMES if row not in found["rows"]]
    rest = [f"Not run yet: {', '.join(missing)}."] if missing else []
    parts = [head, quality(found), differences(found), seeds_apart(found), ". ".join(said) + ".", cost(found), *rest]
    return "\n\n".join(part for part in parts if part)


def labelled(strip: NDArray[np.uint8], label: str) -> NDArray[np.uint8]:
    """A strip with its name left of it."""
    out = np.full((strip.shape[0], MARGIN + strip.shape[1], 3), 255, np.uint8)
    out[:, MARGIN:] = strip
    for number, words in enumerate(label.split("\n")):
        cv2.putText(out, words, (4, 20 + LINE * number), cv2.FONT_HERSHEY_SIMPLEX, 0.42, (0, 0, 0), 1, cv2.LINE_AA)
    return out


def sheet(folder: Path, rows: Mapping[str, Row]) -> NDArray[np.uint8]:
    """Reference, its pose, the pose asked for, each row's first seed, and the truth."""
    known = read_image(folder / "shown.png")
    height = known.shape[0] // 4
    first, last = ("reference", "its pose", "pose asked for"), labelled(known[3 * height :], "truth")
    strips = [labelled(known[i * height : (i + 1) * height], name) for i, name in enumerate(first)]
    for name, row in rows.items():
        if name in NAMES:
            label = NAMES[name].replace("†", "-dagger").replace(" without", "\nwithout").replace(", ", ",\n")
            strips.append(labelled(read_image(folder / f"{name}-{min(row.runs)}.png"), label))
    return np.concatenate([*strips, last])


def replaced(page: str, block: str) -> str:
    """ScdError for a page without the marks."""
    before, begin, rest = page.partition(BEGIN)
    _, end, after = rest.partition(END)
    if not begin or not end:
        raise ScdError(f"the page has no '{BEGIN}' and '{END}'", "put the two lines where the figures belong")
    return f"{before}{BEGIN}\n\n{block}\n\n{END}{after}"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--results", type=Path, default=HERE / "ablation")
    folder: Path = parser.parse_args().results
    rows = read_rows(folder)
    found, page = summary(rows), folder.with_suffix(".md")
    folder.with_suffix(".json").write_text(json.dumps(found, indent=1) + "\n")
    write_png(folder.with_name(f"{folder.name}-sheet.png"), sheet(folder, rows), overwrite=True)
    page.write_text(replaced(page.read_text() if page.exists() else f"{BEGIN}\n{END}\n", text(found)))


if __name__ == "__main__":
    main()
