"""Job lists: what a line of CSV or JSON becomes, and what is wrong with one."""

import io
import sys
from fractions import Fraction
from pathlib import Path
from typing import Any

import pytest

from engines.core.errors import ScdError, UsageError
from scd_cli.commands.animate import animate
from scd_cli.commands.animate import list_of_jobs as listed_jobs
from scd_cli.jobs import Columns, arguments, command_of, long_flags, parsed, read_rows

COLUMNS = Columns(("ref",), ("poses",), (("reference", "ref"),))


def asked(tmp_path: Path, jobs: object, **options: Any) -> dict[str, Any]:
    """What the command line itself says: nothing but the list."""
    return parsed(command_of(animate), ["--jobs", str(jobs), "-o", str(tmp_path / "out"), *(f"--{k}={v}" for k, v in options.items())])


def written(path: Path, text: str) -> Path:
    path.write_text(text, encoding="utf-8")
    return path


def test_csv_with_flags_of_every_kind(tmp_path: Path) -> None:
    text = "Ref, poses, out, steps, mute, start, size, align\n-a.png, d.mp4, o.mp4, 4, yes, 1:02.5, 64x96, global\nb.png,e.mp4,,,no,,,\n"
    first, second = listed_jobs(asked(tmp_path, written(tmp_path / "jobs.csv", text), seed=0, steps=9))
    assert first.request is not None
    assert second.request is not None
    one, two = first.request, second.request
    assert (one.reference, one.poses, one.output) == (Path("-a.png"), Path("d.mp4"), Path("o.mp4"))
    assert (one.steps, one.mute, one.start, one.size, one.align) == (4, True, Fraction(125, 2), (64, 96), "global")
    assert (two.steps, two.mute, two.start, two.align) == (9, False, None, None), "the command line's own options are for the rest"
    assert two.output == tmp_path / "out" / "b-e.mp4"


def test_json_lines_take_numbers_and_truth(tmp_path: Path) -> None:
    lines = '{"reference": "a.png", "poses": "d.npz", "seed": 0, "grid": true, "driver-kind": "keypoints", "fps": 29.97, "crf": null}\n\n'
    (job,) = listed_jobs(asked(tmp_path, written(tmp_path / "jobs.jsonl", lines), seed=5))
    assert job.request is not None
    assert (job.request.seed, job.request.grid, job.request.driver_kind, job.request.fps) == (0, True, "keypoints", Fraction(30000, 1001))


def test_stdin(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for text in ("ref,poses\na.png,d.mp4\n", '{"ref": "a.png", "poses": "d.mp4"}\n'):
        monkeypatch.setattr(sys, "stdin", io.StringIO(text))
        (job,) = listed_jobs(asked(tmp_path, "-"))
        assert job.request is not None
        assert job.request.output == tmp_path / "out" / "a-d.mp4"


BAD = [
    ("ref,poses,stepps\na.png,d.mp4,4\n", "there is no column stepps; did you mean steps"),
    ("ref,poses,steps\na.png,d.mp4,four\n", "Invalid value for '--steps'"),
    ("ref,poses,size\na.png,d.mp4,big\n", "big is not a size"),
    ("ref,poses,mute\na.png,d.mp4,perhaps\n", "mute is 'perhaps'; write yes or no"),
    ("ref,poses\na.png,\n", "a job needs ref and poses"),
    ("ref,poses\na.png,d.mp4,surplus\n", "more fields than columns"),
    ("ref,poses,ray\na.png,d.mp4,local\n", "there is no column ray"),
    ("ref,poses,align\na.png,d.mp4,sideways\n", "'sideways' is not one of"),
    ('{"ref": "a.png"\n', "the line is not JSON"),
    ('{"ref": "a.png", "poses": "d"}\n[1]\n', "not a JSON object"),
]


@pytest.mark.parametrize(("text", "said"), BAD, ids=[said for _, said in BAD])
def test_a_bad_line_is_a_failed_job_and_not_the_end(tmp_path: Path, text: str, said: str) -> None:
    ending = "jsonl" if text.startswith("{") else "csv"
    job = listed_jobs(asked(tmp_path, written(tmp_path / f"jobs.{ending}", text)))[-1]
    assert job.request is None
    assert said in job.error
    assert "\n" not in job.error


@pytest.mark.parametrize(
    ("name", "data", "said"),
    [
        ("jobs.csv", b"picture,poses\na,b\n", "has no column ref"),
        ("jobs.csv", b'ref,poses\n"a,b\n', "is not CSV"),
        ("jobs.csv", b"\xff\xfe\x00", "is no UTF-8 text"),
        ("gone.csv", None, "No such file"),
    ],
)
def test_a_list_that_is_none(tmp_path: Path, name: str, data: bytes | None, said: str) -> None:
    if data is not None:
        (tmp_path / name).write_bytes(data)
    with pytest.raises(ScdError) as caught:
        read_rows(str(tmp_path / name), COLUMNS)
    assert said in str(caught.value)


def test_every_flag_of_a_clip_is_a_column() -> None:
    flags = long_flags(command_of(animate))
    assert {"steps", "mute", "pix_fmt", "ref_pose", "overwrite", "composite"} <= set(flags)
    assert flags["mute"]
    assert not flags["steps"]
    with pytest.raises(UsageError):
        arguments({"ref": "a", "poses": "b", "jobs": "c"}, flags, COLUMNS)
