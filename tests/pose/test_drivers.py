"""What may drive a clip and what may not, told by content; and the drawing beside DWPose's own."""

from fractions import Fraction
from pathlib import Path

import cv2
import numpy as np
import pytest
from PIL import Image, ImageDraw

from engines.core.errors import ScdError
from engines.core.keypoints import COUNT, FACE, LEFT_HAND, RIGHT_HAND, PoseTrack
from engines.media.video import read_frames
from engines.media.writer import open_writer
from engines.pose.draw import DrawStyle, draw_pose
from engines.pose.drivers import content_of, open_driver
from engines.pose.files import save_track

SIZE = (384, 512)
BODY = (
    (192, 80), (200, 72), (184, 72), (210, 76), (174, 76), (235, 130), (149, 130), (250, 200), (134, 200),
    (255, 265), (129, 265), (218, 270), (166, 270), (220, 370), (164, 370), (222, 460), (162, 460),
)  # fmt: skip


def whole_person() -> np.ndarray:
    """Somebody (1, 133, 3) with body, hands and face in 384x512."""
    points = np.zeros((COUNT, 3), np.float32)
    points[:17] = [(*place, 1) for place in BODY]
    around = np.linspace(0, 2 * np.pi, 68, endpoint=False)
    points[FACE] = np.stack([192 + 18 * np.cos(around), 80 + 24 * np.sin(around), np.ones(68)], axis=1)
    for hand, wrist in ((LEFT_HAND, 9), (RIGHT_HAND, 10)):
        steps = np.array([(0, 0)] + [((f - 2) * 2 * j, 5 * j) for f in range(5) for j in range(1, 5)])
        points[hand] = np.concatenate([steps + BODY[wrist], np.ones((21, 1))], axis=1)
    return points[None]


def skeleton() -> np.ndarray:
    return draw_pose(whole_person(), SIZE, SIZE, DrawStyle())


def clip(path: Path, pictures: list[np.ndarray]) -> Path:
    with open_writer(path, Fraction(24), (pictures[0].shape[1], pictures[0].shape[0]), overwrite=True) as sink:
        for picture in pictures:
            sink.write(picture)
    return path


def refused(path: Path, words: str) -> None:
    with pytest.raises(ScdError, match=words) as caught:
        open_driver(path)
    assert str(path) in caught.value.message
    assert caught.value.hint
    assert "\n" not in str(caught.value)
    assert ". " not in caught.value.message


@pytest.mark.parametrize("name", ["a.png", "a.jpg", "picture", "wrong.mp4"])
def test_a_picture_is_known_by_content(tmp_path: Path, name: str) -> None:
    Image.fromarray(skeleton()).save(tmp_path / name, format="JPEG" if name == "a.jpg" else "PNG")
    driver = open_driver(tmp_path / name)
    assert (driver.kind, driver.size, driver.frames, driver.fps) == ("skeleton picture", SIZE, 1, None)


@pytest.mark.parametrize("name", ["b.webm", "wrong.png", "video"])
def test_a_video_is_known_by_content(tmp_path: Path, name: str) -> None:
    clip(tmp_path / "a.mp4" if name != "b.webm" else tmp_path / name, [skeleton()] * 3)
    if name != "b.webm":
        (tmp_path / "a.mp4").rename(tmp_path / name)
    driver = open_driver(tmp_path / name)
    assert (driver.kind, driver.size, driver.frames, driver.fps) == ("skeleton video", SIZE, 3, Fraction(24))


def test_all_black_is_refused_and_a_late_skeleton_is_not(tmp_path: Path) -> None:
    black = np.zeros((512, 384, 3), np.uint8)
    refused(clip(tmp_path / "a.mp4", [black] * 30), "neither a person nor a skeleton")
    assert open_driver(clip(tmp_path / "b.mp4", [black] * 110 + [skeleton()])).frames == 111


def test_a_picture_of_a_body_surface_on_black_is_named_densepose(tmp_path: Path) -> None:
    y, x = np.mgrid[0:512, 0:384]
    body = ((x - 192) / 80) ** 2 + ((y - 256) / 200) ** 2 < 1
    surface = cv2.applyColorMap((y / 2).astype(np.uint8), cv2.COLORMAP_VIRIDIS)[..., ::-1] * body[..., None]
    Image.fromarray(surface.astype(np.uint8)).save(tmp_path / "a.png")
    refused(tmp_path / "a.png", "DensePose")


def photo(path: Path) -> None:
    """Nothing drawn: to be looked at by the pose detector."""
    assert open_driver(path).kind == "photo"


def test_white_letters_on_black_are_no_skeleton(tmp_path: Path) -> None:
    picture = Image.new("RGB", SIZE)
    for line in range(12):
        ImageDraw.Draw(picture).text((20, 20 + 35 * line), "Directed by somebody else", fill="white")
    picture.save(tmp_path / "a.png")
    photo(tmp_path / "a.png")


def test_a_dim_stage_is_a_filmed_scene(tmp_path: Path) -> None:
    picture = np.zeros((512, 384, 3), np.uint8)
    picture[80:480, 130:260] = (150, 115, 95)
    Image.fromarray(picture).save(tmp_path / "a.png")
    photo(tmp_path / "a.png")


def test_a_kind_given_by_hand_is_believed(tmp_path: Path) -> None:
    Image.new("RGB", SIZE, "grey").save(tmp_path / "a.png")
    photo(tmp_path / "a.png")
    assert open_driver(tmp_path / "a.png", "skeleton picture").frames == 1
    with pytest.raises(ScdError, match="not a JSON file"):
        open_driver(tmp_path / "a.png", "keypoints")


