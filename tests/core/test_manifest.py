"""Reading data sets, and saying where one is wrong."""

import json
from pathlib import Path
from typing import Any

import pytest

from engines.core.errors import ScdError
from engines.core.manifest import read_manifest


def record(number: int, split: str = "train") -> dict[str, Any]:
    clip = f"{number:06d}"
    return {
        "clip_id": clip, "split": split, "file_name": f"clips/{clip}/frames/0000.png", "frames": 4, "size": [48, 64], "fps": "12/1",
        "keypoints": f"clips/{clip}/keypoints.npz", "labels": f"clips/{clip}/labels", "label_ids": {"background": 0, "skin": 1},
        "garments": {}, "identity": f"id{clip}", "motion": "walk",
    }  # fmt: skip


def write(folder: Path, lines: list[str]) -> Path:
    (folder / "metadata.jsonl").write_text("\n".join(lines) + "\n")
    return folder


def test_clips_in_order_and_by_split(tmp_path: Path) -> None:
    write(tmp_path, [json.dumps(record(0)), json.dumps(record(1, "val")), "", json.dumps(record(2, "test"))])
    assert [c.clip_id for c in read_manifest(tmp_path)] == ["000000", "000001", "000002"]
    (clip,) = read_manifest(tmp_path, "val")
    assert (clip.size, clip.frames, clip.fps) == ((48, 64), 4, "12/1")
    assert clip.frame_path(3) == "clips/000001/frames/0003.png"
    assert clip.label_path(3) == "clips/000001/labels/0003.png"


def test_finished_clips_of_a_data_set_that_is_being_written(tmp_path: Path) -> None:
    for number in (1, 0):
        (tmp_path / f"clips/{number:06d}").mkdir(parents=True)
        (tmp_path / f"clips/{number:06d}/clip.json").write_text(json.dumps(record(number)))
    (tmp_path / "clips/000002/frames").mkdir(parents=True)
    (tmp_path / "clips/.000003.77").mkdir()
    (tmp_path / "clips/.000003.77/clip.json").write_text(json.dumps(record(3)))
    assert [c.clip_id for c in read_manifest(tmp_path)] == ["000000", "000001"]


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("not json", "not JSON"),
        (json.dumps({k: v for k, v in record(1).items() if k != "fps"}), "lacks fps"),
        (json.dumps(record(1, "holdout")), "unknown split 'holdout'"),
        ("12", "not a JSON object"),
        (json.dumps(record(1) | {"frames": 0}), "wrong frames: 0"),
        (json.dumps(record(1) | {"size": [384]}), r"wrong size: \[384\]"),
        (json.dumps(record(1) | {"fps": "12/0"}), "wrong fps: '12/0'"),
        (json.dumps(record(1) | {"label_ids": ["skin"]}), "wrong label_ids"),
        (json.dumps(record(1) | {"keypoints": None}), "wrong keypoints: None"),
    ],
)
def test_a_bad_line_is_named(tmp_path: Path, line: str, said: str) -> None:
    write(tmp_path, [json.dumps(record(0)), line])
    with pytest.raises(ScdError, match=said) as raised:
        read_manifest(tmp_path)
    assert f"{tmp_path / 'metadata.jsonl'} line 2" in str(raised.value)


def test_a_folder_without_a_data_set(tmp_path: Path) -> None:
    with pytest.raises(ScdError, match="not a data set"):
        read_manifest(tmp_path)
