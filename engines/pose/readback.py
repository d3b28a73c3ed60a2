"""Reads the body joints of a drawn skeleton back from its pixels, and moves skeleton pictures as a whole onto a reference's body.

OpenPose and its kin draw each of 18 joints as a dot of its own hue at full brightness, and each limb as a slim ellipse of its own hue at
0.6. Dots are candidates; which of them belong together is what the limbs between them say. The limbs form a tree, so the best choice is
found exactly, as a sum over joints and limbs (OpenPose's own way of assembling people, with colours in place of affinity fields).
"""

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from engines.core.keypoints import OPENPOSE_FROM_COCO
from engines.pose.draw import LIMB_SHADE

Picture = NDArray[np.uint8]
Points = NDArray[np.float32]
Map = NDArray[np.float32]
JOINTS = len(OPENPOSE_FROM_COCO)
NECK, NOSE = 1, 0
WRISTS = (4, 7)  # the hands' own dots, pure blue, are drawn over them
BLUE = 12  # the joint whose hue hands' dots have
HUE_STEP = 360 / JOINTS
RADIUS = 3.0  # of dots and limbs, in pixels of the picture as it is worked on
LIT = 48  # the brightest channel of what is not black
MOST_LIT = 0.4  # share of a drawing's pixels that are lit
SURE_DOT = 0.3  # share of a dot's disc that has its hue and brightness
MOST_DOTS = 24  # candidates of one joint, the best ones
SURE_LIMB = 0.5  # share of the way between two joints that has the limb's hue and brightness
DOT_WORTH = 8 * RADIUS  # a dot beside limbs, in pixels of their length
COVERED = 0.2  # worth of a hand's dot as a wrist
FEWEST = 4  # joints of a skeleton
STEPS = 32  # looks along a limb


@dataclass(frozen=True)
class Candidates:
    """Places (n, 2) where a joint may be, in pixels as worked on, and how much each is worth (n,), from 0 to 1."""

    places: NDArray[np.float64]
    worth: NDArray[np.float64]


@dataclass(frozen=True)
class Colours:
    """Of every pixel (H, W) float32: hue in degrees, brightness and saturation from 0 to 1."""

    hue: Map
    bright: Map
    pure: Map

    def near(self, number: int) -> Map:
        """1 where the hue is that of a joint or limb, falling to 0 towards its neighbours'."""
        apart = np.abs((self.hue - number * HUE_STEP + 180) % 360 - 180)
        return np.clip((14 - apart) / 6, 0, 1).astype(np.float32)


def ramp(values: Map, low: float, high: float) -> Map:
    return np.clip((values - low) / (high - low), 0, 1).astype(np.float32)


def colours_of(picture: Picture) -> Colours:
    hsv = cv2.cvtColor(picture.astype(np.float32) / 255, cv2.COLOR_RGB2HSV)
    return Colours(hsv[..., 0], hsv[..., 2], hsv[..., 1])


def limb_map(colours: Colours, number: int) -> Map:
    """How much every pixel looks like a limb."""
    shade = ramp(colours.bright, 0.2, 0.35) * ramp(colours.bright, 0.9, 0.75)
    return colours.near(number) * shade * ramp(colours.pure, 0.3, 0.5)


def dot_map(colours: Colours, number: int) -> Map:
    return colours.near(number) * ramp(colours.bright, LIMB_SHADE + 0.05, 0.85) * ramp(colours.pure, 0.4, 0.6)
