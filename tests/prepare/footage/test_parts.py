"""The parts of the pipeline by themselves: cuts, measures, windows, looks, shards, the page, processes."""

import hashlib
import io
import os
import signal
import tarfile
from dataclasses import replace
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from PIL import Image

from engines.core.keypoints import COUNT
from engines.core.manifest import read_manifest
from engines.core.report import NullReport
from engines.prepare.footage import shards
from engines.prepare.footage.crop import PADDED, cut_picture, cut_points, window_of
from engines.prepare.footage.filters import sharpness
from engines.prepare.footage.overlap import look, overlaps
from engines.prepare.footage.page import page
from engines.prepare.footage.pool import each
from engines.prepare.footage.poses import company, stretches
from engines.prepare.footage.run import prepare_footage
from engines.prepare.footage.shots import Shots
from tests.prepare.footage.filmed import figure, pictures, request_of, write_walk

NOTHING = NullReport()


def shots_of(frames: list[np.ndarray]) -> list[tuple[int, int]]:
    found = Shots()
    for frame in frames:
        found.see(frame)
    return found.ranges()


def test_cuts_are_found_and_movement_flicker_and_fades_are_not() -> None:
    walk = list(pictures([figure(20)], 1))
    other = list(pictures([figure(20)], 2))
    assert shots_of(walk) == [(0, 20)]
    assert shots_of(walk + other) == [(0, 20), (20, 40)]
    assert shots_of([*walk[:3], *other[:2], *walk[3:]]) == [(0, 3), (3, 5), (5, 22)]
    ground = cv2.resize(np.random.default_rng(5).integers(0, 255, (8, 40, 3), np.uint8), (400, 100), interpolation=cv2.INTER_CUBIC)
    assert shots_of([ground[:, 4 * n : 4 * n + 96] for n in range(60)]) == [(0, 60)]  # a fast pan
    fade = [cv2.addWeighted(walk[0], 1 - n / 20, other[0], n / 20, 0) for n in range(21)]
    assert shots_of(fade) == [(0, 21)]


def test_a_stretch_ends_where_the_person_is_away_or_leaps() -> None:
    points = figure(40)
    points[10:13] = 0  # a quarter of a second at 12 a second
    points[20:30] = 0
    found = stretches([p[None] for p in points], 100, 12.0, True)
    assert [(s.start, s.stop) for s in found] == [(100, 120), (130, 140)]
    assert (found[0].points[:, 0, 2] > 0).all()
    jump = figure(20)
    jump[12:, :, :2] += 60
    assert [(s.start, s.stop) for s in stretches([p[None] for p in jump], 0, 12.0, True)] == [(0, 12), (12, 20)]


def test_company_counts_people_of_a_size_who_stay() -> None:
    main, second, small = figure(20), figure(20, scale=0.8, shift=30), figure(20, scale=0.2, shift=30)
    passing = second.copy()
    passing[3:] = 0
    assert company([p[None] for p in main]) == 1
    for other, count in ((second, 2), (small, 1), (passing, 1)):
        assert company([np.stack(both) for both in zip(main, other, strict=True)]) == count
    assert company([np.zeros((0, COUNT, 3), np.float32)] * 5) == 0


def test_sharpness_falls_with_blur_and_not_with_the_size_of_the_picture() -> None:
    picture, points = pictures([figure(1)], 1)[0], figure(1)[0]
    large = cv2.resize(picture, None, fx=6, fy=6, interpolation=cv2.INTER_CUBIC)
    larger = cv2.resize(picture, None, fx=8, fy=8, interpolation=cv2.INTER_CUBIC)
    scaled = [points * np.array([k, k, 1], np.float32) for k in (6, 8)]
    assert sharpness(large, scaled[0]) == pytest.approx(sharpness(larger, scaled[1]), rel=0.1)
    falling = [sharpness(cv2.GaussianBlur(picture, (0, 0), s), points) for s in (0.5, 1, 2, 4)]
    assert falling == sorted(falling, reverse=True)
    assert falling[0] > 3 * falling[-1]


def test_the_window_holds_all_of_the_way_in_the_shape_that_is_asked_for() -> None:
    points = figure(20, scale=0.5)
    window = window_of(points, (96, 128), (48, 64))
    xy = points[:, :17, :2].reshape(-1, 2)
    assert (xy[:, 0].min() >= window.left) & (xy[:, 0].max() <= window.left + window.width)
    assert (xy[:, 1].min() >= window.top) & (xy[:, 1].max() <= window.top + window.height)
    assert window.width / window.height == pytest.approx(48 / 64, abs=0.02)
    wide = window_of(points, (96, 128), (200, 64))  # no picture reaches so far
    assert wide.width == 96
    assert wide.height * 200 / 64 / wide.width <= PADDED + 0.05


def test_points_go_with_the_pictures() -> None:
    picture = np.zeros((128, 96, 3), np.uint8)
    points = figure(1, scale=0.5)
    window = window_of(points, (96, 128), (64, 64))
    for number in range(17):
        picture[:] = 0
        x, y = points[0, number, :2]
        cv2.circle(picture, (round(float(x)), round(float(y))), 2, (255, 255, 255), -1)
        small, moved = cut_picture(picture, window, (64, 64)), cut_points(points[0], window, (64, 64))
        where = np.argwhere(small[..., 0] > 128).mean(0)[::-1]
        assert np.hypot(*(where - moved[number, :2])) < 1.5


