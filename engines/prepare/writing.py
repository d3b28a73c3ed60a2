"""What every source of `scd prepare-data` writes its files with."""

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray


def write_text(path: Path, text: str) -> None:
    """A whole file or none, UTF-8."""
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    temporary.write_text(text, encoding="utf-8")
    os.replace(temporary, path)


def save_png(path: Path, picture: "NDArray[np.uint8]") -> None:
    """BGR or grey, lightly compressed: encoding must not cost as much as drawing. OSError when the disk is full."""
    import cv2

    _, data = cv2.imencode(".png", picture, [cv2.IMWRITE_PNG_COMPRESSION, 2])
    path.write_bytes(data.tobytes())


def remove_unfinished(clips: Path) -> None:
    """Temporary folders (.NUMBER.PID) that a killed run left behind; those of a process that still lives are left alone."""
    for stale in clips.glob(".*"):
        if not Path("/proc", stale.suffix[1:]).exists():
            shutil.rmtree(stale, ignore_errors=True)


@contextmanager
def one_thread_each() -> Iterator[None]:
    """Processes started inside use one thread of the linear algebra libraries: the workers share the cores already."""
    names = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")
    before = {name: os.environ.get(name) for name in names}
    os.environ.update(dict.fromkeys(names, "1"))
    try:
        yield
    finally:
        for name, value in before.items():
            os.environ.pop(name)
            if value is not None:
                os.environ[name] = value
