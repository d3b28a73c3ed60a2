"""Models from checkpoints: built from the specs that the checkpoint carries, loaded strictly, frozen."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from engines.core.recipe import parse
from engines.core.schedule import NoiseSchedule
from engines.core.specs import AutoencoderSpec, ModelSpec, Sampling
from engines.model import checkpoint as checkpoints
from engines.model.autoencoder import Autoencoder
from engines.model.checkpoint import load_strict, under
from engines.model.reference_net import build_model
from engines.model.scd import SCD
from engines.model.stable_vae import STABLE, StableVae


@dataclass(frozen=True)
class SavedModel:
    """All that a finished SCD model is: networks and how to sample them. `facts` is checkpoint.json."""

    model: SCD
    autoencoder: Autoencoder | StableVae
    schedule: NoiseSchedule
    sampling: Sampling
    facts: dict[str, Any]


def build_autoencoder(spec: dict[str, Any], weights: dict[str, Tensor], where: Path) -> Autoencoder:
    model = Autoencoder(parse(AutoencoderSpec, spec, str(where)))
    load_strict(model, weights, where)
    return model.requires_grad_(False).eval().to(memory_format=torch.channels_last)  # type: ignore[call-overload]


def load_autoencoder(folder: Path) -> Autoencoder | StableVae:
    """The autoencoder of its own training run, or the one inside an SCD run or a bundle; frozen."""
    inside = checkpoints.latest(folder)
    if inside is not None and inside.facts["kind"] == "scd":
        return codec(inside.facts["autoencoder"], under("autoencoder", inside.weights()), inside.folder)
    found = checkpoints.need(folder, "autoencoder", "--set autoencoder=RUN")
    return build_autoencoder(found.facts["recipe"]["autoencoder"], found.weights(), found.folder)


def codec(spec: Mapping[str, Any], weights: dict[str, Tensor], where: Path) -> Autoencoder | StableVae:
    """The autoencoder of an SCD checkpoint: this project's own, or Stable Diffusion's."""
    if spec.get("layout") != STABLE:
        return build_autoencoder(dict(spec), weights, where)
    model = StableVae(spec["config"])
    load_strict(model, weights, where)
    return model.requires_grad_(False).eval()


def load_model(folder: Path, size: tuple[int, int] | None = None) -> SavedModel:
    """The newest SCD checkpoint under a folder, with the autoencoder it was trained on.

    `size` (width, height) replaces the picture size it was trained at.
    """
    found = checkpoints.need(folder, "scd", "--checkpoint")
    weights, recipe, where = found.weights(), found.facts["recipe"], str(found.folder)
    spec = parse(ModelSpec, recipe["model"], where)
    model = build_model(replace(spec, size=size or spec.size))
    load_strict(model, under("scd", weights), found.folder)
    autoencoder = codec(found.facts["autoencoder"], under("autoencoder", weights), found.folder)
    schedule, sampling = parse(NoiseSchedule, recipe["schedule"], where), parse(Sampling, recipe["sampling"], where)
    return SavedModel(model.requires_grad_(False).eval(), autoencoder, schedule, sampling, found.facts)
