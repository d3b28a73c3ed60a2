"""Deep features of the last full step, kept on disk until the shallow steps after it have used them."""

import numpy as np
from numpy.typing import NDArray

from engines.generate.spill import Spill

Features = NDArray[np.float32]


class DeepStore(Spill):
    """Arrays (conditions, frames, D, h, w) by key, in float16: a store of a clip's length would not fit into memory.

    A key's place in the file is used again at the next full step.
    """

    def __init__(self) -> None:
        super().__init__("the features that --reuse needs", "free some space, point TMPDIR elsewhere, or leave --reuse out")
        self.places: dict[tuple[int, int], tuple[int, tuple[int, ...]]] = {}
        self.end = 0

    def __setitem__(self, key: tuple[int, int], features: Features) -> None:
        """ScdError when the disk is full. A key keeps the shape, or a smaller one, that it had first."""
        data = features.astype(np.float16)
        start = self.places[key][0] if key in self.places else self.end
        self.places[key], self.end = (start, data.shape), max(self.end, start + data.nbytes)
        self.write(start, data.tobytes())

    def __getitem__(self, key: tuple[int, int]) -> Features:
        start, shape = self.places[key]
        return np.frombuffer(self.read(start, int(np.prod(shape)) * 2), np.float16).reshape(shape).astype(np.float32)
