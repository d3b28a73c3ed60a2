"""Where a person is in a picture: mediapipe's selfie-segmentation network as a soft mask."""

from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from engines.pose.litert import Floats, Network
from engines.pose.networks import SELFIE


class Segmenter:
    """The network of a folder (see engines.pose.networks). Not for two threads at once."""

    def __init__(self, folder: Path) -> None:
        self.network = Network(folder / SELFIE)

    def mask(self, picture: NDArray[np.uint8]) -> Floats:
        """uint8 (H, W, 3) RGB -> float32 (H, W), 0 background .. 1 person. The network sees the whole picture as a square of 256 pixels,
        stretched, as it was trained; it knows people within about 2 m of the camera best."""
        side = self.network.side
        small = cv2.resize(picture, (side, side), interpolation=cv2.INTER_AREA)
        (mask,) = self.network((small / 255).astype(np.float32), "activation_10")
        large = cv2.resize(mask[..., 0], (picture.shape[1], picture.shape[0]), interpolation=cv2.INTER_LINEAR)
        return np.asarray(np.clip(large, 0, 1), np.float32)
