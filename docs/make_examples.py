"""Makes examples/: a rendered person (ref.png, with ref.npz, the keypoints of that pose), the skeletons of a held-out dance (dance.mp4),
and a garment (garment.png).

    python docs/make_examples.py

The person (seed 1, number 10), the dance (dance_b) and the garment (of seed 1, number 25) are ones that scd's models never saw in training.
"""

from fractions import Fraction
from pathlib import Path

import numpy as np

from engines.core.keypoints import PoseTrack
from engines.media.images import write_png
from engines.media.writer import open_writer
from engines.pose.draw import DrawStyle, draw_pose
from engines.pose.files import save_track
from engines.prepare.clip import Clip, ClipSpec

EXAMPLES = Path(__file__).parents[1] / "examples"
PERSON, GARMENT = 10, 25
FPS, FRAMES, SIZE = 24, 48, (384, 512)


def main() -> None:
    EXAMPLES.mkdir(exist_ok=True)
    spec = ClipSpec(PERSON, "test", SIZE, FRAMES + 1, float(FPS), 1)
    clip = Clip(spec)
    frames = [clip.draw(posed, matrix) for posed, matrix in zip(clip.posed, clip.drift, strict=True)]
    points = np.stack([frame.keypoints for frame in frames])[:, None]
    write_png(EXAMPLES / "ref.png", frames[0].picture, overwrite=True)
    save_track(EXAMPLES / "ref.npz", PoseTrack(points[:1], SIZE), overwrite=True)
    write_png(EXAMPLES / "garment.png", Clip(ClipSpec(GARMENT, "test", SIZE, 1, float(FPS), 1)).garment("upper")[0], overwrite=True)
    with open_writer(EXAMPLES / "dance.mp4", Fraction(FPS), SIZE, overwrite=True) as sink:
        for person in points[1:]:
            sink.write(draw_pose(person, SIZE, SIZE, DrawStyle()))


if __name__ == "__main__":
    main()
