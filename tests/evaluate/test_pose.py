"""PCK and OKS: values worked out by hand, a detector of coloured dots over pictures, and BlazePose over a real clip."""

import math
from collections.abc import Iterable, Iterator
from pathlib import Path

import numpy as np
import pytest

from engines.core.errors import ScdError
from engines.core.keypoints import BODY_NAMES, COUNT, DRAWN_FROM, PoseTrack
from engines.core.report import NullReport
from engines.evaluate.pose import SIGMAS, PoseJudge, covered, inside, oks, pck, placed, torso
from engines.media.images import read_image
from engines.pose.detector import MOST
from engines.pose.detectors import open_detector
from engines.pose.files import load_track, save_track

LEFT_SHOULDER, RIGHT_SHOULDER, LEFT_HIP, RIGHT_HIP = (BODY_NAMES.index(f"{s}_{p}") for p in ("shoulder", "hip") for s in ("left", "right"))
NOSE, LEFT_WRIST = BODY_NAMES.index("nose"), BODY_NAMES.index("left_wrist")
PLACES = np.array(
    [[100, 40], [104, 36], [96, 36], [110, 40], [90, 40], [130, 60], [70, 60], [140, 90], [60, 90], [145, 120], [55, 120], [115, 140],
     [90, 140], [116, 180], [88, 180], [117, 220], [87, 220]], np.float32,
)  # fmt: skip


def somebody(shift: tuple[float, float] = (0, 0), scale: float = 1.0) -> np.ndarray:
    """One person (1, 133, 3), body only: left shoulder (130, 60), right hip (90, 140), so the torso is sqrt(8000) = 89.44."""
    out = np.zeros((1, COUNT, 3), np.float32)
    out[0, :17, :2] = PLACES * scale + shift
    out[0, :17, 2] = 1
    return out


TRUTH = somebody()
TORSO = math.sqrt(8000)
AREA = (145 - 55) * (220 - 36) * 0.53


def test_the_torso_is_left_shoulder_to_right_hip() -> None:
    assert torso(TRUTH[0]) == pytest.approx(TORSO)
    hidden = TRUTH.copy()
    hidden[0, RIGHT_HIP, 2] = 0.1
    assert torso(hidden[0]) == pytest.approx(math.hypot(115 - 70, 140 - 60))
    hidden[0, LEFT_HIP, 2] = 0.1
    assert torso(hidden[0]) is None
    assert pck(TRUTH, hidden) is None
    assert oks(hidden, hidden) == 1


def test_equal_poses() -> None:
    assert pck(TRUTH, TRUTH.copy()) == 1
    assert oks(TRUTH, TRUTH.copy()) == 1


@pytest.mark.parametrize(("share", "moved"), [(0.099, 1.0), (0.101, 16 / 17)])
def test_a_tenth_of_the_torso_is_the_limit(share: float, moved: float) -> None:
    pred = TRUTH.copy()
    pred[0, LEFT_WRIST, :2] += np.array([0.6, 0.8]) * share * TORSO
    assert pck(pred, TRUTH) == pytest.approx(moved)
    assert pck(pred, TRUTH, share=0.2) == 1


def test_shifted_as_a_whole() -> None:
    assert pck(somebody((9.0, 0)), TRUTH) == 0 < 0.1 * TORSO < 9.0
    assert pck(somebody((8.9, 0)), TRUTH) == 1


def test_oks_falls_as_cocos_gaussian() -> None:
    """A joint off by 2 sigma sqrt(2 area) is worth 1/e; 17 joints off by 30 pixels each by its own sigma."""
    assert covered(TRUTH[0]) == pytest.approx(AREA)
    pred = TRUTH.copy()
    pred[0, NOSE, 0] += 2 * 0.026 * math.sqrt(2 * AREA)
    assert oks(pred, TRUTH) == pytest.approx((16 + math.exp(-1)) / 17, abs=1e-6)
    each = [math.exp(-(30**2) / (2 * 5000 * (2 * sigma) ** 2)) for sigma in SIGMAS]
    assert oks(somebody((0, 30)), TRUTH, area=5000) == pytest.approx(sum(each) / 17, abs=1e-5)


def test_oks_does_not_depend_on_the_size_of_the_picture() -> None:
    pred = somebody((4, 3))
    larger = np.concatenate([pred[..., :2] * 3, pred[..., 2:]], axis=-1)
    assert oks(larger, somebody(scale=3)) == pytest.approx(oks(pred, TRUTH), abs=1e-5)


def test_lost_joints() -> None:
    """PCK misses a joint of a low score; OKS takes its place as COCO does, and gives 0 only where there is none."""
    pred = TRUTH.copy()
    pred[0, LEFT_WRIST, 2] = DRAWN_FROM - 0.01
    assert pck(pred, TRUTH) == pytest.approx(16 / 17)
    assert oks(pred, TRUTH) == 1
    pred[0, LEFT_WRIST] = 0
    assert oks(pred, TRUTH) == pytest.approx(16 / 17)


def test_joints_that_the_truth_hides_do_not_count() -> None:
    truth = TRUTH.copy()
    truth[0, LEFT_WRIST, 2] = DRAWN_FROM - 0.01
    pred = TRUTH.copy()
    pred[0, LEFT_WRIST, :2] += 500
    assert pck(pred, truth) == 1
    assert oks(pred, truth) == 1


