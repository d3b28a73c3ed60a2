"""Reading a data set: dataset.json, metadata.jsonl and the paths of a clip. Written by engines.prepare, read by engines.train."""

import json
from collections.abc import Callable
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Any

from engines.core.errors import ScdError

SCHEMA_VERSION = 1
SPLITS = ("train", "val", "test")
NEEDED = ("clip_id", "split", "frames", "size", "fps", "keypoints", "labels", "label_ids", "identity", "motion")
MAY_BE_NULL = ("labels",)  # nobody has drawn them for filmed people


@dataclass(frozen=True, slots=True)
class Clip:
    """One clip of a data set; paths are relative to its folder. `size` (width, height); `fps` a fraction such as "12/1".

    `labels`: the folder of pictures that say what each pixel shows; None where there are none, as of filmed people.
    """

    clip_id: str
    split: str
    frames: int
    size: tuple[int, int]
    fps: str
    keypoints: str
    labels: str | None
    label_ids: dict[str, int]
    identity: str
    motion: str
    record: dict[str, Any]

    def frame_path(self, index: int) -> str:
        return f"clips/{self.clip_id}/frames/{index:04d}.png"

    def label_path(self, index: int) -> str | None:
        return None if self.labels is None else f"{self.labels}/{index:04d}.png"


def parse_clip(text: str, where: str) -> Clip:
    """One record. ScdError names file and line, and what is missing or of the wrong kind."""
    again = "make the data set again with scd prepare-data"
    try:
        record = json.loads(text)
    except json.JSONDecodeError as error:
        raise ScdError(f"{where} is not JSON ({error.msg})", again) from error
    if not isinstance(record, dict):
        raise ScdError(f"{where} is not a JSON object", again)
    missing = [key for key in NEEDED if key not in record]
    if missing:
        raise ScdError(f"{where} lacks {', '.join(missing)}", again)
    if record["split"] not in SPLITS:
        raise ScdError(f"{where} has the unknown split '{record['split']}'", again)
    return Clip(**typed_fields(record, where), record=record)


def typed_fields(record: dict[str, Any], where: str) -> dict[str, Any]:
    """The needed fields, checked. ScdError names the first that is of the wrong kind."""
    wanted: dict[str, Callable[[Any], Any]] = {"frames": positive, "size": size_of, "fps": rate_of, "label_ids": ids_of}
    out = {}
    for key in NEEDED:
        try:
            convert: Callable[[Any], Any] = wanted.get(key, text_of)
            out[key] = None if key in MAY_BE_NULL and record[key] is None else convert(record[key])
        except (TypeError, ValueError, ZeroDivisionError) as error:
            raise ScdError(f"{where} has a wrong {key}: {record[key]!r}", "make the data set again with scd prepare-data") from error
    return out


def text_of(value: Any) -> str:
    if not isinstance(value, str):
        raise TypeError
    return value


def positive(value: Any) -> int:
    if not isinstance(value, int) or value < 1:
        raise ValueError
    return value


def size_of(value: Any) -> tuple[int, int]:
    width, height = value
    return positive(width), positive(height)


def rate_of(value: Any) -> str:
    if Fraction(text_of(value)) <= 0:
        raise ValueError
    return str(value)


def ids_of(value: Any) -> dict[str, int]:
    if not isinstance(value, dict):
        raise TypeError
    return {text_of(k): int(v) for k, v in value.items()}


def read_manifest(folder: Path, split: str | None = None) -> list[Clip]:
    """The clips of a finished data set (metadata.jsonl), or, while it is being written, of the clips that are complete."""
    path = folder / "metadata.jsonl"
    if path.is_file():
        lines = path.read_text().splitlines()
        clips = [parse_clip(line, f"{path} line {number}") for number, line in enumerate(lines, 1) if line.strip()]
    elif (folder / "clips").is_dir():
        clips = [parse_clip(p.read_text(), str(p)) for p in sorted(folder.glob("clips/[0-9]*/clip.json"))]
    else:
        raise ScdError(f"{folder} is not a data set (no metadata.jsonl)", "make one with scd prepare-data or name another with --data")
    return [clip for clip in clips if split is None or clip.split == split]
