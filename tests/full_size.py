"""A checkpoint of Stable Diffusion 1.5's size, AnimateDiff's motion modules in it, with random weights: what export and bench are tried on.

    python tests/full_size.py OUT [--image] [--size 512x512]

1,314 M parameters in the networks (860 M UNet, 453 M motion) and 84 M in the autoencoder; 2.8 GB as float16. `--image` leaves motion out.
"""

import argparse
import json
import sys
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT))

import torch  # noqa: E402
from safetensors.torch import save_file  # noqa: E402
from torch import Tensor, nn  # noqa: E402

from engines.core.schedule import NoiseSchedule  # noqa: E402
from engines.core.specs import ModelSpec, MotionSpec, PoseEncoderSpec, TextSpec, UNetSpec  # noqa: E402
from engines.model.checkpoint import FACTS, WEIGHTS, prefixed  # noqa: E402
from engines.model.pretrained import POSE_WIDTHS, SAMPLING  # noqa: E402
from engines.model.scd import SCD  # noqa: E402
from engines.model.stable_vae import STABLE, VAE_15, StableVae  # noqa: E402

UNET = UNetSpec(
    latent_channels=4, channels=(320, 640, 1280, 1280), attention=(True, True, True, False), layers_per_block=2, head_size=0,
    feed_forward_ratio=4, groups=32, heads=8, text=TextSpec(tokens=77, channels=768),
)  # fmt: skip
MOTION = MotionSpec(levels=(0, 1, 2, 3), max_frames=32, head_size=0, feed_forward_ratio=4, layout="animatediff", heads=8)
POSE = PoseEncoderSpec(channels=POSE_WIDTHS, position_frequencies=0, layout="controlnet")
SCHEDULE = NoiseSchedule(train_timesteps=1000, beta_start=0.00085, beta_end=0.012, zero_terminal_snr=False, prediction_type="epsilon")


def full_spec(size: tuple[int, int], motion: bool) -> ModelSpec:
    return ModelSpec(size=size, downscale=8, unet=UNET, pose=POSE, motion=MOTION if motion else None)


def random_weights(module: nn.Module, seed: int) -> dict[str, Tensor]:
    """float16 weights of a module on the meta device: normal, of the deviation 1/sqrt(inputs); norms 1, biases near 0; nothing is zero."""
    generator = torch.Generator().manual_seed(seed)
    out = {}
    for name, tensor in module.state_dict().items():
        values = torch.randn(tensor.shape, generator=generator)
        if name.endswith(".pe"):
            values = tensor
        elif tensor.dim() > 1 and name != "unet.prompt":
            values /= tensor[0].numel() ** 0.5
        elif name != "unet.prompt":
            values = values * 0.02 + (1.0 if "norm" in name and name.endswith("weight") else 0.0)
        out[name] = values.half()
    return out


def full_weights(spec: ModelSpec) -> dict[str, Tensor]:
    """Of network and autoencoder, under a checkpoint's names. The position tables are the true ones."""
    with torch.device("meta"):
        network = SCD(replace(spec, motion=None))
    motion = {}
    if spec.motion:  # by itself: its position tables are computed, and want a real device
        whole = SCD(spec)
        motion = {name: tensor for name, tensor in whole.state_dict().items() if "motion_modules" in name}
    weights = random_weights(network, 0) | random_weights(Named(motion), 1)
    return prefixed("scd", weights) | prefixed("autoencoder", random_weights(StableVae(VAE_15), 2))


class Named(nn.Module):
    """Tensors under their names, as a module's state."""

    def __init__(self, tensors: dict[str, Tensor]) -> None:
        super().__init__()
        self.tensors = tensors

    def state_dict(self, *arguments: Any, **options: Any) -> dict[str, Tensor]:
        return self.tensors


def write_full(out: Path, size: tuple[int, int], motion: bool) -> Path:
    """A checkpoint folder as `scd train` writes it."""
    spec = full_spec(size, motion)
    out.mkdir(parents=True)
    save_file(full_weights(spec), out / WEIGHTS)
    facts = {
        "kind": "scd", "name": "full-size random", "step": 0, "data": "none", "trained_on": "nothing: random weights",
        "autoencoder": {"layout": STABLE, "config": VAE_15},
        "recipe": {
            "data": "", "autoencoder": "", "initial": "", "model": asdict(spec), "schedule": asdict(SCHEDULE), "sampling": asdict(SAMPLING),
        },
    }  # fmt: skip
    (out / FACTS).write_text(json.dumps(facts, indent=1) + "\n")
    return out


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("out", type=Path)
    parser.add_argument("--image", action="store_true")
    parser.add_argument("--size", default="512x512")
    chosen = parser.parse_args()
    width, _, height = chosen.size.partition("x")
    print(write_full(chosen.out, (int(width), int(height)), not chosen.image))


if __name__ == "__main__":
    main()
