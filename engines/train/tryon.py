"""Try-on (METHOD A.2): an SCD-I that reads a garment and repaints where the mask is. No reference pose: a garment has none."""

import hashlib
import json
from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from engines.core.bundle import SHIPPED
from engines.core.pairs import Pair, read_pairs, train_pairs
from engines.core.report import Report
from engines.model import checkpoint as checkpoints
from engines.model import pretrained
from engines.model.autoencoder import Autoencoder, strongest_channels
from engines.model.checkpoint import load_strict, prefixed, under
from engines.model.loading import codec
from engines.model.scd import SCD
from engines.model.stable_vae import StableVae
from engines.train.distributed import processes
from engines.train.latents import channel_weights
from engines.train.loop import Progress, Stage, run_loop
from engines.train.recipe import TryonRecipe
from engines.train.tryon_batches import Encoder, TryonBatch, TryonBatches, plain_fitting
from engines.train.tryon_validation import TryonValidation

WEIGHED_ON = 16  # pictures that say how much each latent channel counts


def tryon_loss(model: SCD, recipe: TryonRecipe, batch: TryonBatch, weights: Tensor) -> Tensor:
    """Eq. 6: noise in the mask alone, the known part as it is; the squared error counts inside the mask alone: its mean there
    under channel weights (C,), and of that the mean over the pairs."""
    alphas = torch.from_numpy(recipe.schedule.alphas_cumprod()).float().to(batch.latents.device)
    alpha = alphas[batch.timesteps][:, None, None, None]
    signal, noise = alpha.sqrt(), (1 - alpha).sqrt()
    inside = batch.mask
    noisy = (signal * batch.latents + noise * batch.noise) * inside + batch.known * (1 - inside)
    features = model.pose_encoder(torch.cat([torch.zeros_like(batch.pose[:1]), batch.pose]))
    kv = model.reference(batch.ref_latents, features[:1].expand(len(batch.ref_latents), -1, -1, -1))
    predicted = model.target(noisy, batch.timesteps, features[1:], kv, clips=0).float()
    velocity = signal * batch.noise - noise * batch.latents
    error = predicted - (velocity if recipe.schedule.prediction_type == "v_prediction" else batch.noise)
    per_cell = (error.square() * weights[:, None, None]).mean(1, keepdim=True)
    return ((per_cell * inside).sum((1, 2, 3)) / inside.sum((1, 2, 3)).clamp(min=1e-6)).mean()


class TryonLoss(nn.Module):
    """`tryon_loss` as a module of its own, for what is wrapped around a model to train it in several processes."""

    channel_weights: Tensor

    def __init__(self, model: SCD, recipe: TryonRecipe, weights: Tensor) -> None:
        super().__init__()
        self.model, self.recipe = model, recipe
        self.register_buffer("channel_weights", weights, persistent=False)

    def forward(self, step: int, batch: TryonBatch) -> Tensor:
        return tryon_loss(self.model, self.recipe, batch, self.channel_weights)


class Start:
    """What a run starts from: autoencoder and, where the recipe names them, weights."""

    def __init__(self, recipe: TryonRecipe) -> None:
        source = folder_of(recipe.initial)
        if recipe.initial and pretrained.is_diffusers(source):
            saved = pretrained.load_stable_diffusion(source, recipe.model.size)
            self.weights: dict[str, Tensor] = dict(saved.model.state_dict())
            self.autoencoder: Autoencoder | StableVae = saved.autoencoder
            self.spec: dict[str, Any] = dict(saved.facts["autoencoder"])
            return
        found = checkpoints.need(source, "scd", "--set initial=RUN") if recipe.initial else None
        known = {} if found is None else under("scd", found.weights())
        self.weights = {k: v for k, v in known.items() if "motion_modules" not in k}  # the same network without its motion modules
        self.autoencoder, self.spec = own_autoencoder(recipe)

    def model(self, recipe: TryonRecipe) -> SCD:
        torch.manual_seed(recipe.seed)
        model = SCD(recipe.model).to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        if self.weights:
            load_strict(model, self.weights, Path(recipe.initial))
        return model


