"""The command line of prepare-data: which options go with which source, and the whole way on real films."""

import json
import shutil
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import pytest

from engines.core.manifest import read_manifest
from engines.core.pairs import train_pairs
from engines.core.report import NullReport
from engines.media.images import read_image
from engines.pose.files import load_track
from engines.prepare.footage.run import prepare_footage
from tests.e2e.running import scd
from tests.prepare.footage.filmed import LIMITS, request_of, write_walk
from tests.prepare.test_synthetic import digests


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["folder", "--identities", "3"], "--identities means nothing to the source folder"),
        (["tiktok", "--layout", "viton-hd"], "--layout means nothing to the source tiktok"),
        (["tiktok", "--source-fps", "25"], "--source-fps means nothing to the source tiktok"),
        (["folder", "--seed", "1"], "--seed means nothing to the source folder"),
        (["synthetic", "--from", "x"], "--from means nothing to the source synthetic"),
        (["synthetic", "--min-height", "64"], "--min-height means nothing to the source synthetic"),
        (["synthetic", "--ray"], "--ray means nothing to the source synthetic"),
        (["synthetic", "--dry-run"], "--dry-run means nothing to the source synthetic"),
        (["viton-hd", "--from", "x", "--size", "64x64"], "--size means nothing to the source viton-hd"),
        (["dresscode", "--from", "x", "--format", "webdataset"], "--format means nothing to the source dresscode"),
        (["folder", "--from", "x", "--mask-style", "box"], "--mask-style means nothing to the source folder"),
        (["folder"], "the source folder needs the data set to read; name its folder with --from"),
        (["films", "--from", "x"], "has no source films"),
    ],
)
def test_options_of_another_kind_are_refused_in_one_sentence(tmp_path: Path, arguments: list[str], words: str) -> None:
    done = scd("prepare-data", *arguments, "--out", tmp_path / "data")
    assert (done.code, done.out) == (2, "")
    assert words in done.err
    assert done.err.count("\n") == 1
    assert not (tmp_path / "data").exists()


def test_a_missing_data_set_is_one_sentence(tmp_path: Path) -> None:
    done = scd("prepare-data", "folder", "--from", tmp_path / "gone", "--out", tmp_path / "data")
    assert done.code == 1
    assert "error: the data set" in done.err
    assert "--from" in done.err


@pytest.mark.slow
@pytest.mark.realdata
def test_real_films(testdata: Path, tmp_path: Path) -> None:
    """A filmed person is kept; a skeleton video, a DensePose clip and a talking head are not, and each is told why."""
    done = scd("prepare-data", "folder", "--from", testdata / "drivers", "--out", tmp_path / "data", "--fps", "6", "--json")
    assert done.code == 0, done.err
    (clip,) = read_manifest(tmp_path / "data")
    assert clip.motion == "person_dance_1080p_audio.mp4"
    assert clip.frames == 21
    assert read_image(tmp_path / "data" / clip.frame_path(20)).shape == (512, 384, 3)
    points = load_track(tmp_path / "data" / clip.keypoints).points
    inside = (points[:, 0, :1, :2] >= 0) & (points[:, 0, :1, :2] < (384, 512))
    assert inside.all()  # the nose
    reasons = {(d["source"], d["reason"]) for d in map(json.loads, (tmp_path / "data" / "dropped.jsonl").read_text().splitlines())}
    assert reasons == {
        ("skeleton_dwpose_512x704.mp4", "no film"), ("densepose_wrong_kind.mp4", "no film"),
        ("talking_head_audio_longer_than_video.mp4", "too little seen"),
    }  # fmt: skip


@pytest.mark.slow
@pytest.mark.realdata
def test_real_people_without_masks_get_some(testdata: Path, tmp_path: Path) -> None:
    for folder, what in (("image", "person"), ("cloth", "object")):
        (tmp_path / "set" / "train" / folder).mkdir(parents=True)
        shutil.copy(testdata / "tryon" / f"omnitry_{what}_top_cloth.jpg", tmp_path / "set" / "train" / folder / "00001_00.jpg")
    done = scd("prepare-data", "viton-hd", "--from", tmp_path / "set", "--out", tmp_path / "data")
    assert done.code == 0, done.err
    (pair,) = train_pairs(tmp_path / "data")
    assert pair.mask is not None
    assert 0.05 < (read_image(pair.mask) > 127).mean() < 0.6


@pytest.mark.slow
def test_kill_9_in_the_middle_and_again(tmp_path: Path) -> None:
    """A real run, ended from outside once its first recording is done."""
    for seed in range(12):
        write_walk(tmp_path / "films" / f"{seed}.mp4", seed)
    request = request_of(tmp_path / "films", tmp_path / "whole", limits=replace(LIMITS, sharpness=2.0))
    prepare_footage(request, NullReport())
    out = tmp_path / "killed"
    options = ["--out", out, "--size", "48x64", "--fps", "12", "--source-fps", "12", "--min-seconds", "1", "--min-height", "40"]
    shares = ["--val-share", "0.2", "--test-share", "0.2"]
    command = [sys.executable, "-m", "scd_cli", "prepare-data", "folder", "--from", tmp_path / "films", *options, *shares]
    running = subprocess.Popen([str(word) for word in command], stderr=subprocess.DEVNULL)
    while running.poll() is None and not list((out / "records").glob("*.json")):
        time.sleep(0.005)
    running.kill()
    assert running.wait() == -signal.SIGKILL
    assert not (out / "metadata.jsonl").exists()
    assert 0 < len(list((out / "records").glob("0*.json")) + list((out / "records").glob("[1-9]*.json"))) < 12
    done = scd(*map(str, command[3:]))
    assert done.code == 0, done.err
    assert digests(out) == digests(request.out)
