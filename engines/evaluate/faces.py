"""Metrics of identity: how much the face in each frame is the reference's, as the cosine of two embeddings, and how often there is a face.

YuNet finds faces (Wu et al. 2023, "YuNet: A Tiny Millisecond-level Face Detector", run by OpenCV). Their embeddings are SFace's (Zhong et
al. 2021, run by OpenCV) or those of an ArcFace network (Deng et al. 2019) in an ONNX file such as AuraFace's glintr100, run by onnxruntime.
Cosines of different networks do not compare.
"""

from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Protocol, TypeVar

import cv2
import numpy as np
from numpy.typing import NDArray

from engines.core.errors import ScdError
from engines.evaluate.weights import Weights, WeightsMissing, find
from engines.sessions.base import TensorSpec
from engines.sessions.onnxruntime_session import open_session

Picture = NDArray[np.uint8]
Vector = NDArray[np.float64]
T = TypeVar("T")
SIDE = 112  # pixels of an aligned face
VECTOR = 128  # numbers that SFace gives
# Where an aligned face has its eyes, the tip of its nose and the corners of its mouth, each the picture's left one first (InsightFace's)
TEMPLATE = np.array([[38.2946, 51.6963], [73.5318, 51.5014], [56.0252, 71.7366], [41.5493, 92.3655], [70.7299, 92.2041]])
VIEWS = (640, 320)  # pixels of the longer side that YuNet looks at: it knows faces of some 10 to 300 pixels
SURE, OVERLAP, MOST = 0.9, 0.3, 5000  # OpenCV's defaults for YuNet: score, IoU of two finds of one face, candidates


class NoFace(Exception):
    """The reference shows no face, so nothing can be compared with it. The text is a reason to report, not a user's error."""


class Recognizer(Protocol):
    """A network that turns an aligned face, uint8 (112, 112, 3) RGB, into a vector whose direction says who it is."""

    def embed(self, face: Picture) -> Vector: ...


@contextmanager
def quiet() -> Iterator[None]:
    """OpenCV 5 warns on stderr that its new engine takes no targets, which nobody asked for."""
    before = cv2.utils.logging.getLogLevel()
    cv2.utils.logging.setLogLevel(cv2.utils.logging.LOG_LEVEL_ERROR)
    try:
        yield
    finally:
        cv2.utils.logging.setLogLevel(before)


def bgr(picture: Picture) -> Picture:
    return np.ascontiguousarray(picture[..., ::-1])


def through_opencv(path: Path, what: str, work: Callable[[], T]) -> T:
    """What `work` gives; OpenCV's errors become the user's, about the file at `path`."""
    try:
        with quiet():
            return work()
    except cv2.error as error:
        why = str(error.err or error).strip().splitlines()[0]
        raise ScdError(f"{what} {path} cannot be used ({why})", "fetch it again") from error


class YuNet:
    """OpenCV's face detector over a YuNet file (face_detection_yunet_*.onnx). ScdError for a file that is none."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.engine = self.guarded(lambda: cv2.FaceDetectorYN.create(str(path), "", (VIEWS[-1], VIEWS[-1]), SURE, OVERLAP, MOST))
        self.detect(np.zeros((32, 32, 3), np.uint8))

    def guarded(self, work: Callable[[], T]) -> T:
        return through_opencv(self.path, "the face detector", work)

    def detect(self, picture: Picture) -> NDArray[np.float32]:
        """Rows (n, 15) in pixels: left, top, width, height; right eye, left eye, nose, right and left corner of the mouth; score."""

        def work() -> NDArray[np.float32] | None:
            self.engine.setInputSize((picture.shape[1], picture.shape[0]))
            rows: NDArray[np.float32] | None = self.engine.detect(bgr(picture))[1]
            return rows

        rows = self.guarded(work)
        return np.zeros((0, 15), np.float32) if rows is None else rows

    def find(self, picture: Picture) -> Vector | None:
        """The largest face's five points (5, 2) in pixels, in the order of TEMPLATE; None where no face is.

        Pictures larger than VIEWS are shrunk to each of them in turn until one shows a face.
        """
        height, width = picture.shape[:2]
        for side in sorted({min(side, max(height, width)) for side in VIEWS}, reverse=True):
            ratio = side / max(height, width)
            size = max(1, round(width * ratio)), max(1, round(height * ratio))
            rows = self.detect(picture if ratio == 1 else cv2.resize(picture, size, interpolation=cv2.INTER_AREA).astype(np.uint8))
            if len(rows):
                row = rows[(rows[:, 2] * rows[:, 3]).argmax()]
                return np.asarray(row[4:14].reshape(5, 2) * (np.array([width, height]) / size), np.float64)
        return None


def alignment(points: Vector) -> Vector:
    """The turn, scale and shift (2, 3) that brings five points (5, 2) nearest to TEMPLATE, by least squares (Umeyama 1991, no mirror)."""
    source, target = points.mean(0), TEMPLATE.mean(0)
    a, b = ((p - mean) @ np.array([1, 1j]) for p, mean in ((points, source), (TEMPLATE, target)))
    turn = np.vdot(a, b) / max(np.vdot(a, a).real, 1e-9)
    matrix = np.array([[turn.real, -turn.imag], [turn.imag, turn.real]])
    return np.column_stack([matrix, target - matrix @ source])


def aligned(picture: Picture, points: Vector) -> Picture:
    """The face of these five points upright in the middle of uint8 (112, 112, 3); black beyond the picture's edge."""
    out: Picture = cv2.warpAffine(picture, alignment(points), (SIDE, SIDE), flags=cv2.INTER_LINEAR).astype(np.uint8)
    return out


