"""What the pose networks share: running a .tflite file, and cutting turned squares out of a picture."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from engines.core.cores import usable_cores
from engines.core.errors import ScdError

Picture = NDArray[np.uint8]
Floats = NDArray[np.float32]
MOST_THREADS = 4  # networks this small gain nothing from more


@contextmanager
def quiet_stderr() -> Iterator[None]:
    """LiteRT announces its delegate on the process's stderr and has no switch for it."""
    try:
        kept, nothing = os.dup(2), os.open(os.devnull, os.O_WRONLY)
    except OSError:  # a process without a stderr
        yield
        return
    try:
        os.dup2(nothing, 2)
        yield
    finally:
        os.dup2(kept, 2)
        os.close(kept)
        os.close(nothing)


def interpreter(path: Path, threads: int) -> Any:
    try:
        from ai_edge_litert.interpreter import Interpreter  # type: ignore[import-untyped]
    except ImportError as error:
        raise ScdError(
            "detecting poses needs the package ai-edge-litert, which this machine lacks",
            "run: pip install ai-edge-litert, or give --pose-model det.onnx,pose.onnx",
        ) from error
    try:
        with quiet_stderr():
            out = Interpreter(model_path=str(path), num_threads=threads)
            out.allocate_tensors()
    except (ValueError, RuntimeError) as error:
        raise ScdError(f"the pose network {path} cannot be loaded ({str(error).splitlines()[0]})", "delete it to fetch it again") from error
    return out


class Network:
    """A .tflite file with one picture in: float32 (n, n, 3) -> its outputs by shape-free name, without the batch axis."""

    def __init__(self, path: Path) -> None:
        self.engine = interpreter(path, min(MOST_THREADS, usable_cores()))
        self.input = self.engine.get_input_details()[0]["index"]
        self.outputs = {str(o["name"]): o["index"] for o in self.engine.get_output_details()}
        self.side = int(self.engine.get_input_details()[0]["shape"][1])

    def __call__(self, picture: Floats, *names: str) -> list[Floats]:
        """The outputs of these names, in their order."""
        self.engine.set_tensor(self.input, picture[None])
        self.engine.invoke()
        return [self.engine.get_tensor(self.outputs[name])[0] for name in names]


def sigmoid(x: Floats) -> Floats:
    return (1 / (1 + np.exp(-np.clip(x, -60, 60)))).astype(np.float32)


@dataclass(frozen=True, slots=True)
class Square:
    """A square of a picture: centre and side in pixels, turned by `turn` radians (clockwise as seen, y points down)."""

    x: float
    y: float
    side: float
    turn: float = 0.0

    def axes(self) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Its right and its down, as pixels for the whole side."""
        c, s = np.cos(self.turn) * self.side, np.sin(self.turn) * self.side
        return np.array([c, s]), np.array([-s, c])

    def to_picture(self, points: NDArray[Any]) -> Floats:
        """Points (..., 2) in shares of the square -> pixels."""
        right, down = self.axes()
        out = np.array([self.x, self.y]) + (points[..., :1] - 0.5) * right + (points[..., 1:2] - 0.5) * down
        return np.asarray(out, np.float32)

    def scaled(self, factor: float, down: float = 0.0) -> "Square":
        """`factor` times the side about the centre, after a shift by `down` sides along its own y."""
        shift = self.axes()[1] * down
        return Square(self.x + float(shift[0]), self.y + float(shift[1]), self.side * factor, self.turn)

    def distance(self, other: "Square") -> float:
        """Between the centres, in sides of the larger."""
        return float(np.hypot(self.x - other.x, self.y - other.y)) / max(self.side, other.side, 1e-6)


def between(centre: NDArray[Any], top: NDArray[Any], factor: float) -> Square:
    """The square about `centre` whose up points to `top`; its side is `factor` times their distance."""
    along = np.asarray(top - centre, float)
    return Square(float(centre[0]), float(centre[1]), max(float(np.hypot(*along)) * factor, 1.0), float(np.arctan2(along[0], -along[1])))


class Pyramid:
    """A picture and its halves, made when asked for: cutting a small view straight out of a large picture would alias."""

    def __init__(self, picture: Picture) -> None:
        self.levels = [picture]
        self.size = (picture.shape[1], picture.shape[0])

    def level(self, number: int) -> Picture:
        while len(self.levels) <= number:
            last = self.levels[-1]
            half = (max(1, last.shape[1] // 2), max(1, last.shape[0] // 2))
            self.levels.append(np.asarray(cv2.resize(last, half, interpolation=cv2.INTER_AREA), np.uint8))
        return self.levels[number]

    def cut(self, square: Square, side: int) -> Floats:
        """The square as float32 (side, side, 3) in 0..1; black outside the picture."""
        number = int(np.clip(np.floor(np.log2(max(square.side / side, 1.0))), 0, 5))
        source = self.level(number)
        share = np.array([source.shape[1] / self.size[0], source.shape[0] / self.size[1]])
        right, down = (axis * share / side for axis in square.axes())
        # pixel centres lie at +0.5 in both pictures
        corner = np.array([square.x, square.y]) * share + (0.5 - side / 2) * (right + down) - 0.5
        matrix = np.stack([right, down, corner], axis=1)
        out = cv2.warpAffine(source, matrix, (side, side), flags=cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP, borderMode=cv2.BORDER_CONSTANT)
        return np.asarray(out / 255, np.float32)
