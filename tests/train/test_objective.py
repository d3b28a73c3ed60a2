"""Weights of timesteps and offset noise, against numbers worked out by hand."""

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from engines.core.schedule import NoiseSchedule  # noqa: E402
from engines.train.objective import channel_offset, min_snr_weights  # noqa: E402

ALPHA = torch.tensor([0.9, 0.5, 0.2, 0.0])  # SNR 9, 1, 1/4, 0


def test_min_snr_weights_are_the_papers() -> None:
    assert torch.allclose(min_snr_weights(ALPHA, 5.0, "epsilon"), torch.tensor([5 / 9, 1.0, 1.0, 1.0]))
    assert torch.allclose(min_snr_weights(ALPHA, 5.0, "v_prediction"), torch.tensor([5 / 10, 1 / 2, 0.25 / 1.25, 1.0]))
    assert torch.equal(min_snr_weights(ALPHA, 0.0, "v_prediction"), torch.ones(4))


def test_min_snr_weighs_the_clean_picture_alike_whatever_is_predicted() -> None:
    """Either weight, times what the error of that prediction is worth in clean latents, is min(SNR, gamma)."""
    alpha = ALPHA[:3]
    snr = alpha / (1 - alpha)
    from_epsilon = min_snr_weights(alpha, 5.0, "epsilon") * snr  # eps error = SNR x clean error
    from_v = min_snr_weights(alpha, 5.0, "v_prediction") * (snr + 1)
    assert torch.allclose(from_epsilon, snr.clamp(max=5))
    assert torch.allclose(from_v, snr.clamp(max=5))


def test_min_snr_weights_of_a_whole_schedule_are_finite_and_learn_the_last_step() -> None:
    schedule = NoiseSchedule(
        train_timesteps=1000, beta_start=0.00085, beta_end=0.012, zero_terminal_snr=True, prediction_type="v_prediction"
    )
    weights = min_snr_weights(torch.from_numpy(schedule.alphas_cumprod()), 5.0, "v_prediction")
    assert torch.isfinite(weights).all()
    assert weights.min() > 0
    assert weights[-1] == 1


def test_offset_noise_moves_whole_channels() -> None:
    offset = channel_offset(np.random.default_rng(0), 4000, (2, 3, 5), 0.05)
    assert offset.shape == (4000, 2, 1, 1)
    assert abs(offset.std() - 0.05) < 0.002
    assert abs(np.corrcoef(offset[:, 0, 0, 0], offset[:, 1, 0, 0])[0, 1]) < 0.05


def test_no_offset_draws_nothing() -> None:
    rng = np.random.default_rng(0)
    assert not channel_offset(rng, 3, (2, 3, 5), 0.0).any()
    assert rng.random() == np.random.default_rng(0).random()
