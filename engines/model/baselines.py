"""The models that the paper compares SCD with (METHOD, Table 2), with SCD's interface: `reference` reads once, `target` denoises.

`reference` gives a list of pairs whose first axis counts references, whatever a row has to hand on: repeat_kv serves frames with them.
"""

from collections.abc import Callable, Mapping, Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from engines.core.errors import ScdError
from engines.core.specs import ModelSpec
from engines.model.layers import CrossAttention, KeyValue, TransformerBlock
from engines.model.picture_encoder import PictureEncoder
from engines.model.reference_net import ReferenceNet, is_read
from engines.model.scd import SCD
from engines.model.unet import Feed


class Joint(SCD):
    """SCD-dagger: reference and noisy target side by side, the reference on the left, go through the UNet as one picture at the
    target's timestep; convolutions and self-attention mix them, both ways. The right half of the prediction is the target's."""

    def reference(self, ref_latents: Tensor, ref_pose_features: Tensor | None = None) -> list[KeyValue]:
        """Latents (c, C, h, w) and pose features (c, D, h, w) -> the one pair of both: there is no pass of the reference alone."""
        rows, columns = ref_latents.shape[2:]
        features = self.ref_features(ref_pose_features).expand(len(ref_latents), self.spec.unet.channels[0], rows, columns)
        return [(ref_latents, features)]

    def target(self, latents: Tensor, timestep: Tensor, pose_features: Tensor, reference: Sequence[KeyValue] | None, clips: int) -> Tensor:
        if reference is None:
            return super().target(latents, timestep, pose_features, None, clips)
        ((ref_latents, ref_features),) = reference
        both, features = torch.cat([ref_latents, latents], dim=3), torch.cat([ref_features.to(pose_features.dtype), pose_features], dim=3)
        return super().target(both, timestep, features, None, clips)[..., latents.shape[3] :]


class Channels(SCD):
    """Channel concatenation: the reference's latents are further input channels of the first convolution, zero for the null reference."""

    def __init__(self, spec: ModelSpec) -> None:
        super().__init__(spec)
        refuse_pose(spec)
        old = self.unet.conv_in
        self.unet.conv_in = nn.Conv2d(2 * old.in_channels, old.out_channels, 3, padding=1)
        self.unet.conv_in.weight, self.unet.conv_in.bias = nn.Parameter(widened(old.weight.detach())), old.bias

    def reference(self, ref_latents: Tensor, ref_pose_features: Tensor | None = None) -> list[KeyValue]:
        return [(ref_latents, ref_latents)]

    def target(self, latents: Tensor, timestep: Tensor, pose_features: Tensor, reference: Sequence[KeyValue] | None, clips: int) -> Tensor:
        shown = torch.zeros_like(latents) if reference is None else reference[0][0].to(latents.dtype)
        return super().target(torch.cat([latents, shown], dim=1), timestep, pose_features, None, clips)


class Pictured(SCD):
    """CLIP embedding: cross-attention looks at the token of the reference picture; for the null reference the token is zero.

    Where the base has no cross-attention, or none is loaded, its output starts at zero. Softmax over one token is 1 whatever the query
    and key: they have no influence, and are not trained.
    """

    def __init__(self, spec: ModelSpec) -> None:
        if spec.picture is None or spec.unet.text is None:
            raise ScdError(
                "a model of the condition 'picture' needs an image encoder and cross-attention", "add [model.picture] and [model.unet.text]"
            )
        super().__init__(spec)
        refuse_pose(spec)
        self.picture_encoder = PictureEncoder(spec.picture)
        for block in (module for module in self.unet.modules() if isinstance(module, TransformerBlock)):
            layer: CrossAttention = block.attn2
            for idle in (block.norm2, layer.to_q, layer.to_k):
                idle.requires_grad_(False)
            for parameter in layer.to_out.parameters():
                nn.init.zeros_(parameter)

    def reference(self, ref_latents: Tensor, ref_pose_features: Tensor | None = None, ref_token: Tensor | None = None) -> list[KeyValue]:
        """Latents (c, C, h, w), of which only is seen whether they are the null reference's, and the token (c, 1, channels)."""
        assert ref_token is not None
        shown = is_read(ref_latents) * ref_token
        return [(shown, shown)]

    def target(self, latents: Tensor, timestep: Tensor, pose_features: Tensor, reference: Sequence[KeyValue] | None, clips: int) -> Tensor:
        assert self.spec.picture is not None
        token = latents.new_zeros(1, 1, self.spec.picture.channels) if reference is None else reference[0][1]
        return self.unet.whole(latents, timestep, pose_features, Feed(None, token), clips)


