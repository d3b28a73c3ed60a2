"""The figures of docs/footage.md: one command from a photo and a film, what each stage took, and how still the background is.

python docs/make_footage.py [--reference PHOTO] [--driver FILM] [--out FOLDER]

Without arguments it reads the clips beside the project (../shared/testdata). Writes docs/skeletons.png: what was detected in the film,
drawn on black, because the film itself is not ours to show. The background's figures are of examples/, with and without --composite.
"""

import argparse
import json
import os
import tempfile
from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from engines.core.keypoints import DRAWN_FROM
from engines.core.report import NullReport
from engines.generate.animate import animate
from engines.generate.finish import person_mask
from engines.generate.request import AnimateRequest
from engines.generate.studio import Studio
from engines.media.fit import resize
from engines.media.images import read_image, write_png
from engines.media.sheets import contact_sheet
from engines.media.video import probe
from engines.pose.draw import DrawStyle, draw_pose
from engines.pose.filmed import film_track
from engines.pose.networks import networks

HERE = Path(__file__).parent
TESTDATA = HERE.parents[1] / "shared" / "testdata"
EXAMPLES = HERE.parent / "examples"
TILE, COLUMNS, WIDTH = (320, 180), 6, 1920
EVERY = 3  # frames between two of the sheet


def footage(reference: Path, driver: Path, folder: Path) -> dict[str, Any]:
    """One command, and what came of it."""
    summary = animate(
        AnimateRequest(reference=reference, poses=driver, output=folder / "clip.mp4", model="mini", overwrite=True), NullReport()
    )
    info = probe(folder / "clip.mp4")
    each = {stage: round(1000 * seconds / summary.frames, 1) for stage, seconds in summary.seconds.items()}
    said = {"frames": info.frames, "fps": str(info.fps), "size": info.size, "sound": info.sound, "steps": summary.steps}
    return said | {"driver": summary.driver_kind, "align": summary.align, "milliseconds a frame": each}


def skeletons(driver: Path, studio: Studio) -> NDArray[np.uint8]:
    """Every third frame's skeleton, with its number."""
    track, warnings = film_track(driver, 0, None, studio.detector(None), NullReport())
    numbers = range(0, len(track.points), EVERY)
    print(f"frames with a person: {int((track.points[..., 2] >= DRAWN_FROM).any((1, 2)).sum())} of {len(track.points)}", *warnings)
    drawn = [draw_pose(track.points[number], track.size, TILE, DrawStyle(width=1.5)) for number in numbers]
    return contact_sheet(drawn, COLUMNS, WIDTH, [str(number) for number in numbers])


def stillness(folder: Path, studio: Studio) -> dict[str, float]:
    """Mean absolute change of neighbouring frames in grey levels, outside of where the reference or any frame has the person."""
    request = AnimateRequest(
        reference=EXAMPLES / "ref.png", poses=EXAMPLES / "dance.mp4", output=folder / "plain.png", model="mini", overwrite=True
    )
    frames = {}
    for name, asked in (("plain", request), ("composite", replace(request, output=folder / "composite.png", composite=True))):
        animate(asked, NullReport(), studio)
        frames[name] = np.stack([read_image(path) for path in sorted(asked.output.iterdir())])
    shown = resize(read_image(request.reference), (frames["plain"].shape[2], frames["plain"].shape[1]))
    people = np.max([person_mask(studio.segmenter(), picture) for picture in (shown, *frames["plain"])], axis=0)
    still = people <= 0
    out = {"share of the picture": round(float(still.mean()), 3)}
    for name, clip in frames.items():
        moved = [np.abs(b.astype(np.int16) - a)[still].mean() for a, b in pairwise(clip)]
        out[name] = round(float(np.mean(moved)), 4)
        out[f"{name}, off the reference"] = round(float(np.abs(clip.astype(np.int16) - shown)[:, still].mean()), 3)
    return out


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--reference", type=Path, default=TESTDATA / "references" / "wan_reference.jpeg")
    parser.add_argument("--driver", type=Path, default=TESTDATA / "drivers" / "person_dance_1080p_audio.mp4")
    parser.add_argument("--out", type=Path, help="folder for the clips")
    options = parser.parse_args()
    studio = Studio(NullReport(), lasting=True)
    with tempfile.TemporaryDirectory(prefix="scd-footage-") as temporary:
        os.environ["SCD_CACHE"] = temporary  # poses that an earlier run has kept would take no time
        networks(NullReport())
        folder = options.out or Path(temporary)
        print(json.dumps(footage(options.reference, options.driver, folder), indent=1))
        write_png(HERE / "skeletons.png", skeletons(options.driver, studio), overwrite=True)
        print("background:", json.dumps(stillness(folder, studio), indent=1))


if __name__ == "__main__":
    main()
