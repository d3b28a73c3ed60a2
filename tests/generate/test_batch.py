"""Batches: each job made, skipped or reported; what was loaded and read once serves all; nothing is made twice."""

import json
import pickle
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from engines.core.errors import UsageError
from engines.core.report import NullReport, Report
from engines.generate import studio
from engines.generate.animate import animate
from engines.generate.batch import BatchOptions, Job, Outcome, run_batch, together
from engines.generate.request import AnimateRequest
from engines.generate.tryon import tryon
from engines.generate.tryon_request import TryonRequest
from engines.media.workspace import take, workspace_path
from engines.pose.files import save_track
from tests.generate.test_animate import Notes, track
from tests.generate.tiny_model import TinyModel


@pytest.fixture
def jobs(tiny: tuple[Path, TinyModel], tmp_path: Path) -> list[Job]:
    """Two references x two drivers, the fifth job bad."""
    (tmp_path / "out").mkdir()
    for number in range(2):
        save_track(tmp_path / f"dance{number}.npz", track(9 + number, None), False)
        pixels = np.random.default_rng(number).integers(0, 256, (128, 96, 3), dtype=np.uint8)
        Image.fromarray(pixels).save(tmp_path / f"me{number}.png")
    pairs = [(tmp_path / f"me{a}.png", tmp_path / f"dance{b}.npz") for a in range(2) for b in range(2)]
    pairs.append((tmp_path / "gone.png", tmp_path / "dance0.npz"))
    return [
        Job(n, AnimateRequest(reference=a, poses=b, output=tmp_path / "out" / f"{n}.mp4", model=str(tiny[0]), steps=2))
        for n, (a, b) in enumerate(pairs, 1)
    ]


def outputs(jobs: list[Job]) -> dict[str, bytes]:
    folder = jobs[0].request.output.parent  # type: ignore[union-attr]
    return {path.name: path.read_bytes() for path in sorted(folder.iterdir())}


def statuses(done: dict[str, Any]) -> list[str]:
    return [outcome["status"] for outcome in sorted(done["outcomes"], key=lambda o: o["job"])]


def test_a_failing_job_does_not_stop_the_others(jobs: list[Job], tmp_path: Path) -> None:
    notes = Notes()
    done = run_batch([jobs[4], *jobs[:4]], notes, BatchOptions(summary=tmp_path / "done.jsonl"))
    assert (done["made"], done["failed"], done["left"]) == (4, 1, 0)
    assert list(outputs(jobs)) == ["1.mp4", "2.mp4", "3.mp4", "4.mp4"]
    lines = [json.loads(line) for line in (tmp_path / "done.jsonl").read_text().splitlines()]
    assert [line["job"] for line in lines] == [5, 1, 2, 3, 4]
    assert "gone.png does not exist" in lines[0]["error"]
    assert lines[1]["summary"]["frames"] == 9
    assert any(said.startswith("warning: [1/5") and "job 5 failed" in said for said in notes.said)
    assert notes.said[-1] == "4 made, 1 failed"


def test_a_batch_makes_what_single_runs_make(jobs: list[Job]) -> None:
    run_batch(jobs[:4], NullReport(), BatchOptions())
    together = outputs(jobs)
    for job in jobs[:4]:
        assert job.request is not None
        animate(replace(job.request, overwrite=True), NullReport())
    assert outputs(jobs) == together


def test_models_and_references_are_read_once(jobs: list[Job], monkeypatch: pytest.MonkeyPatch) -> None:
    opened: list[str] = []
    real = studio.pipeline_on

    def counted(bundle: Any, backend: Any) -> Any:
        pipeline = real(bundle, backend)
        open_graph = pipeline.sessions.open_graph
        pipeline.sessions.open_graph = lambda name: (opened.append(name), open_graph(name))[1]
        encode = pipeline.encode
        pipeline.encode = lambda pictures: (opened.append("a reference"), encode(pictures))[1]
        return pipeline

    monkeypatch.setattr(studio, "pipeline_on", counted)
    run_batch(jobs[:4], NullReport(), BatchOptions())
    assert sorted(opened) == ["a reference", "a reference", "decoder", "encoder", "pose", "reference", "target"]


def test_what_is_there_is_skipped_unless_not_wanted(jobs: list[Job]) -> None:
    run_batch(jobs[:2], NullReport(), BatchOptions())
    before = outputs(jobs)
    done = run_batch(jobs[:4], NullReport(), BatchOptions())
    assert statuses(done) == ["skipped", "skipped", "made", "made"]
    assert {name: data for name, data in outputs(jobs).items() if name in before} == before
    assert statuses(run_batch(jobs[:1], NullReport(), BatchOptions(skip_existing=False))) == ["failed"], "without --overwrite"


def test_skipping_takes_away_what_a_killed_process_left(jobs: list[Job]) -> None:
    request = jobs[0].request
    assert request is not None
    run_batch(jobs[:1], NullReport(), BatchOptions())
    workspace_path(request.output).mkdir()
    (workspace_path(request.output) / "state.npz").write_bytes(b"old")
    run_batch(jobs[:1], NullReport(), BatchOptions())
    assert list(outputs(jobs)) == ["1.mp4"]


