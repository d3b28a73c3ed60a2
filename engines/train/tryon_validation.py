"""Validation of try-on: people of the test part, in the garment they wear, sampled as `scd tryon` samples them."""

from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from engines.core.pairs import Pair
from engines.core.sampler import State, begun, ddim_sample
from engines.evaluate.pixel import Compared, psnr_masked
from engines.generate.known import Known, latent_mask
from engines.model.autoencoder import Autoencoder
from engines.model.scd import SCD
from engines.model.stable_vae import StableVae
from engines.pose.draw import DrawStyle
from engines.train.autoencoder import to_frames
from engines.train.batches import pose_tensor
from engines.train.distributed import device_of, half
from engines.train.recipe import TryonRecipe
from engines.train.sheets import contact_sheet, save_sheet
from engines.train.tryon_batches import Encoder, drawn_pose, plain_fitting

Frames = NDArray[np.uint8]
SHOWN = 12  # columns of a sheet


def spread(pairs: list[Pair], count: int) -> list[Pair]:
    """So many of them, evenly spaced; all where there are fewer."""
    return [pairs[i] for i in np.linspace(0, len(pairs) - 1, min(count, len(pairs))).round().astype(int)]


class TryonValidation:
    """`validation_pairs` pairs of the test part."""

    def __init__(self, recipe: TryonRecipe, autoencoder: Autoencoder | StableVae, pairs: list[Pair], sheets: Path) -> None:
        self.recipe, self.autoencoder, self.sheets = recipe, autoencoder, sheets
        self.encoder = Encoder(autoencoder, recipe.optim.precision)
        size = recipe.model.size
        self.fittings = [plain_fitting(pair, recipe) for pair in spread(pairs, recipe.logging.validation_pairs)]
        self.poses = [drawn_pose(fitting, size, DrawStyle()) for fitting in self.fittings]

    @torch.inference_mode()
    def sample(self, model: SCD) -> Frames:
        """The repainted canvases, uint8 (n, H, W, 3)."""
        recipe, fittings, device = self.recipe, self.fittings, device_of(model)
        mask = np.stack([latent_mask(f.mask, recipe.model.downscale) for f in fittings])[:, None]
        known = Known(self.encoder([f.known() for f in fittings]).cpu().numpy(), mask)
        with half(device, recipe.optim.precision):
            features = model.pose_encoder(pose_tensor([np.zeros_like(self.poses[0]), *self.poses]).to(device))
            garments = self.encoder([f.garment for f in fittings])
            kv = model.reference(garments, features[:1].expand(len(fittings), -1, -1, -1))

        def predict(latents: NDArray[np.float32], timestep: int) -> NDArray[np.float32]:
            x = torch.from_numpy(known.mixed(latents)).to(device)
            with half(device, recipe.optim.precision):
                out: Tensor = model.target(x, torch.tensor([float(timestep)], device=device), features[1:], kv, 0)
            array: NDArray[np.float32] = out.float().cpu().numpy()
            return array

        shape = known.latents.shape[1:]
        noise = np.stack([np.random.default_rng([recipe.seed, i]).standard_normal(shape).astype(np.float32) for i in range(len(fittings))])
        start = self.begun(noise, garments.cpu().numpy())
        latents = ddim_sample(predict, noise, recipe.schedule, recipe.sampling.steps, state=start)
        whole = known.mixed(latents)
        parts = [torch.from_numpy(x).to(device) for x in np.array_split(whole, max(1, len(whole) // 4))]
        return to_frames(torch.cat([self.autoencoder.decode(part) for part in parts]))

    def begun(self, noise: NDArray[np.float32], garments: NDArray[np.float32]) -> State | None:
        """What sampling goes on from: the laid garments, noised, or noise alone; None where the recipe always starts from noise."""
        sampling, schedule = self.recipe.sampling, self.recipe.schedule
        if sampling.strength == 1 or not all(f.laid for f in self.fittings):
            return None
        return begun(garments, noise, schedule, sampling.steps, sampling.strength)

    def __call__(self, model: SCD, step: int) -> dict[str, float]:
        result = self.sample(model)
        rows = [np.stack(row[:SHOWN]) for row in self.rows(result)]
        save_sheet(self.sheets / f"{step:06d}.png", contact_sheet(rows))
        inside = [psnr_masked(Compared(out, f.person), f.mask) for out, f in zip(result, self.fittings, strict=True)]
        return {"psnr_masked": float(np.mean([value for value in inside if value is not None]))}

    def rows(self, result: Frames) -> list[list[Frames]]:
        """Garment | pose | hole | result in its hole | truth."""
        pasted = [np.where(f.mask[..., None], out, f.person) for out, f in zip(result, self.fittings, strict=True)]
        return [
            [f.garment for f in self.fittings], self.poses, [f.known() for f in self.fittings], pasted, [f.person for f in self.fittings],
        ]  # fmt: skip
