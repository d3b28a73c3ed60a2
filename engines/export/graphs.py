"""The graphs of a bundle as small torch modules with plain tensors in and out, and their export to ONNX.

f frames, c conditions, C latent channels, h w latent rows and columns, D pose feature channels.
"""

from collections.abc import Sequence
from copy import deepcopy
from dataclasses import dataclass
from typing import Any, cast

import onnx
import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.export import Dim

from engines.core.sites import kv_names
from engines.core.specs import ModelSpec
from engines.model.autoencoder import Autoencoder
from engines.model.layers import GEGLU, FeedForward
from engines.model.scd import SCD, repeat_kv

OPSET = 20  # the newest that onnxruntime's CPU provider runs without falling back to slow kernels


@dataclass(frozen=True)
class Graph:
    """A module, example inputs by name (every one a tensor of its own), output names, and which input axes are dynamic."""

    name: str
    module: nn.Module
    inputs: dict[str, Tensor]
    outputs: list[str]
    dynamic: dict[str, dict[int, str]]


class Encoder(nn.Module):
    def __init__(self, autoencoder: Autoencoder) -> None:
        super().__init__()
        self.autoencoder = autoencoder

    def forward(self, image: Tensor) -> Tensor:
        return self.autoencoder.encode(image)


class Decoder(nn.Module):
    def __init__(self, autoencoder: Autoencoder) -> None:
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


class Target(nn.Module):
    """Noisy latents of f frames under c conditions -> prediction (c, f, C, h, w)."""

    def __init__(self, model: SCD) -> None:
        super().__init__()
        self.model = model

    def forward(self, latents: Tensor, timestep: Tensor, pose_features: Tensor, kv: Sequence[Tensor]) -> Tensor:
        conditions, frames = kv[0].shape[0], latents.shape[0]

        def per_condition(x: Tensor) -> Tensor:
            return x[None].expand(conditions, -1, -1, -1, -1).flatten(0, 1)

        reference = repeat_kv(list(zip(kv[0::2], kv[1::2], strict=True)), frames)
        clips = conditions if self.model.spec.motion else 0
        out = self.model.target(per_condition(latents), timestep, per_condition(pose_features), reference, clips)
        return out.unflatten(0, (conditions, frames))


class SplitGEGLU(nn.Module):
    """A GEGLU whose value and gate are linear layers of their own: onnxruntime's Split copies what torch's chunk only views."""

    def __init__(self, whole: GEGLU) -> None:
        super().__init__()
        shape = whole.proj.in_features, whole.proj.out_features // 2
        self.value, self.gate = nn.Linear(*shape), nn.Linear(*shape)
        halves = whole.proj.weight.detach().chunk(2), whole.proj.bias.detach().chunk(2)
        for half, weight, bias in zip((self.value, self.gate), *halves, strict=True):
            half.load_state_dict({"weight": weight, "bias": bias})

    def forward(self, hidden: Tensor) -> Tensor:
        return self.value(hidden) * F.gelu(self.gate(hidden))


def with_split_gates(module: nn.Module) -> nn.Module:
    """A copy of the module, every GEGLU of it split."""
    out = deepcopy(module)
    for part in out.modules():
        if isinstance(part, FeedForward):
            part.net[0] = SplitGEGLU(cast(GEGLU, part.net[0]))
    return out


def bundle_graphs(model: SCD, autoencoder: Autoencoder) -> list[Graph]:
    """The five graphs, in the order in which a clip uses them. Examples are random (seeded)."""
    spec, random = model.spec, torch.Generator().manual_seed(0)
    (width, height), (columns, rows) = spec.size, spec.latent_size
    channels, features = spec.unet.latent_channels, spec.unet.channels[0]

    def normal(*shape: int) -> Tensor:
        return torch.randn(*shape, generator=random)

    names = kv_names(model.unet.sites)
    kv = [normal(2, site.tokens, site.channels) for site in model.unet.sites for _ in range(2)]
    target = {
        "latents": normal(3, channels, rows, columns),
        "timestep": torch.tensor([500.0]),
        "pose_features": normal(3, features, rows, columns),
    }
    pose = torch.rand(3, 3, height, width, generator=random)
    reference = {"ref_latents": normal(2, channels, rows, columns), "ref_pose_features": normal(2, features, rows, columns)}
    return [
        Graph("encoder", Encoder(autoencoder), {"image": normal(3, 3, height, width).clamp(-1, 1)}, ["latents"], {"image": {0: "n"}}),
        Graph("pose", model.pose_encoder, {"pose": pose}, ["pose_features"], {"pose": {0: "frames"}}),
        Graph("reference", Reference(model), reference, names, {k: {0: "conditions"} for k in reference}),
        Graph(
            "target", Target(model), target | dict(zip(names, kv, strict=True)), ["prediction"],
            {"latents": {0: "frames"}, "pose_features": {0: "frames"}} | {k: {0: "conditions"} for k in names},
        ),
        Graph("decoder", Decoder(autoencoder), {"latents": normal(3, channels, rows, columns)}, ["image"], {"latents": {0: "n"}}),
    ]  # fmt: skip


def export_graph(graph: Graph, spec: ModelSpec) -> onnx.ModelProto:
    """Trace to ONNX, float32. Axes named alike share one symbol; frames run to the motion modules' table."""
    top = spec.motion.max_frames if spec.motion else 64
    limits = {"n": 64, "frames": top, "conditions": 4}
    symbols = {name: Dim(name, min=1, max=limit) for name, limit in limits.items()}
    shapes: list[Any] = [{axis: symbols[n] for axis, n in graph.dynamic[k].items()} if k in graph.dynamic else None for k in graph.inputs]
    arguments: list[Any] = list(graph.inputs.values())
    if graph.name == "target":  # the K/V are one list argument of the module
        arguments, shapes = [*arguments[:3], arguments[3:]], [*shapes[:3], shapes[3:]]
    program = torch.onnx.export(
        with_split_gates(graph.module).eval(), tuple(arguments), input_names=list(graph.inputs), output_names=graph.outputs, dynamo=True,
        dynamic_shapes=tuple(shapes), opset_version=OPSET, verbose=False,
    )  # fmt: skip
    assert program is not None
    return program.model_proto
