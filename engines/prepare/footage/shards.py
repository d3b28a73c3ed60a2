"""Clips as tar files in WebDataset's convention: members of one clip share the name before the first dot."""

import io
import json
import os
import tarfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from engines.core.manifest import SPLITS
from engines.core.report import Report

SHARD_BYTES = 512 * 1024 * 1024  # a shard is closed once it holds so much


def write_shards(out: Path, clips: Sequence[dict[str, Any]], report: Report) -> list[str]:
    """shards/SPLIT-NNNNNN.tar from the finished clips, whole ones each; returns their paths inside of `out`. Others in the folder go."""
    folder = out / "shards"
    folder.mkdir(exist_ok=True)
    names: list[str] = []
    with report.stage("write shards", len(clips)) as bar:
        for part in SPLITS:
            for number, group in enumerate(groups(out, [clip for clip in clips if clip["split"] == part])):
                names.append(f"shards/{part}-{number:06d}.tar")
                write_shard(out / names[-1], out, group)
                bar.advance(len(group))
    for path in folder.iterdir():
        if f"shards/{path.name}" not in names:
            path.unlink()
    return names


def groups(out: Path, clips: Sequence[dict[str, Any]]) -> Iterator[list[dict[str, Any]]]:
    """Clips in order, as many as fill a shard."""
    group: list[dict[str, Any]] = []
    size = 0
    for clip in clips:
        group.append(clip)
        size += sum(path.stat().st_size for path in members(out, clip).values())
        if size >= SHARD_BYTES:
            yield group
            group, size = [], 0
    if group:
        yield group


def members(out: Path, clip: dict[str, Any]) -> dict[str, Path]:
    """Files of a clip by their names in the tar: ID.pose.npz and ID.0000.png ..."""
    frames = out / "clips" / clip["clip_id"] / "frames"
    pictures = {f"{clip['clip_id']}.{index:04d}.png": frames / f"{index:04d}.png" for index in range(clip["frames"])}
    return {f"{clip['clip_id']}.pose.npz": out / clip["keypoints"], **pictures}


def write_shard(path: Path, out: Path, clips: Sequence[dict[str, Any]]) -> None:
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    with tarfile.open(temporary, "w", format=tarfile.USTAR_FORMAT) as tar:
        for clip in clips:
            add(tar, f"{clip['clip_id']}.json", json.dumps(clip).encode())
            for name, file in members(out, clip).items():
                add(tar, name, file.read_bytes())
    os.replace(temporary, path)


def add(tar: tarfile.TarFile, name: str, data: bytes) -> None:
    """A member that says nothing of who made it and when."""
    facts = tarfile.TarInfo(name)
    facts.size, facts.mode = len(data), 0o644
    tar.addfile(facts, io.BytesIO(data))
