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


def test_text_called_npz_is_not_called_a_pickle(tmp_path: Path) -> None:
    refused(written(tmp_path / "a.npz", "text"), "neither a .npz nor a .npy")


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


def dwpose_frame(*people: float) -> dict[str, Any]:
    """DWPose's arrays of people whose body, hands and face points all lie at x = y = a share; the left hand 0.01 further right."""
    places = np.array(people).reshape(-1, 1, 1)
    hands = np.concatenate([np.tile(places, (1, 21, 2)) + np.array([0.01, 0]), np.tile(places, (1, 21, 2))])
    subset = np.arange(18 * len(people), dtype=float).reshape(-1, 18)
    body = np.tile(places, (1, 18, 2)).reshape(-1, 2)
    return {"candidate": body, "subset": subset, "hands": hands, "faces": np.tile(places, (1, 68, 2)), "score": np.full(subset.shape, 0.8)}


def test_dwpose_arrays_find_their_places(tmp_path: Path) -> None:
    frame = dwpose_frame(0.25, 0.5)
    frame["candidate"][2] = (0.1, 0.2)  # the first person's right shoulder
    frame["subset"][0, 4] = -1
    frame["hands"][3, 5] = -1
    np.savez(tmp_path / "a.npz", size=np.array(SIZE), **frame)
    track = load_track(tmp_path / "a.npz")
    assert (track.points.shape, track.size) == ((1, 2, COUNT, 3), SIZE)
    first, second = track.points[0]
    np.testing.assert_allclose(first[6], [20, 60, 0.8], rtol=1e-5)
    assert first[10].tolist() == [0, 0, 0]
    np.testing.assert_allclose(second[0, :2], [100, 150])
    np.testing.assert_allclose(second[LEFT_HAND, 0], 102, rtol=1e-5)
    np.testing.assert_allclose(first[RIGHT_HAND, 0], 50)
    assert (second[RIGHT_HAND, 2] > 0).sum() == 20
    np.testing.assert_allclose(second[FACE, 1], 150)
    assert not second[17:23].any()


def test_a_clip_of_dwpose_in_one_file_is_the_folder_of_its_frames(tmp_path: Path) -> None:
    frames = [dwpose_frame(0.2), dwpose_frame(0.4), dwpose_frame(0.6)]
    np.savez(tmp_path / "clip.npz", width=SIZE[0], height=SIZE[1], fps="25/1", **{k: np.stack([f[k] for f in frames]) for k in frames[0]})
    (tmp_path / "frames").mkdir()
    for index, frame in zip((8, 9, 10), frames, strict=True):
        np.savez(tmp_path / "frames" / f"f{index}.npz", canvas=np.array(SIZE), **frame)
    clip, folder = load_track(tmp_path / "clip.npz"), load_track(tmp_path / "frames")
    np.testing.assert_allclose(clip.points, folder.points)
    np.testing.assert_allclose(clip.points[:, 0, 0, 0], [40, 80, 120])
    assert (clip.fps, folder.fps) == (Fraction(25), None)


@pytest.mark.parametrize("subset", [True, False])
def test_one_dancer_may_come_without_the_axis_of_people(tmp_path: Path, subset: bool) -> None:
    frames = [dwpose_frame(share) for share in (0.2, 0.4, 0.6)]
    arrays = {"candidate": np.stack([f["candidate"] for f in frames]), "hands": np.stack([f["hands"] for f in frames])}
    if subset:
        arrays["subset"] = np.concatenate([f["subset"] for f in frames])
        del arrays["hands"]
    np.savez(tmp_path / "a.npz", size=np.array(SIZE), **arrays)
    np.testing.assert_allclose(load_track(tmp_path / "a.npz").points[:, 0, 0, 0], [40, 80, 120], rtol=1e-6)


def test_frames_of_a_folder_may_be_empty_or_crowded(tmp_path: Path) -> None:
    for index, people in enumerate(((0.1,), (), (0.2, 0.4))):
        np.savez(tmp_path / f"{index}.npz", size=np.array(SIZE), **dwpose_frame(*people))
    points = load_track(tmp_path).points
    assert points.shape == (3, 2, COUNT, 3)
    assert (points[..., 0, 2] > 0).sum(axis=1).tolist() == [1, 0, 2]


