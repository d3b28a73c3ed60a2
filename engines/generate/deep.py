"""Deep features of the last full step, kept on disk until the shallow steps after it have used them."""

import tempfile
from types import TracebackType

import numpy as np
from numpy.typing import NDArray

from engines.core.errors import ScdError

Features = NDArray[np.float32]


class DeepStore:
    """Arrays (conditions, frames, D, h, w) by key, in float16: a store of a clip's length would not fit into memory.

    A key's place in the file is used again at the next full step.
    """

    def __init__(self) -> None:
        self.file = tempfile.TemporaryFile(prefix="scd-deep-")  # noqa: SIM115 (closed in __exit__)
        self.places: dict[tuple[int, int], tuple[int, tuple[int, ...]]] = {}
        self.end = 0

    def __enter__(self) -> "DeepStore":
        return self

    def __exit__(self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None) -> None:
        self.file.close()

    def __setitem__(self, key: tuple[int, int], features: Features) -> None:
        """ScdError when the disk is full. A key keeps the shape, or a smaller one, that it had first."""
        data = features.astype(np.float16)
        start = self.places[key][0] if key in self.places else self.end
        self.places[key], self.end = (start, data.shape), max(self.end, start + data.nbytes)
        try:
            self.file.seek(start)
            self.file.write(data.tobytes())
            self.file.flush()
        except OSError as error:
            where = tempfile.gettempdir()
            said = f"cannot keep the features that --reuse needs in {where} ({error.strerror})"
            raise ScdError(said, "free some space, point TMPDIR elsewhere, or leave --reuse out") from error

    def __getitem__(self, key: tuple[int, int]) -> Features:
        start, shape = self.places[key]
        self.file.seek(start)
        return np.frombuffer(self.file.read(int(np.prod(shape)) * 2), np.float16).reshape(shape).astype(np.float32)
