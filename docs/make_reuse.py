"""Quality against speed of samplers, step counts and --reuse, on scd-mini's held-out clips: writes docs/reuse.json and prints a table.

    python docs/make_reuse.py --data DATA [--bundle BUNDLE] [--clips 8] [--out FOLDER]

Clips of the split `test`, all frames from their first, against the renderer's truth. Seconds are those of denoising alone.
"""

import argparse
import json
import sys
import time
from datetime import date
from pathlib import Path
from typing import Any

import numpy as np

sys.path.insert(0, str(Path(__file__).parents[1]))

from docs.make_mini import HERE, Truth, flicker
from engines.core.bundle import read_bundle, resolve_model
from engines.core.manifest import read_manifest
from engines.evaluate.pixel import Compared, psnr
from engines.generate.denoise import Settings
from engines.generate.pipeline import Pipeline, open_pipeline

WAYS: list[tuple[str, int, int]] = [  # sampler, steps, reuse
    ("ddim", 25, 1), ("ddim", 25, 2), ("ddim", 25, 3), ("ddim", 25, 5), ("ddim", 13, 1), ("ddim", 9, 1),
    ("dpm++2m", 25, 1), ("dpm++2m", 25, 3), ("dpm++2m", 13, 1), ("dpm++2m", 9, 1), ("euler", 25, 1),
]  # fmt: skip


def judge(pipeline: Pipeline, truths: list[Truth], settings: Settings, exact: list[Any]) -> tuple[dict[str, float], list[Any]]:
    """Means over the clips: seconds a clip, PSNR against the truth and against `exact`, flicker of the background; and the frames."""
    rows: list[list[float]] = []
    made = []
    for number, truth in enumerate(truths):
        pipeline.set_reference(pipeline.reference_kv(pipeline.encode(truth.frames[:1]), truth.poses[:1], 1))
        features = pipeline.pose_features(truth.poses)
        start = time.monotonic()
        latents = pipeline.denoise(features, settings, lambda: None)
        seconds = time.monotonic() - start
        frames = np.stack(list(pipeline.decode(latents)))
        same = np.mean([psnr(Compared(a, b)) for a, b in zip(frames, exact[number], strict=True)]) if exact else np.inf
        true = np.mean([psnr(Compared(a, b)) for a, b in zip(frames, truth.frames, strict=True)])
        rows.append([seconds, float(true), float(same), flicker(frames, truth.labels)])
        made.append(frames)
    return dict(zip(("seconds", "psnr", "psnr of exact", "flicker"), np.mean(rows, axis=0).tolist(), strict=True)), made


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--bundle", default="mini")
    parser.add_argument("--clips", type=int, default=8)
    parser.add_argument("--out", type=Path, default=HERE, help="folder for the figures")
    chosen = parser.parse_args()
    bundle = read_bundle(resolve_model(chosen.bundle))
    pipeline = open_pipeline(bundle, ("cpu",))
    truths = [Truth(chosen.data, clip, bundle.facts.size) for clip in read_manifest(chosen.data, "test")[: chosen.clips]]
    pipeline.load(pipeline.target, f"{pipeline.target}_shallow")
    figures: dict[str, Any] = {"clips": len(truths), "frames": len(truths[0].poses), "date": str(date.today()), "ways": []}
    exact: list[Any] = []
    print("| sampler | steps | reuse | seconds a clip | PSNR, dB | PSNR to the first row, dB | flicker |")
    print("|" + " --- |" * 7)
    for sampler, steps, reuse in WAYS:
        row, made = judge(pipeline, truths, Settings(steps=steps, guidance=1.0, sampler=sampler, reuse=reuse), exact)
        exact = exact or made
        figures["ways"].append({"sampler": sampler, "steps": steps, "reuse": reuse} | row)
        seconds, psnr_, same, moves = row.values()
        print(f"| {sampler} | {steps} | {reuse} | {seconds:.2f} | {psnr_:.2f} | {same:.1f} | {moves:.3f} |", flush=True)
    (chosen.out / "reuse.json").write_text(json.dumps(figures, indent=1) + "\n")


if __name__ == "__main__":
    main()
