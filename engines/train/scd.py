"""Stages 2 and 3: SCD-I (one frame a target) and SCD-V (consecutive frames, motion modules), METHOD Eq. 1."""

from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from engines.core.errors import ScdError
from engines.core.report import Report
from engines.model import checkpoint as checkpoints
from engines.model.baselines import build_model, from_base, read_reference
from engines.model.checkpoint import prefixed
from engines.model.layers import KeyValue
from engines.model.picture_weights import load_picture_encoder
from engines.model.scd import SCD, repeat_kv
from engines.train.batches import Batch, Batches, needed_frames
from engines.train.buckets import sizes_of
from engines.train.distributed import heard, processes
from engines.train.frames import TrainingClip, data_fingerprint, load_clips, with_frames
from engines.train.latents import all_latents, channel_weights, first_latents, no_latents
from engines.train.loop import Progress, Stage, run_loop
from engines.train.objective import min_snr_weights
from engines.train.recipe import ScdRecipe
from engines.train.rollout import own_latents
from engines.train.start import AnyAutoencoder, freeze, load_start, starting_autoencoder, starting_weights
from engines.train.validation import Validation

Decode = Callable[[Tensor], Tensor]


def pairs_for_targets(model: SCD, recipe: ScdRecipe, batch: Batch, features: Tensor, decode: Decode) -> list[KeyValue] | None:
    """What the batch's targets see of their references, whose pose features (R, D, h, w) come first; None where the recipe has none."""
    if recipe.batching.drop_reference == 1:
        return None
    references = len(batch.ref_latents)
    return repeat_kv(read_reference(model, batch.ref_latents, features, decode), len(batch.latents) // references)


def diffusion_loss(model: SCD, recipe: ScdRecipe, batch: Batch, weights: Tensor, decode: Decode) -> Tensor:
    """Squared error of the prediction, its mean over the targets under channel weights (C,) and the weight of each timestep.

    One reference pass serves all targets of a clip. On the noised truth it is the error of v or epsilon; on the model's own latents
    that of the clean latents, which counts less the less noise is left: there the detail is the model's own and no longer the truth's.
    `decode` (latents to pictures) shows the reference to models that look at its picture.
    """
    references = len(batch.ref_latents)
    features = model.pose_encoder(torch.cat([batch.ref_pose, batch.pose]))
    kv = pairs_for_targets(model, recipe, batch, features[:references], decode)
    clips = references if recipe.model.motion else 0

    def predict(latents: Tensor, timesteps: Tensor) -> Tensor:
        return model.target(latents, timesteps, features[references:], kv, clips).float()

    alphas = torch.from_numpy(recipe.schedule.alphas_cumprod()).float().to(batch.latents.device)
    alpha = alphas[batch.timesteps][:, None, None, None]
    signal, noise = alpha.sqrt(), (1 - alpha).sqrt()
    if batch.own_steps:
        latents = own_latents(predict, batch.noise, batch.timesteps, batch.own_steps, alphas)
        error = batch.latents - (signal * latents - noise * predict(latents, batch.timesteps))
    else:
        latents = signal * batch.latents + noise * batch.noise
        velocity = signal * batch.noise - noise * batch.latents
        error = predict(latents, batch.timesteps) - (velocity if recipe.schedule.prediction_type == "v_prediction" else batch.noise)
    counts = min_snr_weights(alpha, recipe.loss.min_snr_gamma, recipe.schedule.prediction_type)
    return (error.square() * weights[:, None, None] * counts).mean()


class ScdLoss(nn.Module):
    """`diffusion_loss` as a module of its own, for what is wrapped around a model to train it in several processes."""

    channel_weights: Tensor

    def __init__(self, model: SCD, recipe: ScdRecipe, weights: Tensor, decode: Decode) -> None:
        super().__init__()
        self.model, self.recipe, self.decode = model, recipe, decode
        self.register_buffer("channel_weights", weights, persistent=False)

    def forward(self, step: int, batch: Batch) -> Tensor:
        return diffusion_loss(self.model, self.recipe, batch, self.channel_weights, self.decode)


def fresh_model(recipe: ScdRecipe) -> SCD:
    """A new model of any kind, with the weights of `initial` where the recipe names one and fresh ones for what its kind adds to them; with
    `train_only_motion` all but the motion modules is frozen."""
    torch.manual_seed(recipe.seed)
    model = build_model(recipe.model)
    if not recipe.train_only_motion:  # torch 2.13's CPU convolution crashes in the backward pass when it is channels-last and frozen
        model = model.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    load_start(model, from_base(model, starting_weights(recipe)), recipe.initial)
    load_picture_encoder(model)
    freeze(model, recipe)
    return model


def check_own_steps(recipe: ScdRecipe) -> None:
    """The model's own latents start from pure noise: from where the schedule must start too, and where epsilon says nothing."""
    schedule = recipe.schedule
    if recipe.batching.own_steps and not (schedule.zero_terminal_snr and schedule.prediction_type == "v_prediction"):
        raise ScdError(f"{recipe.name}: batching.own_steps needs schedule.zero_terminal_snr and v_prediction", "--set batching.own_steps=0")
    if recipe.batching.own_steps and recipe.loss.min_snr_gamma:
        raise ScdError(f"{recipe.name}: min_snr_gamma weighs the noised truth, not batching.own_steps", "--set loss.min_snr_gamma=0.0")


def latents_for(
    recipe: ScdRecipe, data: Path, clips: list[TrainingClip], autoencoder: AnyAutoencoder, report: Report
) -> list[NDArray[np.float16]]:
    """The latents that batches look into; not encoded where every reference is seen anew with its targets."""
    if recipe.augmentation.share >= 1:
        return no_latents(clips, recipe.model.unet.latent_channels, recipe.model.downscale)
    return all_latents(data, clips, autoencoder, recipe.optim.precision, report)


def train_scd(recipe: ScdRecipe, data: Path, run: Path, resume: bool, report: Report) -> Progress:
    """Train or go on; the run folder gets checkpoints, log.jsonl and validation sheets (reference | pose | result | truth)."""
    check_own_steps(recipe)
    autoencoder, codec = starting_autoencoder(recipe)
    autoencoder.to(processes().device)
    sizes, needed = sizes_of(recipe.model, recipe.batching.buckets), needed_frames(recipe.batching)
    with processes().main_process_first():  # the others find frames and latents on the disk
        clips = with_frames(load_clips(data, "train", *sizes), needed)
        held_out = with_frames(load_clips(data, "val", recipe.model.size), needed)
        latents = latents_for(recipe, data, clips, autoencoder, heard(report))
    batches = Batches(recipe, clips, latents, autoencoder)
    loss_weights = torch.ones(recipe.model.unet.latent_channels)
    if recipe.loss.channel_weights:
        loss_weights = channel_weights(autoencoder, first_latents(clips, autoencoder, recipe.optim.precision))
    model = fresh_model(recipe)
    validation = Validation(recipe, autoencoder, held_out, run / "sheets")

    def weights(average: nn.Module) -> dict[str, Tensor]:
        return prefixed("scd", average.state_dict()) | prefixed("autoencoder", autoencoder.state_dict())

    def validate(average: nn.Module, step: int) -> dict[str, float]:
        assert isinstance(average, SCD)
        return validation(average, step)

    facts = {
        "kind": "scd",
        "name": recipe.name,
        "recipe": asdict(recipe),
        "autoencoder": codec,
        "data": data_fingerprint(clips),
    }
    rows, samples = recipe.batching.references, recipe.batching.references * recipe.batching.targets
    loss = ScdLoss(model, recipe, loss_weights, autoencoder.decode)
    stage = Stage(model, loss, batches.between, rows, samples, validate, weights, facts)
    return run_loop(stage, recipe.optim, recipe.logging, run, checkpoints.latest(run) if resume else None, report)
