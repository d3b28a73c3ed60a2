"""Judges scd-mini on held-out people in held-out motion and writes docs/mini-quality.json and the contact sheets beside it.

    python docs/make_mini.py --data DATA [--bundle BUNDLE] [--image-bundle SCD_I_BUNDLE] [--pairs 64] [--lengths 1,4,16] [--out FOLDER]

Ground truth is the renderer's. The clips are those of the split `test`: identities and motion that training never saw.
"""

import argparse
import json
import platform
from dataclasses import replace
from datetime import date
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from engines.core.bundle import read_bundle, resolve_model
from engines.core.manifest import Clip, read_manifest
from engines.evaluate.pixel import Compared, psnr, psnr_masked, ssim_masked, ssim_rgb_gaussian
from engines.generate.denoise import Settings
from engines.generate.pipeline import Pipeline, open_pipeline
from engines.media.fit import fit_and_pad
from engines.media.images import read_image, write_png
from engines.pose.draw import DrawStyle, draw_pose
from engines.pose.files import load_track

Pictures = NDArray[np.uint8]
HERE = Path(__file__).parent
CLOTHES = ("upper", "lower", "dress")


class Truth:
    """Frames, label maps and pose pictures of one clip at the model's size."""

    def __init__(self, data: Path, clip: Clip, size: tuple[int, int]) -> None:
        numbers = range(clip.frames)
        self.frames: Pictures = np.stack([fit_and_pad(read_image(data / clip.frame_path(i)), size, "edge")[0] for i in numbers])
        maps = [cv2.imread(str(data / clip.label_path(i)), cv2.IMREAD_GRAYSCALE) for i in numbers]
        self.labels = np.stack([cv2.resize(m, size, interpolation=cv2.INTER_NEAREST) for m in maps if m is not None])
        track = load_track(data / clip.keypoints)
        self.poses: Pictures = np.stack([draw_pose(p, track.size, size, DrawStyle()) for p in track.points])
        self.worn = [clip.label_ids[name] for name in CLOTHES]

    def clothes(self, index: int) -> NDArray[np.bool_]:
        return np.isin(self.labels[index], self.worn)

    def clothes_colour(self, index: int) -> NDArray[np.float64]:
        return self.frames[index][self.clothes(index)].mean(0)


def generate(pipeline: Pipeline, reference: Truth | None, poses: Pictures, steps: int) -> Pictures:
    """Frames for these poses from frame 0 of a clip, or from the null reference."""
    size = pipeline.spec.size
    black = np.zeros((1, size[1], size[0], 3), np.uint8)
    if reference is None:
        kv = pipeline.reference_kv(np.zeros((1, *pipeline.spec.latent_shape), np.float32), black, 1)
    else:
        kv = pipeline.reference_kv(pipeline.encode(reference.frames[:1]), reference.poses[:1], 1)
    pipeline.set_reference(kv)
    latents = pipeline.denoise(pipeline.pose_features(poses), Settings(steps=steps, guidance=1.0), lambda: None)
    return np.stack(list(pipeline.decode(latents)))


def scores(results: list[Pictures], truths: list[Pictures], masks: list[NDArray[np.bool_]]) -> dict[str, float]:
    whole, inside = [], []
    for a, b, m in zip(results, truths, masks, strict=True):
        frames = Compared(a, b)
        whole.append((psnr(frames), ssim_rgb_gaussian(frames)))
        inside.append((psnr_masked(frames, m), ssim_masked(frames, m)))
    (p, s), (pm, sm) = np.mean(whole, axis=0), np.mean(inside, axis=0)
    return {"psnr": float(p), "ssim": float(s), "psnr_person": float(pm), "ssim_person": float(sm)}


def flicker(pictures: Pictures, labels: NDArray[np.uint8]) -> float:
    """Mean absolute difference of consecutive frames where no frame shows the person (grown by 8 pixels), in grey levels."""
    person = cv2.dilate((labels > 0).any(axis=0).astype(np.uint8), np.ones((17, 17), np.uint8)) > 0
    steps = np.abs(np.diff(pictures.astype(np.float64), axis=0)).mean(axis=(0, 3))
    return float(steps[~person].mean())


def as_is(pipeline: Pipeline, pictures: Pictures) -> Pictures:
    """Through the autoencoder alone."""
    return np.stack(list(pipeline.decode(pipeline.encode(pictures))))


