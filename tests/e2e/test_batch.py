"""Batches from the command line: lists and products, killed and restarted, shared by processes, from a shell script, and on Ray."""

import hashlib
import json
import os
import random
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from engines.core.keypoints import PoseTrack
from engines.pose.files import save_track
from tests.e2e.running import FPS, scd, waving_track

ROOT = Path(__file__).parents[2]
COMMAND = [sys.executable, "-m", "scd_cli", "animate"]


@pytest.fixture(autouse=True)
def no_detection(blind: None) -> None:
    """In this process; children have keypoints beside their references."""


def inputs(folder: Path, references: int, drivers: int, frames: int = 12) -> None:
    """Pictures r0.png ... with keypoints beside them, and drivers d0.npz ..."""
    for number in range(references):
        pixels = np.random.default_rng(number).integers(0, 256, (128, 96, 3), dtype=np.uint8)
        Image.fromarray(pixels).save(folder / f"r{number}.png")
        save_track(folder / f"r{number}.npz", waving_track(1), False)
    for number in range(drivers):
        track = waving_track(frames)
        points = track.points.copy()
        points[..., 0] += number
        save_track(folder / f"d{number}.npz", PoseTrack(points, track.size, FPS), False)


def digests(folder: Path) -> dict[str, str]:
    return {path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in sorted(folder.iterdir()) if path.is_file()}


def test_several_references_and_drivers(tiny: Path, tmp_path: Path) -> None:
    inputs(tmp_path, 2, 2, 3)
    refs, out = (tmp_path / "r0.png", tmp_path / "r1.png"), tmp_path / "out"
    words = ("animate", *refs, "--poses", tmp_path / "d0.npz", "--poses", tmp_path / "d1.npz", "-o", out, "--model", tiny, "--steps", 2)
    ran = scd(*words)
    assert (ran.code, ran.out.split()) == (0, [str(out / f"r{a}-d{b}.mp4") for a in range(2) for b in range(2)]), ran.err
    assert "[4/4" in ran.err
    again = scd(*words)
    assert (again.code, again.err.count("skipped")) == (0, 5), "four jobs and the sum"


def test_a_list_with_bad_jobs_ends_with_3(tiny: Path, tmp_path: Path) -> None:
    inputs(tmp_path, 1, 1, 3)
    rows = [f"{tmp_path}/r0.png,{tmp_path}/d0.npz,{tmp_path}/a.mp4,2", f"{tmp_path}/r0.png,{tmp_path}/gone.mp4,{tmp_path}/b.mp4,2"]
    rows.append(f"{tmp_path}/r0.png,{tmp_path}/d0.npz,{tmp_path}/c.xyz,many")
    (tmp_path / "jobs.csv").write_text("\n".join(["ref,poses,out,steps", *rows]))
    ran = scd("animate", "--jobs", tmp_path / "jobs.csv", "--model", tiny, "--summary", tmp_path / "done.jsonl", "--json")
    assert ran.code == 3
    said = json.loads(ran.out)
    assert (said["made"], said["failed"]) == (1, 2)
    assert [json.loads(line)["status"] for line in (tmp_path / "done.jsonl").read_text().splitlines()] == ["made", "failed", "failed"]
    assert "gone.mp4 does not exist" in ran.err
    assert "Invalid value for '--steps'" in ran.err
    fast = scd("animate", "--jobs", tmp_path / "jobs.csv", "--model", tiny, "--fail-fast", "--overwrite")
    assert (fast.code, "1 not begun" in fast.err) == (3, True), fast.err


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--jobs", "x.csv", "a.png"], "leave REF and --poses out"),
        (["a.png", "b.png", "--poses", "d.npz", "-o", "out.mp4"], "is no folder"),
        (["a.png", "b.png", "--poses", "d.npz", "--dry-run"], "--dry-run looks at one clip"),
        (["a.png", "--poses", "d.npz", "--ray"], "--ray is for batches"),
        (["a.png", "--poses", "d.npz", "--summary", "s.jsonl"], "--summary is for batches"),
        (["--poses", "d.npz"], "needs a picture of the person"),
        (["a.png"], "needs a driver"),
    ],
)
def test_what_does_not_go_together(words: list[str], said: str) -> None:
    ran = scd("animate", *words)
    assert ran.code == 2
    assert said in ran.err
    assert ran.err.count("\n") == 1


def job_list(folder: Path, out: Path, good: int, bad: int) -> Path:
    """JSON lines in a mixed order; the bad ones each in their own way."""
    kinds = [
        {"ref": f"{folder}/gone.png"}, {"poses": f"{folder}/gone.npz"}, {"steps": 0}, {"frames": "900:"}, {"model": "no-such"},
        {"colour": 1}, {"out": str(out / "bad.xyz")},
    ]  # fmt: skip
    jobs = [
        {"ref": f"{folder}/r{n % 3}.png", "poses": f"{folder}/d{n % 4}.npz", "out": str(out / f"{n:03d}.mp4"), "seed": n, "steps": 3}
        for n in range(good)
    ]
    jobs += [jobs[n] | {"out": str(out / f"bad{n}.mp4")} | kinds[n] for n in range(bad)]
    random.Random(0).shuffle(jobs)
    (folder / "jobs.jsonl").write_text("".join(json.dumps(job) + "\n" for job in jobs))
    return folder / "jobs.jsonl"