@pytest.mark.parametrize("nobody", [np.zeros((0, COUNT, 3), np.float32), np.zeros((2, COUNT, 3), np.float32)])
def test_nobody(nobody: np.ndarray) -> None:
    for figure in (pck, oks):
        assert figure(TRUTH, nobody) is None
        assert figure(nobody, TRUTH) == 0


def test_a_single_joint_has_no_area() -> None:
    truth = np.zeros((1, COUNT, 3), np.float32)
    truth[0, NOSE] = (100, 40, 1)
    assert oks(TRUTH, truth) is None
    assert oks(TRUTH, truth, area=AREA) == 1
    assert pck(TRUTH, truth) is None


def test_one_person_a_frame() -> None:
    """The truth's largest, and of the prediction the one most like them, in whatever order they come."""
    small = somebody((200, 0), 0.5)
    truth = np.concatenate([small, TRUTH])
    pred = np.concatenate([somebody((300, 0), 1.5), somebody((5, 0))])
    for people in (pred, pred[::-1]):
        assert pck(people, truth) == 1
        assert oks(people, truth) == pytest.approx(oks(somebody((5, 0)), TRUTH))
    assert pck(small, truth) == 0


def test_points_follow_the_protocols_crop(tmp_path: Path) -> None:
    """A 400x200 picture whose middle square of 200 becomes 100x100: (100, 0) is its upper left corner."""
    points = np.zeros((2, 1, COUNT, 3), np.float32)
    points[0, 0, :2] = [(100, 0, 1), (300, 200, 0.5)]
    save_track(tmp_path / "truth.npz", PoseTrack(points, (400, 200)), overwrite=False)
    track = load_track(tmp_path / "truth.npz")
    assert placed(track, (100, 100), "centre-square")[0, 0, :2].tolist() == [[0, 0, 1], [100, 100, 0.5]]
    assert placed(track, (200, 50))[0, 0, :2].tolist() == [[50, 0, 1], [150, 50, 0.5]]
    with pytest.raises(ValueError, match="centre-square"):
        placed(track, (100, 100), "square")


def test_joints_outside_the_frame_are_absent() -> None:
    out = inside(TRUTH, (140, 1000))
    assert out[0, :17, 2].tolist() == [float(x <= 140) for x, _ in PLACES]
    assert TRUTH[0, LEFT_WRIST, 2] == 1


class Dots:
    """Detector of people drawn by `drawn`: the place of a joint is the middle of the pixels whose red is its number."""

    name = "dots-1"

    def track(self, pictures: Iterable[np.ndarray], most: int = MOST) -> Iterator[np.ndarray]:
        for picture in pictures:
            out = np.zeros((1, COUNT, 3), np.float32)
            for joint in range(17):
                rows, columns = np.nonzero(picture[..., 0] == joint + 1)
                if len(rows):
                    out[0, joint] = columns.mean(), rows.mean(), 1
            yield out[: int(out.any())]


def drawn(person: np.ndarray) -> np.ndarray:
    picture = np.zeros((256, 256, 3), np.uint8)
    for number, (x, y, score) in enumerate(person[0, :17]):
        if score >= DRAWN_FROM:
            picture[int(y) - 1 : int(y) + 2, int(x) - 1 : int(x) + 2, 0] = number + 1
    return picture


def test_a_video_frame_by_frame() -> None:
    lost = TRUTH.copy()
    lost[0, LEFT_WRIST, 2] = 0
    nobody = np.zeros_like(TRUTH)
    truth, pred = [TRUTH, TRUTH, TRUTH, nobody], [TRUTH, lost, nobody, TRUTH]
    judge = PoseJudge(Dots(), (256, 256))
    found = judge.video((drawn(p) for p in pred), (drawn(t) for t in truth))
    assert found == {"pck": [1.0, 16 / 17, 0.0, None], "oks": [1.0, 16 / 17, 0.0, None]}
    assert judge.name == "dots-1"
    assert judge.video((drawn(p) for p in pred), np.stack(truth)) == found
    cut = PoseJudge(Dots(), (140, 256)).video([drawn(lost)], TRUTH[None])
    assert cut == {"pck": [1.0], "oks": [1.0]}


def test_frames_pair_off() -> None:
    with pytest.raises(ValueError):
        PoseJudge(Dots(), (256, 256)).video([drawn(TRUTH)], [drawn(TRUTH), drawn(TRUTH)])


def test_frames_are_taken_pair_by_pair() -> None:
    taken: list[str] = []

    def frames(name: str) -> Iterator[np.ndarray]:
        for _ in range(2):
            taken.append(name)
            yield drawn(TRUTH)

    PoseJudge(Dots(), (256, 256)).video(frames("pred"), frames("truth"))
    assert taken == ["pred", "truth"] * 2


@pytest.mark.realdata
def test_blazepose_on_a_photograph(testdata: Path) -> None:
    """Against itself exactly 1, and less the further the person is moved."""
    try:
        detector = open_detector(None, NullReport())
    except ScdError as error:
        pytest.skip(str(error))
    picture = read_image(testdata / "tryon" / "fashn_model.webp")
    judge = PoseJudge(detector, (picture.shape[1], picture.shape[0]))
    found = judge.video([picture] * 3, (picture for _ in range(3)))
    assert found == {"pck": [1.0] * 3, "oks": [1.0] * 3}
    side = picture.shape[1]
    shifts = [0, side // 64, side // 16, side // 4]
    moved = [judge.video([np.roll(picture, shift, axis=1)], [picture])["oks"][0] for shift in shifts]
    assert moved == sorted(moved, reverse=True)
    assert moved[0] == 1
    assert moved[-1] < 0.5
