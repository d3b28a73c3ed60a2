"""What a run starts from: the frozen autoencoder, and the weights of runs, bundles, Stable Diffusion and AnimateDiff.

Weights must belong to the model that the recipe describes: numbers that leave no trace in a tensor's shape, as heads or groups, are
compared, too.
"""

from collections.abc import Mapping
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from engines.core.bundle import SHIPPED
from engines.core.errors import ScdError
from engines.core.recipe import parse
from engines.core.specs import ModelSpec, MotionSpec
from engines.model import checkpoint as checkpoints
from engines.model import pretrained
from engines.model.autoencoder import Autoencoder, strongest_channels
from engines.model.checkpoint import load_strict, prefixed, under
from engines.model.loading import load_autoencoder
from engines.model.stable_vae import StableVae
from engines.train.recipe import ScdRecipe, TryonRecipe

AnyRecipe = ScdRecipe | TryonRecipe
AnyAutoencoder = Autoencoder | StableVae
TABLES = "pos_embed.pe"  # ending of the position tables of AnimateDiff's modules: computed, not learnt
ATTENTION = ".attentions."  # part of the names of a level's attention
MOTION = "motion_modules"  # part of the names of all that is in motion modules


def folder_of(recipe: AnyRecipe, name: str, files: list[str] = pretrained.HUB_FILES) -> Path:
    """A path, a shipped bundle by its name, or `files` of a hub id."""
    return pretrained.from_hub(name, files) if names_hub(recipe, name) else shipped_or(name)


def shipped_or(name: str) -> Path:
    """The folder of a shipped bundle, or the path that the name is."""
    return SHIPPED / name if name and (SHIPPED / name).is_dir() else Path(name)


def names_hub(recipe: AnyRecipe, name: str) -> bool:
    """Whether the name is a hub id. A folder that is not there looks like one: models of the hub's kind look at a text."""
    return pretrained.is_hub_id(name) and recipe.model.unet.text is not None


def starting_autoencoder(recipe: AnyRecipe) -> tuple[AnyAutoencoder, dict[str, Any]]:
    """The frozen autoencoder, and what a checkpoint says of it.

    It is the one of `autoencoder` (a run of its own, an SCD run, a bundle, a folder or hub id of Stable Diffusion), or, where that is "",
    the one that comes with `initial`. ScdError where there is none, or its latents have other channels than the model's.
    """
    name, channels = recipe.autoencoder or recipe.initial, recipe.model.unet.latent_channels
    if not name:
        raise ScdError(f"{recipe.name} names no autoencoder", "name a run of scd train with --set autoencoder=RUN")
    folder = folder_of(recipe, name)
    model = pretrained.stable_vae(folder) if pretrained.is_diffusers(folder) else load_autoencoder(folder)
    if isinstance(model, Autoencoder):
        model = strongest_channels(model, channels)
        return model, asdict(model.spec)
    if model.vae.config.latent_channels != channels:
        have = model.vae.config.latent_channels
        raise ScdError(
            f"the autoencoder {name} has {have} latent channels, and the model {channels}", f"--set model.unet.latent_channels={have}"
        )
    return model, model.facts()


def agree(section: str, found: Any, wanted: Any, where: object) -> None:
    """ScdError with the first number in which the weights' spec differs from the recipe's."""
    theirs, ours = asdict(found), asdict(wanted)
    for key, value in theirs.items():
        if ours[key] != value:
            said = f"{where} has {section}.{key} = {plain(value)}, and the recipe {plain(ours[key])}"
            raise ScdError(said, f"take its value with --set model.{section}.{key}={plain(value)}, or start from other weights")


def plain(value: Any) -> str:
    """A value of a spec as --set takes it."""
    if isinstance(value, list | tuple):
        return "[" + ",".join(map(plain, value)) + "]"
    return str(value).lower() if isinstance(value, bool) else str(value)


