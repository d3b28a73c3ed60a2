"""Reading a data set: dataset.json, metadata.jsonl and the paths of a clip. Written by engines.prepare, read by engines.train."""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from engines.core.errors import ScdError

SCHEMA_VERSION = 1
SPLITS = ("train", "val", "test")
NEEDED = ("clip_id", "split", "frames", "size", "fps", "keypoints", "labels", "label_ids", "identity", "motion")


@dataclass(frozen=True, slots=True)
class Clip:
    """One clip of a data set; paths are relative to its folder. `size` (width, height); `fps` a fraction such as "12/1"."""

    clip_id: str
    split: str
    frames: int
    size: tuple[int, int]
    fps: str
    keypoints: str
    labels: str
    label_ids: dict[str, int]
    identity: str
    motion: str
    record: dict[str, Any]

    def frame_path(self, index: int) -> str:
        return f"clips/{self.clip_id}/frames/{index:04d}.png"

    def label_path(self, index: int) -> str:
        return f"{self.labels}/{index:04d}.png"


def parse_clip(text: str, where: str) -> Clip:
    """One record. ScdError names file and line, and what is missing."""
    try:
        record = json.loads(text)
    except json.JSONDecodeError as error:
        raise ScdError(f"{where} is not JSON ({error.msg})", "make the data set again with scd prepare-data") from error
    missing = [key for key in NEEDED if key not in record]
    if missing or record["split"] not in SPLITS:
        what = f"lacks {', '.join(missing)}" if missing else f"has the unknown split '{record['split']}'"
        raise ScdError(f"{where} {what}", "make the data set again with scd prepare-data")
    fields = {key: record[key] for key in NEEDED} | {"size": (int(record["size"][0]), int(record["size"][1]))}
    return Clip(**fields, record=record)


def read_manifest(folder: Path, split: str | None = None) -> list[Clip]:
    """The clips of a finished data set (metadata.jsonl), or, while it is being written, of the clips that are complete."""
    path = folder / "metadata.jsonl"
    if path.is_file():
        lines = path.read_text().splitlines()
        clips = [parse_clip(line, f"{path} line {number}") for number, line in enumerate(lines, 1) if line.strip()]
    elif (folder / "clips").is_dir():
        clips = [parse_clip(p.read_text(), str(p)) for p in sorted(folder.glob("clips/*/clip.json"))]
    else:
        raise ScdError(f"{folder} is not a data set (no metadata.jsonl)", "make one with scd prepare-data or name another with --data")
    return [clip for clip in clips if split is None or clip.split == split]
