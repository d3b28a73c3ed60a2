"""Stages 2 and 3: SCD-I (one frame a target) and SCD-V (consecutive frames, motion modules), METHOD Eq. 1."""

from collections.abc import Callable
from copy import deepcopy
from dataclasses import asdict
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

from engines.core.errors import ScdError
from engines.core.report import Report
from engines.model import checkpoint as checkpoints
from engines.model.autoencoder import strongest_channels
from engines.model.baselines import build_model, from_base, read_reference
from engines.model.checkpoint import load_strict, prefixed, under
from engines.model.layers import KeyValue
from engines.model.loading import load_autoencoder
from engines.model.picture_weights import load_picture_encoder
from engines.model.scd import SCD, repeat_kv
from engines.train.batches import Batch, Batches, needed_frames
from engines.train.frames import data_fingerprint, load_clips, with_frames
from engines.train.latents import all_latents, as_tensor, channel_weights
from engines.train.loop import Progress, Stage, run_loop
from engines.train.recipe import ScdRecipe
from engines.train.rollout import own_latents
from engines.train.validation import Validation

Decode = Callable[[Tensor], Tensor]


def pairs_for_targets(model: SCD, recipe: ScdRecipe, batch: Batch, features: Tensor, decode: Decode) -> list[KeyValue] | None:
    """What the batch's targets see of their references, whose pose features (R, D, h, w) come first; None where the recipe has none."""
    if recipe.batching.drop_reference == 1:
        return None
    references = len(batch.ref_latents)
    return repeat_kv(read_reference(model, batch.ref_latents, features, decode), len(batch.latents) // references)


def diffusion_loss(model: SCD, recipe: ScdRecipe, batch: Batch, weights: Tensor, decode: Decode) -> Tensor:
    """Squared error of the prediction, its mean over the targets under channel weights (C,).

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

    alphas = torch.from_numpy(recipe.schedule.alphas_cumprod()).float()
    alpha = alphas[batch.timesteps][:, None, None, None]
    signal, noise = alpha.sqrt(), (1 - alpha).sqrt()
    if batch.own_steps:
        latents = own_latents(predict, batch.noise, batch.timesteps, batch.own_steps, alphas)
        error = batch.latents - (signal * latents - noise * predict(latents, batch.timesteps))
    else:
        latents = signal * batch.latents + noise * batch.noise
        velocity = signal * batch.noise - noise * batch.latents
        error = predict(latents, batch.timesteps) - (velocity if recipe.schedule.prediction_type == "v_prediction" else batch.noise)
    return (error.square() * weights[:, None, None]).mean()


class ScdLoss(nn.Module):
    """`diffusion_loss` as a module of its own, for what is wrapped around a model to train it in several processes."""

    def __init__(self, model: SCD, recipe: ScdRecipe, weights: Tensor, decode: Decode) -> None:
        super().__init__()
        self.model, self.recipe, self.channel_weights, self.decode = model, recipe, weights, decode

    def forward(self, step: int, batch: Batch) -> Tensor:
        return diffusion_loss(self.model, self.recipe, batch, self.channel_weights, self.decode)


def fresh_model(recipe: ScdRecipe) -> SCD:
    """A new model of any kind, with the weights of `initial` where the recipe names one, and fresh ones for what its kind adds to them; with
    `train_only_motion` all but the motion modules is frozen."""
    torch.manual_seed(recipe.seed)
    model = build_model(recipe.model)
    if not recipe.train_only_motion:  # torch 2.13's CPU convolution crashes in the backward pass when it is channels-last and frozen
        model = model.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    if recipe.initial:
        found = checkpoints.need(Path(recipe.initial), "scd", "--set initial=RUN")
        known = under("scd", found.weights())
        if recipe.model.motion is None:  # an image model may go on from a video model: the same network without its motion modules
            known = {k: v for k, v in known.items() if "motion_modules" not in k}
        own = model.state_dict()
        added = {k: v for k, v in own.items() if "motion_modules" in k and k not in known}
        load_strict(model, from_base(model, known) | added, found.folder)
    load_picture_encoder(model)
    if recipe.train_only_motion:
        for name, parameter in model.named_parameters():
            parameter.requires_grad_("motion_modules" in name)
    return model


def check_own_steps(recipe: ScdRecipe) -> None:
    """The model's own latents start from pure noise: from where the schedule must start too, and where epsilon says nothing."""
    schedule = recipe.schedule
    if recipe.batching.own_steps and not (schedule.zero_terminal_snr and schedule.prediction_type == "v_prediction"):
        raise ScdError(f"{recipe.name}: batching.own_steps needs schedule.zero_terminal_snr and v_prediction", "--set batching.own_steps=0")


def train_scd(recipe: ScdRecipe, data: Path, run: Path, resume: bool, report: Report) -> Progress:
    """Train or go on; the run folder gets checkpoints, log.jsonl and validation sheets (reference | pose | result | truth)."""
    check_own_steps(recipe)
    autoencoder = strongest_channels(load_autoencoder(Path(recipe.autoencoder)), recipe.model.unet.latent_channels)
    size: tuple[int, int] = recipe.model.size
    clips, held_out = (with_frames(load_clips(data, split, size), needed_frames(recipe.batching)) for split in ("train", "val"))
    latents = all_latents(data, clips, autoencoder, size, report)
    batches = Batches(recipe, clips, latents, autoencoder)
    loss_weights = channel_weights(autoencoder, as_tensor(np.stack([x[0] for x in latents[:16]])))
    model = fresh_model(recipe)
    ema = deepcopy(model).requires_grad_(False)
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
        "autoencoder": asdict(autoencoder.spec),
        "data": data_fingerprint(clips),
    }
    stage = Stage(model, ema, ScdLoss(model, recipe, loss_weights, autoencoder.decode), batches.between, validate, weights, facts)
    return run_loop(stage, recipe.optim, recipe.logging, run, checkpoints.latest(run) if resume else None, report)
