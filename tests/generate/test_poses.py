"""From driver and reference to pose pictures: whatever the driver is, its skeleton stands where the reference's body is."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from engines.core.keypoints import PoseTrack
from engines.core.report import NullReport
from engines.generate.poses import Poses, ReferencePose, drawings, pose_pictures, poses_of, reference_picture
from engines.generate.request import AnimateRequest
from engines.generate.studio import Studio
from engines.media.fit import Box
from engines.media.writer import open_writer
from engines.pose.draw import DrawStyle, draw_pose
from engines.pose.drivers import open_driver
from engines.pose.files import save_track
from engines.pose.readback import read_skeleton
from tests.e2e.running import FPS, waving_track

SIZE = (480, 640)
PICTURE = np.zeros((SIZE[1], SIZE[0], 3), np.uint8)


def person(scale: float, shift: tuple[float, float], frames: int = 6) -> NDArray[np.float32]:
    """The waving person (F, 133, 3) in a picture of SIZE, from their place in it scaled and moved."""
    points = waving_track(frames).points[:, 0] * np.float32([5, 5, 1])
    points[..., :2] = points[..., :2] * scale + np.float32(shift)
    return np.asarray(points, np.float32)


def driver(folder: Path, kind: str, points: NDArray[np.float32]) -> Path:
    if kind == "keypoints":
        save_track(folder / "d.npz", PoseTrack(points[:, None], SIZE, FPS), True)
        return folder / "d.npz"
    if kind == "picture":
        Image.fromarray(draw_pose(points[:1], SIZE, SIZE, DrawStyle())).save(folder / "d.png")
        return folder / "d.png"
    with open_writer(folder / "d.mp4", FPS, SIZE, True) as sink:
        for frame in points:
            sink.write(draw_pose(frame[None], SIZE, SIZE, DrawStyle()))
    return folder / "d.mp4"


def drawn(folder: Path, kind: str, points: NDArray[np.float32], **options: Any) -> tuple[Poses, NDArray[np.float32]]:
    """The poses of a driver on the waving person's reference, and where the body is in the first pose picture."""
    path = driver(folder, kind, points)
    request = AnimateRequest(reference=folder / "me.png", poses=path, output=folder / "o.mp4", model="mini", **options)
    opened = open_driver(path)
    indices = list(range(opened.frames))
    poses = poses_of(request, opened, indices, ReferencePose(person(1, (0, 0))[0], None, "given"), PICTURE, Studio(NullReport()))
    return poses, read_skeleton(next(drawings(poses, 0, 1, SIZE)))


LEGS = slice(11, 17)


@pytest.mark.parametrize("kind", ["video", "picture", "keypoints"])
def test_a_small_skeleton_in_a_corner_is_put_on_the_reference(tmp_path: Path, kind: str) -> None:
    poses, found = drawn(tmp_path, kind, person(0.5, (200, 40)))
    assert poses.align == ("limbs" if kind == "keypoints" else "global")
    off = np.abs(found[LEGS, :2] - person(1, (0, 0))[0, LEGS, :2]).max()
    assert off < 0.03 * SIZE[1]
    _, plain = drawn(tmp_path, kind, person(0.5, (200, 40)), align="none")
    assert np.abs(plain[LEGS, :2] - person(0.5, (200, 40))[0, LEGS, :2]).max() < 0.02 * SIZE[1]


def test_a_drawn_skeleton_that_fits_is_not_moved(tmp_path: Path) -> None:
    poses, _ = drawn(tmp_path, "video", person(1, (3, 2)))
    assert (poses.align, poses.fit) == ("none", None)


def test_an_unknown_reference_says_why_nothing_is_fitted(tmp_path: Path) -> None:
    said: list[str] = []

    class Heard(NullReport):
        def note(self, text: str) -> None:
            said.append(text)

    path = driver(tmp_path, "keypoints", person(0.5, (200, 40)))
    request = AnimateRequest(reference=tmp_path, poses=path, output=tmp_path / "o.mp4", model="mini")
    poses = poses_of(request, open_driver(path), [0, 1], ReferencePose(), PICTURE, Studio(Heard()))
    assert poses.align == "none"
    assert said == ["the driver's body is not fitted to the reference's: how that stands is unknown"]
    poses_of(replace(request, align="none"), open_driver(path), [0, 1], ReferencePose(), PICTURE, Studio(Heard()))
    assert len(said) == 1


def test_a_part_of_a_keypoint_file_is_fitted_like_the_whole(tmp_path: Path) -> None:
    path = driver(tmp_path, "keypoints", person(0.5, (200, 40)) * np.linspace(1, 1.2, 6, dtype=np.float32)[:, None, None])
    request = AnimateRequest(reference=tmp_path, poses=path, output=tmp_path / "o.mp4", model="mini")
    reference, studio = ReferencePose(person(1, (0, 0))[0]), Studio(NullReport())
    whole = poses_of(request, open_driver(path), list(range(6)), reference, PICTURE, studio)
    part = poses_of(request, open_driver(path), [4, 5], reference, PICTURE, studio)
    np.testing.assert_array_equal(list(drawings(whole, 4, 6, SIZE)), list(drawings(part, 4, 6, SIZE)))


def test_frames_may_be_shown_again_and_left_out(tmp_path: Path) -> None:
    poses, _ = drawn(tmp_path, "keypoints", person(1, (0, 0)))
    box, canvas = Box(0, 0, *SIZE), SIZE
    each = list(drawings(poses, 0, 6, SIZE))
    shown = list(pose_pictures(poses, [1, 1, 4], box, canvas))
    np.testing.assert_array_equal(shown, [each[1], each[1], each[4]])


def test_the_reference_is_drawn_from_points_or_picture_or_not_at_all(tmp_path: Path) -> None:
    points, box = person(1, (0, 0))[0], Box(0, 0, *SIZE)
    from_points = reference_picture(ReferencePose(points), SIZE, box, SIZE)
    from_picture = reference_picture(ReferencePose(None, open_driver(driver(tmp_path, "picture", points[None]))), SIZE, box, SIZE)
    np.testing.assert_array_equal(from_points, from_picture)
    assert reference_picture(ReferencePose(), SIZE, box, SIZE).max() == 0
