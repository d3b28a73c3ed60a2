"""Pose features of a clip on disk, so that memory does not grow with its length."""

import tempfile
from types import TracebackType

import numpy as np
from numpy.typing import NDArray

from engines.core.errors import ScdError


class FeatureStore:
    """Appends (n, D, h, w) float32 blocks; slices like an array. Plain reads, not a memory map: mapped pages would count as memory."""

    def __init__(self) -> None:
        self.file = tempfile.TemporaryFile(prefix="scd-features-")  # noqa: SIM115 (closed in __exit__)
        self.shape: tuple[int, ...] = ()
        self.count = 0

    def __enter__(self) -> "FeatureStore":
        return self

    def __exit__(self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None) -> None:
        self.file.close()

    def __len__(self) -> int:
        return self.count

    def append(self, features: NDArray[np.float32]) -> None:
        """ScdError when the disk is full."""
        self.shape = features.shape[1:]
        try:
            self.file.seek(0, 2)
            self.file.write(np.ascontiguousarray(features, np.float32).tobytes())
            self.file.flush()
        except OSError as error:
            where = tempfile.gettempdir()
            raise ScdError(
                f"cannot keep the pose features in {where} ({error.strerror})", "free some space or point TMPDIR elsewhere"
            ) from error
        self.count += len(features)

    def __getitem__(self, place: slice) -> NDArray[np.float32]:
        start, stop, _ = place.indices(self.count)
        each = int(np.prod(self.shape)) * 4
        self.file.seek(start * each)
        return np.frombuffer(self.file.read((stop - start) * each), np.float32).reshape(-1, *self.shape)
