"""Progress, notes and results: what goes where."""

import json

import pytest

from engines.core.report import Report
from scd_cli import console
from scd_cli.console import Console, PlainStage, RichStage, clock, result


def test_plain_stage_counts_on_stderr(capsys: pytest.CaptureFixture[str]) -> None:
    report: Report = Console()
    with report.stage("denoise", 4) as bar:
        for _ in range(4):
            bar.advance(1)
    captured = capsys.readouterr()
    assert captured.out == ""
    assert captured.err.startswith("denoise: 4/4, ")
    assert captured.err.count("\n") == 1


def test_plain_lines_are_throttled_and_tell_the_time_left(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    now = 100.0
    monkeypatch.setattr(console.time, "monotonic", lambda: now)
    stage = PlainStage("render", 200, 0)
    for _ in range(100):
        now += 1.0
        stage.advance(1)
    lines = capsys.readouterr().err.splitlines()
    assert len(lines) == 10
    assert lines[0] == "render: 10/200, 1/s, 3 min 10 s left"


def test_what_an_earlier_run_made_does_not_count_for_the_rate(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    now = 100.0
    monkeypatch.setattr(console.time, "monotonic", lambda: now)
    stage = PlainStage("train", 200, 150)
    now += 10.0
    stage.advance(10)
    assert capsys.readouterr().err == "train: 160/200, 1/s, 40 s left\n"


def test_rich_stage_shows_count_and_rate(capsys: pytest.CaptureFixture[str]) -> None:
    with RichStage("denoise", 3, 0) as bar:
        bar.advance(3)
    captured = capsys.readouterr()
    assert captured.out == ""
    assert "denoise" in captured.err
    assert "3/3" in captured.err
    assert "/s" in captured.err


def test_notes_and_warnings_leave_stdout_alone(capsys: pytest.CaptureFixture[str]) -> None:
    report = Console()
    report.note("model scd-mini, 25 steps")
    report.warn("the reference has no pose")
    captured = capsys.readouterr()
    assert captured.out == ""
    assert captured.err == "model scd-mini, 25 steps\nwarning: the reference has no pose\n"


def test_result_is_a_path_or_json(capsys: pytest.CaptureFixture[str]) -> None:
    result({"frames": 3, "size": (1, 2)}, False, "out.mp4")
    assert capsys.readouterr().out == "out.mp4\n"
    result({"frames": 3, "size": (1, 2)}, True, "out.mp4")
    assert json.loads(capsys.readouterr().out) == {"frames": 3, "size": [1, 2]}


@pytest.mark.parametrize(("seconds", "text"), [(0.4, "0 s"), (41, "41 s"), (185, "3 min 05 s"), (7620, "2 h 07 min"), (59.6, "1 min 00 s")])
def test_clock(seconds: float, text: str) -> None:
    assert clock(seconds) == text