def test_fail_fast(jobs: list[Job]) -> None:
    done = run_batch([jobs[0], jobs[4], jobs[1]], NullReport(), BatchOptions(fail_fast=True))
    assert (done["made"], done["failed"], done["left"]) == (1, 1, 1)


def test_a_fault_of_ours_is_reported_like_any_other(jobs: list[Job]) -> None:
    def broken(*rest: Any) -> Any:
        raise ZeroDivisionError("a\nbug")

    done = run_batch([replace(jobs[0], work=broken), jobs[1]], NullReport(), BatchOptions())
    assert [o["error"] for o in done["outcomes"]] == ["ZeroDivisionError: a bug", ""]


def test_a_job_that_another_process_has_comes_last_and_is_not_made_twice(jobs: list[Job], monkeypatch: pytest.MonkeyPatch) -> None:
    request = jobs[0].request
    assert request is not None
    held = take(request.output)
    assert held is not None

    def the_other_ends(report: Report, text: str) -> None:
        if "waiting for another process" in text:
            request.output.write_bytes(b"made by the other")
            held.remove()

    class Watching(NullReport):
        note = the_other_ends

    done = run_batch(jobs[:3], Watching(), BatchOptions())
    assert [(o["job"], o["status"]) for o in done["outcomes"]] == [(2, "made"), (3, "made"), (1, "skipped")]
    assert request.output.read_bytes() == b"made by the other"


def test_two_jobs_cannot_write_one_file(jobs: list[Job]) -> None:
    request = jobs[0].request
    assert request is not None
    twin = Job(9, replace(request, output=request.output.parent / ".." / "out" / "1.mp4"))
    with pytest.raises(UsageError, match=r"jobs 1 and 9 both write .*1\.mp4"):
        run_batch([jobs[0], twin], NullReport(), BatchOptions())
    beside = Job(10, replace(request, output=request.output.with_name("1.preview.png")))
    with pytest.raises(UsageError, match=r"jobs 1 and 10 both write .*1\.preview\.png"):
        run_batch([replace(jobs[0], request=replace(request, preview=True)), beside], NullReport(), BatchOptions())
    with pytest.raises(UsageError, match="no jobs"):
        run_batch([], NullReport(), BatchOptions())


def test_pictures_and_masks_of_tryons_do_not_collide(tmp_path: Path) -> None:
    first = TryonRequest(person=tmp_path / "p", garment=tmp_path / "g", output=tmp_path / "a.png", model="m", samples=3)
    for name in ("a-3.png", "a.mask.png"):
        with pytest.raises(UsageError, match=f"jobs 1 and 2 both write .*{name}"):
            run_batch([Job(1, first), Job(2, replace(first, output=tmp_path / name))], NullReport(), BatchOptions())


def test_a_try_on_that_another_process_is_writing_is_taken_and_not_failed(tmp_path: Path) -> None:
    request = TryonRequest(person=tmp_path / "p", garment=tmp_path / "g", output=tmp_path / "a.png", model="m")
    held = take(request.output)
    assert held is not None
    request.mask_path.write_bytes(b"the other's")

    def the_other_ends(report: Report, text: str) -> None:
        if "waiting for another process" in text:
            request.output.write_bytes(b"made by the other")
            held.remove()

    class Watching(NullReport):
        note = the_other_ends

    done = run_batch([Job(1, request, work=tryon)], Watching(), BatchOptions())
    assert [o["status"] for o in done["outcomes"]] == ["skipped"]
    assert (request.output.read_bytes(), request.mask_path.read_bytes()) == (b"made by the other", b"the other's")


def test_jobs_with_one_key_lie_together_in_their_order(jobs: list[Job]) -> None:
    bad = Job(9, None, "not understood")
    mixed = [jobs[0], jobs[2], bad, jobs[1], jobs[3], jobs[4]]
    assert [job.number for job in together(mixed, lambda request: request.reference)] == [1, 2, 3, 4, 9, 5]  # type: ignore[union-attr]
    assert together(jobs, lambda request: None) == jobs


def test_jobs_of_either_kind_travel_to_other_processes(jobs: list[Job], tmp_path: Path) -> None:
    request = TryonRequest(person=tmp_path / "p", garment=tmp_path / "g", output=tmp_path / "a.png", model="m")
    for job in (jobs[0], Job(1, request, work=tryon)):
        assert pickle.loads(pickle.dumps(job)) == job


def test_an_interruption_keeps_the_lines_so_far(jobs: list[Job], tmp_path: Path) -> None:
    def runner(jobs: Sequence[Job], report: Report, options: BatchOptions) -> Iterator[Outcome]:
        yield Outcome(1, "1.mp4", "made")
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        run_batch(jobs, NullReport(), BatchOptions(summary=tmp_path / "done.jsonl"), runner)
    assert json.loads((tmp_path / "done.jsonl").read_text())["status"] == "made"
