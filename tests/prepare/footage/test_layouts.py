"""Each layout on a miniature tree with broken members: who is listed, who is whom, and which part they are in."""

import json
import shutil
from pathlib import Path
from typing import Any

import pytest

from engines.core.errors import ScdError
from engines.core.manifest import read_manifest
from engines.core.report import NullReport
from engines.pose.files import save_track
from engines.prepare.footage.run import prepare_footage
from engines.prepare.footage.sources import list_recordings
from engines.prepare.footage.splits import assign, fixed, official
from tests.prepare.footage.filmed import SIZE, figure, request_of, write_frames, write_walk
from tests.prepare.footage.test_footage import dropped

NOTHING = NullReport()


def splits_of(out: Path) -> dict[str, str]:
    return {clip.motion: clip.split for clip in read_manifest(out)}


def tiktok_member(origin: Path, name: str, seed: int) -> Path:
    from engines.core.keypoints import PoseTrack

    write_frames(origin / name / "images", seed, 60)
    save_track(origin / f"{name}.npz", PoseTrack(figure(60)[:, None], SIZE), False)
    return origin / name


def test_tiktok(tmp_path: Path) -> None:
    origin = tmp_path / "TikTok_dataset"
    for seed, name in enumerate(("00001", "00002", "00003", "00335")):
        tiktok_member(origin, name, seed)
    (origin / "00004" / "masks").mkdir(parents=True)
    (origin / "00005" / "images").mkdir(parents=True)
    broken = tiktok_member(origin, "00006", 6)
    (broken / "images" / "0031.png").write_bytes(b"")
    request = request_of(origin, tmp_path / "data", "tiktok")
    prepare_footage(request, NOTHING)
    parts = splits_of(request.out)
    assert parts.keys() == {"00001", "00002", "00003", "00335"}
    assert parts["00335"] == "test"
    assert sorted(parts.values()) == ["test", "train", "train", "val"]  # none but the layout's own are drawn for test
    assert {name: [d["reason"] for d in found] for name, found in dropped(request.out).items()} == {
        "00004": ["layout"], "00005": ["layout"], "00006": ["unreadable"],
    }  # fmt: skip
    clip = read_manifest(request.out)[0]
    assert (clip.frames, clip.fps) == (24, "12/1")  # 60 frames at 30 a second


def test_tiktok_takes_the_poses_that_disco_adds(tmp_path: Path) -> None:
    member = tiktok_member(tmp_path / "set", "00001", 0)
    (member / "openpose_json").mkdir()
    (member / "openpose_json" / "0001.json").write_text("{}")
    found = list_recordings(request_of(tmp_path / "set", tmp_path / "data", "tiktok"))
    assert found.recordings[0].keypoints == member / "openpose_json"


@pytest.mark.parametrize("parted", [True, False])
def test_ubc_fashion_in_folders_or_with_lists(tmp_path: Path, parted: bool) -> None:
    origin = tmp_path / "fashion-video"
    names = {"91+a": "train", "91+b": "train", "A1x": "test", "broken": "train"}
    for seed, (name, part) in enumerate(names.items()):
        write_walk(origin / (part if parted else "") / f"{name}.mp4", seed)
    place = origin / ("train" if parted else "")
    (place / "broken.mp4").write_bytes((place / "broken.mp4").read_bytes()[:200])
    if not parted:
        (origin / "fashion_test.txt").write_text("https://example.org/fashion/A1x.mp4\n")
        (origin / "fashion_train.txt").write_text("91+a.mp4\n91+b.mp4\nbroken.mp4\n")
    request = request_of(origin, tmp_path / "data", "ubc-fashion")
    prepare_footage(request, NOTHING)
    parts = {Path(name).stem: part for name, part in splits_of(request.out).items()}
    assert parts == {"91+a": "train", "91+b": "train", "A1x": "test"}
    assert [d["reason"] for found in dropped(request.out).values() for d in found] == ["unreadable"]


def test_ubc_fashion_with_one_name_in_both_parts_keeps_one(tmp_path: Path) -> None:
    for part in ("train", "test"):
        (tmp_path / part).mkdir()
        (tmp_path / part / "A1x.mp4").write_bytes(b"x")
    found = list_recordings(request_of(tmp_path, tmp_path.parent / "data", "ubc-fashion"))
    assert [r.name for r in found.recordings] == ["train/A1x.mp4"]
    assert [(d.source, d.reason) for d in found.dropped] == [("test/A1x.mp4", "overlap")]


def test_moore_json(tmp_path: Path) -> None:
    origin = tmp_path / "set"
    for seed in range(3):
        write_walk(origin / "films" / f"{seed}.mp4", seed)
    shutil.move(origin / "films" / "2.npz", origin / "elsewhere.npz")
    (origin / "films" / "3.mp4").write_bytes(b"broken")
    (origin / "films" / "3.npz").write_bytes(b"")
    items: list[Any] = [
        {"video_path": "films/0.mp4", "kps_path": "films_dwpose/0.mp4"}, {"video_path": str(origin / "films" / "1.mp4")},
        {"video_path": "films/2.mp4", "kps_path": "elsewhere.npz"}, {"video_path": "films/3.mp4"}, {"video_path": "films/0.mp4"},
        {"kps_path": "films_dwpose/9.mp4"}, "films/8.mp4", {"video_path": "films/gone.mp4", "kps_path": "elsewhere.npz"},
    ]  # fmt: skip
    (origin / "meta.json").write_text(json.dumps(items))
    for number, place in enumerate((origin, origin / "meta.json")):
        request = request_of(place, tmp_path / f"data{number}", "moore-json")
        prepare_footage(request, NOTHING)
        assert splits_of(request.out).keys() == {"films/0.mp4", "films/1.mp4", "films/2.mp4"}
        assert {name: [d["reason"] for d in found] for name, found in dropped(request.out).items()} == {
            "films/3.mp4": ["unreadable"], "films/gone.mp4": ["unreadable"], "films/0.mp4": ["duplicate"],
            "meta.json item 5": ["layout"], "meta.json item 6": ["layout"],
        }  # fmt: skip


