"""A drawn dancer as data of report pages, the metrics.json that goes with it, and pictures of the page.

python -m tests.evaluate.report_making FOLDER [--videos 10] [--frames 100] [--still] writes FOLDER/report and screenshots into FOLDER.
"""

import argparse
import math
import shutil
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from fractions import Fraction
from functools import partial
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

from engines.core.report import NullReport
from engines.evaluate.pixel import Compared, mae, psnr, ssim_rgb_gaussian
from engines.evaluate.report.media import Panels
from engines.evaluate.report.page import write_report

Size = tuple[int, int]
METRICS: tuple[tuple[str, str, str, str, Callable[[Compared], float | None]], ...] = (
    ("mae", "MAE", "grey levels", "lower", mae),
    ("psnr", "PSNR", "dB", "higher", psnr),
    ("ssim_rgb_gaussian", "SSIM (RGB)", "", "higher", ssim_rgb_gaussian),
    ("l1_disco", "L1 (DisCo)", "", "lower", lambda frames: mae(frames) / frames.pred[..., 0].size),
    ("psnr_legacy_uint8", "PSNR, legacy uint8", "dB", "higher", lambda frames: 26 + psnr(frames) / 6),
)
BONES = ((0, 1), (1, 2), (1, 3), (2, 4), (3, 5), (1, 6), (6, 7), (6, 8), (7, 9), (8, 10))


def joints(video: int, index: int, size: Size) -> np.ndarray:
    """(11, 2) pixels: head, neck, shoulders' arms, hip, legs of a dancer who sways."""
    swing = math.sin(index / 7 + video)
    points = [
        (0.5, 0.17), (0.5, 0.3), (0.36, 0.4 - 0.1 * swing), (0.64, 0.4 + 0.1 * swing), (0.26, 0.44 - 0.24 * swing),
        (0.74, 0.44 + 0.24 * swing), (0.5, 0.58), (0.42, 0.75), (0.58, 0.75), (0.4 - 0.06 * swing, 0.94), (0.6 + 0.06 * abs(swing), 0.94),
    ]  # fmt: skip
    return (np.array(points) + np.array([0.08 * math.sin(index / 11 + video), 0])) * size


