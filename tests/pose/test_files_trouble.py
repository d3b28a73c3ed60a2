"""Keypoint files of others: what is broken is named, what is odd becomes absent, what is missing is assumed as stated."""

import json
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from engines.core.errors import ScdError
from engines.core.keypoints import COUNT, FACE, LEFT_HAND, RIGHT_HAND, PoseTrack
from engines.pose.draw import DrawStyle, draw_pose
from engines.pose.drivers import open_driver
from engines.pose.files import load_track, save_track

SIZE = (200, 300)


def person(body: int = 18, **parts: int) -> dict[str, Any]:
    """Somebody whose point i lies at (10 + i, 50 + i)."""
    names = {"pose_keypoints_2d": body} | {f"{name}_keypoints_2d": count for name, count in parts.items()}
    return {name: [v for i in range(count) for v in (10.0 + i, 50.0 + i, 0.9)] for name, count in names.items()}


def written(path: Path, content: Any) -> Path:
    path.write_text(content if isinstance(content, str) else json.dumps(content))
    return path


def sized(people: list[Any]) -> dict[str, Any]:
    return {"people": people, "canvas_width": SIZE[0], "canvas_height": SIZE[1]}


def refused(path: Path, words: str) -> None:
    with pytest.raises(ScdError, match=words) as caught:
        load_track(path)
    assert str(path) in caught.value.message
    assert caught.value.hint
    assert "\n" not in str(caught.value)


def test_face_and_hands_find_their_places(tmp_path: Path) -> None:
    data = sized([person(25, face=70, hand_left=21, hand_right=21)])
    points = load_track(written(tmp_path / "a.json", data)).points[0, 0]
    for part in (FACE, LEFT_HAND, RIGHT_HAND):
        assert points[part, 0].tolist() == [10.0 + i for i in range(part.stop - part.start)]


def test_parts_may_be_missing_or_null(tmp_path: Path) -> None:
    one = person() | {"face_keypoints_2d": None, "hand_left_keypoints_2d": []}
    assert load_track(written(tmp_path / "a.json", sized([one]))).points[0, 0, FACE].max() == 0
    hand = {"pose_keypoints_2d": None} | {"hand_left_keypoints_2d": person(0, hand_left=21)["hand_left_keypoints_2d"]}
    assert load_track(written(tmp_path / "b.json", sized([hand]))).points[0, 0, LEFT_HAND, 2].min() > 0.8


@pytest.mark.parametrize(("part", "count"), [("pose", 17), ("pose", 137), ("hand_left", 20), ("face", 51), ("hand_right", 42)])
def test_other_numbers_of_points_are_refused(tmp_path: Path, part: str, count: int) -> None:
    one = person() | {f"{part}_keypoints_2d": [1.0] * count * 3}
    refused(written(tmp_path / "a.json", sized([one])), f"{part}_keypoints_2d has {count} points")


def test_people_come_and_go(tmp_path: Path) -> None:
    for index, count in enumerate((1, 0, 2)):
        written(tmp_path / f"{index}.json", sized([person()] * count))
    track = load_track(tmp_path)
    assert track.points.shape == (3, 2, COUNT, 3)
    assert (track.points[..., 0, 2] > 0).sum(axis=1).tolist() == [1, 0, 2]


def test_shares_of_the_picture_are_scaled(tmp_path: Path) -> None:
    one = {"pose_keypoints_2d": [0.5, 0.25, 1.0] * 18}
    assert load_track(written(tmp_path / "a.json", sized([one]))).points[0, 0, 0].tolist() == [100, 75, 1]
    refused(written(tmp_path / "b.json", {"people": [one]}), "does not say the size")


def test_without_a_size_the_people_are_assumed_in_the_middle(tmp_path: Path) -> None:
    """OpenPose's own files name no size: points from 10 to 27 across and 50 to 67 down lie in 37 x 117."""
    track = load_track(written(tmp_path / "a.json", {"version": 1.3, "people": [person()]}))
    assert track.size == (37, 117)


