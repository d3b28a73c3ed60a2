"""Films become clips: what is kept, what is dropped and why, and a run that goes on."""

import json
import shutil
import subprocess
import sys
from collections.abc import Iterable, Iterator
from dataclasses import replace
from fractions import Fraction
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray

from engines.core.errors import ScdError, UsageError
from engines.core.keypoints import COUNT
from engines.core.manifest import read_manifest
from engines.core.report import NullReport
from engines.media.images import read_image
from engines.pose.files import load_track
from engines.prepare.footage import run
from engines.prepare.footage.request import FootageRequest
from engines.prepare.footage.run import prepare_footage
from engines.train.frames import load_clip
from tests.prepare.footage.filmed import FPS, LIMITS, figure, pictures, request_of, write_film, write_frames, write_walk
from tests.prepare.test_synthetic import digests

NOTHING = NullReport()


def dropped(out: Path) -> dict[str, list[dict[str, Any]]]:
    found: dict[str, list[dict[str, Any]]] = {}
    for line in (out / "dropped.jsonl").read_text().splitlines():
        record = json.loads(line)
        found.setdefault(record["source"], []).append(record)
    return found


@pytest.fixture(scope="module")
def films(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Good films, and one of every kind that is no use."""
    origin = tmp_path_factory.mktemp("films") / "films"
    for number in range(3):
        write_walk(origin / "anna" / f"walk_{number}.mp4", number)
    write_walk(origin / "one.mp4", 10)
    write_walk(origin / "other.mp4", 11)
    shutil.copytree(write_frames(origin / "bert" / "pngs", 12), origin / "mixed")
    (origin / "mixed" / "0007.png").write_bytes(b"no picture")
    first, second = figure(15), figure(15, shift=-4)
    write_film(origin / "two_shots.mp4", [pictures([first], 20), pictures([second], 21)], [np.concatenate([first, second])])
    write_walk(origin / "short.mp4", 22, frames=8)
    write_walk(origin / "small.mp4", 23, scale=0.3)
    write_walk(origin / "still.mp4", 24, speed=0)
    both = [figure(24, scale=0.7, shift=-18), figure(24, scale=0.7, shift=18)]
    write_film(origin / "pair.mp4", [pictures(both, 25)], both)
    points = figure(24)
    smeared = np.stack([cv2.GaussianBlur(p, (0, 0), 5) for p in pictures([points], 26)])
    write_film(origin / "blurred.mp4", [smeared], [points])
    write_film(origin / "empty.mp4", [pictures([points], 27)], [np.concatenate([points[:3], np.zeros((21, COUNT, 3), np.float32)])])
    whole = write_walk(origin / "cut_off.mp4", 28).read_bytes()
    (origin / "cut_off.mp4").write_bytes(whole[: len(whole) // 2])
    (origin / "garbage.mp4").write_bytes(b"this is no film" * 100)
    (origin / "nothing.mp4").write_bytes(b"")
    write_film(origin / "wrong_points.mp4", [pictures([points], 29)], [points[:9]])
    (origin / "copy.mp4").write_bytes((origin / "one.mp4").read_bytes())
    shutil.copy(origin / "one.npz", origin / "copy.npz")
    (origin / "notes.txt").write_text("not a film")
    return origin


class Recorded:
    """A detector with the points of a figure; the folder of PNGs has no keypoint file."""

    name = "recorded"

    def track(self, frames: Iterable[NDArray[np.uint8]], most: int = 4) -> Iterator[NDArray[np.float32]]:
        for number, _ in enumerate(frames):
            yield figure(40)[number][None]


@pytest.fixture(scope="module")
def made(films: Path, tmp_path_factory: pytest.TempPathFactory) -> FootageRequest:
    request = request_of(films, tmp_path_factory.mktemp("data") / "data")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(run, "open_detector", lambda models, report: Recorded())
        run.detector_of.cache_clear()
        prepare_footage(request, NOTHING)
    run.detector_of.cache_clear()
    return request


@pytest.fixture
def recorded(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setattr(run, "open_detector", lambda models, report: Recorded())
    run.detector_of.cache_clear()
    yield
    run.detector_of.cache_clear()


def test_good_films_become_clips_that_the_reader_of_data_sets_reads(made: FootageRequest) -> None:
    clips = read_manifest(made.out)
    files = sorted(clip.record["provenance"]["file"] for clip in clips)
    assert files == [
        "anna/walk_0.mp4", "anna/walk_1.mp4", "anna/walk_2.mp4", "bert/pngs", "copy.mp4", "other.mp4", "two_shots.mp4", "two_shots.mp4",
    ]  # fmt: skip
    for clip in clips:
        assert clip.labels is None
        for index in range(clip.frames):
            assert read_image(made.out / clip.frame_path(index)).shape == (64, 48, 3)
        track = load_track(made.out / clip.keypoints)
        assert (track.points.shape, track.size, track.fps) == ((clip.frames, 1, COUNT, 3), (48, 64), FPS)


def test_the_trainer_reads_clips_without_labels(made: FootageRequest, tmp_path: Path) -> None:
    shutil.copytree(made.out, tmp_path / "data")
    clip = read_manifest(tmp_path / "data")[0]
    found = load_clip(tmp_path / "data", clip, (24, 32))
    assert found.frames.shape == (clip.frames, 32, 24, 3)
    assert found.frames.std() > 10
    assert not found.labels.any()


def test_keypoints_lie_where_the_pictures_show_them(made: FootageRequest) -> None:
    """The nose is a green dot."""
    for clip in read_manifest(made.out):
        track = load_track(made.out / clip.keypoints).points[:, 0]
        for index in (0, clip.frames - 1):
            picture = read_image(made.out / clip.frame_path(index)).astype(int)
            green = cv2.blur((picture[..., 1] - picture[..., ::2].max(axis=2)).clip(0).astype(np.float32), (3, 3))
            y, x = np.argwhere(green == green.max()).mean(0)
            near = np.hypot(track[index, 0, 0] - x, track[index, 0, 1] - y)
            assert near < 2.5, (clip.record["provenance"], index, near)


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("short.mp4", "too short"), ("small.mp4", "too small"), ("still.mp4", "still"), ("pair.mp4", "several people"),
        ("blurred.mp4", "blurred"), ("empty.mp4", "nobody"), ("cut_off.mp4", "unreadable"), ("garbage.mp4", "unreadable"),
        ("nothing.mp4", "unreadable"), ("wrong_points.mp4", "unreadable"), ("mixed", "unreadable"), ("one.mp4", "duplicate"),
    ],
)  # fmt: skip
def test_what_is_dropped_says_why(made: FootageRequest, name: str, reason: str) -> None:
    assert [d["reason"] for d in dropped(made.out)[name]] == [reason]


def test_nothing_else_is_dropped_and_the_summary_counts_it_all(made: FootageRequest) -> None:
    summary = json.loads((made.out / "dataset.json").read_text())
    records = [d for found in dropped(made.out).values() for d in found]
    assert len(records) == 12
    assert sum(summary["dropped"].values()) == 12
    assert sum(summary["clips"].values()) == 8
    assert summary["recordings"] == 19
    assert all(d["detail"] and "\n" not in d["detail"] for d in records)


def test_a_film_is_cut_where_its_shots_change(made: FootageRequest) -> None:
    clips = [c for c in read_manifest(made.out) if c.motion == "two_shots.mp4"]
    assert [c.record["source_frames"] for c in clips] == [[0, 14], [15, 29]]


def test_who_is_in_one_folder_is_in_one_split(made: FootageRequest) -> None:
    parts: dict[str, set[str]] = {}
    for clip in read_manifest(made.out):
        parts.setdefault(clip.identity, set()).add(clip.split)
    assert parts.keys() == {"anna", "bert", "copy.mp4", "other.mp4", "two_shots.mp4"}
    assert all(len(found) == 1 for found in parts.values())
    assert set().union(*parts.values()) == {"train", "val", "test"}


def test_a_slower_rate_keeps_fewer_frames_and_a_faster_one_none_twice(films: Path, tmp_path: Path) -> None:
    (tmp_path / "films").mkdir()
    for name in ("one.mp4", "one.npz"):
        shutil.copy(films / name, tmp_path / "films")
    for fps, frames in ((Fraction(6), 12), (Fraction(60), 24)):
        request = request_of(tmp_path / "films", tmp_path / f"data{fps}", fps=fps)
        prepare_footage(request, NOTHING)
        (clip,) = read_manifest(request.out)
        assert (clip.frames, Fraction(clip.fps)) == (frames, min(fps, FPS))


@pytest.mark.usefixtures("recorded")
def test_a_run_that_was_killed_goes_on_to_the_same_bytes(made: FootageRequest, tmp_path: Path) -> None:
    """What `kill -9` leaves: no lists, one clip half written, one recording without its record."""
    out = tmp_path / "data"
    shutil.copytree(made.out, out)
    for name in ("metadata.jsonl", "dropped.jsonl", "dataset.json", "report.html"):
        (out / name).unlink()
    lost, kept = read_manifest(made.out)[:2]
    (out / "records" / f"{lost.clip_id[:15]}.json").unlink()
    (out / "clips" / lost.clip_id).rename(out / "clips" / f".{lost.clip_id}.99999999")
    before = (out / kept.frame_path(0)).stat().st_mtime_ns
    prepare_footage(replace(made, out=out), NOTHING)
    assert digests(out) == digests(made.out)
    assert (out / kept.frame_path(0)).stat().st_mtime_ns == before


@pytest.mark.usefixtures("recorded")
def test_a_film_that_changed_is_done_again_and_others_are_not(films: Path, tmp_path: Path) -> None:
    origin = tmp_path / "films"
    write_walk(origin / "a.mp4", 1)
    write_walk(origin / "b.mp4", 2)
    request = request_of(origin, tmp_path / "data", val_share=0.0, test_share=0.0)
    prepare_footage(request, NOTHING)
    times = {c.motion: (request.out / c.frame_path(0)).stat().st_mtime_ns for c in read_manifest(request.out)}
    for name in ("b.mp4", "b.npz"):
        (origin / name).unlink()
    write_walk(origin / "b.mp4", 3, frames=30)
    prepare_footage(request, NOTHING)
    clips = {c.motion: c for c in read_manifest(request.out)}
    assert clips["b.mp4"].frames == 30
    assert (request.out / clips["a.mp4"].frame_path(0)).stat().st_mtime_ns == times["a.mp4"]


@pytest.mark.slow
def test_two_processes_write_the_same_bytes(films: Path, tmp_path: Path) -> None:
    origin = tmp_path / "films"
    shutil.copytree(films / "anna", origin / "anna")
    for name in ("other.mp4", "other.npz", "garbage.mp4"):
        shutil.copy(films / name, origin)
    one, two = (request_of(origin, tmp_path / f"data{n}", workers=n) for n in (1, 2))
    (origin / "garbage.npz").write_bytes(b"")  # so that no detector is needed
    prepare_footage(one, NOTHING)
    prepare_footage(two, NOTHING)
    assert digests(one.out) == digests(two.out)
    assert len(read_manifest(one.out)) == 4


def test_a_dry_run_writes_nothing_and_tells_what_is_broken(films: Path, tmp_path: Path) -> None:
    found = prepare_footage(request_of(films, tmp_path / "data", dry_run=True), NOTHING)
    assert not (tmp_path / "data").exists()
    assert found["recordings"] == 19
    assert {d["source"] for d in found["dropped"]} == {"short.mp4", "cut_off.mp4", "garbage.mp4", "nothing.mp4"}
    assert sum(found["identities"].values()) >= 5


def test_a_bug_in_one_recording_does_not_end_the_others(films: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    origin = tmp_path / "films"
    write_walk(origin / "a.mp4", 1)
    write_walk(origin / "b.mp4", 2)
    real = run.take

    def flawed(request: Any, recording: Any, *rest: Any) -> Any:
        if recording.name == "a.mp4":
            raise ZeroDivisionError("a bug")
        return real(request, recording, *rest)

    monkeypatch.setattr(run, "take", flawed)
    request = request_of(origin, tmp_path / "data")
    prepare_footage(request, NOTHING)
    assert [d["reason"] for d in dropped(request.out)["a.mp4"]] == ["failed"]
    monkeypatch.setattr(run, "take", real)
    prepare_footage(request, NOTHING)  # a failure that may have passed is tried again
    assert "a.mp4" not in dropped(request.out)
    assert len(read_manifest(request.out)) == 2


def test_a_full_disk_ends_the_run_in_one_sentence(films: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import errno

    def full(*_: Any) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(run, "take", full)
    write_walk(tmp_path / "films" / "a.mp4", 1)
    with pytest.raises(ScdError, match=r"can't be written \(No space left on device\)"):
        prepare_footage(request_of(tmp_path / "films", tmp_path / "data"), NOTHING)


def test_other_arguments_do_not_mix_with_a_data_set(made: FootageRequest) -> None:
    with pytest.raises(ScdError, match="another limits"):
        prepare_footage(replace(made, limits=replace(LIMITS, height=41)), NOTHING)
    with pytest.raises(ScdError, match="another size"):
        prepare_footage(replace(made, size=(64, 64)), NOTHING)


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"size": (47, 64)}, "--size is 47x64"), ({"val_share": 0.6, "test_share": 0.4}, "--val-share"), ({"workers": 0}, "--workers"),
    ],
)  # fmt: skip
def test_numbers_that_make_no_sense_are_usage_errors(tmp_path: Path, changes: dict[str, Any], words: str) -> None:
    with pytest.raises(UsageError, match=words):
        prepare_footage(request_of(tmp_path / "films", tmp_path / "data", **changes), NOTHING)


def test_the_output_may_not_lie_in_the_data_set_nor_replace_other_things(films: Path, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="inside of --from"):
        prepare_footage(request_of(films, films / "data"), NOTHING)
    (tmp_path / "letter.txt").write_text("dear")
    with pytest.raises(ScdError, match="not empty and not a data set"):
        prepare_footage(request_of(films, tmp_path), NOTHING)
    assert (tmp_path / "letter.txt").read_text() == "dear"


def test_where_nothing_is_kept_the_reasons_are_named(tmp_path: Path) -> None:
    write_walk(tmp_path / "films" / "short.mp4", 1, frames=5)
    with pytest.raises(ScdError, match=r"no clip of .* was kept \(1 too short\)"):
        prepare_footage(request_of(tmp_path / "films", tmp_path / "data"), NOTHING)


def test_the_command_makes_a_data_set_and_says_whose_it_is(films: Path, tmp_path: Path) -> None:
    origin = tmp_path / "films"
    shutil.copytree(films / "anna", origin)
    command = ["prepare-data", "folder", "--from", origin, "--out", tmp_path / "data", "--size", "48x64", "--min-height", "40", "--json"]
    done = subprocess.run([sys.executable, "-m", "scd_cli", *map(str, command)], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert sum(json.loads(done.stdout)["clips"].values()) == 3
    assert "your own films" in done.stderr
