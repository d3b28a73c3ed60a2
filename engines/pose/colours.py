"""Colours in places of a picture: histograms of Lab, how alike they are, and which neighbours have one colour."""

import cv2
import numpy as np
from numpy.typing import NDArray

from engines.pose.garment import Mask, Picture

Floats = NDArray[np.float32]
Sigmas = tuple[float, float, float]  # bins of lightness, of green to red, and of blue to yellow
BINS = 16  # of each channel of Lab
FOLDS: Sigmas = (1.2, 0.8, 0.8)  # folds change lightness more than colour
LAMPS: Sigmas = (1.6, 0.8, 0.8)  # one lamp lights face and legs differently
PULL, LIKE = 1.5, 12.0  # of a neighbour in log-probability; Lab levels within which it counts as of one colour


class Colours:
    """How likely each colour of a picture is for a kind."""

    def __init__(self, picture: Picture) -> None:
        bins = (cv2.cvtColor(picture, cv2.COLOR_RGB2LAB) // (256 // BINS)).astype(np.int64)
        self.bins = (bins[..., 0] * BINS + bins[..., 1]) * BINS + bins[..., 2]

    def shares(self, weights: NDArray[np.generic]) -> Floats:
        """(B, B, B) of the colours in (H, W) weights; they sum to 1."""
        counts = np.bincount(self.bins.ravel(), weights=weights.astype(np.float32).ravel(), minlength=BINS**3)
        out: Floats = (counts / max(counts.sum(), 1e-6)).astype(np.float32).reshape((BINS,) * 3)
        return out

    def likeness(self, one: Mask, other: Mask) -> float:
        """Of the colours in two places: 0 nothing in common .. 1 the same (Bhattacharyya's coefficient)."""
        a, b = (smoothed(self.shares(place), (1.6, 1.0, 1.0)) for place in (one, other))
        return float(np.sqrt(a * b).sum())

    def log_likelihood(self, shares: Floats, sigmas: Sigmas) -> Floats:
        """(H, W) of each pixel's colour under a histogram (B, B, B), spread by `sigmas`."""
        smooth = smoothed(shares, sigmas) + 3e-6
        out: Floats = np.log(smooth / smooth.sum()).astype(np.float32).ravel()[self.bins]
        return out


def smoothed(shares: Floats, sigmas: Sigmas) -> Floats:
    """A histogram (B, B, B) with each bin spread over its neighbours."""
    out = shares
    for axis, sigma in enumerate(sigmas):
        lines = np.moveaxis(out, axis, 0).reshape(BINS, -1)
        blurred = cv2.GaussianBlur(lines, (1, 9), 0, sigmaY=sigma, borderType=cv2.BORDER_CONSTANT).reshape((BINS,) * 3)
        out = np.ascontiguousarray(np.moveaxis(blurred, 0, axis))
    return out


def softmax(logs: Floats) -> Floats:
    """Over the first axis."""
    out: Floats = np.exp(logs - logs.max(0))
    out /= out.sum(0)
    return out


class Neighbours:
    """The pull of a pixel's four neighbours: as much as their colours are alike."""

    def __init__(self, picture: Picture) -> None:
        lab = cv2.cvtColor(picture, cv2.COLOR_RGB2LAB).astype(np.float32)
        self.down = self.alike(lab[1:] - lab[:-1])
        self.right = self.alike(lab[:, 1:] - lab[:, :-1])

    @staticmethod
    def alike(differences: Floats) -> Floats:
        out: Floats = (PULL * np.exp(-(differences**2).sum(-1) / (2 * LIKE**2))).astype(np.float32)
        return out

    def pull(self, shares: Floats) -> Floats:
        """(kinds, H, W) -> likewise: what is added to the logs of each kind."""
        out = np.zeros_like(shares)
        out[:, 1:] += self.down * shares[:, :-1]
        out[:, :-1] += self.down * shares[:, 1:]
        out[:, :, 1:] += self.right * shares[:, :, :-1]
        out[:, :, :-1] += self.right * shares[:, :, 1:]
        return out
