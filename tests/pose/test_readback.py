"""Reading joints back from drawn skeletons, and moving skeleton pictures onto a reference."""

from fractions import Fraction
from functools import lru_cache
from pathlib import Path

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from engines.core.keypoints import BODY_COLOURS, COUNT, LEFT_HAND, LIMBS, OPENPOSE_FROM_COCO, RIGHT_HAND
from engines.media.images import read_image
from engines.media.video import read_frames
from engines.media.writer import open_writer
from engines.pose.draw import DOT_RADIUS, REFERENCE_HEIGHT, DrawStyle, draw_pose, fitted
from engines.pose.readback import picture_fit, read_skeleton, skeleton_track, warped
from engines.pose.retarget import retarget
from tests.pose.moving import JUDGED, Pair, pair

Points = NDArray[np.float32]
Picture = NDArray[np.uint8]
NEAR = 0.015  # of the picture's height
LARGE = 1056  # rows at which it is judged whether a dot can be seen
BODY_ONLY = DrawStyle(hands=False, face=False)
STANDING = np.array([
    (256, 110), (266, 102), (246, 102), (276, 108), (236, 108), (300, 170), (212, 170), (330, 260), (182, 260), (340, 345), (172, 345),
    (285, 350), (227, 350), (290, 470), (222, 470), (292, 600), (220, 600),
], np.float32)  # fmt: skip


def standing(body: Points = STANDING) -> Points:
    """(17, 2) -> (133, 3) without hands and face."""
    out = np.zeros((COUNT, 3), np.float32)
    out[: len(body), :2], out[: len(body), 2] = body, 1
    return out


def at_height(points: Points, size: tuple[int, int], height: int) -> tuple[Points, tuple[int, int]]:
    new = (round(size[0] * height / size[1] / 2) * 2, height)
    return fitted(points, size, new), new


def visible(points: Points, size: tuple[int, int]) -> NDArray[np.bool_]:
    """(17,): is at least half of a joint's dot neither out of the picture nor drawn over?"""
    points, size = at_height(points, size, LARGE)
    picture = draw_pose(points[None], size, size, DrawStyle())
    radius = DOT_RADIUS * LARGE / REFERENCE_HEIGHT
    reach = int(radius) + 1
    disc = np.hypot(*np.mgrid[-reach : reach + 1, -reach : reach + 1]) <= radius
    framed = np.pad(picture, ((reach, reach), (reach, reach), (0, 0))).astype(int)
    out = np.zeros(17, bool)
    for colour, number in zip(BODY_COLOURS, OPENPOSE_FROM_COCO, strict=True):
        x, y = np.rint(points[number, :2]).astype(int)
        if number >= 0 and 0 <= x < size[0] and 0 <= y < size[1]:
            part = framed[y : y + 2 * reach + 1, x : x + 2 * reach + 1]
            out[number] = (np.abs(part - np.array(colour)).max(axis=2) < 40)[disc].mean() >= 0.5
    return out


@lru_cache(maxsize=1)
def people() -> list[tuple[Points, tuple[int, int], NDArray[np.bool_]]]:
    """Frames of eight people in motions of all kinds: points (133, 3), size, and which joints can be seen (17,)."""
    pairs = [pair(seed, 6) for seed in range(8)]
    return [(points, p.size, visible(points, p.size)) for p in pairs for points in p.driver[::2]]


def through_video(pictures: list[Picture], path: Path) -> list[Picture]:
    with open_writer(path, Fraction(12), (pictures[0].shape[1], pictures[0].shape[0]), True) as sink:
        for picture in pictures:
            sink.write(picture)
    return list(read_frames(path))


