"""Makes docs/dance.png, README's picture: the reference of examples/, skeletons of its dance, and what `scd animate` makes of them.

python docs/make_dance.py [--model mini|FOLDER]
"""

import argparse
import tempfile
from pathlib import Path

import cv2
import numpy as np

from engines.core.report import NullReport
from engines.generate.animate import animate
from engines.generate.request import AnimateRequest
from engines.media.images import read_image, write_png
from engines.media.video import read_frames

HERE = Path(__file__).parent
EXAMPLES = HERE.parent / "examples"
SIZE, MOMENTS = (192, 256), (2, 10, 18, 26, 34, 42)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", default="mini", help="a shipped model or the folder of a bundle")
    reference, poses = EXAMPLES / "ref.png", EXAMPLES / "dance.mp4"
    with tempfile.TemporaryDirectory() as folder:
        made = Path(folder) / "out.png"
        animate(AnimateRequest(reference=reference, poses=poses, output=made, model=parser.parse_args().model), NullReport())
        results = [cv2.resize(read_image(made / f"{i:06d}.png"), SIZE) for i in MOMENTS]
    skeletons = [cv2.resize(frame, SIZE, interpolation=cv2.INTER_AREA) for i, frame in enumerate(read_frames(poses)) if i in MOMENTS]
    picture = cv2.resize(read_image(reference), (SIZE[0] * 2, SIZE[1] * 2), interpolation=cv2.INTER_AREA)
    write_png(HERE / "dance.png", np.hstack([picture, np.vstack([np.hstack(skeletons), np.hstack(results)])]), overwrite=True)


if __name__ == "__main__":
    main()
