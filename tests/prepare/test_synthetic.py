"""The data set on disk: same bytes for the same seed, whatever the workers and interruptions."""

import hashlib
import itertools
import json
import shutil
import subprocess
import sys
import time
from dataclasses import replace
from fractions import Fraction
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

from engines.core.errors import MissingExtra, ScdError, UsageError
from engines.core.manifest import read_manifest
from engines.core.report import NullReport
from engines.prepare import synthetic
from engines.prepare.motion import HELD_OUT_MOTIONS
from engines.prepare.synthetic import SyntheticRequest, prepare_synthetic, specs, split_of

pytestmark = pytest.mark.usefixtures("assets")


def digests(folder: Path) -> dict[str, str]:
    return {str(p.relative_to(folder)): hashlib.sha256(p.read_bytes()).hexdigest() for p in sorted(folder.rglob("*")) if p.is_file()}


@pytest.fixture(scope="module")
def request_of(tmp_path_factory: pytest.TempPathFactory) -> SyntheticRequest:
    return SyntheticRequest(
        tmp_path_factory.mktemp("people") / "data", identities=3, frames=2, size=(48, 64), seed=4, workers=1, fps=Fraction(12)
    )


@pytest.fixture(scope="module")
def made(request_of: SyntheticRequest) -> SyntheticRequest:
    prepare_synthetic(request_of, NullReport())
    return request_of


def test_manifest_and_files_agree(made: SyntheticRequest) -> None:
    clips = read_manifest(made.out)
    assert [c.clip_id for c in clips] == ["000000", "000001", "000002"]
    for clip in clips:
        for index in range(clip.frames):
            assert cv2.imread(str(made.out / clip.frame_path(index))).shape == (64, 48, 3)
            labels = cv2.imread(str(made.out / clip.label_path(index)), cv2.IMREAD_UNCHANGED)
            assert labels.shape == (64, 48)
            assert set(np.unique(labels)) <= set(clip.label_ids.values())
        with np.load(made.out / clip.keypoints, allow_pickle=False) as archive:
            assert archive["points"].shape == (2, 1, 133, 3)
            assert archive["points"].dtype == np.float32
            assert archive["size"].tolist() == [48, 64]
            assert str(archive["fps"]) == clip.fps == "12/1"
        for path in clip.record["garments"].values():
            assert (made.out / path).is_file()
    counts = json.loads((made.out / "dataset.json").read_text())["clips"]
    assert counts == {"train": 1, "val": 1, "test": 1}


def test_splits_share_neither_identities_nor_motion(made: SyntheticRequest) -> None:
    train, held = read_manifest(made.out, "train"), read_manifest(made.out, "val") + read_manifest(made.out, "test")
    assert not {c.identity for c in train} & {c.identity for c in held}
    assert not {c.motion for c in train} & {c.motion for c in held}
    assert {c.motion for c in held} <= set(HELD_OUT_MOTIONS)


def test_a_person_keeps_the_split_when_the_set_grows() -> None:
    sets = [[spec.split for spec in specs(SyntheticRequest(Path("x"), n, 1, (64, 64), 0, 1, Fraction(12)))] for n in range(1, 8)]
    assert all(later[: len(earlier)] == earlier for earlier, later in itertools.pairwise(sets))
    assert sets[2] == ["train", "val", "test"]


def test_splits_are_drawn_one_identity_at_a_time() -> None:
    splits = [split_of(n, 0) for n in range(2000)]
    assert splits[:50] == [split_of(n, 0) for n in range(50)]
    assert splits.count("val") == pytest.approx(100, abs=40)
    assert splits.count("test") == pytest.approx(100, abs=40)


@pytest.mark.slow
def test_two_workers_write_the_same_bytes(made: SyntheticRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(synthetic, "BATCH", 1)  # so that workers are replaced, too
    prepare_synthetic(replace(made, out=tmp_path / "again", workers=2), NullReport())
    assert digests(tmp_path / "again") == digests(made.out)


def test_a_killed_run_is_taken_up_to_the_same_bytes(made: SyntheticRequest, tmp_path: Path) -> None:
    """What `kill -9` leaves: some clips whole, one in a temporary folder, no manifest."""
    broken = tmp_path / "broken"
    shutil.copytree(made.out, broken)
    (broken / "metadata.jsonl").unlink()
    (broken / "dataset.json").unlink()
    (broken / "clips/000001").rename(broken / "clips/.000001.99999999")
    (broken / "clips/.000001.99999999/clip.json").unlink()
    kept = (broken / "clips/000000/clip.json").stat().st_mtime_ns
    prepare_synthetic(replace(made, out=broken), NullReport())
    assert digests(broken) == digests(made.out)
    assert (broken / "clips/000000/clip.json").stat().st_mtime_ns == kept


@pytest.mark.slow
def test_kill_9_in_the_middle_and_again(made: SyntheticRequest, tmp_path: Path) -> None:
    """A real run, ended from outside once its first clip is there."""
    out = tmp_path / "killed"
    code = (
        "from fractions import Fraction; from pathlib import Path; from engines.core.report import NullReport;"
        "from engines.prepare.synthetic import SyntheticRequest, prepare_synthetic;"
        f"prepare_synthetic(SyntheticRequest(Path({str(out)!r}), 3, 2, (48, 64), 4, 1, Fraction(12)), NullReport())"
    )
    run = subprocess.Popen([sys.executable, "-c", code], cwd=Path(__file__).parents[2])
    while run.poll() is None and not (out / "clips/000000/clip.json").exists():
        time.sleep(0.05)
    run.kill()
    run.wait()
    assert not (out / "dataset.json").exists()
    prepare_synthetic(replace(made, out=out), NullReport())
    assert digests(out) == digests(made.out)


def test_without_the_extra_it_says_what_to_install(made: SyntheticRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "numba", None)
    with pytest.raises(MissingExtra, match=r"scd-cli\[synth\]"):
        prepare_synthetic(made, NullReport())


def test_other_arguments_never_mix(made: SyntheticRequest) -> None:
    before = digests(made.out)
    with pytest.raises(ScdError, match="another seed"):
        prepare_synthetic(replace(made, seed=5), NullReport())
    assert digests(made.out) == before


def test_a_folder_of_somebody_else_is_refused(made: SyntheticRequest, tmp_path: Path) -> None:
    (tmp_path / "letter.txt").write_text("dear")
    with pytest.raises(ScdError, match="not empty"):
        prepare_synthetic(replace(made, out=tmp_path), NullReport())
    assert [p.name for p in tmp_path.iterdir()] == ["letter.txt"]


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"identities": 0}, "--identities"),
        ({"frames": 0}, "--frames"),
        ({"workers": 0}, "--workers"),
        ({"size": (49, 64)}, "--size"),
        ({"fps": Fraction(0)}, "--fps"),
    ],
)
def test_senseless_numbers_are_refused(made: SyntheticRequest, tmp_path: Path, change: dict[str, Any], said: str) -> None:
    with pytest.raises(UsageError, match=said):
        prepare_synthetic(replace(made, out=tmp_path / "new", **change), NullReport())
    assert not (tmp_path / "new").exists()


def test_an_unwritable_place_is_named(made: SyntheticRequest, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(ScdError, match="can't be written"):
        prepare_synthetic(replace(made, out=tmp_path / "file/data"), NullReport())


def test_a_clip_that_fails_leaves_nothing(made: SyntheticRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(synthetic, "save_png", full)
    with pytest.raises(ScdError, match="No space left"):
        prepare_synthetic(replace(made, out=tmp_path / "full"), NullReport())
    assert list((tmp_path / "full/clips").iterdir()) == []
