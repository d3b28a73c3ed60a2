"""Metrics of one predicted frame against its truth, pixel by pixel: L1, MAE, PSNR, SSIM in the field's three forms, MS-SSIM.

Each takes a `Compared`, which keeps what several of them need, and gives a float; None where the metric is not defined for the size.
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property

import cv2
import numpy as np
from numpy.typing import NDArray

Picture = NDArray[np.uint8]
Mask = NDArray[np.bool_]
Plane = NDArray[np.floating]
C1, C2 = (0.01 * 255) ** 2, (0.03 * 255) ** 2
EQUAL_DB = 100.0  # what DisCo's script gives for equal frames; nothing is better
UNIFORM = 7
GAUSSIAN, SIGMA = 11, 1.5
MS_WEIGHTS = (0.0448, 0.2856, 0.3001, 0.2363, 0.1333)  # Wang, Simoncelli, Bovik 2003
MS_LEAST = (GAUSSIAN - 1) * 2 ** (len(MS_WEIGHTS) - 1) + 1  # pixels of the shorter side
MIDDLE = 128.0  # taken off before variances: float32 keeps more of what is near 0


@dataclass(frozen=True)
class Compared:
    """A predicted frame and its truth, uint8 (H, W, 3) RGB of one size; what is computed of them is kept."""

    pred: Picture
    truth: Picture

    @cached_property
    def difference(self) -> Picture:
        """|pred - truth|, exact."""
        return np.asarray(cv2.absdiff(self.pred, self.truth), np.uint8)

    @cached_property
    def greys(self) -> tuple[Picture, Picture]:
        """(H, W) each, by OpenCV's weights."""
        one, other = (cv2.cvtColor(p, cv2.COLOR_RGB2GRAY).astype(np.uint8, copy=False) for p in (self.pred, self.truth))
        return one, other

    @cached_property
    def half_grey(self) -> Picture:
        """The truth in grey at half its size, for optical flow."""
        truth = self.greys[1]
        size = (max(1, truth.shape[1] // 2), max(1, truth.shape[0] // 2))
        return np.asarray(cv2.resize(truth, size, interpolation=cv2.INTER_AREA), np.uint8)

    @cached_property
    def terms(self) -> tuple[Plane, Plane]:
        """SSIM's two terms (H, W, 3) over Gaussian windows; the border mirrors the picture."""
        return gaussian_terms(centred(self.pred), centred(self.truth))

    @cached_property
    def ssim_map(self) -> Plane:
        """SSIM at every pixel and channel (H, W, 3)."""
        return self.terms[0] * self.terms[1]


def centred(picture: Picture) -> Plane:
    out: Plane = np.subtract(picture, np.float32(MIDDLE), dtype=np.float32)
    return out


def mae(frames: Compared) -> float:
    """Mean absolute error in grey levels, 0..255."""
    return float(frames.difference.mean())


def l1_disco(frames: Compared) -> float:
    """L1 as DisCo's script has it: the mean absolute error in grey levels, divided again by height x width (2.7e-4 at 256x256 is 17.7)."""
    height, width, _ = frames.truth.shape
    return mae(frames) / float(height * width)


def decibels(mean_square: float) -> float:
    return min(EQUAL_DB, 10 * float(np.log10(255.0**2 / mean_square))) if mean_square > 0 else EQUAL_DB


def squares(difference: Picture) -> NDArray[np.uint16]:
    """Exact: 255 x 255 fits into 16 bits."""
    out: NDArray[np.uint16] = np.square(difference, dtype=np.uint16)
    return out


def psnr(frames: Compared) -> float:
    """Peak signal-to-noise ratio in dB over all channels together, in floating point; at most 100."""
    return decibels(float(squares(frames.difference).mean(dtype=np.float64)))


def psnr_legacy_uint8(frames: Compared) -> float:
    """The dB of DisCo's script before its commit 6190108 (2024-04), which subtracted and squared in uint8, modulo 256.

    It says 28 to 33 whatever the truth; tables of 2023-25 with such values on TikTok used it. For lining up with those only.
    """
    wrapped = frames.pred - frames.truth
    return decibels(float((wrapped * wrapped).mean(dtype=np.float64)))


def gauss(plane: Plane) -> Plane:
    out: Plane = cv2.GaussianBlur(plane, (GAUSSIAN, GAUSSIAN), SIGMA, borderType=cv2.BORDER_REFLECT_101)
    return out


def gaussian_terms(x: Plane, y: Plane) -> tuple[Plane, Plane]:
    """SSIM's luminance and contrast-structure terms (Wang et al. 2004) of planes less MIDDLE; population covariance."""
    mx, my = gauss(x), gauss(y)
    energy, cross = mx * mx, mx * my  # in place from here on: fresh memory costs more than the arithmetic
    energy += my * my
    np.subtract(gauss(x * x + y * y), energy, out=energy)
    np.subtract(gauss(x * y), cross, out=cross)
    mx += MIDDLE
    my += MIDDLE
    return luminance(mx, my), quotient(cross, energy, C2)


def quotient(half: Plane, whole: Plane, constant: float) -> Plane:
    """(2 half + c) / (whole + c), written into both."""
    half *= 2
    half += constant
    whole += constant
    half /= whole
    return half


def luminance(mx: Plane, my: Plane) -> Plane:
    whole = mx * mx
    whole += my * my
    return quotient(mx * my, whole, C1)


def inner(plane: Plane, border: int) -> Plane:
    """Without the places whose window reaches over the border; all of a picture that is too small for any other."""
    cut = plane[border:-border, border:-border]
    return cut if cut.size else plane


def window_sums(plane: Plane) -> NDArray[np.float64]:
    """Sums over 7x7 pixels of whole numbers: float32 holds them exactly (49 x 2 x 255^2 < 2^24)."""
    sums = cv2.boxFilter(plane, -1, (UNIFORM, UNIFORM), normalize=False, borderType=cv2.BORDER_REFLECT)
    return np.asarray(sums, np.float64)


def ssim_gray_uniform7(frames: Compared) -> float:
    """DisCo's SSIM: of the grey pictures, 7x7 uniform windows, sample covariance, 3 border pixels left out (scikit-image's defaults)."""
    x, y = (grey.astype(np.float32) for grey in frames.greys)
    n = UNIFORM * UNIFORM
    mx, my = window_sums(x) / n, window_sums(y) / n
    energy = (window_sums(x * x + y * y) - n * (mx * mx + my * my)) / (n - 1)
    cross = (window_sums(x * y) - n * mx * my) / (n - 1)
    return float(inner(luminance(mx, my) * (2 * cross + C2) / (energy + C2), UNIFORM // 2).mean(dtype=np.float64))


def ssim_gray_gaussian(frames: Compared) -> float:
    """HR-VITON's SSIM: of the grey pictures, Gaussian windows of 11 pixels with sigma 1.5, population covariance, border left out."""
    x, y = (centred(grey) for grey in frames.greys)
    light, structure = gaussian_terms(x, y)
    return float(inner(light * structure, GAUSSIAN // 2).mean(dtype=np.float64))


def ssim_rgb_gaussian(frames: Compared) -> float:
    """SSIM as torchmetrics has it: mean over channels and all pixels, Gaussian windows of 11 pixels with sigma 1.5, mirrored border."""
    return float(frames.ssim_map.mean(dtype=np.float64))


def halved(picture: Plane) -> Plane:
    """The mean of every 2x2 pixels; an odd last row or column is left out."""
    height, width = picture.shape[0] // 2 * 2, picture.shape[1] // 2 * 2
    out: Plane = cv2.resize(picture[:height, :width], (width // 2, height // 2), interpolation=cv2.INTER_AREA)
    return out


def ms_ssim(frames: Compared) -> float | None:
    """Multi-scale SSIM (Wang, Simoncelli, Bovik 2003) in torchmetrics' form: five scales, RGB; None below 161 pixels a side."""
    if min(frames.truth.shape[:2]) < MS_LEAST:
        return None
    x, y = centred(frames.pred), centred(frames.truth)
    light, structure = frames.terms
    value = 1.0
    for scale, weight in enumerate(MS_WEIGHTS):
        if scale:
            x, y = halved(x), halved(y)
            light, structure = gaussian_terms(x, y)
        last = scale == len(MS_WEIGHTS) - 1  # torchmetrics keeps the border there, and leaves it out of the other scales
        mean = float((light * structure if last else inner(structure, GAUSSIAN // 2)).mean(dtype=np.float64))
        value *= max(mean, 0.0) ** weight
    return value


def psnr_masked(frames: Compared, mask: Mask) -> float | None:
    """PSNR over the pixels of `mask` (H, W); None where it is empty."""
    return decibels(float(squares(frames.difference[mask]).mean(dtype=np.float64))) if mask.any() else None


def ssim_masked(frames: Compared, mask: Mask) -> float | None:
    """Mean over `mask` (H, W) and the channels of SSIM's map (Gaussian windows, RGB); None where the mask is empty."""
    return float(frames.ssim_map[mask].mean(dtype=np.float64)) if mask.any() else None


FRAME_METRICS: dict[str, Callable[[Compared], float | None]] = {
    "l1_disco": l1_disco,
    "mae": mae,
    "psnr": psnr,
    "psnr_legacy_uint8": psnr_legacy_uint8,
    "ssim_gray_uniform7": ssim_gray_uniform7,
    "ssim_rgb_gaussian": ssim_rgb_gaussian,
    "ssim_gray_gaussian": ssim_gray_gaussian,
    "ms_ssim": ms_ssim,
}
MASKED_METRICS: dict[str, Callable[[Compared, Mask], float | None]] = {"psnr_masked": psnr_masked, "ssim_masked": ssim_masked}
