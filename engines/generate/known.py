"""What try-on keeps: latents that are known outside the mask, and where noise goes (METHOD A.2, Eq. 6). numpy only."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

HIDDEN = np.uint8(128)  # grey in the place of what the mask hides, when the known part is encoded: the field's "agnostic" pictures


def without(person: NDArray[np.uint8], mask: NDArray[np.bool_]) -> NDArray[np.uint8]:
    """The person (H, W, 3) with a grey hole where the mask (H, W) is, so that nothing of what it hides leaks through the autoencoder's wide
    sight."""
    return np.where(mask[..., None], HIDDEN, person)


def latent_mask(mask: NDArray[np.bool_], downscale: int) -> NDArray[np.float32]:
    """(H, W) of pixels -> (H / downscale, W / downscale): 1 where any pixel of the cell is to be repainted, else 0."""
    rows, columns = mask.shape[0] // downscale, mask.shape[1] // downscale
    cells = mask.reshape(rows, downscale, columns, downscale)
    return np.asarray(cells.any(axis=(1, 3)), np.float32)


@dataclass(frozen=True)
class Known:
    """`latents` (..., C, h, w) without noise, of a picture with a HIDDEN hole; `mask` (..., h, w) or (..., 1, h, w), 1 in the hole."""

    latents: NDArray[np.float32]
    mask: NDArray[np.float32]

    def mixed(self, latents: NDArray[np.float32]) -> NDArray[np.float32]:
        """Eq. 6 at any step: latents (n, C, h, w) where the mask is 1, the known ones where it is 0.

        The network learnt with a known part that is clean at every timestep, so it is put back as it is, not noised again.
        """
        return np.asarray(np.where(self.mask > 0, latents, self.latents), np.float32)
