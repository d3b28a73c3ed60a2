"""Lists of try-ons from the command line, with a tiny model: data sets and job lists, killed and gone on with, shared by processes."""

import json
import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from engines.core.bundle import sha256
from engines.media.together import PLACES
from engines.media.workspace import workspace_path
from tests.core import pair_trees as trees
from tests.e2e.running import scd
from tests.e2e.test_batch import digests

ROOT = Path(__file__).parents[2]
COMMAND = [sys.executable, "-m", "scd_cli", "tryon"]


@pytest.fixture(autouse=True)
def no_detection(blind: None) -> None:
    """In this process; children have masks, and a tiny model does not mind a skeleton that is missing."""


def people(root: Path, count: int) -> Path:
    """A VITON-HD of so many people, who try on four garments in turns."""
    ids = [f"{number:05d}_00" for number in range(count)]
    trees.viton(root, "png", ids, ("test",))
    for id in ids:
        trees.text(root / "test" / "openpose_json" / f"{id}_keypoints.json", json.dumps(standing()))
    trees.text(root / "test_pairs_unpaired.txt", "".join(f"{id}.png {ids[number % 4]}.png\n" for number, id in enumerate(ids)))
    return root


def standing() -> dict[str, object]:
    """OpenPose's JSON of somebody upright in the pictures of the trees."""
    body = np.zeros((25, 3))
    body[[0, 1, 2, 5, 8, 9, 12]] = [(16, 8, 1), (16, 13, 1), (10, 14, 1), (22, 14, 1), (16, 34, 1), (12, 34, 1), (20, 34, 1)]
    size = {"canvas_width": trees.SIZE[0], "canvas_height": trees.SIZE[1]}
    return {**size, "people": [{"pose_keypoints_2d": body.ravel().tolist()}]}


def pixels(path: Path) -> np.ndarray:
    return np.asarray(Image.open(path).convert("RGB"))


