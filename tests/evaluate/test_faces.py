"""Face identity on tiny graphs with the inputs and outputs of the real ones: OpenCV's own YuNet and SFace code, and onnxruntime."""

from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from engines.core.errors import ScdError
from engines.evaluate import weights
from engines.evaluate.faces import (
    SIDE,
    TEMPLATE,
    VECTOR,
    ArcFace,
    FaceJudge,
    NoFace,
    Recognizer,
    SFace,
    YuNet,
    aligned,
    alignment,
    judge_of,
    open_faces,
)
from engines.evaluate.weights import Weights, WeightsMissing

CELL = 32  # the tiny detector finds a face in every cell of 32 pixels whose middle is full of red and free of blue
MIDDLE = slice(8, 24)
KPS = np.array([[0.2, 0.3], [0.8, 0.3], [0.5, 0.5], [0.25, 0.8], [0.75, 0.8]])  # its points, in shares of the cell
OUT = {"cls": 1, "obj": 1, "bbox": 4, "kps": 10}


def save(path: Path, nodes: list, inputs: dict[str, list], outputs: dict[str, list], constants: dict[str, np.ndarray]) -> Path:
    infos = [[helper.make_tensor_value_info(n, TensorProto.FLOAT, s) for n, s in d.items()] for d in (inputs, outputs)]
    graph = helper.make_graph(nodes, "tiny", *infos, [numpy_helper.from_array(a, n) for n, a in constants.items()])
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8), path)
    return path


