"""RTMPose and DWPose by file, on tiny graphs of the real shapes whose answers are known."""

from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from engines.core.errors import ScdError
from engines.core.report import NullReport
from engines.pose.detector import people
from engines.pose.detectors import open_detector
from engines.pose.rtmpose import MEAN, STD, RtmPose

BOX = (40.0, 50.0, 240.0, 450.0)  # left, top, right, bottom
PICTURE = np.full((600, 800, 3), 90, np.uint8)
CELLS = 80 * 80 + 40 * 40 + 20 * 20


def save(path: Path, shape: list[int | str], nodes: list, outputs: dict[str, list[int | str]], constants: dict[str, np.ndarray]) -> Path:
    """A graph of one picture."""
    graph = helper.make_graph(
        nodes,
        "tiny",
        [helper.make_tensor_value_info("input", TensorProto.FLOAT, shape)],
        [helper.make_tensor_value_info(name, TensorProto.FLOAT, size) for name, size in outputs.items()],
        [
            numpy_helper.from_array(array.astype(np.int64 if array.dtype.kind == "i" else np.float32), name)
            for name, array in constants.items()
        ],
    )
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8), path)
    return path


def first_pixel(channel: int) -> tuple[list, dict[str, np.ndarray]]:
    """Nodes that give `pixel`: the top left pixel of a channel, as a scalar."""
    constants = {"from": np.array([0, channel, 0, 0]), "to": np.array([1, channel + 1, 1, 1]), "flat": np.array([1])}
    nodes = [helper.make_node("Slice", ["input", "from", "to"], ["corner"]), helper.make_node("Reshape", ["corner", "flat"], ["pixel"])]
    return nodes, constants


def raw_rows(boxes: list[tuple[tuple[float, ...], float, int]]) -> np.ndarray:
    """YOLOX's (1, 8400, 85) for boxes in pixels of its view, each with a score and a class: in the grid of stride 32."""
    table = np.zeros((1, CELLS, 85), np.float32)
    for number, (box, score, kind) in enumerate(boxes):
        cell = 80 * 80 + 40 * 40 + 21 * number  # (number, number) of the 20 x 20 grid
        centre, size = np.array([box[0] + box[2], box[1] + box[3]]) / 2, np.array([box[2] - box[0], box[3] - box[1]])
        table[0, cell, :2] = centre / 32 - number
        table[0, cell, 2:4] = np.log(size / 32)
        table[0, cell, 4], table[0, cell, 5 + kind] = 0.95, score / 0.95
    return table


def raw_detector(path: Path, boxes: list, channel: int = 0) -> Path:
    """Scores are multiplied by the first pixel of a channel over 90: the grey of PICTURE gives them as they are."""
    nodes, constants = first_pixel(channel)
    gain = np.zeros((1, 1, 85), np.float32)
    gain[..., 4] = 1
    constants |= {"table": raw_rows(boxes), "gain": gain, "rest": 1 - gain, "grey": np.array([90.0])}
    nodes += [
        helper.make_node("Div", ["pixel", "grey"], ["share"]),
        helper.make_node("Mul", ["gain", "share"], ["scaled"]),
        helper.make_node("Add", ["scaled", "rest"], ["factor"]),
        helper.make_node("Mul", ["table", "factor"], ["output"]),
    ]
    return save(path, [1, 3, 640, 640], nodes, {"output": [1, CELLS, 85]}, constants)


def ready_detector(path: Path, rows: np.ndarray, labels: np.ndarray) -> Path:
    nodes, constants = first_pixel(0)
    constants |= {"rows": rows, "labels": labels.astype(np.float32), "nothing": np.array([0.0])}
    nodes += [
        helper.make_node("Mul", ["pixel", "nothing"], ["zero"]),
        helper.make_node("Add", ["rows", "zero"], ["dets"]),
        helper.make_node("Add", ["labels", "zero"], ["kinds"]),
    ]
    return save(path, ["batch", 3, "h", "w"], nodes, {"dets": [1, "n", 5], "kinds": [1, "n"]}, constants)


def bins_of(size: tuple[int, int], count: int = 133) -> tuple[np.ndarray, np.ndarray]:
    number = np.arange(count)
    return (7 + 2 * number) % (2 * size[0]), (11 + 3 * number) % (2 * size[1])


