"""A checked request: everything opened but the networks."""

from dataclasses import dataclass
from fractions import Fraction

import numpy as np
from numpy.typing import NDArray

from engines.core.bundle import Bundle
from engines.generate.denoise import Settings
from engines.generate.request import AnimateRequest
from engines.media.fit import Box, fit_box
from engines.pose.drivers import Driver

Picture = NDArray[np.uint8]


@dataclass(frozen=True)
class Span:
    """Which frames of the driver are shown, one after the other (rising, some again), at which rate, and where in its sound they begin."""

    indices: list[int]
    fps: Fraction
    start: Fraction

    @property
    def duration(self) -> Fraction:
        return len(self.indices) / self.fps


@dataclass(frozen=True)
class Clip:
    """A checked request: everything opened but the networks."""

    request: AnimateRequest
    bundle: Bundle
    driver: Driver
    ref_pose: Driver | None
    picture: Picture
    canvas: Picture
    box: Box
    span: Span
    settings: Settings

    @property
    def frame_size(self) -> tuple[int, int]:
        """(width, height) of the frames: the reference's place in the model's canvas, or the reference's shape fit into --size."""
        if self.request.size is None:
            return self.box.width, self.box.height
        inner = fit_box((self.picture.shape[1], self.picture.shape[0]), self.request.size)
        return inner.width, inner.height