def draw(canvas: np.ndarray, points: np.ndarray, colours: Sequence[tuple[int, int, int]], thick: int) -> np.ndarray:
    for number, (a, b) in enumerate(BONES):
        ends = [tuple(int(v) for v in points[joint]) for joint in (a, b)]
        cv2.line(canvas, *ends, colours[number % len(colours)], thick, cv2.LINE_AA)
    cv2.circle(canvas, tuple(int(v) for v in points[0]), thick * 3 // 2, colours[0], -1, cv2.LINE_AA)
    return canvas


def truth(video: int, index: int, size: Size) -> np.ndarray:
    """uint8 (H, W, 3): the dancer in front of a wall with a gradient."""
    y, x = np.mgrid[: size[1], : size[0]] / max(size)
    wall = np.stack([150 + 70 * x, 160 + 50 * y + 6 * np.sin(video), 175 - 30 * x + 20 * np.cos(3 * y)], axis=-1)
    return draw(wall.astype(np.uint8), joints(video, index, size), [(215, 170, 140), (60, 70, 120), (150, 60, 60)], max(3, size[0] // 14))


def prediction(video: int, index: int, size: Size) -> np.ndarray:
    """The truth as a model makes it: shifted in time, softened and grainy, worse in later videos and now and then."""
    lag = video % 5 + 3 * (index % 40 > 30)
    soft = cv2.GaussianBlur(truth(video, index + lag, size), (0, 0), 0.6 + 0.15 * video)
    noise = np.random.default_rng([video, index]).normal(0, 3 + video / 2, soft.shape)
    return np.clip(soft + noise, 0, 255).astype(np.uint8)


def pose(video: int, index: int, size: Size) -> np.ndarray:
    black = np.zeros((size[1], size[0], 3), np.uint8)
    return draw(black, joints(video, index, size), [(255, 90, 60), (255, 200, 0), (60, 220, 90), (40, 150, 255)], max(2, size[0] // 50))


def stream(make: Callable[[int, int, Size], np.ndarray], video: int, frames: int, size: Size) -> Iterator[np.ndarray]:
    return (make(video, index, size) for index in range(frames))


def panels(ids: Sequence[str], frames: int, size: Size, fps: Fraction = Fraction(25)) -> list[Panels]:
    streams = {make.__name__: make for make in (prediction, truth, pose)}
    out = []
    for video, name in enumerate(ids):
        shown = {role: partial(stream, make, video, frames, size) for role, make in streams.items()}
        out.append(Panels(name, fps, partial(truth, video, 0, size), **shown))
    return out


def entry(name: str, title: str, unit: str, better: str, values: Mapping[str, float], frames: int) -> dict[str, Any]:
    value = float(np.mean(list(values.values())))
    error = float(np.std(list(values.values()))) / math.sqrt(len(values)) * 2
    return {
        "name": name, "title": title, "unit": unit, "better": better, "scope": "frame", "value": value,
        "pooled": {"videos": value, "frames": value}, "ci": [value - error, value + error],
        "ci_method": f"bootstrap over {len(values)} videos",
        "n": {"videos": len(values), "frames": frames * len(values)}, "source": f"definition of {title}", "weights": [],
        "controls": {"identity": 100.0 if "psnr" in name else 0.0 if better == "lower" else 1.0}, "notes": [],
    }  # fmt: skip


def corpus_entry(videos: int) -> dict[str, Any]:
    return {
        "name": "fid_clean", "title": "FID (clean-fid)", "unit": "", "better": "lower", "scope": "corpus", "value": 41.2, "pooled": None,
        "ci": [38.0, 44.4], "ci_method": "leave-one-video-out jackknife", "n": {"videos": videos, "pictures": 1000},
        "source": "Heusel et al. 2017; clean-fid's resize", "weights": [{"file": "inception.pth", "sha256": "6726825d" * 8}],
        "controls": {"identity": 0.0, "real_floor": 52.3},
        "notes": ["1000 pictures: below 2048 FID is mostly bias; compare at equal N only"],
    }  # fmt: skip


def measured(ids: Sequence[str], frames: int, size: Size) -> dict[str, dict[str, list[float | None]]]:
    """By video and metric a value for each frame; a change from the frame before as a metric of transitions."""
    out: dict[str, dict[str, list[float | None]]] = {}
    for video, name in enumerate(ids):
        pairs = [Compared(prediction(video, i, size), truth(video, i, size)) for i in range(frames)]
        out[name] = {metric: [judge(pair) for pair in pairs] for metric, *_, judge in METRICS}
        if frames > 1:
            out[name]["dtssd"] = [None] + [abs(a - b) + 1 for a, b in zip(out[name]["mae"][1:], out[name]["mae"], strict=False)]
    return out


def document(ids: Sequence[str], frames: int, size: Size, pictures: bool = False, **changes: Any) -> dict[str, Any]:
    """metrics.json, schema 1, of the drawn videos."""
    rows = measured(ids, frames, size)
    titles = [row[:4] for row in METRICS] + ([("dtssd", "dtSSD", "grey levels", "lower")] if frames > 1 else [])
    means = {t[0]: {video: float(np.mean([v for v in rows[video][t[0]] if v is not None])) for video in ids} for t in titles}
    square = {"name": "corrected", "crop": "centre-square", "size": [256, 256], "pooling": "videos"}
    native = {"name": "vitonhd-catvton", "crop": "none", "size": None, "pooling": "frames"}
    p = native if pictures else square
    return {
        "schema": 1, "kind": "scd-evaluation",
        "protocol": p | {
            "text": f"{p['name']}: centre square crop, 256x256 (pillow-bilinear); clips of 16 frames, stride 16, never across videos",
            "about": "DisCo's crop and size with its errors mended", "resize": "pillow-bilinear", "match": "none", "clip_frames": 16,
            "clip_stride": 16, "pictures": pictures,
        },
        "made": {
            "date": "2026-11-26", "command": "scd evaluate --pred results/scd-mini --gt data/truth --out report", "seconds": 12.3,
            "scd": "0.1.0", "machine": "Linux x86_64, 2 cores", "versions": {"python": "3.11.9", "numpy": "2.4.6", "av": "18.1.0"},
        },
        "inputs": {
            "pred": "results/scd-mini", "gt": "data/truth", "reference": None, "split": None,
            "layout": {"pred": "folder of frame folders", "gt": "TikTok tree"},
            "videos": len(ids), "frames": frames * len(ids), "pred_sha256": "0f" * 32, "gt_sha256": "a1" * 32,
        },
        "metrics": [entry(*t, means[t[0]], frames) for t in titles] + [corpus_entry(len(ids))],
        "skipped": [{"name": "fvd_i3d400", "title": "FVD", "reason": "skipped: i3d_pretrained_400.pt not found, get it from its authors"}],
        "warnings": ["only 10 videos: intervals are wide and rest on few samples"],
        "per_video": {v: {"frames": frames, "fps": "25", "metrics": {m: means[m][v] for m in means}} for v in ids},
        "per_frame": {v: {"numbers": list(range(frames)), "metrics": rows[v]} for v in ids},
    } | changes  # fmt: skip


def write(folder: Path, ids: Sequence[str], frames: int, size: Size, media: int = 12, pictures: bool = False, **changes: Any) -> Path:
    """folder/report.html with its media; returns the page."""
    folder.mkdir(parents=True, exist_ok=True)
    write_report(folder, document(ids, frames, size, pictures, **changes), panels(ids, frames, size), NullReport(), media)
    return folder / "report.html"


@contextmanager
def browser() -> Iterator[Any]:
    """Headless Chromium; the test is skipped where it or playwright is not installed."""
    api = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
    program = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
    if program is None:
        pytest.skip("no Chromium is installed")
    with api.sync_playwright() as playwright:
        opened = playwright.chromium.launch(executable_path=program, args=["--no-sandbox"])
        try:
            yield opened
        finally:
            opened.close()


VIEWS: dict[str, dict[str, Any]] = {
    "desktop": {"viewport": {"width": 1280, "height": 900}},
    "phone": {"viewport": {"width": 360, "height": 740}, "device_scale_factor": 2},
    "dark": {"viewport": {"width": 1280, "height": 900}, "color_scheme": "dark"},
}


def photograph(page_file: Path, folder: Path) -> None:
    """Every view of the page, whole, with the first clips moved to frame 20."""
    with browser() as chromium:
        for name, options in VIEWS.items():
            page = chromium.new_page(**options)
            page.goto(page_file.as_uri())
            for scrub in page.locator(".scrub").all()[:1]:
                scrub.scroll_into_view_if_needed()
                scrub.evaluate("s => { s.value = 20; s.dispatchEvent(new Event('input')); }")
                page.wait_for_timeout(600)
            for y in range(0, int(page.evaluate("document.body.scrollHeight")), 700):  # what is lazy loads when it is near
                page.evaluate(f"scrollTo({{top: {y}, behavior: 'instant'}})")
                page.wait_for_timeout(50)
            page.evaluate("scrollTo({top: 0, behavior: 'instant'})")
            page.wait_for_timeout(200)
            page.screenshot(path=folder / f"{name}.png", full_page=True)
            if name == "desktop":
                page.pdf(path=folder / "print.pdf")
            page.close()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--videos", type=int, default=10)
    parser.add_argument("--frames", type=int, default=100)
    parser.add_argument("--still", action="store_true", help="pairs of pictures, as of try-on")
    chosen = parser.parse_args()
    ids = [f"dance_{number:03d}" for number in range(chosen.videos)]
    frames, size = (1, (384, 512)) if chosen.still else (chosen.frames, (256, 256))
    shutil.rmtree(chosen.folder / "report", ignore_errors=True)
    started = time.monotonic()
    page = write(chosen.folder / "report", ids, frames, size, pictures=chosen.still)
    print(f"{time.monotonic() - started:.1f} s with drawing and measuring")
    photograph(page, chosen.folder)


if __name__ == "__main__":
    main()