def test_keypoints_that_draw_nothing_are_refused(tmp_path: Path) -> None:
    for frames, score in ((0, 1.0), (3, 0.1)):
        points = np.full((frames, 1, COUNT, 3), 50, np.float32)
        points[..., 2] = score
        save_track(tmp_path / "a.npz", PoseTrack(points, SIZE), overwrite=True)
        refused(tmp_path / "a.npz", "no point that could be drawn")


def test_bad_paths_are_named(tmp_path: Path) -> None:
    (tmp_path / "empty.mp4").touch()
    (tmp_path / "text.png").write_text("not a picture")
    (tmp_path / "text.txt").write_text("not a video " * 50)
    for name, words in (
        ("none.mp4", "does not exist"),
        ("empty.mp4", "is empty"),
        ("text.png", "not a picture"),
        ("text.txt", "not a video"),
    ):
        refused(tmp_path / name, words)


def test_pictures_stream_the_range_in_the_size_asked_for(tmp_path: Path) -> None:
    moved = [np.roll(skeleton(), 4 * i, axis=1) for i in range(6)]
    driver = open_driver(clip(tmp_path / "a.mp4", moved))
    found = list(driver.pictures(2, 5, (128, 128)))
    assert [p.shape for p in found] == [(128, 128, 3)] * 3
    assert all(p[:, :14].max() < 20 and p[:, -14:].max() < 20 for p in found)  # black beside the upright picture
    wanted = cv2.resize(moved[2], (96, 128), interpolation=cv2.INTER_AREA)
    assert np.abs(found[0][:, 16:112].astype(int) - wanted).mean() < 3


def widths(picture: np.ndarray) -> float:
    """Mean thickness in pixels of what is drawn, from its area and the length of its middle line's distance ridge."""
    lit = (picture.max(axis=2) >= 60).astype(np.uint8)
    distance = cv2.distanceTransform(lit, cv2.DIST_L2, 5)
    return float(distance[lit > 0].mean())


def test_drawing_small_is_as_drawing_large_and_shrinking() -> None:
    small = draw_pose(whole_person(), SIZE, (192, 256), DrawStyle())
    large = cv2.resize(draw_pose(whole_person(), SIZE, (768, 1024), DrawStyle()), (192, 256), interpolation=cv2.INTER_AREA)
    assert np.abs(small.astype(int) - large).mean() < 1.0
    assert 0.75 < widths(small) / widths(large) < 1.35


def test_limbs_keep_two_pixels_at_the_models_size() -> None:
    picture = draw_pose(whole_person(), SIZE, (192, 256), DrawStyle())
    thigh = picture[160, 70:100].max(axis=1)  # a row through the right thigh
    assert (thigh > 60).sum() >= 2


def test_hands_and_face_can_be_left_out_and_widths_grow() -> None:
    whole, bare = skeleton(), draw_pose(whole_person(), SIZE, SIZE, DrawStyle(hands=False, face=False))
    wide = draw_pose(whole_person(), SIZE, SIZE, DrawStyle(width=2, hands=False, face=False))
    white = (whole > 200).all(axis=2).sum()
    assert white > 200
    assert (bare > 200).all(axis=2).sum() < white / 10
    assert (wide.max(axis=2) > 60).sum() > 1.5 * (bare.max(axis=2) > 60).sum()


def test_nobody_is_black_and_two_people_are_both_drawn() -> None:
    assert draw_pose(np.zeros((0, COUNT, 3), np.float32), SIZE, SIZE, DrawStyle()).max() == 0
    right = whole_person() * (0.5, 0.5, 1)
    both = draw_pose(np.concatenate([right, right + np.array([192, 0, 0])]).astype(np.float32), SIZE, SIZE, DrawStyle())
    np.testing.assert_array_equal(both[:, :192], both[:, 192:])


def test_limbs_have_the_joints_colour_at_six_tenths() -> None:
    bare = draw_pose(whole_person(), SIZE, (1536, 2048), DrawStyle(hands=False, face=False))
    middle = bare[4 * 320, 4 * 165]  # of the right shin's thigh: OpenPose limb 8-9
    assert np.abs(middle.astype(int) - (0, 153, 51)).max() <= 3


@pytest.mark.realdata
def test_dwposes_lines_are_as_wide_as_ours_at_the_models_size(testdata: Path) -> None:
    driver = open_driver(testdata / "drivers" / "skeleton_dwpose_512x704.mp4")
    theirs = [widths(p) for i, p in enumerate(driver.pictures(0, 90, (192, 256))) if i % 30 == 0]
    ours = widths(draw_pose(whole_person(), SIZE, (192, 256), DrawStyle()))
    assert 0.7 < ours / float(np.mean(theirs)) < 1.4


@pytest.mark.realdata
def test_densepose_is_named_on_black_ground_too(testdata: Path, tmp_path: Path) -> None:
    original = next(read_frames(testdata / "drivers" / "densepose_wrong_kind.mp4"))
    ground = np.abs(original.astype(int) - original[2, 2]).max(axis=2) < 30
    assert content_of(original) == "densepose"
    Image.fromarray(np.where(ground[..., None], 0, original).astype(np.uint8)).save(tmp_path / "a.png")
    refused(tmp_path / "a.png", "DensePose")
