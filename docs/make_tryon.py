"""scd-mini-tryon judged on held-out people in garments of others, whose truth the renderer knows: docs/tryon.json and docs/tryon-sheet.png.

    python docs/make_tryon.py --data PAIRS --work FOLDER [--model mini-tryon] [--every 2] [--masks found]

PAIRS is a set of `scd prepare-data synthetic --layout viton-hd`; judged is its part test, unpaired, against test/unpaired, inside the masks
alone. `scd tryon` makes the pictures, `scd evaluate` judges them. Beside the results two rivals: "paste" lays the garment's picture into
the mask's box, "null" is the same network with the null reference (--guidance 0), and with --renoised the same network with the known part
put back with the noise of each step instead of clean. `--masks found` leaves the data set's masks aside: they are found in the pictures.
"""

import argparse
import json
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from engines.core.bundle import read_bundle, resolve_model
from engines.core.pairs import Pair, read_pairs
from engines.core.report import NullReport
from engines.generate.known import Known
from engines.generate.studio import Studio
from engines.generate.tryon import tryon
from engines.generate.tryon_request import MaskWish, TryonRequest
from engines.media.crop import MARGIN, window_around
from engines.media.fit import fit_and_pad, resize
from engines.media.images import read_image, write_png

HERE = Path(__file__).parent
PROTOCOL = "vitonhd-hrviton"  # pictures at their own size
METRICS = ("psnr_masked", "ssim_masked")
ROWS, TILE = 8, (144, 192)  # of the sheet; width, height


def scd(*arguments: object) -> None:
    subprocess.run([sys.executable, "-m", "scd_cli", *map(str, arguments)], check=True)


def chosen_list(pairs: Sequence[Pair], path: Path) -> Path:
    """A list of these pairs, in the spelling of the data sets."""
    path.write_text("".join(f"{pair.person.name} {pair.garment.name}\n" for pair in pairs))
    return path


def paste(pair: Pair, mask: np.ndarray) -> np.ndarray:
    """The garment, cut to where it is, stretched over the mask's box, shown inside the mask."""
    person, garment = read_image(pair.person), read_image(pair.garment)
    there = read_image(pair.garment.parents[1] / "cloth-mask" / pair.garment.name)[..., 0] > 127
    own, box = (cv2.boundingRect(m.astype(np.uint8)) for m in (there, mask))
    cut = np.ascontiguousarray(garment[own[1] : own[1] + own[3], own[0] : own[0] + own[2]])
    out = person.copy()
    out[box[1] : box[1] + box[3], box[0] : box[0] + box[2]] = resize(cut, (box[2], box[3]))
    return np.where(mask[..., None], out, person)


def renoised(pairs: Sequence[Pair], work: Path, model: str) -> None:
    """The same try-ons, but with the known part noised to each step's timestep, as samplers that know nothing of masks do it."""
    facts, mixed = read_bundle(resolve_model(model)).facts, Known.mixed
    alphas, path = facts.schedule.alphas_cumprod(), list[int]()

    def noised(self: Known, latents: np.ndarray) -> np.ndarray:
        alpha = alphas[path.pop(0)] if path else 1.0
        noise = np.random.default_rng(len(path)).standard_normal(self.latents.shape, dtype=np.float32)
        known = np.float32(alpha**0.5) * self.latents + np.float32((1 - alpha) ** 0.5) * noise
        return np.asarray(np.where(self.mask > 0, latents, known), np.float32)

    studio = Studio(NullReport(), lasting=True)
    Known.mixed = noised  # type: ignore[method-assign]
    try:
        for pair in pairs:
            path[:] = facts.schedule.timesteps(facts.sampling.steps).tolist()
            wish = MaskWish(file=pair.mask, keypoints=pair.keypoints, category=pair.category or "upper")
            output = work / "renoised" / f"{pair.name}.png"
            output.parent.mkdir(parents=True, exist_ok=True)
            tryon(TryonRequest(person=pair.person, garment=pair.garment, output=output, model=model, mask=wish, overwrite=True,
                               mask_out=work / "unused.png"), NullReport(), studio)  # fmt: skip
    finally:
        Known.mixed = mixed  # type: ignore[method-assign]
        studio.close()


