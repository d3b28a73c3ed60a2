"""Judges the masks of `scd tryon --mask-only` against the renderer's own: prints recall and precision, writes docs/masks.png.

    python docs/make_masks.py --data DATA [--every 5]

Clips of the split `test` of a data set of `scd prepare-data synthetic`, every fifth frame, poses detected. The sheet shows pictures from
the worst to the best by the smaller of recall and precision: green is found, red too much, blue missed.
"""

import argparse
import json
from pathlib import Path

import cv2
import numpy as np

from engines.core.garments import CATEGORIES
from engines.core.manifest import Clip, read_manifest
from engines.core.report import NullReport
from engines.media.images import read_image, write_png
from engines.media.sheets import contact_sheet
from engines.pose.blazepose import BlazePose
from engines.pose.filmed import picture_pose
from engines.pose.garment import garment_mask
from engines.pose.networks import networks
from engines.pose.segment import Segmenter

HERE = Path(__file__).parent
FEWEST = 200  # pixels of a garment that counts
SHOWN = {"upper": 20, "lower": 16, "dress": 4}


def hits(mask: np.ndarray, truth: np.ndarray) -> tuple[float, float]:
    """Recall and precision."""
    both = float((mask & truth).sum())
    return both / float(truth.sum()), both / max(1.0, float(mask.sum()))


def painted(picture: np.ndarray, mask: np.ndarray, truth: np.ndarray) -> np.ndarray:
    out = picture.copy()
    for place, colour in ((mask & truth, (0, 110, 0)), (mask & ~truth, (125, 0, 0)), (truth & ~mask, (0, 0, 125))):
        out[place] = out[place] // 2 + np.array(colour, np.uint8)
    return out


def judge(data: Path, clip: Clip, every: int, detector: BlazePose, segmenter: Segmenter) -> list[tuple[str, float, float, np.ndarray]]:
    """Category, recall, precision and the painted picture, for each garment in each of the frames."""
    out = []
    for index in range(0, clip.frames, every):
        picture = read_image(data / clip.frame_path(index))
        labels = cv2.imread(str(data / clip.label_path(index)), cv2.IMREAD_GRAYSCALE)
        pose, person = picture_pose(picture, detector), segmenter.mask(picture)
        for category in CATEGORIES:
            truth = labels == clip.label_ids[category]
            if truth.sum() >= FEWEST:
                found = None if pose is None else garment_mask(picture, pose[0], person, category)
                mask = np.zeros_like(truth) if found is None else found
                out.append((category, *hits(mask, truth), painted(picture, mask, truth)))
    return out


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--every", type=int, default=5)
    chosen = parser.parse_args()
    folder = networks(NullReport())
    detector, segmenter = BlazePose(folder), Segmenter(folder)
    clips = read_manifest(chosen.data, "test")
    rows = [row for clip in clips for row in judge(chosen.data, clip, chosen.every, detector, segmenter)]
    figures, tiles = {}, []
    for category in CATEGORIES:
        own = sorted((row for row in rows if row[0] == category), key=lambda row: min(row[1:3]))
        recall, precision = np.mean([row[1:3] for row in own], axis=0)
        figures[category] = {"pictures": len(own), "recall": round(float(recall), 3), "precision": round(float(precision), 3)}
        tiles += [own[i] for i in np.linspace(0, len(own) - 1, min(len(own), SHOWN[category])).round().astype(int)]
    print(json.dumps({"people": len(clips), **figures}, indent=1))
    write_png(HERE / "masks.png", contact_sheet([t[3] for t in tiles], 10, 1600, [f"{t[1]:.2f} {t[2]:.2f}" for t in tiles]), overwrite=True)


if __name__ == "__main__":
    main()