@pytest.mark.parametrize(
    ("count", "number", "place"), [(133, 20, 20), (17, 9, 9), (18, 4, 10), (134, 18, 17), (134, 133, 132), (134, 4, 10)]
)
@pytest.mark.parametrize("axes", [2, 3, 4])
def test_plain_arrays_of_any_skeleton(tmp_path: Path, count: int, number: int, place: int, axes: int) -> None:
    points = np.full((count, 3), 60.0)
    points[number] = (30, 40, 0.7)
    np.save(tmp_path / "a.npy", points.reshape((1,) * (axes - 2) + (count, 3)))
    track = load_track(tmp_path / "a.npy")
    assert track.points.shape == (1, 1, COUNT, 3)
    np.testing.assert_allclose(track.points[0, 0, place], [30, 40, 0.7], rtol=1e-6)
    assert track.size == (90, 100)


def test_scores_may_lie_beside_the_points(tmp_path: Path) -> None:
    xy = np.full((5, 133, 2), 50.0)
    np.savez(tmp_path / "a.npz", keypoints=xy, scores=np.full((5, 133), 0.6), size=np.array(SIZE))
    assert load_track(tmp_path / "a.npz").points[..., 2].max() == np.float32(0.6)
    xy[2, 3], xy[2, 4], xy[2, 5] = 0, -1, np.nan
    np.save(tmp_path / "b.npy", xy)
    assert np.flatnonzero(load_track(tmp_path / "b.npy").points[2, 0, :, 2] == 0).tolist() == [3, 4, 5]


def test_arrays_in_shares_need_a_size(tmp_path: Path) -> None:
    np.save(tmp_path / "a.npy", np.full((2, 18, 3), 0.5))
    refused(tmp_path / "a.npy", "does not say its size")
    np.savez(tmp_path / "b.npz", **dwpose_frame(0.5))
    refused(tmp_path / "b.npz", "does not say its size")


def test_our_own_points_are_pixels_however_small(tmp_path: Path) -> None:
    assert load_track(npz(tmp_path / "a.npz")).points[0, 0, 0].tolist() == [1, 1, 1]


def test_pickles_are_refused_and_never_loaded(tmp_path: Path) -> None:
    class Trap:
        def __reduce__(self) -> tuple[Any, ...]:
            return (Path.touch, (tmp_path / "sprung",))

    trap = np.array({"bodies": Trap()}, object)
    np.save(tmp_path / "a.npy", trap)
    np.savez(tmp_path / "b.npz", keypoints=trap, size=np.array(SIZE))
    (tmp_path / "c.npy").write_bytes(b"\x80\x04K\x01.")
    for name in ("a.npy", "b.npz", "c.npy"):
        refused(tmp_path / name, "pickled Python objects")
    (tmp_path / "c.npy").rename(tmp_path / "c")
    refused(tmp_path / "c", "pickled Python objects")
    assert not (tmp_path / "sprung").exists()


@pytest.mark.parametrize(
    "change",
    [
        {"subset": np.full((1, 18), 40.0)},
        {"subset": np.full((1, 18), np.nan)},
        {"subset": np.zeros((1, 17))},
        {"candidate": np.ones((17, 2))},
        {"candidate": np.ones((18, 5))},
        {"candidate": np.array("text")},
        {"hands": np.ones((3, 21, 2))},
        {"faces": np.ones((1, 51, 2))},
        {"score": np.ones(3)},
        {"size": np.array([0, 5])},
    ],
)
def test_dwpose_that_does_not_fit_is_named(tmp_path: Path, change: dict[str, Any]) -> None:
    np.savez(tmp_path / "a.npz", **({"size": np.array(SIZE)} | dwpose_frame(0.5) | change))
    refused(tmp_path / "a.npz", r"a\.npz")


@pytest.mark.parametrize("shape", [(5,), (4, 21, 3), (2, 133, 4), (1, 1, 1, 133, 3), (0,)])
def test_arrays_that_are_no_keypoints_are_named(tmp_path: Path, shape: tuple[int, ...]) -> None:
    np.save(tmp_path / "a.npy", np.ones(shape))
    refused(tmp_path / "a.npy", "n one of 133, 134, 18, 17")


def test_arrays_without_anybody_are_named(tmp_path: Path) -> None:
    np.save(tmp_path / "a.npy", np.zeros((4, 133, 3)))
    refused(tmp_path / "a.npy", "no person")
