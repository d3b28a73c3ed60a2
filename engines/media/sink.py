"""What takes frames: the contract that every output format keeps, and the description of a clip that all of them can carry."""

import json
from abc import ABC, abstractmethod
from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

Picture = NDArray[np.uint8]


class Sink(ABC):
    """What the formats share: frames of one size, counted. `finish` completes the file, `close` lets go of it; both may be called.

    `warnings` are sentences for the user about what could not be kept, as damaged sound; complete after `finish`.
    """

    def __init__(self, size: tuple[int, int]) -> None:
        self.shape = (size[1], size[0], 3)
        self.count = 0
        self.warnings: list[str] = []

    def write(self, picture: Picture) -> None:
        """Take one frame, uint8 (H, W, 3)."""
        if picture.shape != self.shape or picture.dtype != np.uint8:
            raise ValueError(f"a {picture.dtype} frame of shape {picture.shape} in a clip of {self.shape}")
        self.put(picture)
        self.count += 1

    @abstractmethod
    def put(self, picture: Picture) -> None: ...

    def finish(self) -> None:
        self.close()

    def close(self) -> None:
        return None


def described(metadata: Mapping[str, str]) -> dict[str, str]:
    """Metadata as files keep it: every key, and all of them as one JSON text in `comment`, the key that players show; {} of nothing.

    Names of files may hold bytes that are no text: they become question marks.
    """
    texts = {clean(key): clean(value) for key, value in metadata.items()}
    return {"comment": json.dumps(texts, ensure_ascii=False), **texts} if texts else {}


def clean(text: str) -> str:
    return text.encode("utf-8", "replace").decode().replace("\0", "")