def folder_of(name: str) -> Path:
    """A folder, a shipped bundle by its name, or the files of a hub id."""
    if name and (SHIPPED / name).is_dir():
        return SHIPPED / name
    return pretrained.from_hub(name, pretrained.HUB_FILES) if pretrained.is_hub_id(name) else Path(name)


def own_autoencoder(recipe: TryonRecipe) -> tuple[Autoencoder | StableVae, dict[str, Any]]:
    """Of a run of its own, of an SCD run, or of a bundle; with the channels that the model takes."""
    folder = folder_of(recipe.autoencoder)
    found = checkpoints.latest(folder)
    if found is not None and found.facts["kind"] == "scd":
        spec = found.facts["autoencoder"]
        model = codec(spec, under("autoencoder", found.weights()), found.folder)
    else:
        found = checkpoints.need(folder, "autoencoder", "--set autoencoder=RUN")
        spec = found.facts["recipe"]["autoencoder"]
        model = codec(spec, found.weights(), found.folder)
    if isinstance(model, Autoencoder):
        model = strongest_channels(model, recipe.model.unet.latent_channels)
        return model, asdict(model.spec)
    return model, dict(spec)


def pairs_of(recipe: TryonRecipe, data: Path, report: Report) -> list[Pair]:
    """The pairs of the training part, each person with the garment they wear; those whose garment is in the test part, too, are left out
    where the recipe says so."""
    pairs = train_pairs(data)
    if not recipe.drop_leaked:
        return pairs
    from engines.media.duplicates import leaked

    test = read_pairs(data, "test", None, True)
    with report.stage("compare garments", len(pairs) + len(test)) as bar:
        found = {train for train, _ in leaked([p.garment for p in pairs], [p.garment for p in test], lambda: bar.advance(1))}
    kept = [pair for pair in pairs if pair.garment not in found]
    report.note(f"{len(pairs) - len(kept)} of {len(pairs)} pairs are left out: their garments are in the test part, too")
    return kept


def fingerprint(pairs: list[Pair]) -> str:
    """sha256 over names and sizes of the files: runs with one fingerprint saw the same pairs in the same order."""
    files = [(p.name, [f.stat().st_size for f in (p.person, p.garment, p.mask) if f]) for p in pairs]
    return hashlib.sha256(json.dumps(files).encode()).hexdigest()


def train_tryon(recipe: TryonRecipe, data: Path, run: Path, resume: bool, report: Report) -> Progress:
    """Train or go on; the run folder gets checkpoints, log.jsonl and validation sheets."""
    pairs = pairs_of(recipe, data, report)
    start = Start(recipe)
    encoder = Encoder(start.autoencoder, recipe.optim.precision == "bf16")
    model = start.model(recipe)
    some = encoder([plain_fitting(pair, recipe.model.size).person for pair in pairs[:WEIGHED_ON]])
    loss_weights = channel_weights(start.autoencoder, some)
    start.autoencoder.to(processes().device)
    validation = TryonValidation(recipe, start.autoencoder, read_pairs(data, "test", None, True), run / "sheets")

    def weights(average: nn.Module) -> dict[str, Tensor]:
        return prefixed("scd", average.state_dict()) | prefixed("autoencoder", start.autoencoder.state_dict())

    def validate(average: nn.Module, step: int) -> dict[str, float]:
        assert isinstance(average, SCD)
        return validation(average, step)

    facts = {
        "kind": "scd", "task": "tryon", "name": recipe.name, "recipe": asdict(recipe), "autoencoder": start.spec,
        "data": fingerprint(pairs),
    }  # fmt: skip
    batches = TryonBatches(recipe, pairs, encoder)
    rows = recipe.batching.pairs
    stage = Stage(model, TryonLoss(model, recipe, loss_weights), batches.between, rows, rows, validate, weights, facts)
    return run_loop(stage, recipe.optim, recipe.logging, run, checkpoints.latest(run) if resume else None, report)