def starting_weights(recipe: AnyRecipe) -> dict[str, Tensor]:
    """float32 weights of the model by name; what is not among them is fresh. {} where the recipe names none."""
    adapter = recipe.motion_adapter if isinstance(recipe, ScdRecipe) else ""
    known = image_or_video(recipe, folder_of(recipe, recipe.initial)) if recipe.initial else {}
    if recipe.model.motion is None:  # the same network without its motion modules
        known = {name: tensor for name, tensor in known.items() if MOTION not in name}
    if not isinstance(recipe, ScdRecipe) or not adapter:
        return known
    if recipe.model.motion is None:
        raise ScdError(f"{recipe.name} has a motion_adapter, and its model no motion modules", "--set motion_adapter=")
    if not known:
        raise ScdError(f"{recipe.name} has a motion_adapter and no weights that it belongs to", "name them with --set initial=NAME")
    if any(MOTION in name for name in known):
        raise ScdError(f"{recipe.initial} has motion modules already, and {adapter} would replace them", "--set motion_adapter=")
    return known | adapter_weights(recipe, recipe.model.motion, adapter)


def image_or_video(recipe: AnyRecipe, source: Path) -> dict[str, Tensor]:
    """All that `initial` holds of a model of the recipe's shape."""
    if pretrained.is_diffusers(source):
        unet, weights = pretrained.stable_unet(source)
        agree("unet", unet, recipe.model.unet, source)
        return prefixed("unet", weights)
    found = checkpoints.need(source, "scd", "--set initial=RUN")
    spec = parse(ModelSpec, found.facts["recipe"]["model"], str(found.folder))
    crossing = recipe.model.unet.text if recipe.model.condition == "picture" else spec.unet.text  # what that baseline adds or replaces
    levels = with_attention(spec.unet.attention, recipe.model.unet.attention)
    agree("unet", replace(spec.unet, text=crossing, attention=levels), recipe.model.unet, found.folder)
    agree("pose", spec.pose, recipe.model.pose, found.folder)
    if spec.motion is not None and recipe.model.motion is not None:
        agree("motion", spec.motion, recipe.model.motion, found.folder)
    return under("scd", found.weights())


def with_attention(found: tuple[bool, ...], wanted: tuple[bool, ...]) -> tuple[bool, ...]:
    """The levels that have attention once those are added that the recipe has more: `load_start` makes their layers."""
    return tuple(a or b for a, b in zip(found, wanted, strict=True)) if len(found) == len(wanted) else found


def adapter_weights(recipe: ScdRecipe, motion: MotionSpec, name: str) -> dict[str, Tensor]:
    """AnimateDiff's motion modules: a MotionAdapter folder, a .safetensors file or a hub id.

    `max_frames` is the recipe's own (the position tables are computed), and so are `heads` where no config.json lies beside the weights.
    """
    path = folder_of(recipe, name, pretrained.ADAPTER_FILES)
    found, weights = pretrained.read_adapter(path, recipe.model.unet)
    told = (path / "config.json").is_file()
    for key in ("layout", "levels", "middle", *(["heads"] if told else [])):
        theirs, ours = getattr(found, key), getattr(motion, key)
        if theirs != ours:
            said = f"{name} has motion.{key} = {plain(theirs)}, and the recipe {plain(ours)}"
            raise ScdError(said, f"--set model.motion.{key}={plain(theirs)}")
    return prefixed("unet", weights)


def load_start(model: nn.Module, known: Mapping[str, Tensor], where: str) -> None:
    """Put in what `starting_weights` found; strict, but for the parts that none of it belongs to: pose encoder and motion modules stay
    fresh, attention of levels that had none is fresh and silent, position tables are as they are computed."""
    if not known:
        return
    own = model.state_dict()
    known = {**silent_attention(own, known), **known}
    parts = ("pose_encoder.", MOTION)
    absent = tuple(part for part in parts if not any(part in name for name in known))
    fresh = {n: t for n, t in own.items() if n not in known and (n.endswith(TABLES) or any(part in n for part in absent))}
    load_strict(model, {**known, **fresh}, Path(where))


def silent_attention(own: Mapping[str, Tensor], known: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Fresh layers of the levels whose attention is not known at all, with zero output: such a model computes what it did without them."""
    added = {n: t for n, t in own.items() if ATTENTION in n and not any(k.startswith(n.partition(ATTENTION)[0] + ATTENTION) for k in known)}
    return {name: torch.zeros_like(tensor) if ".proj_out." in name else tensor for name, tensor in added.items()}


def freeze(model: nn.Module, recipe: ScdRecipe) -> None:
    """With `train_only_motion` all but the motion modules stays as it is."""
    if not recipe.train_only_motion:
        return
    if recipe.model.motion is None:
        raise ScdError(f"{recipe.name} trains motion modules alone, and its model has none", "--set train_only_motion=false")
    for name, parameter in model.named_parameters():
        parameter.requires_grad_(MOTION in name)
