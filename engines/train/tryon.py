"""Try-on (METHOD A.2): an SCD-I that reads a garment and repaints where the mask is. No reference pose: a garment has none."""

import hashlib
import json
from dataclasses import asdict
from pathlib import Path

import torch
from torch import Tensor, nn

from engines.core.errors import ScdError
from engines.core.pairs import Pair, read_pairs, train_pairs
from engines.core.report import Report
from engines.model import checkpoint as checkpoints
from engines.model.checkpoint import prefixed
from engines.model.scd import SCD
from engines.train.distributed import processes
from engines.train.latents import WEIGHED_ON, channel_weights
from engines.train.loop import Progress, Stage, run_loop
from engines.train.objective import min_snr_weights
from engines.train.recipe import TryonRecipe
from engines.train.start import load_start, starting_autoencoder, starting_weights
from engines.train.tryon_batches import Encoder, TryonBatch, TryonBatches, plain_fitting
from engines.train.tryon_validation import TryonValidation


def tryon_loss(model: SCD, recipe: TryonRecipe, batch: TryonBatch, weights: Tensor) -> Tensor:
    """Eq. 6: noise in the mask alone, the known part as it is; the squared error counts inside the mask alone: its mean there
    under channel weights (C,), and of that the mean over the pairs under the weights of their timesteps. Where noise was added to a laid
    garment, what is to be predicted leads from there to the person all the same: x_0 of the sampler's formula is the truth."""
    alphas = torch.from_numpy(recipe.schedule.alphas_cumprod()).float().to(batch.latents.device)
    alpha = alphas[batch.timesteps][:, None, None, None]
    signal, noise = alpha.sqrt(), (1 - alpha).sqrt()
    inside = batch.mask
    mixed = signal * batch.noised + noise * batch.noise
    noisy = mixed * inside + batch.known * (1 - inside)
    features = model.pose_encoder(torch.cat([torch.zeros_like(batch.pose[:1]), batch.pose]))
    kv = model.reference(batch.ref_latents, features[:1].expand(len(batch.ref_latents), -1, -1, -1))
    predicted = model.target(noisy, batch.timesteps, features[1:], kv, clips=0).float()
    wanted = (
        signal * mixed - batch.latents if recipe.schedule.prediction_type == "v_prediction" else mixed - signal * batch.latents
    ) / noise
    error = predicted - wanted
    counts = min_snr_weights(alpha, recipe.loss.min_snr_gamma, recipe.schedule.prediction_type)
    per_cell = (error.square() * weights[:, None, None] * counts).mean(1, keepdim=True)
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


def fresh_model(recipe: TryonRecipe) -> SCD:
    """A new model, with the weights of `initial` where the recipe names one."""
    torch.manual_seed(recipe.seed)
    model = SCD(recipe.model).to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    load_start(model, starting_weights(recipe), recipe.initial)
    return model


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


def check_start(recipe: TryonRecipe) -> None:
    """ScdError where a recipe wants to start from garments that do not lie upon anybody, or learns a start that sampling does not make."""
    strength, batching = recipe.sampling.strength, recipe.batching
    if not 0 < strength <= 1:
        raise ScdError(f"{recipe.name}: sampling.strength {strength} is not possible", "use more than 0, and 1 at most")
    if strength < 1 and not batching.laid:
        raise ScdError(f"{recipe.name}: sampling.strength below 1 starts from laid garments", "--set batching.laid=true")
    if strength == 1 and batching.from_laid:
        raise ScdError(f"{recipe.name}: batching.from_laid needs a sampling.strength below 1", "--set batching.from_laid=0.0")


def train_tryon(recipe: TryonRecipe, data: Path, run: Path, resume: bool, report: Report) -> Progress:
    """Train or go on; the run folder gets checkpoints, log.jsonl and validation sheets."""
    check_start(recipe)
    pairs = pairs_of(recipe, data, report)
    autoencoder, codec = starting_autoencoder(recipe)
    autoencoder.to(processes().device)
    encoder = Encoder(autoencoder, recipe.optim.precision)
    model = fresh_model(recipe)
    loss_weights = torch.ones(recipe.model.unet.latent_channels)
    if recipe.loss.channel_weights:
        some = encoder([plain_fitting(pair, recipe).person for pair in pairs[:WEIGHED_ON]])
        loss_weights = channel_weights(autoencoder, some)
    validation = TryonValidation(recipe, autoencoder, read_pairs(data, "test", None, True), run / "sheets")

    def weights(average: nn.Module) -> dict[str, Tensor]:
        return prefixed("scd", average.state_dict()) | prefixed("autoencoder", autoencoder.state_dict())

    def validate(average: nn.Module, step: int) -> dict[str, float]:
        assert isinstance(average, SCD)
        return validation(average, step)

    facts = {
        "kind": "scd", "task": "tryon", "name": recipe.name, "recipe": asdict(recipe), "autoencoder": codec,
        "data": fingerprint(pairs),
    }  # fmt: skip
    batches = TryonBatches(recipe, pairs, encoder)
    rows = recipe.batching.pairs
    stage = Stage(model, TryonLoss(model, recipe, loss_weights), batches.between, rows, rows, validate, weights, facts)
    return run_loop(stage, recipe.optim, recipe.logging, run, checkpoints.latest(run) if resume else None, report)