@pytest.mark.parametrize(
    ("source", "make", "words"),
    [
        ("folder", lambda p: None, "does not exist"),
        ("folder", lambda p: p.write_text("x"), "is a file"),
        ("folder", lambda p: p.mkdir(), "holds no recording"),
        ("folder", lambda p: write_frames(p, 0, 3), "itself a folder of frames"),
        ("tiktok", lambda p: write_walk(p / "a.mp4", 0), "not in the layout|holds no recording|no folder"),
        ("ubc-fashion", lambda p: (p / "x").mkdir(parents=True), "holds no recording"),
        ("moore-json", lambda p: p.mkdir(), "holds 0 JSON files"),
        ("moore-json", lambda p: p.write_text("{"), "no JSON that can be read"),
        ("moore-json", lambda p: p.write_text("{}"), "no list of films"),
    ],
)
def test_what_is_not_in_the_layout_is_one_sentence(tmp_path: Path, source: str, make: Any, words: str) -> None:
    make(tmp_path / "set")
    with pytest.raises(ScdError, match=words) as caught:
        prepare_footage(request_of(tmp_path / "set", tmp_path / "data", source), NOTHING)
    assert "--from" in str(caught.value)
    assert not (tmp_path / "data").exists()


def test_a_list_decides_who_is_in_test(tmp_path: Path) -> None:
    origin = tmp_path / "films"
    for seed in range(4):
        write_walk(origin / f"{seed}.mp4", seed)
    (tmp_path / "test.txt").write_text("# held out\n2.mp4\n")
    request = request_of(origin, tmp_path / "data", test_list=tmp_path / "test.txt", val_share=0.0)
    prepare_footage(request, NOTHING)
    assert {name for name, part in splits_of(request.out).items() if part == "test"} == {"2.mp4"}
    (tmp_path / "test.txt").write_text("7.mp4\n")
    with pytest.raises(ScdError, match="names 7, which is not in"):
        prepare_footage(request, NOTHING)


def test_of_the_same_film_under_two_names_the_held_out_one_stays(tmp_path: Path) -> None:
    origin = tmp_path / "films"
    for seed, part in enumerate(("train", "train", "test")):
        write_walk(origin / part / f"{seed}.mp4", seed)
    for ending in (".mp4", ".npz"):
        shutil.copy(origin / "test" / f"2{ending}", origin / "train" / f"again{ending}")
    request = request_of(origin, tmp_path / "data", "ubc-fashion", val_share=0.0)
    prepare_footage(request, NOTHING)
    assert splits_of(request.out) == {"train/0.mp4": "train", "train/1.mp4": "train", "test/2.mp4": "test"}
    assert [d["reason"] for d in dropped(request.out)["train/again.mp4"]] == ["duplicate"]


def test_identities_keep_their_split_when_a_set_grows() -> None:
    names = [f"person {n}" for n in range(400)]
    small, large = (assign(names[:count], {}, 3, (0.1, 0.1)) for count in (200, 400))
    assert all(large[name] == part for name, part in small.items())
    for part in ("val", "test"):
        assert 20 < list(large.values()).count(part) < 60
    assert assign(names, {}, 4, (0.1, 0.1)) != large


def test_even_three_people_fill_all_splits_and_one_trains() -> None:
    for seed in range(30):
        assert sorted(assign(["a", "b", "c"], {}, seed, (0.05, 0.05)).values()) == ["test", "train", "val"]
        assert sorted(assign(["a", "b"], {}, seed, (0.001, 0.0)).values()) == ["train", "val"]
    assert assign(["a"], {}, 0, (0.001, 0.001)) == {"a": "train"}
    assert assign(["a", "b"], {}, 0, (0.0, 0.0)) == {"a": "train", "b": "train"}


def test_an_identity_that_lists_put_into_two_parts_is_held_out(tmp_path: Path) -> None:
    for name in ("x", "y"):
        (tmp_path / "anna").mkdir(exist_ok=True)
        (tmp_path / "anna" / f"{name}.mp4").write_bytes(b"film")
    (tmp_path / "train.txt").write_text("x.mp4\n")
    (tmp_path / "test.txt").write_text("y.mp4\n")
    found = list_recordings(request_of(tmp_path, tmp_path.parent / "data"))
    assert fixed(found.recordings, tmp_path, None) == {"anna": "test"}
    (tmp_path / "train.txt").write_text("x.mp4\ny.mp4\n")
    with pytest.raises(ScdError, match="y is both in the test and in the train list"):
        official(tmp_path)