@pytest.mark.parametrize("bad", [float("nan"), float("inf"), 1e30, -1e9])
def test_points_that_are_nowhere_are_absent_and_draw(tmp_path: Path, bad: float) -> None:
    one = person()
    one["pose_keypoints_2d"][0:3] = [bad, 20.0, 0.9]
    track = load_track(written(tmp_path / "a.json", sized([one])))
    assert track.points[0, 0, 0].tolist() == [0, 0, 0]
    points = np.repeat(track.points, 2, axis=0)
    points[1, 0, 5] = (bad, bad, 1)
    np.savez(tmp_path / "a.npz", points=points, size=np.array(SIZE))
    back = load_track(tmp_path / "a.npz")
    assert back.points[1, 0, 5].tolist() == [0, 0, 0]
    assert draw_pose(back.points[1], SIZE, SIZE, DrawStyle()).max() > 0


@pytest.mark.parametrize("content", ["[" * 100_000, "[]", '{"people": null}', "[3]", '"people"', '{"people": [4]}', '{"people": [{}]}'])
def test_json_that_is_no_openpose_is_named(tmp_path: Path, content: str) -> None:
    refused(written(tmp_path / "a.json", content), r"a\.json")


def test_a_picture_of_no_size_is_refused(tmp_path: Path) -> None:
    refused(written(tmp_path / "a.json", sized([person()]) | {"canvas_width": 0}), "0x300")


def npz(path: Path, **arrays: Any) -> Path:
    good: dict[str, Any] = {"points": np.ones((2, 1, COUNT, 3), np.float32), "size": np.array(SIZE), "fps": np.array("25/1")}
    np.savez(path, **{k: v for k, v in (good | arrays).items() if v is not None})
    return path


@pytest.mark.parametrize(
    "arrays",
    [
        {"points": None},
        {"size": None},
        {"points": np.array([{"a": 1}], object)},
        {"points": np.ones((2, 1, COUNT, 2))},
        {"points": np.array("text")},
        {"size": np.array([200])},
        {"size": np.array([0, 300])},
        {"size": np.array(["a", "b"])},
        {"fps": np.array("1/0")},
        {"fps": np.array("-3")},
        {"fps": np.array("fast")},
    ],
)
def test_an_npz_with_wrong_things_in_it_is_named(tmp_path: Path, arrays: dict[str, Any]) -> None:
    refused(npz(tmp_path / "a.npz", **arrays), r"a\.npz")


def test_files_that_are_no_npz_are_named(tmp_path: Path) -> None:
    np.save(tmp_path / "plain", np.zeros(3))
    (tmp_path / "plain.npy").rename(tmp_path / "array.npz")
    raw = npz(tmp_path / "good.npz").read_bytes()
    (tmp_path / "cut.npz").write_bytes(raw[: len(raw) // 2])
    middle = len(raw) // 3
    (tmp_path / "bits.npz").write_bytes(raw[:middle] + b"\xff" * 40 + raw[middle + 40 :])
    (tmp_path / "empty.npz").touch()
    for name in ("array", "cut", "bits", "empty", "missing"):
        refused(tmp_path / f"{name}.npz", name)


def test_one_person_may_come_without_the_axis_of_people_and_no_rate(tmp_path: Path) -> None:
    track = load_track(npz(tmp_path / "a.npz", points=np.ones((4, COUNT, 3), np.float32), fps=None))
    assert (track.points.shape, track.fps) == ((4, 1, COUNT, 3), None)


def test_an_npz_by_any_name_is_known(tmp_path: Path) -> None:
    npz(tmp_path / "a.npz").rename(tmp_path / "track")
    assert open_driver(tmp_path / "track").kind == "keypoints"


def test_saving_is_whole_or_not_at_all(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    track = PoseTrack(np.ones((1, 1, COUNT, 3), np.float32), SIZE, Fraction(30000, 1001))
    save_track(tmp_path / "a.npz", track, overwrite=False)
    assert load_track(tmp_path / "a.npz").fps == Fraction(30000, 1001)
    with pytest.raises(ScdError, match="--overwrite"):
        save_track(tmp_path / "a.npz", track, overwrite=False)

    def full(*_: object, **__: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(np, "savez", full)
    with pytest.raises(ScdError, match="the disk is full"):
        save_track(tmp_path / "b.npz", track, overwrite=False)
    assert [p.name for p in tmp_path.iterdir()] == ["a.npz"]


def test_an_empty_folder_is_named(tmp_path: Path) -> None:
    refused(tmp_path, "no OpenPose")
