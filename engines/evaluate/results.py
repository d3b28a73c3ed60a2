"""What an evaluation found, as metrics.json (schema 1), metrics.csv and per_video.csv, and as figures with their intervals."""

import csv
import json
import platform
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import numpy as np

from engines.evaluate.metrics import Metric
from engines.evaluate.protocols import Pooling
from engines.evaluate.statistics import Interval, bootstrap, pooled

KIND, SCHEMA = "scd-evaluation", 1
PACKAGES = ("numpy", "opencv-python-headless", "pillow", "av", "torch", "onnxruntime", "onnxruntime-gpu", "transformers")
DIGITS = 7  # significant digits of a value per frame
PerFrame = dict[str, list[float | None]]  # video -> a value for each of its frames


@dataclass
class Figure:
    """One metric of the whole set. `value` is the headline, `means` both poolings, `n` what was counted, `per_video` the videos' means."""

    metric: Metric
    value: float
    n: dict[str, int]
    interval: Interval | None = None
    means: dict[Pooling, float] | None = None
    per_video: dict[str, float] = field(default_factory=dict)
    per_frame: PerFrame = field(default_factory=dict)
    weights: list[dict[str, str]] = field(default_factory=list)
    controls: dict[str, float] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)

    def entry(self) -> dict[str, Any]:
        """Its place in metrics.json."""
        m, i = self.metric, self.interval
        return {
            "name": m.name, "title": m.title, "unit": m.unit, "better": m.better, "scope": m.scope,
            "value": self.value, "pooled": self.means,
            "ci": None if i is None else [i.low, i.high], "ci_method": None if i is None else i.method, "n": self.n, "source": m.source,
            "weights": self.weights, "controls": self.controls, "notes": self.notes,
        }  # fmt: skip


def paired_figure(metric: Metric, values: PerFrame, pooling: Pooling) -> Figure | None:
    """Per-frame values -> the figure over videos; None where no frame has a value. A frame without a value does not count."""
    known = {video: [v for v in row if v is not None] for video, row in values.items()}
    per_video = {video: float(np.mean(row)) for video, row in known.items() if row}
    if not per_video:
        return None
    counts = [len(known[video]) for video in per_video]
    means = np.array(list(per_video.values()))
    both: dict[Pooling, float] = {"videos": float(means.mean()), "frames": pooled(means, np.array(counts, np.float64))}
    weights = [1.0] * len(counts) if pooling == "videos" else [float(c) for c in counts]
    n = {"videos": len(counts), "transitions" if metric.scope == "transition" else "frames": sum(counts)}
    return Figure(metric, both[pooling], n, bootstrap(list(means), weights), both, per_video, values)


def versions() -> dict[str, str]:
    """Of the packages that figures depend on, where they are installed."""
    out = {"python": platform.python_version()}
    for name in PACKAGES:
        try:
            out[name] = version(name)
        except PackageNotFoundError:
            continue
    return out


def rounded(value: float | None) -> float | None:
    return None if value is None else float(f"{value:.{DIGITS}g}")


def per_video(figures: Sequence[Figure], videos: Mapping[str, tuple[int, str | None]]) -> dict[str, Any]:
    """`videos`: frames and frame rate by id."""
    return {
        video: {"frames": frames, "fps": fps, "metrics": {f.metric.name: f.per_video[video] for f in figures if video in f.per_video}}
        for video, (frames, fps) in videos.items()
    }


def per_frame(figures: Sequence[Figure], numbers: Mapping[str, Sequence[int]]) -> dict[str, Any]:
    return {
        video: {
            "numbers": list(row),
            "metrics": {f.metric.name: [rounded(v) for v in f.per_frame[video]] for f in figures if video in f.per_frame},
        }
        for video, row in numbers.items()
    }


def write_tables(folder: Path, document: Mapping[str, Any]) -> None:
    """metrics.json, metrics.csv and per_video.csv into an existing folder."""
    text = json.dumps(document, indent=1, allow_nan=False, ensure_ascii=False)
    (folder / "metrics.json").write_text(text + "\n", encoding="utf-8")
    with (folder / "metrics.csv").open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(["metric", "value", "unit", "better", "ci_low", "ci_high", "videos", "samples", "protocol", "skipped"])
        protocol = document["protocol"]["text"]
        for m in document["metrics"]:
            samples = next((c for kind, c in m["n"].items() if kind != "videos"), m["n"]["videos"])
            writer.writerow(
                [m["name"], m["value"], m["unit"], m["better"], *(m["ci"] or ("", "")), m["n"]["videos"], samples, protocol, ""]
            )
        for s in document["skipped"]:
            writer.writerow([s["name"], *[""] * 7, protocol, s["reason"]])
    names = [m["name"] for m in document["metrics"] if m["scope"] != "corpus"]
    with (folder / "per_video.csv").open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(["video", "frames", *names])
        for video, entry in document["per_video"].items():
            writer.writerow([video, entry["frames"], *(entry["metrics"].get(name, "") for name in names)])
