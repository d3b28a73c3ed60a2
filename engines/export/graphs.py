"""The graphs of a bundle as small torch modules with plain tensors in and out, and their export to ONNX.

f frames, c conditions, C latent channels, h w latent rows and columns, D pose feature channels.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import onnx_ir as ir
import torch
from torch import Tensor, nn
from torch.export import Dim

from engines.core.sites import is_kv, kv_names
from engines.core.specs import ModelSpec, crossing_sites, deep_channels, shallow_sites
from engines.export.exportable import Dialect, exportable
from engines.model.autoencoder import Autoencoder
from engines.model.reference_net import ReferenceNet
from engines.model.scd import SCD, repeat_kv
from engines.model.stable_vae import StableVae

Codec = Autoencoder | StableVae


@dataclass(frozen=True)
class Graph:
    """A module, example inputs by name (every one a tensor of its own), output names, and which input axes are dynamic."""

    name: str
    module: nn.Module
    inputs: dict[str, Tensor]
    outputs: list[str]
    dynamic: dict[str, dict[int, str]]


class Encoder(nn.Module):
    def __init__(self, autoencoder: Codec) -> None:
        super().__init__()
        self.autoencoder = autoencoder

    def forward(self, image: Tensor) -> Tensor:
        return self.autoencoder.encode(image)


class Decoder(nn.Module):
    def __init__(self, autoencoder: Codec) -> None:
        super().__init__()
        self.autoencoder = autoencoder

    def forward(self, latents: Tensor) -> Tensor:
        return self.autoencoder.decode(latents)


class Reference(nn.Module):
    """Reference latents and pose features -> K and V of every site."""

    def __init__(self, model: SCD) -> None:
        super().__init__()
        self.model = model

    def forward(self, ref_latents: Tensor, ref_pose_features: Tensor) -> tuple[Tensor, ...]:
        pairs = self.model.reference(ref_latents, ref_pose_features)
        return tuple(tensor for pair in pairs for tensor in pair)


class ReferenceUnposed(nn.Module):
    """Reference latents -> K and V of every site, where the reference's pose is not asked for; with a picture's token, one pair more."""

    def __init__(self, model: SCD) -> None:
        super().__init__()
        self.model = model

    def forward(self, ref_latents: Tensor, ref_token: Tensor | None = None) -> tuple[Tensor, ...]:
        shown = () if ref_token is None else (None, ref_token)
        pairs = self.model.reference(ref_latents, *shown)
        return tuple(tensor for pair in pairs for tensor in pair)


def per_condition(x: Tensor, conditions: int) -> Tensor:
    """(f, ...) -> (c x f, ...)."""
    return x[None].expand(conditions, -1, -1, -1, -1).flatten(0, 1)


def pairs_of(kv: Sequence[Tensor], frames: int) -> list[tuple[Tensor, Tensor]]:
    return repeat_kv(list(zip(kv[0::2], kv[1::2], strict=True)), frames)


class Target(nn.Module):
    """Noisy latents of f frames under c conditions -> prediction (c, f, C, h, w), and the deep features (c, f, D', h, w) that the
    shallow graph can start from at later steps. Without `motion` no frame sees another."""

    def __init__(self, model: SCD, motion: bool) -> None:
        super().__init__()
        self.model, self.motion = model, motion

    def forward(self, latents: Tensor, timestep: Tensor, pose_features: Tensor, kv: Sequence[Tensor]) -> tuple[Tensor, Tensor]:
        conditions, frames = kv[0].shape[0], latents.shape[0]
        noisy, poses = per_condition(latents, conditions), per_condition(pose_features, conditions)
        clips = conditions if self.motion else 0
        out, deep = self.model.target_and_deep(noisy, timestep, poses, pairs_of(kv, frames), clips)
        return out.unflatten(0, (conditions, frames)), deep.unflatten(0, (conditions, frames))


class TargetShallow(nn.Module):
    """The target's outermost layers: latents, timestep, pose features, deep features, and the K/V of the sites in these layers."""

    def __init__(self, model: SCD, motion: bool) -> None:
        super().__init__()
        self.model = model
        self.motion = motion and model.spec.motion is not None and 0 in model.spec.motion.levels

    def forward(self, latents: Tensor, timestep: Tensor, pose_features: Tensor, deep: Tensor, kv: Sequence[Tensor] = ()) -> Tensor:
        conditions, frames = deep.shape[0], latents.shape[0]
        noisy, poses = per_condition(latents, conditions), per_condition(pose_features, conditions)
        clips = conditions if self.motion else 0
        out = self.model.unet.shallow(noisy, timestep, poses, deep.flatten(0, 1), pairs_of(kv, frames), clips)
        return out.unflatten(0, (conditions, frames))


def longest(spec: ModelSpec) -> int:
    """Frames that a target graph takes at most."""
    return spec.motion.max_frames if spec.motion else 64


def target_graphs(model: SCD, example: dict[str, Tensor], deep: Tensor) -> list[Graph]:
    """The target and its shallow twin, and where motion modules were put into a finished image model (AnimateDiff), both of each:
    `target` is the image model."""
    motion = model.spec.motion
    both = motion is not None and motion.layout == "animatediff"
    kinds = [("target", False), ("target_video", True)] if both else [("target", motion is not None)]
    dynamic = {name: {0: "frames"} for name in ("latents", "pose_features")} | {k: {0: "conditions"} for k in example if is_kv(k)}
    kept = set(kv_names(shallow_sites(model.spec)))
    outer = {k: v for k, v in example.items() if not is_kv(k)} | {"deep": deep} | {k: v for k, v in example.items() if k in kept}
    outer_dynamic = {k: v for k, v in dynamic.items() if k in outer} | {"deep": {0: "conditions", 1: "frames"}}
    whole = [Graph(name, Target(model, moves), example, ["prediction", "deep"], dynamic) for name, moves in kinds]
    return whole + [Graph(f"{n}_shallow", TargetShallow(model, moves), outer, ["prediction"], outer_dynamic) for n, moves in kinds]


def reference_graphs(model: SCD, latents: Tensor, features: Tensor, names: list[str]) -> list[Graph]:
    """What makes K/V of a reference: one graph, or before it the encoder of the picture's token. Names are the K/V's."""
    if model.posed:
        inputs = {"ref_latents": latents, "ref_pose_features": features}
        return [Graph("reference", Reference(model), inputs, names, {k: {0: "conditions"} for k in inputs})]
    inputs, before = {"ref_latents": latents}, []
    if isinstance(model, ReferenceNet) and model.picture_encoder is not None:
        picture, random = model.picture_encoder.spec, torch.Generator().manual_seed(1)
        shown = {"picture": torch.rand(2, 3, picture.size, picture.size, generator=random)}
        before = [Graph("picture", model.picture_encoder, shown, ["ref_token"], {"picture": {0: "n"}})]
        inputs["ref_token"] = torch.randn(2, 1, picture.channels, generator=random)
    return [*before, Graph("reference", ReferenceUnposed(model), inputs, names, {k: {0: "conditions"} for k in inputs})]


def bundle_graphs(model: SCD, autoencoder: Codec) -> list[Graph]:
    """The graphs of a bundle, in the order in which a clip uses them. Examples are random (seeded)."""
    spec, random = model.spec, torch.Generator().manual_seed(0)
    (width, height), (columns, rows) = spec.size, spec.latent_size
    channels, features = spec.unet.latent_channels, spec.unet.channels[0]

    def normal(*shape: int) -> Tensor:
        return torch.randn(*shape, generator=random)

    sites = crossing_sites(spec)
    names = kv_names(sites)
    kv = [normal(2, site.tokens, site.channels) for site in sites for _ in range(2)]
    target = {
        "latents": normal(3, channels, rows, columns),
        "timestep": torch.tensor([500.0]),
        "pose_features": normal(3, features, rows, columns),
    }
    pose = torch.rand(3, 3, height, width, generator=random)
    ref_latents, ref_features = normal(2, channels, rows, columns), normal(2, features, rows, columns)
    deep = normal(2, 3, deep_channels(spec), rows, columns)
    first = reference_graphs(model, ref_latents, ref_features, names)
    return [
        Graph("encoder", Encoder(autoencoder), {"image": normal(3, 3, height, width).clamp(-1, 1)}, ["latents"], {"image": {0: "n"}}),
        Graph("pose", model.pose_encoder, {"pose": pose}, ["pose_features"], {"pose": {0: "frames"}}),
        *first,
        *target_graphs(model, target | dict(zip(names, kv, strict=True)), deep),
        Graph("decoder", Decoder(autoencoder), {"latents": normal(3, channels, rows, columns)}, ["image"], {"latents": {0: "n"}}),
    ]


def example_inputs(graph: Graph, dialect: Dialect) -> list[Tensor]:
    """The timestep stays float32: float16 has no 999 different steps to spare."""
    half = dialect.half
    return [tensor.half() if half and name != "timestep" else tensor for name, tensor in graph.inputs.items()]


def trace(graph: Graph, spec: ModelSpec, dialect: Dialect) -> ir.Model:
    """Trace to ONNX. Axes named alike share one symbol; frames run to the motion modules' table."""
    limits = {"n": 64, "frames": longest(spec), "conditions": 4}
    symbols = {name: Dim(name, min=1, max=limit) for name, limit in limits.items()}
    shapes: list[Any] = [{axis: symbols[n] for axis, n in graph.dynamic[k].items()} if k in graph.dynamic else None for k in graph.inputs]
    arguments: list[Any] = example_inputs(graph, dialect)
    plain = [i for i, name in enumerate(graph.inputs) if not is_kv(name)]
    if len(plain) < len(arguments):  # the K/V are one list argument of the module, the last
        arguments, shapes = [*arguments[: len(plain)], arguments[len(plain) :]], [*shapes[: len(plain)], shapes[len(plain) :]]
    program = torch.onnx.export(
        exportable(graph.module, dialect), tuple(arguments), input_names=list(graph.inputs), output_names=graph.outputs, dynamo=True,
        dynamic_shapes=tuple(shapes), opset_version=dialect.opset, verbose=False,
    )  # fmt: skip
    assert program is not None
    return program.model
