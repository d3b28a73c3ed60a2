"""Pose features of a clip on disk, so that memory does not grow with its length."""

import numpy as np
from numpy.typing import NDArray

from engines.generate.spill import Spill


class FeatureStore(Spill):
    """Appends (n, D, h, w) float32 blocks; slices like an array."""

    def __init__(self) -> None:
        super().__init__("the pose features", "free some space or point TMPDIR elsewhere")
        self.shape: tuple[int, ...] = ()
        self.count = 0

    def __len__(self) -> int:
        return self.count

    @property
    def each(self) -> int:
        """Bytes of one frame."""
        return int(np.prod(self.shape)) * 4

    def append(self, features: NDArray[np.float32]) -> None:
        """ScdError when the disk is full."""
        self.shape = features.shape[1:]
        self.write(self.count * self.each, np.ascontiguousarray(features, np.float32).tobytes())
        self.count += len(features)

    def __getitem__(self, place: slice) -> NDArray[np.float32]:
        start, stop, _ = place.indices(self.count)
        data = self.read(start * self.each, (stop - start) * self.each)
        return np.frombuffer(data, np.float32).reshape(-1, *self.shape)
