"""The autoencoder cut down to its strong latent channels."""

import pytest

torch = pytest.importorskip("torch")

from engines.core.errors import ScdError  # noqa: E402
from engines.model.autoencoder import strongest_channels  # noqa: E402
from tests.model.tiny import tiny_autoencoder  # noqa: E402


def test_only_channels_of_little_deviation_are_cut() -> None:
    whole, image = tiny_autoencoder(), torch.rand(2, 3, 16, 24) * 2 - 1
    whole.latent_std = torch.tensor([0.9, 1e-6, 1.2, 1e-6])
    whole.latent_mean = torch.tensor([0.1, 0.0, -0.2, 0.0])
    small = strongest_channels(whole, 2)
    latents = whole.encode(image)
    assert torch.allclose(small.encode(image), latents[:, [0, 2]], atol=1e-5)
    latents[:, [1, 3]] = 0
    assert torch.allclose(small.decode(latents[:, [0, 2]]), whole.decode(latents), atol=1e-5)
    assert small.spec.latent_channels == 2


def test_more_channels_than_there_are() -> None:
    with pytest.raises(ScdError, match="has 4 latent channels"):
        strongest_channels(tiny_autoencoder(), 5)