def clip(name: str, looks: list[str]) -> dict[str, Any]:
    return {"clip_id": name, "identity": name, "look": looks, "provenance": {"file": f"{name}.mp4"}}


def test_a_clip_that_looks_like_a_held_out_one_is_left_out_of_train() -> None:
    shot = pictures([figure(30)], 1)
    again = [cv2.imdecode(cv2.imencode(".jpg", p, [cv2.IMWRITE_JPEG_QUALITY, 60])[1], 1) for p in shot]  # another copy of the film
    other = pictures([figure(30)], 2)
    looks = {name: [look(frames[n]) for n in (0, 14, 29)] for name, frames in (("a", shot), ("b", again), ("c", other))}
    found = [clip(name, some) for name, some in looks.items()]
    out = overlaps(found, {"a": "test", "b": "train", "c": "train"})
    assert {name: (d.reason, "a.mp4, which is in test" in d.detail) for name, d in out.items()} == {"b": ("overlap", True)}
    assert overlaps(found, dict.fromkeys("abc", "train")) == {}
    flat = clip("flat", [look(np.full((64, 48, 3), 7, np.uint8))] * 3)
    assert overlaps([flat, flat | {"clip_id": "f", "identity": "f"}], {"flat": "test", "f": "train"}) == {}


def test_shards_hold_whole_clips_and_are_the_same_bytes_each_time(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shards, "SHARD_BYTES", 1)
    for seed in range(5):
        write_walk(tmp_path / "films" / f"{seed}.mp4", seed)
    request = request_of(tmp_path / "films", tmp_path / "data", format="webdataset")
    named = prepare_footage(request, NOTHING)["shards"]
    digests = {name: hashlib.sha256((request.out / name).read_bytes()).hexdigest() for name in named}
    (request.out / "shards" / "train-000099.tar").write_bytes(b"of another run")
    assert prepare_footage(request, NOTHING)["shards"] == named
    assert digests == {f"shards/{p.name}": hashlib.sha256(p.read_bytes()).hexdigest() for p in (request.out / "shards").iterdir()}
    clips = {c.clip_id: c for c in read_manifest(request.out)}
    assert len(named) == len(clips) == 5
    for name in named:
        with tarfile.open(request.out / name) as tar:
            members = {m.name: tar.extractfile(m).read() for m in tar}  # type: ignore[union-attr]
        (key,) = {member.split(".")[0] for member in members}
        assert Path(name).name.startswith(clips[key].split)
        assert len(members) == clips[key].frames + 2
        with np.load(io.BytesIO(members[f"{key}.pose.npz"])) as arrays:
            assert arrays["points"].shape == (clips[key].frames, 1, COUNT, 3)
        assert Image.open(io.BytesIO(members[f"{key}.0000.png"])).size == (48, 64)


def test_the_page_shows_histograms_and_escapes_what_files_are_called(tmp_path: Path) -> None:
    name = "<img src=x onerror=alert(1)>"
    write_walk(tmp_path / "films" / f"{name}.mp4", 1)
    write_walk(tmp_path / "films" / f"short {name}.mp4", 2, frames=5)
    write_walk(tmp_path / "films" / "b.mp4", 3)
    request = request_of(tmp_path / "films", tmp_path / "data")
    prepare_footage(request, NOTHING)
    text = (request.out / "report.html").read_text()
    assert text.count("<svg") == text.count("</svg>") == 5
    assert "<img src=x" not in text
    assert "short &lt;img" in text
    assert "too short" in text
    assert text.count("<script") == 0
    assert "http" not in text
    assert Image.open(request.out / "contact.png").size[0] == 2 * 120


def test_the_page_of_a_large_set_is_cut_short() -> None:
    parts = {"train": 0, "val": 0, "test": 0}
    summary = {
        "source": "folder", "recordings": 900, "dropped": {"still": 900}, "provenance": {"origin": "/x", "licence": "mine"},
        "clips": parts, "identities": parts, "frames": parts, "seconds": parts,
    }  # fmt: skip
    drops = [{"source": f"{n}.mp4", "reason": "still", "detail": "no", "span": [0.0, 1.0]} for n in range(900)]
    text = page(summary, [], drops)
    assert text.count(".mp4") == 500
    assert "and 400 more" in text


def suspicious(job: int) -> int:
    if job == 2:
        os.kill(os.getpid(), signal.SIGKILL)
    return job * job


@pytest.mark.slow
def test_a_job_that_ends_its_process_takes_no_other_with_it() -> None:
    assert dict(each(suspicious, range(4), 2)) == {0: 0, 1: 1, 2: None, 3: 9}


@pytest.mark.slow
def test_a_recording_that_ends_its_process_is_dropped(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for seed in range(2):
        write_walk(tmp_path / "films" / f"{seed}.mp4", seed)
    from engines.prepare.footage import run

    monkeypatch.setattr(run, "each", lambda work, jobs, *_: ((job, None if i else work(job)) for i, job in enumerate(jobs)))
    request = replace(request_of(tmp_path / "films", tmp_path / "data"), workers=2)
    assert prepare_footage(request, NOTHING)["dropped"] == {"crashed": 1}