CONDITIONS: dict[str, type[SCD]] = {"attention": SCD, "joint": Joint, "channels": Channels, "picture": Pictured}


def refuse_pose(spec: ModelSpec) -> None:
    if spec.posed:
        raise ScdError(f"a model of the condition '{spec.condition}' takes no pose of its reference", "set model.reference_pose to false")


def widened(weight: Tensor) -> Tensor:
    """A first convolution's weights (D, C, 3, 3) -> (D, 2 C, 3, 3), new ones zero: with them the model is what it was without."""
    return torch.cat([weight, torch.zeros_like(weight)], dim=1)


def build_model(spec: ModelSpec) -> SCD:
    """The model of a spec, freshly initialised. ScdError where the spec contradicts itself."""
    if spec.picture is not None and spec.condition != "picture" and spec.reference_net is None:
        raise ScdError(f"a model of the condition '{spec.condition}' does not look at a picture's token", "leave [model.picture] out")
    if spec.reference_net is None:
        return CONDITIONS[spec.condition](spec)
    if spec.condition != "attention":
        raise ScdError(f"a Reference-Net model has the condition 'attention', not '{spec.condition}'", "leave [model.reference_net] out")
    return ReferenceNet(spec)


def read_reference(model: SCD, ref_latents: Tensor, ref_pose_features: Tensor, decode: Callable[[Tensor], Tensor]) -> list[KeyValue]:
    """`model.reference` with all that a model of its kind reads: latents (c, C, h, w), pose features (c, D, h, w), and, where it has an
    encoder for it, the picture that decode(latents) makes, (c, 3, H, W) in [-1, 1]."""
    if not isinstance(model, Pictured | ReferenceNet) or model.picture_encoder is None:
        return model.reference(ref_latents, ref_pose_features)
    encoder = model.picture_encoder
    with torch.no_grad():
        shown = pictures_for(encoder, decode(ref_latents))
    with torch.set_grad_enabled(torch.is_grad_enabled() and not encoder.spec.weights):
        token = encoder(shown)
    return model.reference(ref_latents, ref_pose_features, token)


def pictures_for(encoder: PictureEncoder, pictures: Tensor) -> Tensor:
    """Pictures (n, 3, H, W) in [-1, 1] -> (n, 3, side, side) in [0, 1], squeezed as the run time squeezes them."""
    side = encoder.spec.size
    shrunk = F.interpolate(pictures.float(), (side, side), mode="bilinear", antialias=True, align_corners=False)
    return ((shrunk + 1) / 2).clamp(0, 1)


def from_base(model: SCD, weights: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """All weights for `model` from those of a base model, which knows no reference: what the base has, and of what it has not the model's
    own fresh ones (a Reference-Net's copy of the UNet where its spec says so). Weights of the model's own kind are returned as they are."""
    own, out = model.state_dict(), dict(weights)
    if not weights:
        return out
    first = "unet.conv_in.weight"
    if isinstance(model, Channels) and 2 * out[first].shape[1] == own[first].shape[1]:
        out[first] = widened(out[first])
    if isinstance(model, ReferenceNet) and not any(name.startswith("reference_unet.") for name in out):
        out |= {
            k: out.get(k.removeprefix("reference_"), v) if copied(model, k) else v
            for k, v in own.items()
            if k.startswith("reference_unet.")
        }
    if model.spec.picture is not None:
        out.pop("unet.prompt", None)  # the picture's token takes its place
        out = {k: v for k, v in own.items() if k.startswith("picture_encoder.") or crosses(k)} | out
    return out


def copied(model: ReferenceNet, name: str) -> bool:
    """Whether a tensor of the reading UNet starts as the denoising one's. The empty prompt is no weight: it is always the same."""
    return name == "reference_unet.prompt" or (model.spec.reference_net is not None and model.spec.reference_net.initial == "copy")


def crosses(name: str) -> bool:
    """Whether a tensor is of cross-attention or the norm before it."""
    return ".attn2." in name or (".norm2." in name and "transformer_blocks" in name)
