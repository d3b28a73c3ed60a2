"""What a training run would take: parameters, memory, steps, hours. `scd train --dry-run`: no weights, no data and no hub are needed."""

import time
from collections.abc import Callable
from dataclasses import dataclass
from math import ceil
from pathlib import Path
from typing import Any, cast

import torch
from torch import Tensor, nn

from engines.core.errors import ScdError
from engines.core.manifest import read_manifest
from engines.core.pairs import train_pairs
from engines.core.recipe import parse
from engines.core.specs import AutoencoderSpec
from engines.model import checkpoint as checkpoints
from engines.model.autoencoder import Autoencoder
from engines.model.baselines import build_model
from engines.model.layers import set_recompute
from engines.model.pretrained import is_diffusers
from engines.model.stable_vae import STABLE, VAE_15, StableVae
from engines.train.autoencoder import DOWNSCALE, AutoencoderLoss, Pictures
from engines.train.batches import Batch, needed_frames
from engines.train.buckets import sizes_of
from engines.train.optimizer import is_inner
from engines.train.recipe import AutoencoderRecipe, Optim, Recipe, TryonRecipe
from engines.train.scd import ScdLoss
from engines.train.simulate import encoding_flop, fake, simulate
from engines.train.start import MOTION, freeze, names_hub, shipped_or
from engines.train.tryon import TryonLoss
from engines.train.tryon_batches import TryonBatch

HALVES = {"bf16": torch.bfloat16, "fp16": torch.float16, "fp32": None}
MOMENTS = {"adamw": 8.0, "adamw8bit": 2 + 8 / 256}  # bytes a weight: two of float32, or of 8 bits with a float32 scale for each 256
MUON_MOMENT, FLOAT = 4.0, 4


@dataclass(frozen=True)
class Plan:
    """A run in numbers: `rows` of a step, the `pictures` that it learns from, and those of them that the autoencoder must encode anew."""

    rows: int
    pictures: int
    encoded: float
    size: tuple[int, int]


def plan_of(recipe: Recipe) -> Plan:
    """`size` is the largest that the run sees."""
    if isinstance(recipe, AutoencoderRecipe):
        return Plan(recipe.batch, recipe.batch, 0, recipe.size)
    if isinstance(recipe, TryonRecipe):
        return Plan(recipe.batching.pairs, recipe.batching.pairs, 3 * recipe.batching.pairs, recipe.model.size)
    batching = recipe.batching
    largest = max(sizes_of(recipe.model, batching.buckets), key=lambda size: size[0] * size[1])
    pictures = batching.references * batching.targets
    return Plan(batching.references, pictures, recipe.augmentation.share * (batching.references + pictures), largest)


def loss_of(recipe: Recipe, codec: nn.Module | None) -> nn.Module:
    """The loss around a model of the recipe, with what is frozen frozen; without an autoencoder at hand decoding is for nothing."""
    if isinstance(recipe, AutoencoderRecipe):
        return AutoencoderLoss(Autoencoder(recipe.autoencoder), recipe)
    model = build_model(recipe.model)
    set_recompute(model, recipe.optim.checkpointing)
    ones = torch.ones(recipe.model.unet.latent_channels)
    if isinstance(recipe, TryonRecipe):
        return TryonLoss(model, recipe, ones)
    freeze(model, recipe)
    down = recipe.model.downscale

    def blank(latents: Tensor) -> Tensor:
        return latents.new_zeros(len(latents), 3, down * latents.shape[2], down * latents.shape[3])

    return ScdLoss(model, recipe, ones, blank if codec is None else codec.decode)  # type: ignore[arg-type]


