"""The known part of try-on's latents."""

import numpy as np

from engines.core.schedule import NoiseSchedule
from engines.generate.known import Known, latent_mask


def test_a_cell_is_repainted_when_any_of_its_pixels_is() -> None:
    mask = np.zeros((16, 24), bool)
    mask[7, 8] = True
    mask[15, 23] = True
    assert latent_mask(mask, 8).tolist() == [[0, 1, 0], [0, 0, 1]]


def test_mixing_keeps_the_known_part_bit_for_bit_and_leaves_the_rest() -> None:
    rng = np.random.default_rng(0)
    known = Known(rng.standard_normal((4, 2, 3)).astype(np.float32), np.array([[0, 1, 0], [0, 0, 1]], np.float32))
    latents = rng.standard_normal((5, 4, 2, 3)).astype(np.float32)
    out = known.mixed(latents)
    inside = known.mask > 0
    assert np.array_equal(out[..., inside], latents[..., inside])
    assert all(np.array_equal(frame[..., ~inside], known.latents[..., ~inside]) for frame in out)
    assert out.dtype == np.float32


def test_it_is_equation_6_without_its_misprint() -> None:
    schedule = NoiseSchedule(train_timesteps=10, beta_start=0.1, beta_end=0.5, zero_terminal_snr=True, prediction_type="v_prediction")
    rng = np.random.default_rng(1)
    clean, noise = (rng.standard_normal((1, 4, 2, 3)).astype(np.float32) for _ in range(2))
    mask = np.array([[0, 1, 0], [0, 0, 1]], np.float32)
    alpha = schedule.alphas_cumprod()[7]
    noisy = (np.sqrt(alpha) * clean + np.sqrt(1 - alpha) * noise).astype(np.float32)
    assert np.allclose(Known(clean[0], mask).mixed(noisy), noisy * mask + clean * (1 - mask))
