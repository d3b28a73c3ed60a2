"""The batches of try-on: people with a hole where their garment was, the garment alone, noise and timesteps, from (seed, step) alone.

Pictures are read as they are needed: each step cuts another window out of them and takes another mask.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import NamedTuple

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from engines.core.errors import ScdError
from engines.core.garments import CATEGORIES
from engines.core.pairs import Pair
from engines.generate.known import latent_mask, without
from engines.media.crop import MARGIN, Window, window_around
from engines.media.fit import fit_and_pad
from engines.media.images import read_image
from engines.model.autoencoder import Autoencoder
from engines.model.stable_vae import StableVae
from engines.pose.draw import DrawStyle, draw_pose
from engines.pose.files import load_track
from engines.pose.garment import boxed, grown
from engines.pose.laid import shown
from engines.train.autoencoder import to_tensor
from engines.train.batches import pose_tensor, random_style, shifted_timesteps
from engines.train.distributed import device_of, half
from engines.train.objective import channel_offset
from engines.train.order import Shares, chosen, parts_between
from engines.train.recipe import Masks, TryonRecipe
from engines.train.variation import Variation, draw_variation, recoloured, vary_points

Picture = NDArray[np.uint8]
Mask = NDArray[np.bool_]
Points = NDArray[np.float32]
EARLIEST = 0.4  # of the timestep where sampling starts from a laid garment: its later steps find their own guess instead


class Fitting(NamedTuple):
    """A pair at the model's size: person and garment uint8 (H, W, 3), mask (H, W), and the points (P, 133, 3) of the person, which count in
    pixels of a picture of `size`; None where they are not known. Where it is `laid`, the garment lies upon the person."""

    person: Picture
    garment: Picture
    mask: Mask
    points: Points | None
    size: tuple[int, int]
    laid: bool

    def known(self) -> Picture:
        """The person without what the mask hides."""
        return without(self.person, self.mask)


@dataclass(frozen=True)
class TryonBatch:
    """R pairs: ref_latents of the garments (R, C, h, w), zero where `null` was drawn; latents of the people; known, latents of the people
    without what the mask hides; mask (R, 1, h, w), 1 where noise goes; pose (R, 3, H, W); noise like latents; timesteps (R,); noised,
    what the noise is added to: the people's latents, or the laid garments'."""

    ref_latents: Tensor
    latents: Tensor
    known: Tensor
    mask: Tensor
    pose: Tensor
    noise: Tensor
    timesteps: Tensor
    noised: Tensor

    def to(self, device: torch.device) -> "TryonBatch":
        return TryonBatch(**{name: value.to(device) for name, value in vars(self).items()})


@dataclass(frozen=True)
class TryonRow:
    """A pair before encoding; `null`: its garment becomes the null reference; `begun`: the noise is added to the laid garment."""

    fitting: Fitting
    pose: Picture
    null: bool
    begun: bool
    noise: NDArray[np.float32]
    timesteps: NDArray[np.int64]


def read_mask(pair: Pair, shape: tuple[int, int]) -> Mask:
    """The data set's mask, white where to repaint. ScdError where there is none, none of it is white, or it has another size."""
    if pair.mask is None:
        raise ScdError(f"the pair {pair.name} has no mask in agnostic-mask", "make it with scd tryon PERSON --mask-only -o MASK")
    mask = read_image(pair.mask, "the mask")[..., 0] >= 128
    if mask.shape != shape or not mask.any():
        what = "is empty" if mask.shape == shape else f"is {mask.shape[1]}x{mask.shape[0]}, not {shape[1]}x{shape[0]} as its person"
        raise ScdError(f"the mask {pair.mask} {what}", "make it again with scd tryon PERSON --mask-only -o MASK")
    return mask


def read_points(pair: Pair) -> Points | None:
    """(P, 133, 3) in pixels of the person's picture."""
    return None if pair.keypoints is None else load_track(pair.keypoints).points[0]