def judge_pairs(pipeline: Pipeline, truths: list[Truth], each: int, steps: int) -> tuple[dict[str, Any], list[list[Pictures]]]:
    """All per-pair figures, and for the sheet: reference, pose, result, truth of each first pair."""
    results: dict[str, list[Pictures]] = {"scd-mini": [], "copied reference": [], "null reference": []}
    goal, masks, rebuilt, toward, columns = [], [], [], [], []
    for number, truth in enumerate(truths):
        targets = np.linspace(len(truth.frames) // 2, len(truth.frames) - 1, each).round().astype(int)
        other = truths[(number + 1) % len(truths)]
        made, null = generate(pipeline, truth, truth.poses[targets], steps), generate(pipeline, None, truth.poses[targets], steps)
        swapped = generate(pipeline, other, truth.poses[targets], steps)
        wanted = other.clothes_colour(0) - truth.clothes_colour(0)
        for k, target in enumerate(targets):
            results["scd-mini"].append(made[k])
            results["null reference"].append(null[k])
            results["copied reference"].append(truth.frames[0])
            goal.append(truth.frames[target])
            masks.append((truth.labels[0] > 0) | (truth.labels[target] > 0))
            worn = truth.clothes(target)
            if worn.sum() > 50 and np.linalg.norm(wanted) > 10:
                toward.append(float((swapped[k][worn].mean(0) - made[k][worn].mean(0)) @ wanted) > 0)
            rebuilt.append(psnr(Compared(as_is(pipeline, truth.frames[target][None])[0], truth.frames[target])))
        columns.append([truth.frames[0], truth.poses[0], truth.poses[targets[-1]], made[-1], truth.frames[targets[-1]], swapped[-1]])
        print(f"{number + 1}/{len(truths)}", flush=True)
    figures: dict[str, Any] = {name: scores(made, goal, masks) for name, made in results.items()}
    figures["pairs"], figures["autoencoder psnr"] = len(goal), float(np.mean(rebuilt))
    figures["swap moves the clothes' colour toward the other person"] = {"share": float(np.mean(toward)), "cases": len(toward)}
    return figures, columns


def judge_clips(pipeline: Pipeline, truths: list[Truth], steps: int, length: int | None = None) -> dict[str, Any]:
    """Clips, all their frames from their first, made whole or `length` frames at a time: flicker of the background and PSNR, their
    means over the clips."""
    rows = []
    for truth in truths:
        total = len(truth.poses)
        starts = range(0, total, length or total)
        made = np.concatenate([generate(pipeline, truth, truth.poses[i : i + (length or total)], steps) for i in starts])
        rows.append((flicker(made, truth.labels), np.mean([psnr(Compared(a, b)) for a, b in zip(made, truth.frames, strict=True)])))
    return dict(zip(("flicker", "psnr"), np.mean(rows, axis=0).tolist(), strict=True))


def judge_noise(pipeline: Pipeline, truths: list[Truth], steps: int) -> dict[str, Any]:
    """Whole clips with the noise that the bundle shares among frames, and with noise of every frame's own: flicker and PSNR."""
    shipped, out = pipeline.spec, {}
    for name, shared in (("as shipped", shipped.shared_noise), ("noise of its own for each frame", 0.0)):
        pipeline.spec = replace(shipped, shared_noise=shared)
        out[name] = judge_clips(pipeline, truths, steps) | {"shared noise": shared}
    pipeline.spec = shipped
    return out


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--bundle", default="mini")
    parser.add_argument("--image-bundle")
    parser.add_argument("--pairs", type=int, default=64)
    parser.add_argument("--clips", type=int, default=6, help="clips for the flicker comparisons")
    parser.add_argument("--lengths", default="", help="also make the clips this many frames at a time, as 1,4,16")
    parser.add_argument("--out", type=Path, default=HERE, help="folder for the figures and the sheet")
    chosen = parser.parse_args()
    bundle = read_bundle(resolve_model(chosen.bundle))
    pipeline, steps = open_pipeline(bundle, ("cpu",)), 25
    clips = read_manifest(chosen.data, "test")
    each = max(1, -(-chosen.pairs // len(clips)))
    truths = [Truth(chosen.data, clip, bundle.facts.size) for clip in clips[: -(-chosen.pairs // each)]]
    figures, columns = judge_pairs(pipeline, truths, each, steps)
    figures["whole clips"] = judge_noise(pipeline, truths[: chosen.clips], steps)
    if chosen.image_bundle:
        image = open_pipeline(read_bundle(Path(chosen.image_bundle)), ("cpu",))
        figures["video"] = {n: judge_clips(p, truths[: chosen.clips], steps) for n, p in (("scd-v", pipeline), ("scd-i", image))}
    if chosen.lengths:
        some = truths[: chosen.clips]
        figures["frames at a time"] = {n: judge_clips(pipeline, some, steps, int(n)) for n in chosen.lengths.split(",")}
    figures |= {
        "steps": steps,
        "model step": bundle.facts.provenance["step"],
        "machine": f"{platform.machine()}, 2 cores",
        "date": str(date.today()),
    }
    (chosen.out / "mini-quality.json").write_text(json.dumps(figures, indent=1) + "\n")
    rows = [np.concatenate([column[r] for column in columns[:12]], axis=1) for r in range(6)]
    write_png(chosen.out / "mini-sheet.png", np.concatenate(rows), overwrite=True)
    print(json.dumps(figures, indent=1))


if __name__ == "__main__":
    main()
