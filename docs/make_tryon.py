"""scd-mini-tryon judged on held-out people in garments of others, of which the renderer knows the truth: docs/tryon.json and tryon-sheet.png.

    python docs/make_tryon.py --data PAIRS --work FOLDER [--model mini-tryon] [--pairs 96] [--steps N] [--masks given|found]

PAIRS is a set of `scd prepare-data synthetic --layout viton-hd`; judged is its part test, unpaired, against test/unpaired, inside the masks
alone. Everything goes through the command line: `scd tryon` makes the pictures, `scd evaluate` judges them. Beside the result two rivals:
"paste" lays the garment's picture into the mask's box, "null" is the same network with the null reference (--guidance 0).
"""

import argparse
import json
import subprocess
import sys
from pathlib import Path

import cv2
import numpy as np

from engines.core.pairs import Pair, read_pairs
from engines.media.fit import resize
from engines.media.images import read_image, write_png
from engines.media.sheets import contact_sheet

HERE = Path(__file__).parent
METRICS = ("psnr_masked", "ssim_masked")
SHOWN = 14


def scd(*words: object) -> str:
    done = subprocess.run([sys.executable, "-m", "scd_cli", *map(str, words)], capture_output=True, text=True)
    if done.returncode:
        sys.exit(f"scd {' '.join(map(str, words))}: {done.stderr[-2000:]}")
    return done.stdout


def paste(pair: Pair, mask: np.ndarray) -> np.ndarray:
    """The garment, cut to where it is, stretched over the mask's box, shown inside the mask."""
    person, garment = read_image(pair.person), read_image(pair.garment)
    there = read_image(pair.garment.parents[1] / "cloth-mask" / pair.garment.name)[..., 0] > 127
    own, box = (cv2.boundingRect(m.astype(np.uint8)) for m in (there, mask))
    cut = garment[own[1] : own[1] + own[3], own[0] : own[0] + own[2]]
    out = person.copy()
    out[box[1] : box[1] + box[3], box[0] : box[0] + box[2]] = resize(np.ascontiguousarray(cut), (box[2], box[3]))
    return np.where(mask[..., None], out, person)


def judged(name: str, work: Path, truth: Path) -> dict[str, float]:
    """Means over the pictures, and their intervals."""
    report = work / f"report-{name}"
    scd("evaluate", "--pred", work / name, "--gt", truth, "--masks", work / "masks", "--metrics", ",".join(METRICS), "--out", report, "--overwrite")
    found = json.loads((report / "metrics.json").read_text())
    return {metric: found["metrics"][metric] for metric in METRICS}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--work", type=Path, required=True)
    parser.add_argument("--model", default="mini-tryon")
    parser.add_argument("--pairs", type=int, default=96)
    parser.add_argument("--steps", type=int, default=0)
    parser.add_argument("--masks", choices=("given", "found"), default="given")
    print(parser.parse_args())


if __name__ == "__main__":
    main()