def drawn_people(height: int, folder: Path | None) -> list[Picture]:
    """Of all `people`, hands and faces drawn over them; through an H.264 file in `folder`, if that is given."""
    cases = [at_height(points, size, height) for points, size, _ in people()]
    pictures = [draw_pose(points[None], size, size, DrawStyle()) for points, size in cases]
    if folder is None:
        return pictures
    out: dict[int, Picture] = {}
    for shape in {p.shape for p in pictures}:
        alike = [n for n, p in enumerate(pictures) if p.shape == shape]
        out |= dict(zip(alike, through_video([pictures[n] for n in alike], folder / f"{shape}.mp4"), strict=True))
    return [out[n] for n in range(len(pictures))]


@pytest.mark.parametrize("lossy", [False, True])
@pytest.mark.parametrize("height", [256, 384, 704, 1080])
def test_joints_that_can_be_seen_are_found_where_they_were_drawn(height: int, lossy: bool, tmp_path: Path) -> None:
    found, seen, wrong, claimed = (np.zeros(17) for _ in range(4))
    for picture, (points, size, shown) in zip(drawn_people(height, tmp_path if lossy else None), people(), strict=True):
        read, true = read_skeleton(picture)[:17], at_height(points, size, height)[0][:17]
        right = np.linalg.norm(read[:, :2] - true[:, :2], axis=1) < NEAR * height
        got = read[:, 2] == 1
        found, seen, wrong, claimed = found + (got & right & shown), seen + shown, wrong + (got & ~right), claimed + got
    assert seen[JUDGED].sum() > 200
    assert found[JUDGED].sum() >= 0.92 * seen[JUDGED].sum()
    assert found.sum() >= (0.85 if lossy and height < 400 else 0.9) * seen.sum()  # ears and eyes are small
    assert wrong.sum() <= 0.02 * claimed.sum()


@settings(max_examples=25)
@given(st.integers(0, 10**6), st.sampled_from([(192, 256), (288, 384), (512, 704), (800, 1080)]))
def test_random_limbs_are_read(seed: int, size: tuple[int, int]) -> None:
    """Arms, legs and head turned at random around a standing person; no dot is nearer to another than both are large."""
    rng = np.random.default_rng(seed)
    body = STANDING.copy()
    for root, chain in ((5, (7, 9)), (6, (8, 10)), (11, (13, 15)), (12, (14, 16))):
        turn = 0.0
        for parent, child in zip((root, chain[0]), chain, strict=True):
            turn += rng.uniform(-0.9, 0.9)
            way = STANDING[child] - STANDING[parent]
            body[child] = body[parent] + [way[0] * np.cos(turn) - way[1] * np.sin(turn), way[0] * np.sin(turn) + way[1] * np.cos(turn)]
    points = fitted(standing(body), (512, 704), size)
    apart = np.linalg.norm(body[:, None] - body[None], axis=2) + 99 * np.eye(17)
    clear = [n for n in range(17) if apart[n].min() > 9]
    read = read_skeleton(draw_pose(points[None], size, size, BODY_ONLY))
    missed = [n for n in clear if not np.linalg.norm(read[n] - points[n]) < NEAR * size[1]]
    assert len(missed) <= 1


def test_score_is_one_and_the_rest_is_absent() -> None:
    points = standing()
    points[[9, 10], 2] = 0  # no forearms
    read = read_skeleton(draw_pose(points[None], (512, 704), (512, 704), DrawStyle()))
    assert read.shape == (COUNT, 3)
    assert read.dtype == np.float32
    assert set(np.flatnonzero(read[:, 2])) == set(range(17)) - {9, 10}
    assert not read[read[:, 2] == 0].any()
    assert np.abs(read[:9, :2] - points[:9, :2]).max() < 1.5


