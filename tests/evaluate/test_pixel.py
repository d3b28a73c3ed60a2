"""Pixel metrics: values worked out by hand, and agreement with scikit-image and torchmetrics on the same pictures."""

import numpy as np
import pytest

from engines.evaluate import pixel
from engines.evaluate.pixel import Compared


def noise(seed: int, size: tuple[int, int] = (192, 256)) -> np.ndarray:
    """Smooth random pictures with some grain: SSIM is far from 0 and 1."""
    rng = np.random.default_rng(seed)
    coarse = rng.integers(0, 256, (size[1] // 16, size[0] // 16, 3)).repeat(16, 0).repeat(16, 1)
    return np.clip(coarse + rng.normal(0, 20, coarse.shape), 0, 255).astype(np.uint8)


def blend(a: np.ndarray, b: np.ndarray, share: float) -> np.ndarray:
    return np.clip(a * (1 - share) + b * share, 0, 255).round().astype(np.uint8)


PAIRS = [(blend(noise(s), noise(s + 100), share), noise(s)) for s, share in ((0, 0.05), (1, 0.4), (2, 1.0))]


@pytest.mark.parametrize(("a", "b"), [(100, 107), (107, 100), (0, 255)])
def test_constant_difference(a: int, b: int) -> None:
    pred, truth = np.full((256, 256, 3), a, np.uint8), np.full((256, 256, 3), b, np.uint8)
    d = abs(a - b)
    assert pixel.mae(Compared(pred, truth)) == d
    assert pixel.l1_disco(Compared(pred, truth)) == d / 65536
    assert pixel.psnr(Compared(pred, truth)) == pytest.approx(20 * np.log10(255 / d), abs=1e-12)


def test_l1_of_the_paper_is_in_grey_levels_at_256() -> None:
    """The research notes' conversion: 2.7e-4 is 17.7 grey levels, 0.069 of 1."""
    assert pytest.approx(17.7, abs=0.01) == 2.7e-4 * 65536
    assert pytest.approx(17.7 / 255, abs=1e-4) == 2.7e-4 * 257.0


def test_uint8_wraps() -> None:
    """8 - 10 is 254 in uint8; both squares are 4. 20 x 20 = 400 is 144; 16 x 16 = 256 is 0, so DisCo's script called that equal."""
    shape = (64, 64, 3)
    eight, ten = np.full(shape, 8, np.uint8), np.full(shape, 10, np.uint8)
    four = 10 * np.log10(255**2 / 4)
    assert pixel.psnr_legacy_uint8(Compared(eight, ten)) == pytest.approx(four)
    assert pixel.psnr_legacy_uint8(Compared(ten, eight)) == pytest.approx(four)
    assert pixel.psnr_legacy_uint8(Compared(np.full(shape, 28, np.uint8), eight)) == pytest.approx(10 * np.log10(255**2 / 144))
    assert pixel.psnr_legacy_uint8(Compared(np.full(shape, 24, np.uint8), eight)) == 100
    assert pixel.psnr(Compared(np.full(shape, 24, np.uint8), eight)) == pytest.approx(10 * np.log10(255**2 / 256))


def test_legacy_psnr_hardly_depends_on_the_truth() -> None:
    """What the field's tables of 29-31 dB rest on: equal and unrelated pictures come out within a few dB."""
    close, far = (pixel.psnr_legacy_uint8(Compared(*PAIRS[i])) for i in (1, 2))
    assert 27 < close < 34
    assert 27 < far < 34
    assert pixel.psnr(Compared(*PAIRS[1])) - pixel.psnr(Compared(*PAIRS[2])) > 5


@pytest.mark.parametrize("name", sorted(pixel.FRAME_METRICS))
def test_equal_frames(name: str) -> None:
    value = pixel.FRAME_METRICS[name](Compared(PAIRS[0][1], PAIRS[0][1].copy()))
    wanted = 0 if name in ("mae", "l1_disco") else 100 if name.startswith("psnr") else 1
    assert value == pytest.approx(wanted, abs=1e-12)


@pytest.mark.parametrize("pair", PAIRS)
def test_ssim_is_scikit_images(pair: tuple[np.ndarray, np.ndarray]) -> None:
    metrics = pytest.importorskip("skimage.metrics")
    pred, truth = pair
    grey = Compared(*pair).greys
    assert pixel.ssim_gray_uniform7(Compared(pred, truth)) == pytest.approx(metrics.structural_similarity(*grey), abs=1e-6)
    gaussian = metrics.structural_similarity(*grey, gaussian_weights=True, sigma=1.5, use_sample_covariance=False, data_range=255)
    assert pixel.ssim_gray_gaussian(Compared(pred, truth)) == pytest.approx(gaussian, abs=1e-6)
    assert pixel.psnr(Compared(pred, truth)) == pytest.approx(metrics.peak_signal_noise_ratio(truth, pred), abs=1e-9)


@pytest.mark.parametrize("pair", PAIRS)
def test_agrees_with_torchmetrics(pair: tuple[np.ndarray, np.ndarray]) -> None:
    functional = pytest.importorskip("torchmetrics.functional.image")
    import torch

    a, b = (torch.from_numpy(p).permute(2, 0, 1)[None].double() for p in pair)
    assert pixel.psnr(Compared(*pair)) == pytest.approx(float(functional.peak_signal_noise_ratio(a, b, data_range=255.0)), abs=1e-4)
    whole = functional.structural_similarity_index_measure(a, b, data_range=255.0)
    assert pixel.ssim_rgb_gaussian(Compared(*pair)) == pytest.approx(float(whole), abs=1e-4)
    scales = functional.multiscale_structural_similarity_index_measure(a, b, data_range=255.0)
    assert pixel.ms_ssim(Compared(*pair)) == pytest.approx(float(scales), abs=1e-4)


def test_ms_ssim_needs_161_pixels() -> None:
    wide = np.zeros((160, 400, 3), np.uint8)
    assert pixel.ms_ssim(Compared(wide, wide)) is None
    assert pixel.ms_ssim(Compared(np.zeros((161, 400, 3), np.uint8), np.zeros((161, 400, 3), np.uint8))) == 1


def test_ssim_of_constants() -> None:
    a, b = (np.full((32, 32, 3), v, np.uint8) for v in (100, 110))
    assert pixel.ssim_rgb_gaussian(Compared(a, b)) == pytest.approx((2 * 100 * 110 + 6.5025) / (100**2 + 110**2 + 6.5025), rel=1e-6)


def test_masked_counts_only_the_mask() -> None:
    truth = np.full((64, 64, 3), 50, np.uint8)
    pred = truth.copy()
    pred[:32] += 10
    mask = np.zeros((64, 64), bool)
    mask[:32] = True
    assert pixel.psnr_masked(Compared(pred, truth), mask) == pytest.approx(20 * np.log10(25.5))
    assert pixel.psnr_masked(Compared(pred, truth), ~mask) == 100
    assert pixel.psnr_masked(Compared(pred, truth), np.zeros_like(mask)) is None
    assert pixel.ssim_masked(Compared(pred, truth), ~mask) > pixel.ssim_masked(Compared(pred, truth), mask)
    assert pixel.ssim_masked(Compared(pred, truth), np.zeros_like(mask)) is None