def batch_of(recipe: Recipe, rows: int, size: tuple[int, int]) -> Any:
    """Zeros in the shapes of so many rows."""
    width, height = size
    if isinstance(recipe, AutoencoderRecipe):
        channels = recipe.autoencoder.latent_channels
        return Pictures(torch.zeros(rows, 3, height, width), torch.zeros(rows, channels, height // DOWNSCALE, width // DOWNSCALE))
    channels, down = recipe.model.unet.latent_channels, recipe.model.downscale

    def latents(count: int, deep: int = channels) -> Tensor:
        return torch.zeros(count, deep, height // down, width // down)

    def pictures(count: int) -> Tensor:
        return torch.zeros(count, 3, height, width)

    if isinstance(recipe, TryonRecipe):
        times = torch.zeros(rows, dtype=torch.long)
        all_of = (latents(rows), latents(rows), latents(rows), latents(rows, 1), pictures(rows), latents(rows), times, latents(rows))
        return TryonBatch(*all_of)
    targets, own_steps = rows * recipe.batching.targets, (recipe.batching.own_steps + 1) // 2
    times = torch.zeros(targets, dtype=torch.long)
    return Batch(latents(rows), pictures(rows), latents(targets), pictures(targets), latents(targets), times, own_steps)


def part_of(name: str) -> str:
    """Which part of the model a parameter is of, by its name."""
    return MOTION if MOTION in name else name.split(".")[0]


def parameters_of(model: nn.Module) -> dict[str, Any]:
    """How many there are, how many of them are trained, and how many each part has."""
    parts: dict[str, int] = {}
    for name, parameter in model.named_parameters():
        parts[part_of(name)] = parts.get(part_of(name), 0) + parameter.numel()
    trained = sum(p.numel() for p in model.parameters() if p.requires_grad)
    return {"all": sum(parts.values()), "trained": trained, "parts": parts}


def moment_bytes(model: nn.Module, optim: Optim) -> int:
    """The optimizer's state."""

    def each(name: str, parameter: nn.Parameter) -> float:
        return MUON_MOMENT if optim.muon_learning_rate and is_inner(name, parameter) else MOMENTS[optim.optimizer]

    return int(sum(each(n, p) * p.numel() for n, p in model.named_parameters() if p.requires_grad))


def bytes_of(module: nn.Module | None) -> int:
    return 0 if module is None else sum(t.numel() * t.element_size() for t in (*module.parameters(), *module.buffers()))


def autoencoder_of(recipe: Recipe) -> nn.Module | None:
    """The frozen autoencoder as far as it is known without loading one: Stable Diffusion's, or what a run or bundle says of its own."""
    if isinstance(recipe, AutoencoderRecipe):
        return None
    name = recipe.autoencoder or recipe.initial
    folder = shipped_or(name)
    if names_hub(recipe, name) or is_diffusers(folder):
        return StableVae(VAE_15)
    found = checkpoints.latest(folder) if name and folder.exists() else None
    if found is None:
        return None
    told = found.facts["autoencoder"] if found.facts["kind"] == "scd" else found.facts["recipe"]["autoencoder"]
    if told.get("layout") == STABLE:
        return StableVae(told["config"])
    return Autoencoder(parse(AutoencoderSpec, told, str(found.folder)))


def memory_of(recipe: Recipe, model: nn.Module, codec: nn.Module | None, peak: int) -> dict[str, int]:
    """Bytes of one process. At the worst moment of a step there is its peak, or, while the optimizer works, gradients and as much again."""
    gradients = sum(FLOAT * p.numel() for p in model.parameters() if p.requires_grad)
    out = {
        "weights": bytes_of(model),
        "autoencoder": bytes_of(codec),
        "average": bytes_of(model) if recipe.optim.ema_decay else 0,
        "optimizer": moment_bytes(model, recipe.optim),
        "step": max(peak, 2 * gradients),
    }
    return out | {"total": sum(out.values()), "of_step_gradients": gradients}


def samples_of(recipe: Recipe, data: Path) -> int | None:
    """How many clips or pairs there are to train on; None where there is no data set."""
    try:
        if isinstance(recipe, TryonRecipe):
            return len(train_pairs(data))
        clips = read_manifest(data, "train")
    except ScdError:
        return None
    return len(clips) if isinstance(recipe, AutoencoderRecipe) else sum(clip.frames >= needed_frames(recipe.batching) for clip in clips)


def measured_rate(precision: str) -> tuple[float, str]:
    """Operations a second of a matrix product on the device that would train, and the device's name."""
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    side = 8192 if device.type == "cuda" else 1024
    left = torch.randn(side, side, device=device, dtype=HALVES[precision] or torch.float32)
    wait: Callable[[], None] = torch.cuda.synchronize if device.type == "cuda" else lambda: None
    seconds = []
    for _ in range(4):
        wait()
        start = time.monotonic()
        left @ left
        wait()
        seconds.append(time.monotonic() - start)
    return 2 * side**3 / min(seconds), torch.cuda.get_device_name() if device.type == "cuda" else "this CPU"


def outlook(recipe: Recipe, data: Path, processes: int, tflops: float | None) -> dict[str, Any]:
    """What the run would take in so many processes, each of which does `tflops` TFLOP a second; None: those of a matrix product here.

    Sizes are bytes of one process. Raises what the recipe's own checks raise.
    """
    plan, optim = plan_of(recipe), recipe.optim
    part = ceil(plan.rows / processes / optim.accumulate)
    with fake():
        codec = autoencoder_of(recipe)
        loss = loss_of(recipe, codec)
        trained = sum(FLOAT * p.numel() for p in loss.parameters() if p.requires_grad)
        done = simulate(loss, lambda: batch_of(recipe, part, plan.size), HALVES[optim.precision], trained if optim.accumulate > 1 else 0)
        picture = 0 if codec is None or not plan.encoded else encoding_flop(codec, torch.zeros(1, 3, plan.size[1], plan.size[0]))
        model = cast(nn.Module, loss.model)
        memory, parameters = memory_of(recipe, model, codec, done.peak), parameters_of(model)
    rate, whose = (tflops * 1e12, "--tflops") if tflops else measured_rate(optim.precision)
    work = {"network": done.flop * plan.rows / part, "autoencoder": picture * plan.encoded}
    samples = samples_of(recipe, data)
    seconds = sum(work.values()) / processes / rate
    return {
        "recipe": recipe.name,
        "parameters": parameters | ({} if codec is None else {"autoencoder": sum(p.numel() for p in codec.parameters())}),
        "memory_bytes": memory,
        "processes": processes,
        "rows_at_once": part,
        "steps": optim.steps,
        "rows_per_step": plan.rows,
        "pictures_per_step": plan.pictures,
        "pictures": plan.pictures * optim.steps,
        "data": None if samples is None else {"folder": str(data), "samples": samples, "passes": plan.rows * optim.steps / max(1, samples)},
        "flop_per_step": {name: int(value) for name, value in work.items()},
        "flop_per_second": {"each_process": rate, "of": whose},
        "seconds_per_step": seconds,
        "hours": seconds * optim.steps / 3600,
        "assumptions": assumptions(recipe, plan, codec, tflops),
    }


def assumptions(recipe: Recipe, plan: Plan, codec: nn.Module | None, tflops: float | None) -> list[str]:
    """How the figures come about, a sentence each."""
    named = "" if isinstance(recipe, AutoencoderRecipe) else recipe.autoencoder or recipe.initial
    said = {
        f"work and memory are those of a forward and a backward pass at {plan.size[0]}x{plan.size[1]}, counted in shapes alone": True,
        "activations are computed again in the backward pass": recipe.optim.checkpointing,
        "weights and gradients are float32 and whole in each process (no FSDP), attention is fused": True,
        "allocator and device libraries come on top, and CUDA's float32 results of norms": True,
        "hours are without reading, validation, checkpoints and what is encoded once and cached": True,
        "hours are bare arithmetic at the rate of a matrix product here; give what training reaches with --tflops": tflops is None,
        f"the autoencoder is left out: {named} is not here": bool(named) and codec is None,
    }
    return [sentence for sentence, holds in said.items() if holds]