def judged(who: str, work: Path, truth: Path, split: Path) -> dict[str, Any]:
    """What `scd evaluate` finds, by metric: mean over the pictures and its interval."""
    report = work / f"report-{who}"
    scd("evaluate", "--pred", work / who, "--gt", truth, "--masks", work / "results-masks", "--split", split, "--protocol", PROTOCOL,
        "--metrics", ",".join(METRICS), "--overwrite", "--out", report)  # fmt: skip
    found = json.loads((report / "metrics.json").read_text())["metrics"]
    return {m["name"]: {"value": round(m["value"], 4), "ci": [round(x, 4) for x in m["ci"]]} for m in found if m["name"] in METRICS}


def with_print(data: Path) -> set[str]:
    """Names of the people whose garment has a word or a sign on its chest."""
    records = map(json.loads, (data / "pairs.jsonl").read_text().splitlines())
    return {r["id"] for r in records if r["category"] != "lower" and r["clothes"]["print"]}


def spread(pairs: Sequence[Pair], count: int) -> list[Pair]:
    return [pairs[i] for i in np.linspace(0, len(pairs) - 1, count).round().astype(int)]


def row(pair: Pair, work: Path, truth: Path) -> np.ndarray:
    """Garment, then what `scd tryon` looks at around the mask of: person, mask, paste, null, result, truth."""
    name = f"{pair.name}.png"
    places = [pair.person, work / "results-masks" / name, *(work / who / name for who in ("paste", "null", "results")), truth / name]
    pictures = [read_image(path) for path in places]
    window = window_around(pictures[1][..., 0] > 127, (pictures[0].shape[1], pictures[0].shape[0]), MARGIN)
    shown = [read_image(pair.garment), *(np.ascontiguousarray(picture[window.place]) for picture in pictures)]
    return np.concatenate([fit_and_pad(picture, TILE, "edge")[0] for picture in shown], axis=1)


def sheet(pairs: Sequence[Pair], work: Path, truth: Path, prints: set[str]) -> np.ndarray:
    """Two columns of rows: garments with a print, and all others."""
    columns = [[pair for pair in pairs if (pair.garment.stem in prints) == printed] for printed in (True, False)]
    return np.concatenate([np.concatenate([row(pair, work, truth) for pair in spread(column, ROWS)]) for column in columns], axis=1)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--work", type=Path, required=True, help="folder for pictures and reports; finished pictures there are kept")
    parser.add_argument("--model", default="mini-tryon")
    parser.add_argument("--every", type=int, default=2, help="of the pairs, one in so many")
    parser.add_argument("--masks", choices=("given", "found"), default="given")
    parser.add_argument("--renoised", action="store_true", help="also judge the known part with noise")
    asked = parser.parse_args()
    work, truth = asked.work, asked.data / "test" / "unpaired"
    work.mkdir(parents=True, exist_ok=True)
    pairs = read_pairs(asked.data, "test", None, False)[:: asked.every]
    listed, split = chosen_list(pairs, work / "pairs.txt"), work / "split.txt"
    split.write_text("".join(f"{pair.name}\n" for pair in pairs))
    options = ("--root", asked.data, "--part", "test", "--pairs", listed, "--unpaired", "--model", asked.model)
    found = ("--mask-style", "limbs") if asked.masks == "found" else ()
    scd("tryon", *options, *found, "-o", work / "results")
    scd("tryon", *options, "--guidance", "0", "--mask", work / "results-masks", "-o", work / "null")
    (work / "paste").mkdir(exist_ok=True)
    for pair in pairs:
        write_png(
            work / "paste" / f"{pair.name}.png", paste(pair, read_image(work / "results-masks" / f"{pair.name}.png")[..., 0] > 127), True
        )
    who = ["results", "null", "paste"]
    if asked.renoised:
        renoised(pairs, work, asked.model)
        who.append("renoised")
    figures = {name: judged(name, work, truth, split) for name in who}
    summary = {"pairs": len(pairs), "model": read_bundle(resolve_model(asked.model)).facts.name, "masks": asked.masks, **figures}
    print(json.dumps(summary, indent=1))
    if asked.masks == "given":
        (HERE / "tryon.json").write_text(json.dumps(summary, indent=1) + "\n")
        write_png(HERE / "tryon-sheet.png", sheet(pairs, work, truth, with_print(asked.data)), True)


if __name__ == "__main__":
    main()
