"""A tiny SCD model in plain numpy: the truth that the tiny bundle's graphs and the pipeline are held against.

Two attention sites; frames do not see each other, unless `motion` adds their mean. Weights are seeded and exact in float16, as bundles
store them.
"""

import numpy as np
from numpy.typing import NDArray

from engines.core.sites import Site

Floats = NDArray[np.float32]
SIZE = (32, 48)  # width, height
DOWNSCALE, CHANNELS, FEATURES, WIDTH = 8, 4, 5, 16
COLUMNS, ROWS = SIZE[0] // DOWNSCALE, SIZE[1] // DOWNSCALE
TOKENS = COLUMNS * ROWS
SITES = (Site("down.0.0", TOKENS, WIDTH), Site("mid", TOKENS, WIDTH))


def tiny_weights(seed: int) -> dict[str, Floats]:
    """Every weight by name. The autoencoder carries mean colours, so that pictures come out about right; the rest is random."""
    rng = np.random.default_rng(seed)

    def draw(*shape: int, scale: float) -> Floats:
        return (rng.standard_normal(shape) * scale).astype(np.float16).astype(np.float32)

    patch = (DOWNSCALE, DOWNSCALE)
    out = {"encoder": draw(CHANNELS, 3, *patch, scale=0.01), "decoder": draw(CHANNELS, 3, *patch, scale=0.05)}
    for colour in range(3):
        out["encoder"][colour, colour] += np.float32(1 / 64)
        out["decoder"][colour, colour] += np.float32(0.5)
    out = {name: weight.astype(np.float16).astype(np.float32) for name, weight in out.items()}
    out |= {"pose": draw(FEATURES, 3, *patch, scale=0.1), "latents_in": draw(CHANNELS, WIDTH, scale=0.5)}
    out |= {"pose_in": draw(FEATURES, WIDTH, scale=0.3), "time_in": draw(1, WIDTH, scale=0.3), "out": draw(WIDTH, CHANNELS, scale=0.3)}
    return out | {f"{kind}.{site.name}": draw(WIDTH, WIDTH, scale=0.3) for site in SITES for kind in "qkv"}


def tokens_of(grid: Floats) -> Floats:
    """(n, C, h, w) -> (n, h * w, C)."""
    return grid.reshape(*grid.shape[:2], -1).transpose(0, 2, 1)


def attend(query: Floats, key: Floats, value: Floats) -> Floats:
    """Softmax attention with one head over the last two axes."""
    scores = query @ key.swapaxes(-1, -2) / np.float32(WIDTH**0.5)
    shares = np.exp(scores - scores.max(-1, keepdims=True))
    out: Floats = (shares / shares.sum(-1, keepdims=True)) @ value
    return out


class TinyModel:
    """The five graphs of a bundle as numpy functions, with the bundle's shapes."""

    def __init__(self, seed: int, motion: bool) -> None:
        self.weights, self.motion = tiny_weights(seed), motion

    def patches(self, image: Floats, name: str) -> Floats:
        """A convolution whose stride is its kernel: (n, 3, H, W) -> (n, channels, h, w)."""
        cut = image.reshape(len(image), 3, ROWS, DOWNSCALE, COLUMNS, DOWNSCALE)
        return np.einsum("nchiwj,ocij->nohw", cut, self.weights[name]).astype(np.float32)

    def encoder(self, image: Floats) -> Floats:
        return self.patches(image, "encoder")

    def pose(self, pose: Floats) -> Floats:
        return self.patches(pose, "pose")

    def decoder(self, latents: Floats) -> Floats:
        out = np.einsum("nchw,coij->nohiwj", latents, self.weights["decoder"])
        return np.tanh(out.reshape(len(latents), 3, SIZE[1], SIZE[0])).astype(np.float32)

    def hidden(self, latents: Floats, features: Floats, timestep: float) -> Floats:
        w = self.weights
        return tokens_of(latents) @ w["latents_in"] + tokens_of(features) @ w["pose_in"] + np.float32(timestep / 1000) * w["time_in"]

    def reference(self, latents: Floats, features: Floats) -> dict[str, Floats]:
        """K/V (c, tokens, channels) by tensor name; the reference sees only itself, at timestep 0."""
        hidden, out = self.hidden(latents, features, 0.0), {}
        for site in SITES:
            query, key, value = (hidden @ self.weights[f"{kind}.{site.name}"] for kind in "qkv")
            out[site.key_name], out[site.value_name] = key, value
            hidden = hidden + attend(query, key, value)
        return out

    def target(self, latents: Floats, timestep: float, features: Floats, kv: dict[str, Floats]) -> Floats:
        """Prediction (c, f, C, h, w) for f frames under c conditions."""
        hidden = self.hidden(latents, features, timestep)[None]
        for site in SITES:
            query, key, value = (hidden @ self.weights[f"{kind}.{site.name}"] for kind in "qkv")
            seen = [np.concatenate(self.beside(kv[name], own), axis=2) for name, own in ((site.key_name, key), (site.value_name, value))]
            hidden = hidden + attend(query, *seen)
        if self.motion:
            hidden = hidden + np.float32(0.5) * hidden.mean(1, keepdims=True)
        out = (hidden @ self.weights["out"]).swapaxes(-1, -2)
        return out.reshape(*out.shape[:2], CHANNELS, ROWS, COLUMNS)

    @staticmethod
    def beside(reference: Floats, own: Floats) -> tuple[Floats, Floats]:
        """Reference (c, tokens, ch) and own (c or 1, f, tokens, ch), both as (c, f, tokens, ch)."""
        shape = (len(reference), *own.shape[1:])
        return np.broadcast_to(reference[:, None], shape), np.broadcast_to(own, shape)