def killed_after(command: list[str], folder: Path, more: int, seconds: float) -> int | None:
    """Start, and kill -9 some seconds after so many more clips are there; the exit code if it was through before."""
    child = subprocess.Popen(command, cwd=ROOT, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    wanted = len(list(folder.glob("*.mp4"))) + more
    while len(list(folder.glob("*.mp4"))) < wanted and child.poll() is None:
        time.sleep(0.01)
    time.sleep(seconds)
    if child.poll() is not None:
        return child.returncode
    child.send_signal(signal.SIGKILL)
    child.wait()
    return None


@pytest.mark.slow
def test_a_list_killed_at_random_moments_ends_as_if_it_had_not_been(tiny: Path, tmp_path: Path) -> None:
    """100 jobs, 7 of them bad; ten times kill -9, then to the end: the files of a run in one go, 7 errors, nothing else left."""
    inputs(tmp_path, 3, 4)
    whole, pieces = tmp_path / "whole", tmp_path / "pieces"
    whole.mkdir()
    pieces.mkdir()
    done = subprocess.run([*COMMAND, "--jobs", job_list(tmp_path, whole, 93, 7), "--model", tiny], cwd=ROOT, capture_output=True, text=True)
    assert (done.returncode, len(digests(whole))) == (3, 93), done.stderr
    command = [*COMMAND, "--jobs", str(job_list(tmp_path, pieces, 93, 7)), "--model", str(tiny), "--summary", str(tmp_path / "done.jsonl")]
    rng = random.Random(7)
    codes = [killed_after(command, pieces, rng.randint(2, 9), 0.3 * rng.random()) for _ in range(10)]
    assert codes == [None] * 10, "it was killed at work"
    assert len(digests(pieces)) < 93
    assert subprocess.run(command, cwd=ROOT, capture_output=True).returncode == 3
    assert digests(pieces) == digests(whole)
    assert sorted(path.name for path in pieces.iterdir()) == sorted(digests(whole)), "no folder of a clip under way is left"
    lines = [json.loads(line) for line in (tmp_path / "done.jsonl").read_text().splitlines()]
    errors = [line["error"] for line in lines if line["status"] == "failed"]
    assert (len(lines), len(errors)) == (100, 7)
    assert all(error and "\n" not in error and "Error:" not in error for error in errors), errors


@pytest.mark.slow
def test_two_processes_share_a_list(tiny: Path, tmp_path: Path) -> None:
    inputs(tmp_path, 3, 4)
    out = tmp_path / "out"
    out.mkdir()
    jobs = job_list(tmp_path, out, 24, 0)
    commands = [[*COMMAND, "--jobs", str(jobs), "--model", str(tiny), "--summary", str(tmp_path / f"{n}.jsonl")] for n in range(2)]
    children = [subprocess.Popen(c, cwd=ROOT, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True) for c in commands]
    said = [child.communicate()[1] for child in children]
    assert [child.returncode for child in children] == [0, 0], said
    lines = [json.loads(line) for n in range(2) for line in (tmp_path / f"{n}.jsonl").read_text().splitlines()]
    made = sorted(line["out"] for line in lines if line["status"] == "made")
    assert made == sorted(str(out / f"{n:03d}.mp4") for n in range(24)), "each once"
    assert sorted(digests(out)) == [f"{n:03d}.mp4" for n in range(24)] == sorted(path.name for path in out.iterdir())


@pytest.mark.slow
@pytest.mark.skipif(shutil.which("bash") is None, reason="needs bash")
def test_the_studios_script(tiny: Path, tmp_path: Path) -> None:
    pictures, dances, results = (tmp_path / name for name in ("my pictures", 'the "dances"', "results"))
    for folder in (pictures, dances):
        folder.mkdir()
        inputs(folder, *((2, 0) if folder == pictures else (0, 2)), frames=3)
    (pictures / "broken, really.png").write_bytes(b"no picture")
    wrapper = tmp_path / "scd"
    wrapper.write_text(f'#!/bin/sh\nexec "{sys.executable}" -m scd_cli "$@"\n')
    wrapper.chmod(0o755)
    command = [str(ROOT / "examples" / "studio.sh"), str(pictures), str(dances), str(results), "--model", str(tiny), "--steps", "2"]
    done = subprocess.run(command, cwd=ROOT, env=os.environ | {"SCD": str(wrapper)}, capture_output=True, text=True)
    assert done.returncode == 3, done.stderr
    made = [f"r{a}-d{b}.mp4" for a in range(2) for b in range(2)]
    assert sorted(digests(results)) == sorted([*made, "failed.jsonl", "summary.jsonl"])
    failed = [json.loads(line) for line in (results / "failed.jsonl").read_text().splitlines()]
    assert [Path(line["out"]).name for line in failed] == ["broken, really-d0.mp4", "broken, really-d1.mp4"]
    (pictures / "broken, really.png").unlink()
    again = subprocess.run(command, cwd=ROOT, env=os.environ | {"SCD": str(wrapper)}, capture_output=True, text=True)
    assert (again.returncode, "4 skipped" in again.stderr, (results / "failed.jsonl").exists()) == (0, True, False), again.stderr
    assert subprocess.run(command[:2], capture_output=True).returncode == 2