def pose_network(path: Path, size: tuple[int, int] = (192, 256), count: int = 133, swapped: bool = False, only_x: bool = False) -> Path:
    """One-hot SimCC times the mean of the input's green: a picture of MEAN + STD / 2 gives scores of 0.5."""
    hot = []
    for bins, side in zip(bins_of(size, count), size, strict=True):
        array = np.zeros((1, count, 2 * side), np.float32)
        array[0, np.arange(count), bins] = 1
        hot.append(array)
    nodes, constants = first_pixel(1)
    middle = np.array([0, 1, size[1] // 2, size[0] // 2])
    constants |= {"from": middle, "to": middle + 1, "x_hot": hot[0], "y_hot": hot[1]}
    nodes += [helper.make_node("Mul", [f"{axis}_hot", "pixel"], [f"simcc_{axis}"]) for axis in ("xy" if not only_x else "x")]
    shapes = {"simcc_x": ["batch", count, 2 * size[0]], "simcc_y": ["batch", count, 2 * size[1]]}
    names = ["simcc_x"] if only_x else ["simcc_y", "simcc_x"] if swapped else ["simcc_x", "simcc_y"]
    return save(path, ["batch", 3, size[1], size[0]], nodes, {name: shapes[name] for name in names}, constants)


def expected(box: tuple[float, ...], size: tuple[int, int]) -> np.ndarray:
    """Where the peaks lie in the picture, by the public recipe: 1.25 times the box, widened to the network's shape."""
    wide, high = (box[2] - box[0]) * 1.25, (box[3] - box[1]) * 1.25
    wide, high = max(wide, high * size[0] / size[1]), max(high, wide * size[1] / size[0])
    centre = np.array([box[0] + box[2], box[1] + box[3]]) / 2
    bins = np.stack(bins_of(size), axis=1)
    return centre + (bins / 2 / np.array(size) - 0.5) * (wide, high)


def half_picture() -> np.ndarray:
    """Normalises to 0.5 in every channel."""
    return np.broadcast_to(np.round(MEAN + STD / 2).astype(np.uint8), (600, 800, 3)).copy()


def view(box: tuple[float, ...]) -> tuple[float, ...]:
    """A box of the 800x600 picture in the detector's 640 pixels."""
    return tuple(side * 0.8 for side in box)


@pytest.mark.parametrize("size", [(192, 256), (288, 384)])
@pytest.mark.parametrize("swapped", [False, True])
def test_peaks_come_back_to_the_picture_exactly(tmp_path: Path, size: tuple[int, int], swapped: bool) -> None:
    detector = open_detector(
        (raw_detector(tmp_path / "d.onnx", [(view(BOX), 0.6, 0)]), pose_network(tmp_path / "p.onnx", size, swapped=swapped)), NullReport()
    )
    found = people(detector, half_picture())
    assert found.shape == (1, 133, 3)
    assert found.dtype == np.float32
    where = expected(BOX, size)
    np.testing.assert_allclose(found[0, :, :2], where, atol=0.05)
    inside = (where > 1).all(1) & (where < (799, 599)).all(1)
    assert inside.any()
    assert not inside.all()
    np.testing.assert_allclose(found[0, inside, 2], 0.5, atol=0.02)
    assert (found[0, (where < -1).any(1), 2] < 0.3).all()


def test_doubles_go_and_only_people_stay_surest_first(tmp_path: Path) -> None:
    other = (500.0, 100.0, 700.0, 500.0)
    near = tuple(side + 8 for side in BOX)
    boxes = [(view(BOX), 0.6, 0), (view(near), 0.55, 0), (view(other), 0.9, 0), (view((10, 10, 90, 90)), 0.9, 16), (view(other), 0.3, 0)]
    detector = RtmPose(raw_detector(tmp_path / "d.onnx", boxes), pose_network(tmp_path / "p.onnx"))
    np.testing.assert_allclose(detector.boxes(PICTURE), [other, BOX], atol=0.05)
    assert next(iter(detector.track([PICTURE], most=1))).shape == (1, 133, 3)


def test_the_detector_sees_blue_first(tmp_path: Path) -> None:
    blue = np.zeros_like(PICTURE)
    blue[..., 2] = 90
    pose = pose_network(tmp_path / "p.onnx")
    found = [len(RtmPose(raw_detector(tmp_path / f"{c}.onnx", [(view(BOX), 0.6, 0)], c), pose).boxes(blue)) for c in range(3)]
    assert found == [1, 0, 0]


def test_a_graph_that_suppresses_doubles_itself(tmp_path: Path) -> None:
    rows = np.array([[[*view(BOX), 0.4], [*view((500, 100, 700, 500)), 0.35], [*view((0, 0, 90, 90)), 0.9], [*view(BOX), 0.2]]], np.float32)
    detector = RtmPose(ready_detector(tmp_path / "d.onnx", rows, np.array([[0, 0, 1, 0]])), pose_network(tmp_path / "p.onnx"))
    np.testing.assert_allclose(detector.boxes(PICTURE), [BOX, (500, 100, 700, 500)], atol=0.05)


def test_nobody(tmp_path: Path) -> None:
    detector = RtmPose(raw_detector(tmp_path / "d.onnx", []), pose_network(tmp_path / "p.onnx"))
    frames = list(detector.track([PICTURE, PICTURE]))
    assert [frame.shape for frame in frames] == [(0, 133, 3)] * 2


def test_the_name_says_which_files(tmp_path: Path) -> None:
    detect, pose = raw_detector(tmp_path / "d.onnx", []), pose_network(tmp_path / "p.onnx")
    name = RtmPose(detect, pose).name
    assert RtmPose(detect, pose).name == name
    assert RtmPose(raw_detector(tmp_path / "d.onnx", [(BOX, 0.9, 0)]), pose).name != name
    assert RtmPose(detect, pose_network(tmp_path / "p.onnx", (288, 384))).name != name


@pytest.mark.parametrize("wrong", ["17 points", "one output", "a detector", "a text", "nothing", "flat"])
def test_a_pose_network_that_is_something_else(tmp_path: Path, wrong: str) -> None:
    detect, path = raw_detector(tmp_path / "d.onnx", []), tmp_path / "p.onnx"
    if wrong == "17 points":
        pose_network(path, count=17)
    elif wrong == "one output":
        pose_network(path, only_x=True)
    elif wrong == "a detector":
        raw_detector(path, [])
    elif wrong == "a text":
        path.write_text("not a graph")
    elif wrong == "flat":
        save(path, [1, 10], [helper.make_node("Relu", ["input"], ["out"])], {"out": [1, 10]}, {})
    with pytest.raises(ScdError) as caught:
        RtmPose(detect, path)
    assert str(path) in str(caught.value)
    assert "the pose network" in caught.value.message
    assert "\n" not in str(caught.value)


def test_a_detector_that_is_something_else(tmp_path: Path) -> None:
    path = save(tmp_path / "d.onnx", [1, 3, 640, 640], [helper.make_node("Relu", ["input"], ["out"])], {"out": [1, 3, 640, 640]}, {})
    with pytest.raises(ScdError, match=r"the person detector.*YOLOX"):
        people(RtmPose(path, pose_network(tmp_path / "p.onnx")), PICTURE)
