"""A small made-up data set in the real layout."""

import json
from pathlib import Path
from typing import Any

import cv2
import numpy as np


def write_data(root: Path) -> Path:
    """Three clips to train on and one held out, five frames of 32x64 each."""
    rng = np.random.default_rng(0)
    for number, split in enumerate(["train", "train", "train", "val"]):
        folder = root / "clips" / f"{number:06d}"
        for name in ("frames", "labels"):
            (folder / name).mkdir(parents=True)
        for index in range(5):
            picture = cv2.resize(rng.integers(0, 256, (4, 2, 3), dtype=np.uint8), (32, 64))
            cv2.imwrite(str(folder / "frames" / f"{index:04d}.png"), picture)
            cv2.imwrite(str(folder / "labels" / f"{index:04d}.png"), np.ones((64, 32), np.uint8))
        points = rng.uniform(0, 32, (5, 1, 133, 3)).astype(np.float32)
        np.savez(folder / "keypoints.npz", points=points, size=np.array([32, 64]), fps=np.array("12/1"))
        (folder / "clip.json").write_text(json.dumps(record(number, split)))
    lines = [(root / "clips" / f"{n:06d}" / "clip.json").read_text() for n in range(4)]
    (root / "metadata.jsonl").write_text("\n".join(lines))
    return root


def record(number: int, split: str) -> dict[str, Any]:
    clip = f"{number:06d}"
    return {
        "clip_id": clip, "split": split, "file_name": f"clips/{clip}/frames/0000.png", "frames": 5, "size": [32, 64], "fps": "12/1",
        "keypoints": f"clips/{clip}/keypoints.npz", "labels": f"clips/{clip}/labels", "label_ids": {"background": 0, "skin": 1},
        "garments": {}, "identity": f"id{clip}",
        "motion": "dance_a" if split == "train" else "dance_b", "body": {}, "clothes": {}, "camera": {}, "provenance": {},
    }  # fmt: skip
