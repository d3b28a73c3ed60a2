"""Keypoint files, drawing, and what a driver is."""

import json
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from engines.core.errors import ScdError
from engines.core.keypoints import BODY_COLOURS, COUNT, NAMES, PoseTrack, openpose_body
from engines.media.video import read_frames
from engines.media.writer import open_writer
from engines.pose.draw import DrawStyle, draw_pose
from engines.pose.drivers import content_of, open_driver
from engines.pose.files import load_track, save_track

SIZE = (384, 512)


def standing() -> np.ndarray:
    """A person (1, 133, 3) upright in the middle of 384x512."""
    points = np.zeros((COUNT, 3), np.float32)
    body = {
        0: (192, 80),
        1: (200, 72),
        2: (184, 72),
        3: (210, 76),
        4: (174, 76),
        5: (235, 130),
        6: (149, 130),
        7: (250, 200),
        8: (134, 200),
    }
    body |= {9: (255, 265), 10: (129, 265), 11: (218, 270), 12: (166, 270), 13: (220, 370), 14: (164, 370), 15: (222, 460), 16: (162, 460)}
    for number, place in body.items():
        points[number] = (*place, 1.0)
    return points[None]


def track(frames: int) -> PoseTrack:
    return PoseTrack(np.stack([standing()] * frames), SIZE, Fraction(24))


def test_names_are_133_and_distinct() -> None:
    assert len(NAMES) == len(set(NAMES)) == COUNT


def test_neck_is_midway_between_the_shoulders() -> None:
    assert openpose_body(standing()[0])[1].tolist() == [192, 130, 1]


def test_drawn_joints_have_openposes_colours_at_their_places() -> None:
    picture = draw_pose(standing(), SIZE, SIZE, DrawStyle())
    for number, coco in ((4, 10), (7, 9), (10, 16), (13, 15)):
        x, y = standing()[0, coco, :2].astype(int)
        assert np.abs(picture[y, x].astype(int) - BODY_COLOURS[number]).max() < 30


def test_points_below_the_threshold_are_not_drawn() -> None:
    hidden = standing()
    hidden[..., 2] = 0.2
    assert draw_pose(hidden, SIZE, SIZE, DrawStyle()).max() == 0


def test_drawing_in_another_shape_is_centred_not_stretched() -> None:
    wide = draw_pose(standing(), SIZE, (512, 512), DrawStyle())
    plain = draw_pose(standing(), SIZE, SIZE, DrawStyle())
    np.testing.assert_array_equal(wide[:, 64:448], plain)


@pytest.mark.realdata
def test_our_drawing_is_as_bright_as_dwposes(testdata: Path) -> None:
    """The share of lit pixels of a real DWPose frame shrunk to the model's size is within a factor 2 of ours."""
    driver = open_driver(testdata / "drivers" / "skeleton_dwpose_512x704.mp4")
    theirs = next(driver.pictures(0, 1, (192, 256)))
    ours = draw_pose(standing(), SIZE, (192, 256), DrawStyle())
    ratio = float((ours.max(axis=2) > 60).mean() / (theirs.max(axis=2) > 60).mean())
    assert 0.4 < ratio < 2


def test_npz_round_trip(tmp_path: Path) -> None:
    save_track(tmp_path / "a.npz", track(3), overwrite=False)
    back = load_track(tmp_path / "a.npz")
    np.testing.assert_array_equal(back.points, track(3).points)
    assert (back.size, back.fps) == (SIZE, Fraction(24))


def openpose(points: np.ndarray, size: tuple[int, int]) -> dict[str, object]:
    return {"canvas_width": size[0], "canvas_height": size[1], "people": [{"pose_keypoints_2d": points.ravel().tolist()}]}


def test_openpose_folder_in_natural_order(tmp_path: Path) -> None:
    body = openpose_body(standing()[0])
    for index in (2, 10, 9):
        moved = body.copy()
        moved[:, 0] += index
        (tmp_path / f"f_{index}.json").write_text(json.dumps(openpose(moved, SIZE)))
    back = load_track(tmp_path)
    assert back.points[:, 0, 0, 0].tolist() == [194, 201, 202]
    np.testing.assert_allclose(back.points[0, 0, :17, 1], standing()[0, :17, 1])


