"""`just bench evaluate`: the weight-free metrics of 10 videos x 100 frames of 256x256, and a plain loop with scikit-image beside them.

    python tests/bench.py evaluate [--videos 10] [--frames 100]

Time and peak memory of `scd evaluate` in a process of its own: without and with clips in the report page, and for a tenth of the
frames. The plain loop reads the same PNGs with Pillow and computes MAE, PSNR and two SSIMs frame by frame; `scd evaluate` is timed with
these four alone too.
"""

import argparse
import sys
import tempfile
from pathlib import Path

import cv2
import numpy as np

from tests.bench import Measured, measure, show

LIMIT_SECONDS, LIMIT_GROWTH = 20.0, 1.15
FOUR = "mae,psnr,ssim_gray_uniform7,ssim_rgb_gaussian"
PLAIN = """
import sys
from pathlib import Path
import numpy as np
from PIL import Image
from skimage.metrics import peak_signal_noise_ratio, structural_similarity
pred, truth = Path(sys.argv[1]), Path(sys.argv[2])
rows = []
for path in sorted(truth.glob("*/*.png")):
    a, b = (np.asarray(Image.open(p).convert("RGB")) for p in (pred / path.relative_to(truth), path))
    grey = [np.asarray(Image.fromarray(x).convert("L")) for x in (a, b)]
    rgb = structural_similarity(a, b, channel_axis=2, gaussian_weights=True, sigma=1.5, use_sample_covariance=False, data_range=255)
    rows.append((np.abs(a.astype(float) - b).mean(), peak_signal_noise_ratio(b, a), structural_similarity(*grey), rgb))
print(np.mean(rows, axis=0))
"""


def make_videos(folder: Path, videos: int, frames: int) -> None:
    """pred/ and truth/: a textured picture that drifts, the prediction with grain."""
    rng = np.random.default_rng(0)
    for number in range(videos):
        scene = cv2.GaussianBlur(rng.integers(0, 256, (512, 512, 3)).astype(np.uint8), (0, 0), 3.0)
        scene = cv2.normalize(scene, None, 0, 255, cv2.NORM_MINMAX)
        for side in ("pred", "truth"):
            (folder / side / f"video{number:02d}").mkdir(parents=True)
        for index in range(frames):
            x, y = index % 200, index // 2 % 200
            truth = scene[y : y + 256, x : x + 256]
            pred = np.clip(truth + rng.normal(0, 8, truth.shape), 0, 255).astype(np.uint8)
            for side, picture in (("pred", pred), ("truth", truth)):
                cv2.imwrite(str(folder / side / f"video{number:02d}" / f"{index:04d}.png"), picture)


def run(folder: Path, out: str, metrics: str, *options: str) -> Measured:
    paths = ["--pred", f"{folder}/pred", "--gt", f"{folder}/truth", "--out", f"{folder}/{out}"]
    return measure([sys.executable, "-m", "scd_cli", "evaluate", *paths, "--metrics", metrics, *options])


def main(arguments: list[str]) -> None:
    from engines.evaluate.metrics import WEIGHT_FREE

    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--videos", type=int, default=10)
    parser.add_argument("--frames", type=int, default=100)
    options = parser.parse_args(arguments)
    with tempfile.TemporaryDirectory(prefix="scd-bench-") as name:
        folder, few = Path(name) / "all", Path(name) / "few"
        make_videos(folder, options.videos, options.frames)
        make_videos(few, options.videos, max(2, options.frames // 10))
        every = ",".join(WEIGHT_FREE)
        bare = run(folder, "bare", every, "--media", "0")
        what = f"{options.videos} videos x {options.frames} frames, {len(WEIGHT_FREE)} metrics"
        show(what, f"{bare.seconds:.1f} s", f"<= {LIMIT_SECONDS:.0f} s", bare.seconds <= LIMIT_SECONDS)
        whole = run(folder, "whole", every)
        print(f"  with clips of {min(options.videos, 12)} grainy videos in the report: {whole.seconds:.1f} s")
        growth = bare.megabytes / run(few, "bare", every, "--media", "0").megabytes
        show(f"  peak memory {bare.megabytes:.0f} MB, growth x10 frames", f"{growth:.3f}", f"<= {LIMIT_GROWTH}", growth <= LIMIT_GROWTH)
        four = run(folder, "four", FOUR, "--media", "0")
        plain = measure([sys.executable, "-c", PLAIN, f"{folder}/pred", f"{folder}/truth"])
        print(f"  four metrics: {four.seconds:.1f} s; plain loop with scikit-image: {plain.seconds:.1f} s {plain.out.strip()}")
        show("  time / plain loop, four metrics", f"{four.seconds / plain.seconds:.2f}", "< 1", four.seconds < plain.seconds)