def yunet(path: Path) -> Path:
    """YuNet's twelve outputs. The score is the red of a cell's middle less its blue (pictures come BGR); green makes the box larger."""
    nodes, constants = (
        [],
        {"flat": np.array([1, -1, 1]), "low": np.float32(0), "high": np.float32(1), "zero": np.zeros((1, 1, 1), np.float32)},
    )
    for stride in (8, 16, 32):
        score, size = (np.zeros((1, 3, stride, stride), np.float32) for _ in range(2))
        if stride == CELL:
            score[0, 2, MIDDLE, MIDDLE], score[0, 0, MIDDLE, MIDDLE] = 1 / (255 * 16**2), -1 / (255 * 16**2)
            size[0, 1] = 1 / (255 * CELL**2)
        corner = np.concatenate([np.full(2, 0.5), np.log(np.full(2, 2.0))]).astype(np.float32).reshape(1, 1, 4)
        growth = np.array([0, 0, 1, 1], np.float32).reshape(1, 1, 4)
        constants |= {f"score{stride}": score, f"size{stride}": size, f"box{stride}": corner, f"growth{stride}": growth}
        constants |= {f"points{stride}": KPS.astype(np.float32).reshape(1, 1, 10)}
        for name in ("score", "size"):
            nodes.append(
                helper.make_node(
                    "Conv", ["input", f"{name}{stride}"], [f"{name}map{stride}"], kernel_shape=[stride] * 2, strides=[stride] * 2
                )
            )
            nodes.append(helper.make_node("Reshape", [f"{name}map{stride}", "flat"], [f"{name}row{stride}"]))
        nodes += [
            helper.make_node("Clip", [f"scorerow{stride}", "low", "high"], [f"cls_{stride}"]),
            helper.make_node("Identity", [f"cls_{stride}"], [f"obj_{stride}"]),
            helper.make_node("Mul", [f"sizerow{stride}", f"growth{stride}"], [f"grown{stride}"]),
            helper.make_node("Add", [f"grown{stride}", f"box{stride}"], [f"bbox_{stride}"]),
            helper.make_node("Mul", [f"sizerow{stride}", "zero"], [f"none{stride}"]),
            helper.make_node("Add", [f"none{stride}", f"points{stride}"], [f"kps_{stride}"]),
        ]
    outputs = {f"{name}_{stride}": [1, (640 // stride) ** 2, width] for name, width in OUT.items() for stride in (8, 16, 32)}
    return save(path, nodes, {"input": [1, 3, 640, 640]}, outputs, constants)


def pooling(path: Path, name: str, batch: int | str = 1, side: int = SIDE, channels: int = 3, length: int = VECTOR) -> Path:
    """A recognizer of the real contract: the vector is the first 128 of the picture's 7x7 patches, channel by channel."""
    nodes = [
        helper.make_node("AveragePool", [name], ["pooled"], kernel_shape=[16, 16], strides=[16, 16]),
        helper.make_node("Flatten", ["pooled"], ["flat"]),
        helper.make_node("Slice", ["flat", "from", "to", "axis"], ["fc1"]),
    ]
    cut = {"from": np.array([0]), "to": np.array([length]), "axis": np.array([1])}
    return save(path, nodes, {name: [batch, channels, side, side]}, {"fc1": [batch, min(length, channels * (side // 16) ** 2)]}, cut)


def patches(face: np.ndarray) -> np.ndarray:
    """What `pooling` gives for an aligned face (112, 112, 3)."""
    return face.reshape(7, 16, 7, 16, 3).astype(float).mean((1, 3)).transpose(2, 0, 1).ravel()[:VECTOR]


def scene(seed: int, column: int = 3, row: int = 2, green: int = 40, size: tuple[int, int] = (256, 256)) -> np.ndarray:
    """Random surroundings (96 pixels, by the seed) about a face in one cell."""
    rng = np.random.default_rng(seed)
    out = np.full((size[1], size[0], 3), 90, np.uint8)
    about = rng.integers(0, 2, (12, 12, 3)).repeat(8, 0).repeat(8, 1).astype(np.uint8) * 200
    about[..., 2] = about[..., 0]  # red equals blue: no face there
    x, y = column * CELL, row * CELL
    out[y - CELL : y + 2 * CELL, x - CELL : x + 2 * CELL] = about
    out[y : y + CELL, x : x + CELL] = (90, green, 90)
    out[y : y + CELL, x : x + CELL][MIDDLE, MIDDLE] = (255, green, 0)
    return out


def landmarks(column: int = 3, row: int = 2) -> np.ndarray:
    return (KPS + np.array([column, row])) * CELL


@pytest.fixture(scope="module")
def detector(tmp_path_factory: pytest.TempPathFactory) -> YuNet:
    return YuNet(yunet(tmp_path_factory.mktemp("yunet") / "face_detection_yunet_2023mar.onnx"))


@pytest.fixture(scope="module", params=["arcface", "sface"])
def recognizer(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Recognizer:
    folder = tmp_path_factory.mktemp("faces")
    if request.param == "sface":
        return SFace(pooling(folder / "face_recognition_sface_2021dec.onnx", "data"))
    return ArcFace(pooling(folder / "glintr100.onnx", "input.1", "None"))


@pytest.fixture(scope="module")
def judge(detector: YuNet, recognizer: Recognizer) -> FaceJudge:
    return FaceJudge(detector, recognizer, "tiny")


def test_five_points_in_the_pictures_pixels(detector: YuNet) -> None:
    np.testing.assert_allclose(detector.find(scene(0)), landmarks(), atol=1e-3)
    np.testing.assert_allclose(detector.find(scene(0, 5, 4, size=(250, 199))), landmarks(5, 4), atol=1e-3)


def test_the_largest_of_several(detector: YuNet) -> None:
    """The box grows with the green of the cell."""
    both = np.concatenate([scene(0, green=10), scene(1, green=30)], axis=1)
    np.testing.assert_allclose(detector.find(both), landmarks(3 + 8), atol=1e-3)
    np.testing.assert_allclose(detector.find(both[:, ::-1]), landmarks(16 - 1 - 11), atol=1e-3)


def test_no_face(detector: YuNet) -> None:
    assert detector.find(np.full((200, 300, 3), 128, np.uint8)) is None
    assert detector.find(scene(0)[..., ::-1]) is None  # a red face, not a blue one


@pytest.mark.parametrize(("size", "ratio"), [((640, 512), 5), ((320, 256), 4)])
def test_large_pictures_are_looked_at_small(detector: YuNet, size: tuple[int, int], ratio: int) -> None:
    """Shrunk to 640 or, where the face then still spreads over several cells, to 320; the points come back to the full picture."""
    large = scene(0, size=size).repeat(ratio, 0).repeat(ratio, 1)
    np.testing.assert_allclose(detector.find(large), landmarks() * ratio, atol=0.01)


def test_the_larger_view_goes_first(detector: YuNet) -> None:
    """Beside a face for the view of 640, one that only the view of 320 shows."""
    near = scene(1, size=(160, 256)).repeat(2, 0).repeat(2, 1)
    both = np.concatenate([np.concatenate([scene(0), np.full((256, 64, 3), 90, np.uint8)], axis=1), near[:256]], axis=1)
    assert both.shape == (256, 640, 3)
    np.testing.assert_allclose(detector.find(both), landmarks(), atol=1e-3)
    both[:, :320] = 90
    np.testing.assert_allclose(detector.find(both), landmarks() * 2 + (320, 0), atol=0.01)


def test_alignment_undoes_any_turn_scale_and_shift() -> None:
    rng = np.random.default_rng(0)
    for _ in range(20):
        angle, scale, shift = rng.uniform(-3, 3), rng.uniform(0.1, 5), rng.uniform(-300, 300, 2)
        turn = scale * np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
        matrix = alignment(TEMPLATE @ turn.T + shift)
        np.testing.assert_allclose(matrix[:, :2] @ turn, np.eye(2), atol=1e-9)
        np.testing.assert_allclose(matrix[:, :2] @ shift + matrix[:, 2], 0, atol=1e-6)


def test_alignment_is_opencvs(tmp_path: Path) -> None:
    """Least squares of points that no similarity brings onto the template: the crop is that of cv2.FaceRecognizerSF."""
    theirs = cv2.FaceRecognizerSF.create(str(pooling(tmp_path / "sface.onnx", "data")), "")
    picture = cv2.GaussianBlur(np.random.default_rng(0).integers(0, 256, (300, 400, 3)).astype(np.uint8), (9, 9), 3)
    rng = np.random.default_rng(1)
    for _ in range(10):
        points = (rng.uniform(100, 200, 2) + (TEMPLATE - 56) * rng.uniform(0.5, 2) + rng.normal(0, 4, (5, 2))).astype(np.float32)
        row = np.concatenate([np.zeros(4), points.ravel(), [1]]).astype(np.float32)[None]
        crop = aligned(picture, points.astype(float))
        assert crop.shape == (SIDE, SIDE, 3)
        assert cv2.absdiff(crop, theirs.alignCrop(picture, row)).max() <= 2


def test_what_the_networks_are_fed(tmp_path: Path) -> None:
    """RGB in that order: 0..255 for SFace, (x - 127.5) / 127.5 for ArcFace."""
    face = np.random.default_rng(0).integers(0, 256, (SIDE, SIDE, 3)).astype(np.uint8)
    np.testing.assert_allclose(SFace(pooling(tmp_path / "s.onnx", "data")).embed(face), patches(face), rtol=1e-4)
    arcface = ArcFace(pooling(tmp_path / "a.onnx", "input.1", "None"))
    np.testing.assert_allclose(arcface.embed(face), (patches(face) - 127.5) / 127.5, atol=1e-5)


def test_a_video(judge: FaceJudge) -> None:
    """The same face elsewhere is as like as can be, another less, and a frame without one counts only in the rate."""
    empty = np.full((256, 256, 3), 128, np.uint8)
    found = judge.video(scene(0), iter([scene(0), scene(0, 5, 4), scene(1), empty]))
    assert found["face_detection_rate"] == [1.0, 1.0, 1.0, 0.0]
    same, moved, other, none = found["face_similarity"]
    assert same == pytest.approx(1, abs=1e-6)
    assert moved == pytest.approx(1, abs=1e-6)
    assert none is None
    points = landmarks()
    a, b = (patches(aligned(scene(seed), points)) for seed in (0, 1))
    if isinstance(judge.recognizer, ArcFace):
        a, b = a - 127.5, b - 127.5
    assert other == pytest.approx(a @ b / np.sqrt((a @ a) * (b @ b)), abs=1e-5)
    assert other < 0.9


def test_a_reference_without_a_face(judge: FaceJudge) -> None:
    frames = iter([scene(0)])
    with pytest.raises(NoFace, match="reference"):
        judge.video(np.full((64, 64, 3), 128, np.uint8), frames)
    assert len(list(frames)) == 1
    assert not issubclass(NoFace, ScdError)


@pytest.mark.parametrize("wrong", ["a text", "nothing", "another graph"])
@pytest.mark.parametrize("part", [YuNet, SFace, ArcFace])
def test_files_that_are_something_else(tmp_path: Path, part: type, wrong: str) -> None:
    path = tmp_path / "network.onnx"
    if wrong == "a text":
        path.write_text("not a graph")
    elif wrong == "another graph":
        pooling(path, "x", side=96, channels=1, length=20)
    with pytest.raises(ScdError) as caught:
        part(path)
    assert str(path) in caught.value.message
    assert caught.value.hint
    assert "\n" not in str(caught.value)


def test_opencv_says_nothing(detector: YuNet, tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    SFace(pooling(tmp_path / "s.onnx", "data"))
    YuNet(detector.path).find(scene(0))
    assert capfd.readouterr() == ("", "")


def test_the_recognizer_is_chosen_by_its_key(detector: YuNet, tmp_path: Path) -> None:
    yunet_file = Weights("yunet", detector.path, "a" * 64)
    path = pooling(tmp_path / "network.onnx", "data")
    for key, kind in (("sface", SFace), ("arcface", ArcFace)):
        network = Weights(key, path, "b" * 64)
        judge = judge_of(yunet_file, network)
        assert isinstance(judge.recognizer, kind)
        assert judge.name == f"yunet+{key}"
        assert judge.weights == (yunet_file, network)
        assert judge.video(scene(0), [scene(0)])["face_similarity"] == [pytest.approx(1, abs=1e-6)]


def test_missing_files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("SCD_EVAL_WEIGHTS", raising=False)
    with pytest.raises(WeightsMissing, match="yunet"):
        open_faces(tmp_path)


def test_arcface_goes_before_sface(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The files are found by their real names; only their known sha256 cannot be met."""
    monkeypatch.delenv("SCD_EVAL_WEIGHTS", raising=False)
    rows = {key: replace(entry, sha256=None, sha256_prefix=None) for key, entry in weights.table().items()}
    monkeypatch.setattr(weights, "table", lambda: rows)
    yunet(tmp_path / "face_detection_yunet_2023mar.onnx")
    with pytest.raises(WeightsMissing, match="sface"):
        open_faces(tmp_path)
    pooling(tmp_path / "face_recognition_sface_2021dec.onnx", "data")
    assert open_faces(tmp_path).name == "yunet+sface"
    pooling(tmp_path / "glintr100.onnx", "input.1", "None")
    assert [w.path.name for w in open_faces(tmp_path).weights] == ["face_detection_yunet_2023mar.onnx", "glintr100.onnx"]