def cut_out(pair: Pair, mask: Mask, person: Picture, window: Window, recipe: TryonRecipe) -> Fitting:
    """What the window shows, fit into the model's size; the points count in pixels of the window."""
    size = recipe.model.size
    canvas, box = fit_and_pad(np.ascontiguousarray(person[window.place]), size, "edge")
    inner = cv2.resize(mask[window.place].astype(np.float32), (box.width, box.height), interpolation=cv2.INTER_AREA) > 0
    hole = np.zeros(canvas.shape[:2], bool)
    hole[box.top : box.top + box.height, box.left : box.left + box.width] = inner
    points = read_points(pair)
    if points is not None:
        points = window.moved(points)
    garment, first = read_image(pair.garment, "the garment"), None if points is None else points[0]
    category = pair.category or CATEGORIES[0]
    seen, lies = shown(garment, recipe.batching.laid, first, window.size, without(canvas, hole), hole, category)
    return Fitting(canvas, seen, hole, points, window.size, lies)


def varied_mask(rng: np.random.Generator, mask: Mask, masks: Masks) -> Mask:
    """The mask, grown, or the rectangle around it."""
    if rng.random() < masks.box:
        return boxed(mask)
    return grown(mask, round(rng.uniform(0, masks.grow) * mask.shape[0]))


def alone(person: Picture, mask: Mask) -> Picture:
    """What the mask covers of the person, on white."""
    return np.where(mask[..., None], person, np.uint8(255))


def worn_garment(rng: np.random.Generator, person: Picture, mask: Mask, recipe: TryonRecipe) -> Picture:
    """What the mask covers of the person at another place and scale: a garment that is photographed on somebody."""
    size, margin = recipe.model.size, float(rng.uniform(*recipe.masks.margin))
    window = window_around(mask, size, margin, (float(rng.uniform(-1, 1)), float(rng.uniform(-1, 1))))
    return fit_and_pad(np.ascontiguousarray(alone(person, mask)[window.place]), size, "edge")[0]


def mirrored(fitting: Fitting, variation: Variation) -> Fitting:
    """Person, garment and mask in other colours, and mirrored where the variation says so."""
    pictures = [recoloured(picture, variation.colour) for picture in (fitting.person, fitting.garment)]
    if not variation.mirror:
        return fitting._replace(person=pictures[0], garment=pictures[1])
    person, garment = (np.ascontiguousarray(picture[:, ::-1]) for picture in pictures)
    points = None if fitting.points is None else vary_points(fitting.points, fitting.size, variation)
    return Fitting(person, garment, np.ascontiguousarray(fitting.mask[:, ::-1]), points, fitting.size, fitting.laid)


def plain_fitting(pair: Pair, recipe: TryonRecipe) -> Fitting:
    """A pair as `scd tryon` would see it."""
    person = read_image(pair.person, "the person")
    mask = read_mask(pair, person.shape[:2])
    return cut_out(pair, mask, person, window_around(mask, recipe.model.size, MARGIN), recipe)


def drawn_pose(fitting: Fitting, size: tuple[int, int], style: DrawStyle) -> Picture:
    if fitting.points is None:
        return np.zeros((size[1], size[0], 3), np.uint8)
    return draw_pose(fitting.points, fitting.size, size, style)


class Encoder:
    """Pictures through a frozen autoencoder, without gradients, in a recipe's `precision`. The latents lie where the autoencoder does."""

    def __init__(self, autoencoder: Autoencoder | StableVae, precision: str) -> None:
        self.autoencoder, self.precision = autoencoder, precision

    def __call__(self, pictures: Sequence[Picture]) -> Tensor:
        device = device_of(self.autoencoder)
        with torch.no_grad(), half(device, self.precision):
            return self.autoencoder.encode(to_tensor(np.stack(pictures)).to(device)).float()


