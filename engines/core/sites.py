"""Self-attention sites: the places where reference keys and values enter the target's attention."""

from collections.abc import Iterable
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Site:
    """One self-attention layer: its K and V have shape (conditions, tokens, channels), before the split into heads."""

    name: str
    tokens: int
    channels: int

    @property
    def key_name(self) -> str:
        return f"ref_k.{self.name}"

    @property
    def value_name(self) -> str:
        return f"ref_v.{self.name}"


def is_kv(name: str) -> bool:
    """Whether a tensor is a reference's key or value (ref_latents and ref_pose_features are none)."""
    return name.startswith(("ref_k.", "ref_v."))


def kv_names(sites: Iterable[Site]) -> list[str]:
    """Tensor names in graph order: key, value, key, value ... site by site."""
    return [name for site in sites for name in (site.key_name, site.value_name)]
