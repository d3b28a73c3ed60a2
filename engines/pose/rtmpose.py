"""RTMPose and DWPose by the user's own ONNX files: a YOLOX person detector, then a whole-body SimCC network a person.

Ge et al. 2021, "YOLOX"; Jiang et al. 2023, "RTMPose"; Yang et al. 2023, "DWPose". Pictures go in as their public exports take them: the
detector BGR 0..255 in the upper left corner of a grey square, the pose network normalised RGB, 1.25 times the person's box.
"""

from collections.abc import Iterable, Iterator
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from engines.core.bundle import sha256
from engines.core.errors import ScdError
from engines.core.keypoints import COUNT
from engines.pose.detector import MOST, Picture, Points
from engines.sessions.base import TensorSpec

Floats = NDArray[np.float32]
REVISION = 1  # of this code: results of another are not taken from the cache
GREY = 114
STRIDES = (8, 16, 32)
SURE, SURE_READY = 0.5, 0.3  # of a person: the network's own scores, and those of graphs that suppress doubles themselves
OVERLAP = 0.45  # boxes that overlap more are one person
PADDING = 1.25
MEAN, STD = np.array([123.675, 116.28, 103.53], np.float32), np.array([58.395, 57.12, 57.375], np.float32)
SPLIT = 2.0  # SimCC's bins a pixel of the network's input
WANTED = "give --pose-model det.onnx,pose.onnx: a YOLOX person detector and an RTMPose or DWPose whole-body network (133 points, SimCC)"


class Graph:
    """An ONNX file with one picture (1, 3, h, w) in. `size` is (width, height). ScdError for any other."""

    def __init__(self, path: Path, what: str, free: tuple[int, int] | None) -> None:
        from engines.media.images import need_file
        from engines.sessions.onnxruntime_session import open_session

        need_file(path, what)
        self.path, self.what = path, what
        try:
            self.session = open_session(path, ["cpu"])
        except (ScdError, KeyError) as error:  # KeyError: inputs or outputs of a type that no pose network has
            said = error.message if isinstance(error, ScdError) else f"it has tensors of the type {error}"
            raise ScdError(f"{what} {path} cannot be loaded ({said})", WANTED) from error
        self.input, spec = next(iter(self.session.inputs.items()), ("", TensorSpec((), np.dtype(np.float32))))
        shape = spec.shape
        if len(self.session.inputs) != 1 or len(shape) != 4 or shape[1] != 3 or spec.dtype not in (np.float32, np.float16):
            raise self.wrong(f"takes {described(self.session.inputs)}, not one picture of 3 channels")
        height, width = (side if isinstance(side, int) else None for side in shape[2:])
        if (height is None or width is None) and free is None:
            raise self.wrong("leaves the size of its picture open")
        self.size = (width or (free or (0, 0))[0], height or (free or (0, 0))[1])

    def wrong(self, why: str) -> ScdError:
        return ScdError(f"{self.what} {self.path} {why}", WANTED)

    def run(self, picture: Floats) -> list[Floats]:
        """Outputs in the graph's order for one float32 (h, w, 3)."""
        feed = np.ascontiguousarray(picture.transpose(2, 0, 1)[None], np.float32)
        try:
            return [np.asarray(array, np.float32) for array in self.session.run({self.input: feed}).values()]
        except Exception as error:  # onnxruntime's own exceptions share no public base
            raise self.wrong(f"fails on a picture ({str(error).strip().splitlines()[0]})") from error


def described(specs: dict[str, TensorSpec]) -> str:
    return ", ".join(f"{name} {list(spec.shape)}" for name, spec in specs.items()) or "nothing"


