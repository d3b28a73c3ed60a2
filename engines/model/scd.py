"""An SCD model: the UNet and the pose encoder that go together, and the two passes of Eq. 1."""

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from engines.core.specs import ModelSpec
from engines.model.layers import KeyValue
from engines.model.pose_encoder import pose_encoder
from engines.model.unet import UNet


class SCD(nn.Module):
    def __init__(self, spec: ModelSpec) -> None:
        super().__init__()
        self.spec, self.posed = spec, spec.posed
        self.unet = UNet(spec)
        self.pose_encoder = pose_encoder(spec)

    def ref_features(self, ref_pose_features: Tensor | None) -> Tensor:
        """What is added to the reference's first features: its pose's (c, D, h, w), or, where the spec gives it none, what of them knows
        no pose, (1, D, h, w) or ()."""
        return ref_pose_features if self.posed and ref_pose_features is not None else self.pose_encoder.place()

    def reference(self, ref_latents: Tensor, ref_pose_features: Tensor | None = None) -> list[KeyValue]:
        """The reference pass at timestep 0: latents (c, C, h, w) and pose features (c, D, h, w) -> K/V by site, (c, tokens, channels).

        The reference sees only itself, frame by frame, so motion modules see clips of one frame: they are left out of this pass
        (an SCD-V reads its reference exactly as the SCD-I it grew from).
        """
        timestep = torch.zeros(1, dtype=torch.float32, device=ref_latents.device)
        return self.unet(ref_latents, timestep, self.ref_features(ref_pose_features), None, clips=0)[1]

    def target(self, latents: Tensor, timestep: Tensor, pose_features: Tensor, reference: Sequence[KeyValue] | None, clips: int) -> Tensor:
        """The target pass: latents (B, C, h, w), reference K/V (B, tokens, channels) -> prediction (B, C, h, w).

        None for the reference has each item see itself alone, as a base model of pictures does.
        """
        return self.unet(latents, timestep, pose_features, reference, clips)[0]

    def target_and_deep(
        self, latents: Tensor, timestep: Tensor, pose_features: Tensor, reference: Sequence[KeyValue], clips: int
    ) -> tuple[Tensor, Tensor]:
        """`target`, and the features (B, deep_channels(spec), h, w) that `unet.shallow` takes at later steps."""
        feed = self.unet.feed(reference)
        return self.unet.whole(latents, timestep, pose_features, feed, clips), feed.deep


def repeat_kv(reference: Sequence[KeyValue], times: int) -> list[KeyValue]:
    """Pairs (n, ...), as K/V (n, tokens, channels), -> (n x times, ...), each item repeated in place: a reference serves `times` frames."""

    def each(x: Tensor) -> Tensor:
        return x[:, None].expand(-1, times, *x.shape[1:]).flatten(0, 1)

    return [(each(key), each(value)) for key, value in reference]