class TryonBatches:
    """Makes rows of a step's batch, each from (seed, step, row) alone; each pass over the pairs is a fresh permutation."""

    def __init__(self, recipe: TryonRecipe, pairs: list[Pair], encoder: Encoder) -> None:
        self.recipe, self.pairs, self.encoder = recipe, pairs, encoder

    def fitting(self, rng: np.random.Generator, pair: Pair) -> Fitting:
        """One pair as this step sees it."""
        recipe, size = self.recipe, self.recipe.model.size
        person = read_image(pair.person, "the person")
        mask = varied_mask(rng, read_mask(pair, person.shape[:2]), recipe.masks)
        shift = (float(rng.uniform(-1, 1)), float(rng.uniform(-1, 1)))
        window = window_around(mask, size, float(rng.uniform(*recipe.masks.margin)), shift)
        fitting = cut_out(pair, mask, person, window, recipe)
        if rng.random() < recipe.batching.worn:
            laid = recipe.batching.laid  # upon the person it is worn at its own place
            garment = fitting.person if laid else worn_garment(rng, person, mask, recipe)
            fitting = fitting._replace(garment=garment, laid=laid)
        if rng.random() >= recipe.augmentation.share:
            return fitting
        return mirrored(fitting, replace(draw_variation(rng, recipe.augmentation), zoom=1.0))

    def row(self, step: int, row: int, pair: Pair) -> TryonRow:
        """A row of a step, of this pair."""
        recipe, batching = self.recipe, self.recipe.batching
        rng = np.random.default_rng([recipe.seed, 1, step, row])
        seen = replace(pair, keypoints=None) if rng.random() < batching.drop_pose else pair
        fitting, style = self.fitting(rng, seen), random_style(rng, recipe.pose_style)
        null = bool(rng.random() < batching.drop_reference)
        columns, rows = recipe.model.latent_size
        noise = rng.standard_normal((1, recipe.model.unet.latent_channels, rows, columns), dtype=np.float32)
        noise += channel_offset(rng, 1, noise.shape[1:], recipe.loss.noise_offset)
        total = recipe.schedule.train_timesteps
        times = shifted_timesteps(rng, 1, batching.timestep_shift, total)
        begun = fitting.laid and not null and bool(rng.random() < batching.from_laid)
        if begun:
            times = (rng.uniform(EARLIEST, 1, 1) * recipe.sampling.strength * (total - 1)).astype(np.int64)
        return TryonRow(fitting, drawn_pose(fitting, recipe.model.size, style), null, begun, noise, times)

    def draft(self, step: int, rows: range) -> list[TryonRow]:
        """Everything of these rows but the passes of the encoder."""
        numbers = chosen(self.recipe.seed, step, rows, self.recipe.batching.pairs, len(self.pairs))
        return [self.row(step, row, self.pairs[number]) for row, number in zip(rows, numbers, strict=True)]

    def finish(self, draft: list[TryonRow]) -> TryonBatch:
        fittings = [row.fitting for row in draft]
        encoded = self.encoder([*(f.garment for f in fittings), *(f.person for f in fittings), *(f.known() for f in fittings)])
        garments, people, known = encoded.chunk(3)
        mask = np.stack([latent_mask(f.mask, self.recipe.model.downscale) for f in fittings])
        read, begun = torch.tensor([[not row.null, row.begun] for row in draft])[..., None, None, None].unbind(1)
        return TryonBatch(
            garments * read.to(encoded), people, known, torch.from_numpy(mask)[:, None], pose_tensor([row.pose for row in draft]),
            torch.from_numpy(np.concatenate([row.noise for row in draft])), torch.from_numpy(np.concatenate([r.timesteps for r in draft])),
            torch.where(begun.to(encoded.device), garments, people),
        ).to(encoded.device)  # fmt: skip

    def make(self, step: int) -> TryonBatch:
        """The whole batch of a step."""
        return self.finish(self.draft(step, range(self.recipe.batching.pairs)))

    def between(self, start: int, stop: int, shares: Shares) -> Iterator[TryonBatch]:
        """The parts of these steps that fall to a process; the next draft is made in a thread."""
        return map(self.finish, parts_between(self.draft, shares, self.recipe.batching.pairs, start, stop))