class RtmPose:
    """Detector over two ONNX files, every frame by itself. ScdError for graphs that are something else."""

    def __init__(self, detector: Path, pose: Path) -> None:
        self.detector = Graph(detector, "the person detector", (640, 640))
        self.pose = Graph(pose, "the pose network", None)
        self.check_pose()
        digests = "-".join(sha256(path)[:16] for path in (detector, pose))
        self.name = f"rtmpose-r{REVISION}-{digests}"

    def check_pose(self) -> None:
        """Two SimCC outputs of 133 points; which of them is x follows from the number of bins."""
        outputs = self.pose.session.outputs
        if len(outputs) != 2 or any(spec.shape and not self.fits(spec.shape) for spec in outputs.values()):
            raise self.pose.wrong(f"gives {described(outputs)}, not the x and y of {COUNT} points")

    def fits(self, shape: tuple[int | str | None, ...]) -> bool:
        """Whether (people, 133, bins) as a graph states it; axes that it leaves open are judged when it runs."""
        allowed: tuple[tuple[int, ...], ...] = ((1,), (COUNT,), self.bins())
        return len(shape) == 3 and all(not isinstance(axis, int) or axis in ok for axis, ok in zip(shape, allowed, strict=True))

    def bins(self) -> tuple[int, int]:
        return round(self.pose.size[0] * SPLIT), round(self.pose.size[1] * SPLIT)

    def track(self, pictures: Iterable[Picture], most: int = MOST) -> Iterator[Points]:
        """See Detector."""
        for picture in pictures:
            rows = [self.read(picture, box) for box in self.boxes(picture)[:most]]
            yield np.stack(rows) if rows else np.zeros((0, COUNT, 3), np.float32)

    def boxes(self, picture: Picture) -> Floats:
        """People (n, 4): left, top, right, bottom in pixels, surest first."""
        square, ratio = letterboxed(picture, self.detector.size)
        outputs = self.detector.run(square[..., ::-1].astype(np.float32))
        boxes, scores = self.candidates(outputs)
        return suppressed(boxes, scores) / np.float32(ratio)

    def candidates(self, outputs: list[Floats]) -> tuple[Floats, Floats]:
        """Boxes (n, 4) in pixels of the detector's view and scores (n,), from either kind of graph."""
        table = outputs[0]
        batched = table.ndim == 3 and table.shape[0] == 1
        if batched and table.shape[2] == 5:  # doubles suppressed in the graph; class numbers may follow
            boxes, scores, least = table[0, :, :4], table[0, :, 4], SURE_READY
            if len(outputs) > 1 and outputs[1].shape == table.shape[:2]:
                scores = np.where(outputs[1][0] == 0, scores, 0)
        elif batched and table.shape[2] > 5 and table.shape[1] == cells(self.detector.size):
            boxes, scores = decoded(table[0], self.detector.size)
            least = SURE
        else:
            raise self.detector.wrong(f"gives {list(table.shape)}, not YOLOX's boxes")
        return boxes[scores >= least], scores[scores >= least]

    def read(self, picture: Picture, box: Floats) -> Points:
        """The 133 points of the person in a box."""
        matrix = framing(box, self.pose.size)
        view = cv2.warpAffine(picture, matrix, self.pose.size, flags=cv2.INTER_LINEAR).astype(np.float32)
        first, second = self.pose.run((view - MEAN) / STD)
        wide, high = self.bins()
        x, y = (first, second) if first.shape[-1] == wide else (second, first)
        if x.shape != (1, COUNT, wide) or y.shape != (1, COUNT, high):
            raise self.pose.wrong(f"gives {list(first.shape)} and {list(second.shape)}, not the x and y of {COUNT} points")
        places, scores = peaks(x[0], y[0])
        back = cv2.invertAffineTransform(matrix)
        points = places @ back[:, :2].T + back[:, 2]
        inside = ((points >= 0) & (points < (picture.shape[1], picture.shape[0]))).all(1)
        return np.column_stack([points, scores * np.where(inside, 1.0, 0.2)]).astype(np.float32)


def letterboxed(picture: Picture, size: tuple[int, int]) -> tuple[Picture, float]:
    """The picture in the upper left corner of a grey one of `size` (width, height), and the ratio by which it shrank."""
    ratio = min(size[0] / picture.shape[1], size[1] / picture.shape[0])
    width, height = (max(1, int(side * ratio)) for side in (picture.shape[1], picture.shape[0]))
    out = np.full((size[1], size[0], 3), GREY, np.uint8)
    out[:height, :width] = cv2.resize(picture, (width, height), interpolation=cv2.INTER_LINEAR)
    return out, ratio


def cells(size: tuple[int, int]) -> int:
    return sum((size[0] // stride) * (size[1] // stride) for stride in STRIDES)


def decoded(table: Floats, size: tuple[int, int]) -> tuple[Floats, Floats]:
    """YOLOX's raw rows (cells, 5 + classes): offset in a cell, log size, objectness, classes.

    -> boxes (cells, 4): left, top, right, bottom in pixels of its view, and scores (cells,) of people (class 0).
    """
    corners, steps = [], []
    for stride in STRIDES:
        x, y = np.meshgrid(np.arange(size[0] // stride), np.arange(size[1] // stride))
        corners.append(np.stack([x.ravel(), y.ravel()], axis=1))
        steps.append(np.full(x.size, stride))
    step = np.concatenate(steps)[:, None]
    centre = (table[:, :2] + np.concatenate(corners)) * step
    half = np.exp(np.minimum(table[:, 2:4], 20)) * step / 2
    person = table[:, 5]
    return np.concatenate([centre - half, centre + half], axis=1).astype(np.float32), (table[:, 4] * person).astype(np.float32)


def suppressed(boxes: Floats, scores: Floats) -> Floats:
    """Boxes (n, 4) without those that overlap a surer one, surest first."""
    kept: list[Floats] = []
    for box in boxes[np.argsort(-scores, kind="stable")]:
        if all(overlap(box, other) <= OVERLAP for other in kept):
            kept.append(box)
    return np.stack(kept) if kept else np.zeros((0, 4), np.float32)


def overlap(a: Floats, b: Floats) -> float:
    """Shared area over joint area."""
    sides = np.minimum(a[2:], b[2:]) - np.maximum(a[:2], b[:2])
    shared = float(np.prod(np.maximum(sides, 0)))
    return shared / max(float(np.prod(a[2:] - a[:2]) + np.prod(b[2:] - b[:2])) - shared, 1e-6)


def framing(box: Floats, size: tuple[int, int]) -> NDArray[np.float64]:
    """Affine (2, 3) from the picture to the network's `size`: the padded box about its centre, widened to the network's shape."""
    centre = (box[:2] + box[2:]) / 2
    wide, high = np.maximum((box[2:] - box[:2]) * PADDING, 1.0)
    scale = size[0] / max(wide, high * size[0] / size[1])
    shift = np.array(size) / 2 - centre * scale
    return np.array([[scale, 0, shift[0]], [0, scale, shift[1]]])


def peaks(x: Floats, y: Floats) -> tuple[Floats, Floats]:
    """SimCC (133, bins) each -> places (133, 2) in pixels of the network's input and scores (133,): the lower of the two peaks, 0..1."""
    places = np.stack([x.argmax(1), y.argmax(1)], axis=1) / SPLIT
    return places.astype(np.float32), np.clip(np.minimum(x.max(1), y.max(1)), 0, 1)
