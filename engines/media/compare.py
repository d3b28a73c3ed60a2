"""How alike two pictures are: PSNR and SSIM in floating point, over the whole picture or inside a mask."""

import cv2
import numpy as np
from numpy.typing import NDArray

Picture = NDArray[np.uint8]
Mask = NDArray[np.bool_]
C1, C2 = (0.01 * 255) ** 2, (0.03 * 255) ** 2


def psnr(a: Picture, b: Picture, mask: Mask | None = None) -> float:
    """Peak signal-to-noise ratio in dB of two uint8 pictures (H, W, 3); `mask` (H, W) keeps part of them. At most 120 dB."""
    error = (a.astype(np.float64) - b.astype(np.float64)) ** 2
    mean = float(np.mean(error if mask is None else error[mask]))
    return 10 * float(np.log10(255.0**2 / max(mean, 255.0**2 * 1e-12)))


def ssim_map(a: Picture, b: Picture) -> NDArray[np.float64]:
    """SSIM at every pixel (H, W), mean of the channels: Gaussian window of 11 pixels, sigma 1.5 (Wang et al. 2004)."""
    x, y = a.astype(np.float64), b.astype(np.float64)

    def blur(z: NDArray[np.float64]) -> NDArray[np.float64]:
        out: NDArray[np.float64] = cv2.GaussianBlur(z, (11, 11), 1.5, borderType=cv2.BORDER_REFLECT_101).astype(np.float64)
        return out

    mx, my = blur(x), blur(y)
    vx, vy, cross = blur(x * x) - mx * mx, blur(y * y) - my * my, blur(x * y) - mx * my
    value = (2 * mx * my + C1) * (2 * cross + C2) / ((mx * mx + my * my + C1) * (vx + vy + C2))
    mean: NDArray[np.float64] = value.mean(axis=2)
    return mean


def ssim(a: Picture, b: Picture, mask: Mask | None = None) -> float:
    """Mean SSIM of two uint8 pictures (H, W, 3), over the whole picture or the pixels of `mask` (H, W)."""
    value = ssim_map(a, b)
    return float(value.mean() if mask is None else value[mask].mean())
