"""A detector that finds nobody, for tests of other things: random pixels hold no person, and loading networks would only cost time."""

from collections.abc import Iterable, Iterator

import numpy as np
import pytest
from numpy.typing import NDArray

from engines.core.keypoints import COUNT
from engines.generate import studio


class Blind:
    name = "blind"

    def track(self, pictures: Iterable[NDArray[np.uint8]], most: int = 4) -> Iterator[NDArray[np.float32]]:
        for _ in pictures:
            yield np.zeros((0, COUNT, 3), np.float32)


@pytest.fixture
def blind(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(studio, "open_detector", lambda models, report: Blind())
