"""Comparing two evaluations: the test over videos, its correction, and what is refused."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from engines.core.errors import ScdError
from engines.evaluate.compare import compare, holm
from engines.evaluate.metrics import METRICS
from engines.evaluate.results import KIND, SCHEMA, Figure, paired_figure, per_video, write_tables


def document(
    psnr: list[float], mae: list[float], *, protocol: str = "native: as it is", gt: str = "aa", fid: float | None = None
) -> dict[str, Any]:
    """metrics.json of videos with one frame each."""
    figures = [
        figure
        for name, row in (("psnr", psnr), ("mae", mae))
        if (figure := paired_figure(METRICS[name], {f"v{i}": [v] for i, v in enumerate(row)}, "videos"))
    ]
    if fid is not None:
        figures.append(Figure(METRICS["fid_clean"], fid, {"videos": len(psnr), "pictures": len(psnr)}))
    return {
        "schema": SCHEMA, "kind": KIND, "protocol": {"text": protocol}, "inputs": {"gt_sha256": gt}, "skipped": [], "warnings": [],
        "metrics": [figure.entry() for figure in figures], "per_video": per_video(figures, {f"v{i}": (1, None) for i in range(len(psnr))}),
        "per_frame": {},
    }  # fmt: skip


def written(folder: Path, made: dict[str, Any]) -> Path:
    folder.mkdir()
    write_tables(folder, made)
    return folder


def test_the_better_one_is_named(tmp_path: Path) -> None:
    base = np.linspace(20, 25, 8)
    a = written(tmp_path / "a", document(list(base + 1), list(9 - base / 5), fid=10.0))
    b = written(tmp_path / "b", document(list(base), list(9 - base / 5), fid=30.0))
    found = compare(a, b / "metrics.json")
    rows = {row["name"]: row for row in found["metrics"]}
    assert rows["psnr"]["difference"] == pytest.approx(1)
    assert rows["psnr"]["p"] == 2 / 256
    assert rows["psnr"]["p_holm"] == 4 / 256
    assert rows["psnr"]["winner"] == "a"
    assert rows["mae"]["p"] == 1
    assert rows["mae"]["winner"] is None
    assert rows["fid_clean"]["p"] is None
    assert rows["fid_clean"]["difference"] == -20
    assert not found["warnings"]


def test_lower_is_better_turns_the_winner(tmp_path: Path) -> None:
    a = written(tmp_path / "a", document([20.0] * 6, [5.0, 6, 7, 5, 6, 7]))
    b = written(tmp_path / "b", document([20.0] * 6, [4.0, 4, 4, 4, 4, 4]))
    rows = {row["name"]: row for row in compare(a, b)["metrics"]}
    assert rows["mae"]["winner"] == "b"


def test_few_videos_are_warned_of(tmp_path: Path) -> None:
    a, b = (written(tmp_path / n, document([20.0 + s, 21.0 + s], [1.0, 2.0])) for n, s in (("a", 0), ("b", 3)))
    found = compare(a, b)
    assert "with 2 videos no difference can reach p < 0.05" in found["warnings"][0]
    assert all(row["winner"] is None for row in found["metrics"])


def test_holm() -> None:
    rows: list[dict[str, Any]] = [{"p": p} for p in (0.04, 0.01, 0.03, 0.5)]
    holm(rows)
    assert [row["p_holm"] for row in rows] == pytest.approx([0.09, 0.04, 0.09, 0.5])


@pytest.mark.parametrize(
    ("change", "text"),
    [
        ({"protocol": {"text": "corrected: 256x256"}}, "different protocols"),
        ({"inputs": {"gt_sha256": "bb"}}, "different truths"),
        ({"schema": 99}, "has schema 99"),
        ({"kind": "other"}, "is no evaluation of scd"),
        ({"metrics": []}, "no metric in common"),
    ],
)
def test_refuses_what_cannot_be_compared(tmp_path: Path, change: dict[str, Any], text: str) -> None:
    a = written(tmp_path / "a", document([20.0], [1.0]))
    b = tmp_path / "b.json"
    b.write_text(json.dumps(document([20.0], [1.0]) | change))
    with pytest.raises(ScdError, match=text):
        compare(a, b)


def test_refuses_what_is_no_json(tmp_path: Path) -> None:
    a = written(tmp_path / "a", document([20.0], [1.0]))
    (tmp_path / "b.json").write_text("{")
    with pytest.raises(ScdError, match=r"b\.json is not JSON; make it with scd evaluate"):
        compare(a, tmp_path / "b.json")
    with pytest.raises(ScdError, match=r"c\.json cannot be read"):
        compare(a, tmp_path / "c.json")
