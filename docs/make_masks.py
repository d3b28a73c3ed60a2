"""Judges the masks of `scd tryon --mask-only`, and writes sheets to look at.

    python docs/make_masks.py --data DATA [--every 5] [--tuned N]     against the renderer's own masks: recall, precision, docs/masks.png
    python docs/make_masks.py --photos FOLDER                         on real photos and parse maps: docs/masks-photos.png

DATA is a data set of `scd prepare-data synthetic`, of which the split `test` is taken, every so many frames, poses detected. Figures are
printed for all its people and for those after the first N, which nobody looked at while the masks were tuned. The sheet shows pictures
from the worst to the best by the smaller of recall and precision: green is found, red too much, blue missed.

FOLDER is `shared/testdata/tryon`. Its photos stay where they are: the sheet has the masks alone, white, with what is kept of face and
hands as outlines; one column a style, `shape`, `limbs` and `box`. For the photo that has parse maps, the masks from its pose are judged
against those.
"""

import argparse
import json
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from engines.core.garments import CATEGORIES, MASK_STYLES, PARSE_LABELS, Category, ParseLabels
from engines.core.manifest import Clip, read_manifest
from engines.core.report import NullReport
from engines.generate.masking import find_mask
from engines.generate.studio import Studio
from engines.generate.tryon_request import MaskWish
from engines.media.images import read_image, write_png
from engines.media.sheets import contact_sheet
from engines.pose.filmed import picture_pose
from engines.pose.garment import face_and_hands
from engines.pose.worn import garment_mask

HERE = Path(__file__).parent
FEWEST = 200  # pixels of a garment that counts
SHOWN = {"upper": 20, "lower": 16, "dress": 4}
PARSED, MAPS = "schp_photo_2000px.jpg", "schp_parse_{}.png"
PHOTOS: tuple[tuple[str, Category, ParseLabels | None], ...] = (
    ("omnitry_person_top_cloth.jpg", "upper", None), ("omnitry_person_bottom_cloth.jpg", "lower", None),
    ("omnitry_person_dress.jpg", "dress", None), ("fashn_model.webp", "upper", None), ("fashn_model.webp", "lower", None),
    (PARSED, "upper", None), *((PARSED, "upper", labels) for labels in PARSE_LABELS),
)  # fmt: skip
Row = tuple[str, float, float, np.ndarray]


def hits(mask: np.ndarray, truth: np.ndarray) -> tuple[float, float]:
    """Recall and precision."""
    both = float((mask & truth).sum())
    return both / float(truth.sum()), both / max(1.0, float(mask.sum()))


def painted(picture: np.ndarray, mask: np.ndarray, truth: np.ndarray) -> np.ndarray:
    out = picture.copy()
    for place, colour in ((mask & truth, (0, 110, 0)), (mask & ~truth, (125, 0, 0)), (truth & ~mask, (0, 0, 125))):
        out[place] = out[place] // 2 + np.array(colour, np.uint8)
    return out


def judge(data: Path, clip: Clip, every: int, studio: Studio) -> list[Row]:
    """Category, recall, precision and the painted picture, for each garment in each of the frames."""
    out = []
    for index in range(0, clip.frames, every):
        picture = read_image(data / clip.frame_path(index))
        labels = cv2.imread(str(data / clip.label_path(index)), cv2.IMREAD_GRAYSCALE)
        pose, person = picture_pose(picture, studio.detector(None)), studio.segmenter().mask(picture)
        for category in CATEGORIES:
            truth = labels == clip.label_ids[category]
            if truth.sum() >= FEWEST:
                found = None if pose is None else garment_mask(picture, pose[0], person, category)
                mask = np.zeros_like(truth) if found is None else found
                out.append((category, *hits(mask, truth), painted(picture, mask, truth)))
    return out


def figures(rows: list[Row]) -> dict[str, Any]:
    """Means over the pictures of each category."""
    out = {}
    for category in CATEGORIES:
        own = [row[1:3] for row in rows if row[0] == category]
        if own:
            recall, precision = np.mean(own, axis=0)
            out[category] = {"pictures": len(own), "recall": round(float(recall), 3), "precision": round(float(precision), 3)}
    return out


def rendered(data: Path, every: int, tuned: int, studio: Studio) -> None:
    """Prints the figures and writes the sheet."""
    clips = read_manifest(data, "test")
    people = [judge(data, clip, every, studio) for clip in clips]
    rows = [row for person in people for row in person]
    said = {"people": len(clips), **figures(rows)}
    if tuned:
        said["untouched"] = {"people": len(clips) - tuned, **figures([row for person in people[tuned:] for row in person])}
    print(json.dumps(said, indent=1))
    tiles = []
    for category in CATEGORIES:
        own = sorted((row for row in rows if row[0] == category), key=lambda row: min(row[1:3]))
        tiles += [own[i] for i in np.linspace(0, len(own) - 1, min(len(own), SHOWN[category])).round().astype(int)]
    write_png(HERE / "masks.png", contact_sheet([t[3] for t in tiles], 10, 1600, [f"{t[1]:.2f} {t[2]:.2f}" for t in tiles]), overwrite=True)


def drawn(mask: np.ndarray, points: np.ndarray | None) -> np.ndarray:
    """White on black, with the outlines of the face and hands that were kept."""
    out = np.repeat(np.where(mask, 255, 0).astype(np.uint8)[..., None], 3, axis=2)
    if points is not None:
        edges, _ = cv2.findContours(face_and_hands(mask.shape, points).astype(np.uint8), cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_NONE)
        cv2.drawContours(out, edges, -1, (150, 150, 150), max(2, mask.shape[0] // 200))
    return out


def photos(folder: Path, studio: Studio) -> None:
    """Writes the sheet of photos and prints what the parse maps say of the masks from the pose."""
    tiles, names, masks = [], [], {}
    for name, category, labels in PHOTOS:
        picture = read_image(folder / name)
        for style in MASK_STYLES:
            parse = None if labels is None else folder / MAPS.format(labels)
            found = find_mask(picture, folder / name, MaskWish(category=category, style=style, parse=parse, parse_labels=labels), studio)
            tiles.append(drawn(found.mask, found.points))
            names.append(f"{labels or category} {style}")
            masks[name, labels, style] = found.mask
    for labels in PARSE_LABELS:
        wish = MaskWish(style="shape", parse=folder / MAPS.format(labels), parse_labels=labels, grow=0)
        truth = find_mask(read_image(folder / PARSED), folder / PARSED, wish, studio).mask
        recall, precision = hits(masks[PARSED, None, "shape"], truth)
        print(f"{PARSED} against {labels}: recall {recall:.3f}, precision {precision:.3f}")
    write_png(HERE / "masks-photos.png", contact_sheet(tiles, 6, 1600, names), overwrite=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    what = parser.add_mutually_exclusive_group(required=True)
    what.add_argument("--data", type=Path)
    what.add_argument("--photos", type=Path)
    parser.add_argument("--every", type=int, default=5)
    parser.add_argument("--tuned", type=int, default=0)
    chosen = parser.parse_args()
    studio = Studio(NullReport(), lasting=True)
    if chosen.photos is not None:
        photos(chosen.photos, studio)
    else:
        rendered(chosen.data, chosen.every, chosen.tuned, studio)


if __name__ == "__main__":
    main()