def visible(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def test_a_data_set_from_root_to_results(dresser: Path, tmp_path: Path) -> None:
    root, out = people(tmp_path / "set", 5), tmp_path / "out"
    words = ("tryon", "--root", root, "--unpaired", "-o", out, "--model", dresser, "--steps", 2, "--summary", tmp_path / "done.jsonl")
    ran = scd(*words)
    names = [f"{number:05d}_00.png" for number in range(5)]
    assert (ran.code, visible(out), visible(tmp_path / "out-masks")) == (0, names, names), ran.err
    assert sorted(ran.out.split()) == [str(out / name) for name in names]
    assert "[5/5" in ran.err
    for name in names:
        before, after, mask = pixels(root / "test" / "image" / name), pixels(out / name), pixels(tmp_path / "out-masks" / name)[..., 0] > 0
        assert mask.any()
        assert (before[~mask] == after[~mask]).all()
        assert (before[mask] != after[mask]).any()
    lines = [json.loads(line) for line in (tmp_path / "done.jsonl").read_text().splitlines()]
    assert [line["job"] for line in lines] == [1, 5, 2, 3, 4], "the fifth wears the garment of the first"
    assert lines[0]["summary"]["category"] == "upper"
    before = digests(out)
    again = scd(*words)
    assert (again.code, again.err.count("skipped"), digests(out)) == (0, 6, before), "five jobs and the sum"
    (out / names[2]).unlink()
    (tmp_path / "out-masks" / names[2]).unlink()
    assert (scd(*words).code, digests(out)) == (0, before)


def test_a_garment_is_read_once_however_many_wear_it(dresser: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from engines.generate.pipeline import Pipeline

    read: list[int] = []
    real = Pipeline.reference_kv

    def counted(self: Pipeline, *rest: object) -> object:
        read.append(1)
        return real(self, *rest)  # type: ignore[arg-type]

    monkeypatch.setattr(Pipeline, "reference_kv", counted)
    root = people(tmp_path / "set", 18)
    ids = [f"{number:05d}_00" for number in range(18)]
    trees.text(tmp_path / "six.txt", "".join(f"{id} {ids[number % 6]}\n" for number, id in enumerate(ids)))
    words = ("--root", root, "--pairs", tmp_path / "six.txt", "-o", tmp_path / "out", "--model", dresser, "--steps", 1)
    assert scd("tryon", *words).code == 0
    assert (len(digests(tmp_path / "out")), len(read)) == (18, 6), "six garments, which take turns in the list"


def test_a_list_with_bad_jobs_ends_with_3(dresser: Path, tmp_path: Path) -> None:
    test = people(tmp_path / "set", 2) / "test"
    row = {"person": str(test / "image/00000_00.png"), "garment": str(test / "cloth/00001_00.png")}
    row |= {"mask": str(test / "agnostic-mask/00000_00_mask.png"), "out": str(tmp_path / "a.png"), "steps": "2"}
    bad = [{"garment": str(tmp_path / "gone.png")}, {"steps": "many"}, {"mask": row["person"]}, {"out": str(tmp_path / "no/where.png")}]
    rows = [row, *(row | {"out": str(tmp_path / f"bad{n}.png")} | each for n, each in enumerate(bad))]
    lines = [",".join(row), *(",".join(each.values()) for each in rows)]
    trees.text(tmp_path / "jobs.csv", "\n".join(lines))
    ran = scd("tryon", "--jobs", tmp_path / "jobs.csv", "--model", dresser, "--json")
    assert ran.code == 3
    said = json.loads(ran.out)
    assert [outcome["status"] for outcome in said["outcomes"]].count("made") == said["made"] == 1
    errors = {outcome["job"]: outcome["error"] for outcome in said["outcomes"] if outcome["error"]}
    assert sorted(errors) == [2, 3, 4, 5]
    assert "gone.png does not exist" in errors[2]
    assert "Invalid value for '--steps'" in errors[3]
    assert "the folder" in errors[5]
    assert [name for name in visible(tmp_path) if name.endswith(".png")] == ["a.mask.png", "a.png"]


def test_what_a_killed_try_on_left_does_not_stop_the_next(dresser: Path, tmp_path: Path) -> None:
    """A process that is killed between mask and result leaves the mask and a sample, and the folder beside its output that lists them."""
    root, out = people(tmp_path / "set", 1), tmp_path / "out"
    words = ("tryon", "--root", root, "-o", out, "--model", dresser, "--steps", 1, "--samples", 2)
    assert scd(*words).code == 0
    before = digests(out) | {"mask": digests(tmp_path / "out-masks")["00000_00.png"]}
    (out / "00000_00.png").unlink()
    left = (out / "00000_00-2.png", tmp_path / "out-masks" / "00000_00.png")
    trees.text(workspace_path(out / "00000_00.png") / PLACES, json.dumps({str(path): sha256(path) for path in left}))
    ran = scd(*words)
    assert ran.code == 0, ran.err
    assert digests(out) | {"mask": digests(tmp_path / "out-masks")["00000_00.png"]} == before
    assert visible(out) == ["00000_00-2.png", "00000_00.png"]


def killed_after(command: Sequence[str], folder: Path, wanted: int, seconds: float) -> int | None:
    """Start, and kill -9 some seconds after so many results are there; the exit code if it was through before."""
    child = subprocess.Popen(command, cwd=ROOT, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, env=os.environ)
    while child.poll() is None and (not folder.is_dir() or len(list(folder.glob("[0-9]*.png"))) < wanted):
        time.sleep(0.005)
    time.sleep(seconds)
    if child.poll() is not None:
        return child.returncode
    child.send_signal(signal.SIGKILL)
    child.wait()
    return None


@pytest.mark.slow
def test_a_set_killed_at_random_moments_ends_as_if_it_had_not_been(dresser: Path, tmp_path: Path) -> None:
    """24 pairs, four times kill -9, then to the end: the bytes of a run in one go, and nothing else left."""
    root = people(tmp_path / "set", 24)
    common = ["--root", str(root), "--unpaired", "--model", str(dresser), "--steps", "60", "--samples", "2"]
    whole, pieces = tmp_path / "whole", tmp_path / "pieces"
    done = subprocess.run([*COMMAND, *common, "-o", str(whole)], cwd=ROOT, capture_output=True, text=True)
    assert (done.returncode, len(digests(whole))) == (0, 48), done.stderr
    command, rng = [*COMMAND, *common, "-o", str(pieces)], random.Random(7)
    assert [killed_after(command, pieces, wanted, 0.05 * rng.random()) for wanted in (2, 7, 13, 22)] == [None] * 4, "killed at work"
    assert len(digests(pieces)) < 48
    last = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    assert (last.returncode, "skipped" in last.stderr) == (0, True), last.stderr
    assert {name: digest for name, digest in digests(pieces).items() if not name.startswith(".")} == digests(whole)
    assert digests(tmp_path / "pieces-masks").items() >= digests(tmp_path / "whole-masks").items()
    assert not [path for path in pieces.iterdir() if path.is_dir()], "no folder of a pair under way is left"


@pytest.mark.slow
def test_two_processes_share_a_set(dresser: Path, tmp_path: Path) -> None:
    root, out = people(tmp_path / "set", 12), tmp_path / "out"
    common = [*COMMAND, "--root", str(root), "--unpaired", "--model", str(dresser), "--steps", "30", "-o", str(out)]
    commands = [[*common, "--summary", str(tmp_path / f"{n}.jsonl")] for n in range(2)]
    children = [subprocess.Popen(c, cwd=ROOT, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True) for c in commands]
    said = [child.communicate()[1] for child in children]
    assert [child.returncode for child in children] == [0, 0], said
    lines = [json.loads(line) for n in range(2) for line in (tmp_path / f"{n}.jsonl").read_text().splitlines()]
    assert sorted(line["out"] for line in lines if line["status"] == "made") == [str(out / f"{n:05d}_00.png") for n in range(12)], (
        "each once"
    )
    assert visible(out) == [f"{n:05d}_00.png" for n in range(12)]


@pytest.mark.slow
def test_a_set_on_ray(dresser: Path, tmp_path: Path) -> None:
    ray = pytest.importorskip("ray")
    root = people(tmp_path / "set", 6)
    words = ("tryon", "--root", root, "--unpaired", "--model", dresser, "--steps", 2, "-o")
    try:
        ran = scd(*words, tmp_path / "spread", "--ray", "local", "--actors", 2)
    finally:
        ray.shutdown()
    assert ran.code == 0, ran.err
    assert scd(*words, tmp_path / "here").code == 0
    assert digests(tmp_path / "spread") == digests(tmp_path / "here")
