"""Contact sheets of training: rows of pictures one above the other."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from engines.media.images import write_png


def contact_sheet(rows: Sequence[NDArray[np.uint8]]) -> NDArray[np.uint8]:
    """Rows of equally many pictures, each row uint8 (n, H, W, 3) -> one picture (rows x H, n x W, 3)."""
    return np.concatenate([np.concatenate(list(row), axis=1) for row in rows], axis=0)


def save_sheet(path: Path, sheet: NDArray[np.uint8]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    write_png(path, sheet, overwrite=True)