def test_openpose_25_brings_feet(tmp_path: Path) -> None:
    points = np.arange(75, dtype=np.float32).reshape(25, 3)
    (tmp_path / "a.json").write_text(json.dumps(openpose(points, SIZE)))
    back = load_track(tmp_path / "a.json").points[0, 0]
    np.testing.assert_array_equal(back[17], points[19])
    np.testing.assert_array_equal(back[16], points[11])  # right ankle


@pytest.mark.parametrize("content", ["", "[1, 2", '{"people": []}', '{"people": 3}', '{"people": [{"pose_keypoints_2d": [1, 2]}]}'])
def test_bad_json_is_named(tmp_path: Path, content: str) -> None:
    path = tmp_path / "a.json"
    path.write_text(content)
    with pytest.raises(ScdError, match=r"a\.json"):
        load_track(path)


def test_npz_with_wrong_arrays_is_named(tmp_path: Path) -> None:
    np.savez(tmp_path / "a.npz", other=np.zeros(3))
    np.savez(tmp_path / "b.npz", points=np.zeros((2, 1, 17, 3)), size=np.array(SIZE))
    (tmp_path / "c.npz").write_text("text")
    for name in "abc":
        with pytest.raises(ScdError, match=f"{name}.npz"):
            load_track(tmp_path / f"{name}.npz")


def test_kinds_are_recognised(tmp_path: Path) -> None:
    picture = draw_pose(standing(), SIZE, SIZE, DrawStyle())
    Image.fromarray(picture).save(tmp_path / "a.png")
    with open_writer(tmp_path / "a.mp4", Fraction(24), SIZE, overwrite=False) as sink:
        for _ in range(5):
            sink.write(picture)
    save_track(tmp_path / "a.npz", track(4), overwrite=False)
    found = [open_driver(tmp_path / name) for name in ("a.png", "a.mp4", "a.npz")]
    assert [(d.kind, d.frames, d.fps) for d in found] == [
        ("skeleton picture", 1, None),
        ("skeleton video", 5, Fraction(24)),
        ("keypoints", 4, Fraction(24)),
    ]
    drawn = [next(d.pictures(0, 1, (192, 256))) for d in found]
    assert all(p.shape == (256, 192, 3) for p in drawn)
    assert np.abs(drawn[0].astype(int) - drawn[2]).mean() < 2


@pytest.mark.parametrize(
    ("value", "kind"),
    [
        (np.zeros((64, 48, 3), np.uint8), "empty"),
        (np.full((64, 48, 3), 120, np.uint8), "filmed"),
        (np.full((64, 48, 3), (68, 1, 84), np.uint8), "densepose"),
    ],
)
def test_other_contents_are_told_apart(value: np.ndarray, kind: str) -> None:
    assert content_of(value) == kind


def test_a_filled_body_is_no_skeleton() -> None:
    picture = np.zeros((256, 192, 3), np.uint8)
    picture[60:200, 70:120] = (30, 160, 200)
    assert content_of(picture) == "filled"


@pytest.mark.realdata
def test_real_clips_are_named(testdata: Path) -> None:
    with pytest.raises(ScdError, match="DensePose"):
        open_driver(testdata / "drivers" / "densepose_wrong_kind.mp4")
    for name in ("person_dance_1080p_audio.mp4", "talking_head_audio_longer_than_video.mp4"):
        assert open_driver(testdata / "drivers" / name).kind == "filmed person"


@pytest.mark.realdata
def test_real_skeletons_are_recognised(testdata: Path) -> None:
    video = open_driver(testdata / "drivers" / "skeleton_dwpose_512x704.mp4")
    still = open_driver(testdata / "drivers" / "skeleton_single.png")
    assert (video.kind, video.frames, still.kind, still.frames) == ("skeleton video", 200, "skeleton picture", 1)
    assert sum(1 for _ in read_frames(video.path)) == 200