class SFace:
    """OpenCV's recognizer over an SFace file (face_recognition_sface_*.onnx). ScdError for a file that is none."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.engine = through_opencv(path, "the face recognizer", lambda: cv2.FaceRecognizerSF.create(str(path), ""))
        self.embed(np.zeros((SIDE, SIDE, 3), np.uint8))

    def embed(self, face: Picture) -> Vector:
        out = np.asarray(through_opencv(self.path, "the face recognizer", lambda: self.engine.feature(bgr(face))), np.float64)
        if out.size != VECTOR:
            raise ScdError(f"the face recognizer {self.path} gives {list(out.shape)}, not SFace's {VECTOR} numbers", "fetch SFace again")
        return out.ravel()


class ArcFace:
    """An ArcFace network: RGB (1, 3, 112, 112) scaled to -1..1 by (x - 127.5) / 127.5 -> a vector. ScdError for any other graph.

    So InsightFace feeds the graphs that come out of PyTorch, glintr100 (AuraFace, Glint360K) among them. Graphs that subtract and scale
    inside, as those out of MXNet do, want 0..255 and would give wrong figures here.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        try:
            self.session = open_session(path, ["cpu"])
        except KeyError as error:
            raise self.wrong(f"has tensors of the type {error}") from error
        except ScdError as error:
            raise self.wrong(f"cannot be loaded ({error.message})") from error
        self.input, spec = next(iter(self.session.inputs.items()), ("", TensorSpec((), np.dtype(np.float32))))
        sides = [b if isinstance(b, int) else a for a, b in zip((1, 3, SIDE, SIDE), spec.shape, strict=False)]
        if len(self.session.inputs) != 1 or len(spec.shape) != 4 or sides[1:] != [3, SIDE, SIDE]:
            raise self.wrong(f"does not take one face of 3x{SIDE}x{SIDE}")
        self.embed(np.zeros((SIDE, SIDE, 3), np.uint8))

    def wrong(self, why: str) -> ScdError:
        return ScdError(f"the face recognizer {self.path} {why}", "give an ArcFace network such as AuraFace's glintr100.onnx")

    def embed(self, face: Picture) -> Vector:
        feed = ((face.astype(np.float32) - 127.5) / 127.5).transpose(2, 0, 1)[None]
        try:
            out = self.session.run({self.input: np.ascontiguousarray(feed)})
        except Exception as error:  # onnxruntime's own exceptions share no public base
            raise self.wrong(f"fails on a face ({str(error).strip().splitlines()[0]})") from error
        first = next(iter(out.values()))
        if first.ndim != 2 or len(first) != 1:
            raise self.wrong(f"gives {list(first.shape)}, not one vector")
        return np.asarray(first[0], np.float64)


class FaceJudge:
    """Compares faces with a reference's. `name` says the networks and `weights` their files."""

    def __init__(self, detector: YuNet, recognizer: Recognizer, name: str, weights: tuple[Weights, ...] = ()) -> None:
        self.detector, self.recognizer, self.name, self.weights = detector, recognizer, name, weights

    def embed(self, picture: Picture) -> Vector | None:
        """The unit vector of the largest face in uint8 (H, W, 3) RGB; None where no face is found."""
        points = self.detector.find(picture)
        if points is None:
            return None
        vector = self.recognizer.embed(aligned(picture, points))
        return vector / max(float(np.linalg.norm(vector)), 1e-12)

    def video(self, reference: Picture, frames: Iterable[Picture]) -> dict[str, list[float | None]]:
        """ "face_similarity" (cosine with the reference's face, -1..1, None where no face is found) and "face_detection_rate" (1.0 or 0.0)
        of each frame. The mean of the former leaves out the frames in which the face fell apart: read both.

        NoFace, before any frame is taken, where the reference shows no face.
        """
        own = self.embed(reference)
        if own is None:
            raise NoFace("no face is found in the reference")
        out: dict[str, list[float | None]] = {"face_similarity": [], "face_detection_rate": []}
        for frame in frames:
            face = self.embed(frame)
            out["face_similarity"].append(None if face is None else float(own @ face))
            out["face_detection_rate"].append(0.0 if face is None else 1.0)
        return out


def judge_of(detector: Weights, recognizer: Weights) -> FaceJudge:
    """Over a YuNet file and a recognizer's, which is an ArcFace network or SFace by its key. ScdError for files that are neither."""
    network: Recognizer = ArcFace(recognizer.path) if recognizer.key == "arcface" else SFace(recognizer.path)
    return FaceJudge(YuNet(detector.path), network, f"{detector.key}+{recognizer.key}", (detector, recognizer))


def open_faces(folder: Path | None) -> FaceJudge:
    """YuNet with ArcFace where the folder of weights has it, else with SFace. WeightsMissing where either part is not there."""
    detector = find("yunet", folder)
    try:
        return judge_of(detector, find("arcface", folder))
    except WeightsMissing:
        return judge_of(detector, find("sface", folder))