def with_hands(points: Points, where: dict[int, tuple[float, float]]) -> Points:
    """Hands as fans of dots that begin on the wrists and open towards (x, y) by wrist."""
    out = points.copy()
    for wrist, fingers in ((9, LEFT_HAND), (10, RIGHT_HAND)):
        for n, number in enumerate(range(fingers.start, fingers.stop)):
            way = np.array(where[wrist], np.float32) * (0 if n == 0 else 0.3 + 0.7 * ((n - 1) % 4) / 3)
            aside = np.array([-way[1], way[0]]) * ((n - 1) // 4 - 2) * 0.2
            out[number] = [*(points[wrist, :2] + way + aside), 1]
    return out


def test_a_wrist_under_the_hands_own_dot_and_a_hip_under_the_hand() -> None:
    points = standing()
    points[9, :2] = points[11, :2] + [22, -14]  # the left hand reaches over the hip, whose dot it hides
    points = with_hands(points, {9: (-35, 20), 10: (0, 40)})
    read = read_skeleton(draw_pose(points[None], (512, 704), (512, 704), DrawStyle()))
    assert np.linalg.norm(read[[9, 10], :2] - points[[9, 10], :2], axis=1).max() < NEAR * 704
    assert (read[[13, 15], 2] == 1).all()
    assert np.linalg.norm(read[[13, 15], :2] - points[[13, 15], :2], axis=1).max() < 3


def test_the_largest_of_several_people() -> None:
    small, large = standing(STANDING * 0.5), standing(STANDING * 0.9 + [420, 20])
    for order in ([small, large], [large, small]):
        read = read_skeleton(draw_pose(np.stack(order), (1000, 704), (1000, 704), DrawStyle()))
        assert (read[:17, 2] == 1).all()
        assert np.abs(read[:17, :2] - large[:17, :2]).max() < 3


@pytest.mark.parametrize(("size", "width"), [((1536, 2112), 1 / 3), ((768, 1056), 0.67), ((512, 704), 2.0)])
def test_line_widths_of_other_tools(size: tuple[int, int], width: float) -> None:
    """Many draw dots of 4 pixels whatever the picture's size, some larger ones."""
    body = STANDING.copy()
    body[1:5] = [(280, 96), (232, 96), (304, 106), (208, 106)]  # as far apart as wide dots ask for
    points = fitted(standing(body), (512, 704), size)
    read = read_skeleton(draw_pose(points[None], size, size, DrawStyle(width=width, hands=False, face=False)))
    assert (read[:17, 2] == 1).all()
    assert np.abs(read[:17, :2] - points[:17, :2]).max() < 0.008 * size[1]


def test_nothing_in_what_is_no_skeleton() -> None:
    rng = np.random.default_rng(0)
    noise = rng.integers(0, 256, (256, 192, 3)).astype(np.uint8)
    sparse = np.where(rng.random((256, 192, 1)) < 0.05, noise, 0).astype(np.uint8)
    bars = np.zeros((256, 192, 3), np.uint8)
    bars[100:103, :180] = np.repeat(BODY_COLOURS, 10, axis=0)
    for picture in (np.zeros((256, 192, 3), np.uint8), noise, sparse, bars, np.full((256, 192, 3), 255, np.uint8), bars[100:101, :1]):
        assert not read_skeleton(picture).any()


@pytest.mark.parametrize(("grain", "share"), [(1, 0.03), (2, 0.03), (3, 0.1), (4, 0.2), (4, 0.3), (6, 0.2)])
def test_nothing_in_confetti_of_a_skeletons_colours(grain: int, share: float) -> None:
    """Blots near each other that have the hues of joints and limbs, at both brightnesses."""
    for seed in range(3):
        rng = np.random.default_rng(seed)
        there = rng.random((256 // grain, 192 // grain, 1)) < share
        hues = np.array(BODY_COLOURS)[rng.integers(0, 18, there.shape[:2])] * rng.choice([0.6, 1.0], there.shape)
        confetti = np.where(there, hues, 0).astype(np.uint8)
        assert not read_skeleton(cv2.resize(confetti, (192, 256), interpolation=cv2.INTER_NEAREST)).any()


def test_a_track_takes_frames_spread_over_the_range(tmp_path: Path) -> None:
    moved = [standing(STANDING * 0.4 + [n * 4, 0]) for n in range(30)]
    through_video([draw_pose(p[None], (320, 256), (320, 256), DrawStyle()) for p in moved], tmp_path / "a.mp4")
    track = skeleton_track(tmp_path / "a.mp4", 5, 26, "the driver", most=6)
    expected = np.stack([moved[n] for n in (5, 9, 13, 17, 21, 25)])
    limbs = slice(5, 17)
    assert track.shape == (6, COUNT, 3)
    assert np.abs(track[:, limbs, 0].mean(axis=1) - expected[:, limbs, 0].mean(axis=1)).max() < 1
    assert skeleton_track(tmp_path / "a.mp4", 5, 8, "the driver").shape == (3, COUNT, 3)
    assert skeleton_track(tmp_path / "a.mp4", 5, 5, "the driver").shape == (0, COUNT, 3)


@pytest.mark.parametrize(("scale", "shift"), [(0.6, (90.0, 140.0)), (1.3, (-60.0, -200.0)), (0.45, (10.0, 380.0))])
def test_a_skeleton_video_of_another_scale_and_place_comes_back_onto_the_reference(
    scale: float, shift: tuple[float, float], tmp_path: Path
) -> None:
    """The driver is the reference's own body, elsewhere and of another size, in another size of picture."""
    rng = np.random.default_rng(1)
    steps = [standing(STANDING + rng.normal(0, 4, STANDING.shape).astype(np.float32)) for _ in range(8)]
    drivers = [with_hands(standing(p[:17, :2] * scale + shift), {9: (0, 30 * scale), 10: (0, 30 * scale)}) for p in steps]
    size, reference_size = (640, 768), (512, 704)
    pictures = through_video([draw_pose(p[None], size, size, DrawStyle()) for p in drivers], tmp_path / "a.mp4")
    fit = picture_fit(skeleton_track(tmp_path / "a.mp4", 0, 8, "the driver"), size, standing(), reference_size)
    assert fit is not None
    for picture, true in zip(pictures, steps, strict=True):
        read = read_skeleton(warped(picture, fit[0], fit[1], reference_size))
        common = [n for n in JUDGED if read[n, 2] == 1]
        assert len(common) >= 10
        assert np.linalg.norm(read[common, :2] - true[common, :2], axis=1).max() < 0.02 * 704


def test_a_fit_read_from_pixels_is_that_of_the_true_joints() -> None:
    """Different bodies, motions and cameras: scale and place differ little from what the keypoints themselves would have given."""
    for seed in (0, 3, 5):
        p: Pair = pair(seed, 8)
        track = np.stack([read_skeleton(draw_pose(f[None], p.size, p.size, DrawStyle())) for f in p.driver])
        fit = picture_fit(track, p.size, p.reference, p.reference_size)
        true = retarget(p.driver, p.size, p.reference, p.reference_size, "global")
        assert fit is not None
        scale, shift, notes = fit
        assert scale == pytest.approx(true.scale, rel=0.03)
        middle = p.driver[:, JUDGED, :2] * scale + shift
        assert np.linalg.norm(middle - true.points[:, JUDGED, :2], axis=2).max() < 0.03 * p.reference_size[1]
        assert all(isinstance(note, str) for note in notes)


def test_no_fit_without_common_limbs() -> None:
    nothing = np.zeros((4, COUNT, 3), np.float32)
    assert picture_fit(nothing, (512, 704), standing(), (512, 704)) is None
    assert picture_fit(nothing[:0], (512, 704), standing(), (512, 704)) is None
    assert picture_fit(standing()[None], (512, 704), nothing[0], (512, 704)) is None


@pytest.mark.parametrize("scale", [0.11, 0.3, 0.49, 0.8, 1.0, 2.5])
def test_warping_puts_points_where_it_says(scale: float) -> None:
    picture = np.zeros((704, 512, 3), np.uint8)
    where = np.array([300, 401])
    picture[401 - 12 : 401 + 13, 300 - 12 : 300 + 13] = 255
    shift = (17.25 - 300 * scale + 60, 31.5 - 401 * scale + 80)
    out = warped(picture, scale, shift, (160, 200)).astype(float)[..., 0]
    assert out.shape == (200, 160)
    rows, columns = np.mgrid[:200, :160]
    middle = np.array([(out * columns).sum(), (out * rows).sum()]) / out.sum()
    assert middle == pytest.approx(where * scale + shift, abs=0.1)
    assert out.sum() == pytest.approx(255 * (25 * scale) ** 2, rel=0.05)


def test_shrinking_breaks_no_thin_line() -> None:
    picture = np.zeros((1000, 1000, 3), np.uint8)
    cv2.line(picture, (100, 100), (900, 850), (255, 255, 255), 2)
    out = warped(picture, 0.15, (0.0, 0.0), (150, 150))
    assert (out[16:127].max(axis=(1, 2)) > 40).all()


def test_warping_keeps_a_picture_that_does_not_move() -> None:
    picture = draw_pose(standing()[None], (512, 704), (512, 704), DrawStyle())
    assert (warped(picture, 1.0, (0.0, 0.0), (512, 704)) == picture).all()
    assert (warped(picture, 1.0, (30.0, -20.0), (512, 704))[:684, 30:] == picture[20:, :482]).all()


def limb_mask(picture: Picture) -> NDArray[np.bool_]:
    """Where limbs are drawn: neither hands and face, which are brighter, nor black. (H, W)"""
    bright = picture.max(axis=2).astype(int)
    return np.asarray((bright > 90) & (bright < 180) & (picture.min(axis=2) < 40))


@pytest.mark.realdata
def test_what_is_read_from_a_real_clip_lies_on_its_limbs(testdata: Path) -> None:
    frames = list(read_frames(testdata / "drivers" / "skeleton_dwpose_512x704.mp4"))[::5]
    overlaps, found = [], []
    for frame in frames:
        read = read_skeleton(frame)
        again = draw_pose(read[None], (512, 704), (512, 704), BODY_ONLY)
        found.append(read[5:17, 2])
        # a hidden joint takes its limbs with it: only limbs that were drawn again are compared, with 8 pixels around them
        around = cv2.dilate(again.max(axis=2), np.ones((17, 17), np.uint8)) > 0
        own, mine = limb_mask(frame) & around, limb_mask(again)
        visible = mine & (frame.max(axis=2) < 180)  # not hidden by hands and face
        overlaps.append((own & mine).sum() / (own | visible).sum())
    assert np.mean(found, axis=0).min() >= 0.9
    assert np.mean(overlaps) > 0.75
    assert min(overlaps) > 0.6


@pytest.mark.realdata
def test_a_real_picture_of_a_skeleton_seen_from_behind(testdata: Path) -> None:
    picture = read_image(testdata / "drivers" / "skeleton_single.png", "the driver")
    read = read_skeleton(picture)
    assert (read[5:17, 2] == 1).all()
    for a, b in ((2, 3), (8, 9), (12, 13)):  # bones' middles have the limbs' colours
        middle = (read[OPENPOSE_FROM_COCO[a], :2] + read[OPENPOSE_FROM_COCO[b], :2]) / 2
        x, y = np.rint(middle).astype(int)
        assert np.abs(picture[y, x] - np.array(BODY_COLOURS[LIMBS.index((a, b))]) * 0.6).max() < 20


@pytest.mark.realdata
@pytest.mark.parametrize("name", ["person_dance_1080p_audio.mp4", "talking_head_audio_longer_than_video.mp4", "densepose_wrong_kind.mp4"])
def test_nothing_is_read_from_films(testdata: Path, name: str) -> None:
    frames = list(read_frames(testdata / "drivers" / name, 0, 60))[::20]
    assert not any(read_skeleton(frame).any() for frame in frames)


@pytest.mark.realdata
def test_nothing_is_read_from_photos(testdata: Path) -> None:
    paths = [p for p in (*(testdata / "references").iterdir(), *(testdata / "tryon").iterdir()) if "parse" not in p.name]
    assert len(paths) > 5
    for path in paths:
        assert not read_skeleton(read_image(path, "the picture")).any(), path.name
