"""scd-mini judged by `scd evaluate` on held-out people in held-out motion: writes docs/evaluation.json and the report's screenshots.

    python docs/make_evaluation.py --data DATA --work FOLDER [--clips 53] [--pairs 32]

Everything goes through the command line: `scd animate --jobs` makes the clips, `scd evaluate` judges them. "pairs" are the 64 pairs of
docs/make_mini.py, two late poses of each of 32 people, with masks of the person in reference and truth; "clips" are whole clips at the
model's size. "copied" answers every pose with the reference; `scd evaluate --compare` sets it beside the model.
"""

import argparse
import csv
import json
import shutil
import subprocess
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from engines.core.keypoints import PoseTrack
from engines.core.manifest import Clip, read_manifest
from engines.media.fit import fit_and_pad
from engines.media.images import read_image
from engines.pose.files import load_track, save_track

HERE = Path(__file__).parent
SIZE = (192, 256)
OPTIONS = ("--steps", "25", "--guidance", "1", "--align", "none")
EACH = 2  # poses of a person


def scd(*arguments: object) -> None:
    subprocess.run([sys.executable, "-m", "scd_cli", *map(str, arguments)], check=True)


def jobs(path: Path, rows: Iterable[tuple[Path, Path, Path, Path]]) -> Path:
    """A job list of `scd animate`: reference, poses, the reference's pose, output."""
    with path.open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["ref", "poses", "ref-pose", "out"])
        writer.writerows(rows)
    return path


def targets(clip: Clip) -> list[int]:
    """The frames that docs/make_mini.py judges."""
    return [int(n) for n in np.linspace(clip.frames // 2, clip.frames - 1, EACH).round()]


def write(path: Path, picture: Any) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    cv2.imwrite(str(path), picture[..., ::-1] if picture.ndim == 3 else picture)


def person(data: Path, clip: Clip, index: int) -> Any:
    labels = cv2.imread(str(data / clip.label_path(index)), cv2.IMREAD_GRAYSCALE)
    assert labels is not None
    return cv2.resize(labels, SIZE, interpolation=cv2.INTER_NEAREST) > 0


def make_pairs(data: Path, clips: list[Clip], work: Path) -> None:
    """pairs/{truth,masks,copied,poses}: frames and masks at the model's size, keypoints of the poses asked for; then pairs/pred."""
    rows = []
    (work / "pairs" / "pred").mkdir(parents=True, exist_ok=True)
    for clip in clips:
        track, name = load_track(data / clip.keypoints), clip.clip_id
        poses = work / "pairs" / "poses" / f"{name}.npz"
        poses.parent.mkdir(parents=True, exist_ok=True)
        save_track(poses, PoseTrack(track.points[targets(clip)], track.size, track.fps), True)
        for number, index in enumerate(targets(clip)):
            for side, frame in (("truth", index), ("copied", 0)):
                picture = fit_and_pad(read_image(data / clip.frame_path(frame)), SIZE, "edge")[0]
                write(work / "pairs" / side / name / f"{number:06d}.png", picture)
            mask = (person(data, clip, 0) | person(data, clip, index)).astype(np.uint8) * 255
            write(work / "pairs" / "masks" / name / f"{number:06d}.png", mask)
        reference = data / clip.frame_path(0)
        rows.append((reference, poses, data / clip.keypoints, work / "pairs" / "pred" / f"{name}.png"))
    scd("animate", "--jobs", jobs(work / "pairs.csv", rows), *OPTIONS)


def make_clips(data: Path, clips: list[Clip], work: Path) -> None:
    """clips/pred by the model, clips/copied: the reference again and again."""
    (work / "clips" / "pred").mkdir(parents=True, exist_ok=True)
    rows = [(data / c.frame_path(0), data / c.keypoints, data / c.keypoints, work / "clips" / "pred" / f"{c.clip_id}.png") for c in clips]
    scd("animate", "--jobs", jobs(work / "clips.csv", rows), *OPTIONS)
    for clip in clips:
        still = fit_and_pad(read_image(data / clip.frame_path(0)), SIZE, "edge")[0]
        for index in range(clip.frames):
            write(work / "clips" / "copied" / clip.clip_id / f"{index:06d}.png", still)


def screenshots(page: Path, top: Path, video: Path) -> None:
    """The top of a report page, and its first video in dark mode, in an installed Chromium."""
    from playwright.sync_api import sync_playwright

    with sync_playwright() as play:
        browser = play.chromium.launch(executable_path=shutil.which("chromium"), args=["--no-sandbox"])
        for colours, height, selector, out in (("light", 1300, "h1", top), ("dark", 900, "article", video)):
            tab = browser.new_page(viewport={"width": 1200, "height": height}, color_scheme=colours)
            tab.goto(page.resolve().as_uri())
            first = tab.locator(selector).first
            first.scroll_into_view_if_needed()
            tab.wait_for_timeout(1000)
            if selector == "h1":
                tab.screenshot(path=str(out))
            else:
                first.screenshot(path=str(out))
        browser.close()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--work", type=Path, required=True, help="folder for clips and reports; finished clips there are kept")
    parser.add_argument("--clips", type=int, default=53)
    parser.add_argument("--pairs", type=int, default=32)
    chosen = parser.parse_args()
    data, work = chosen.data, chosen.work
    clips = read_manifest(data, "test")[: chosen.clips]
    work.mkdir(parents=True, exist_ok=True)
    make_pairs(data, clips[: chosen.pairs], work)
    make_clips(data, clips, work)
    split = work / "test.txt"
    split.write_text("".join(f"{clip.clip_id}\n" for clip in clips))
    summary: dict[str, Any] = {}
    for who in ("pred", "copied"):
        pairs, whole = work / "pairs", work / "clips"
        scd("evaluate", "--pred", pairs / who, "--gt", pairs / "truth", "--masks", pairs / "masks", "--protocol", "native", "--overwrite",
            "--out", work / f"pairs-{who}")  # fmt: skip
        scd("evaluate", "--pred", whole / who, "--gt", data, "--split", split, "--resize", "prediction", "--protocol", "native",
            "--metrics", "protocol,pck,oks", "--overwrite", "--out", work / f"clips-{who}")  # fmt: skip
        for kind in ("pairs", "clips"):
            document = json.loads((work / f"{kind}-{who}" / "metrics.json").read_text())
            summary[f"{kind}-{who}"] = {k: document[k] for k in ("protocol", "made", "inputs", "metrics", "skipped", "warnings")}
    compared = work / "compared.json"
    scd("evaluate", "--compare", work / "clips-pred", work / "clips-copied", "--overwrite", "--out", compared)
    summary["compared"] = json.loads(compared.read_text())
    screenshots(work / "clips-pred" / "report.html", HERE / "report.png", HERE / "report-video.png")
    (HERE / "evaluation.json").write_text(json.dumps(summary, indent=1) + "\n")


if __name__ == "__main__":
    main()
