"""Metrics of how a picture's content stays the same: DINO's and CLIP's embeddings against the reference and along the video.

The networks are local transformers folders (config.json, model.safetensors, preprocessor_config.json). Pictures are prepared here, by
the folder's own preprocessor_config.json: transformers' own image processors need torchvision. torch is loaded only by `open_subjects`.
"""

import json
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from engines.core.errors import MissingExtra, ScdError
from engines.evaluate.weights import Weights, find

if TYPE_CHECKING:
    import torch

Picture = NDArray[np.uint8]
Vectors = NDArray[np.float64]
Floats = NDArray[np.float32]
Forward = Callable[["torch.Tensor"], "torch.Tensor"]
KINDS = {"dino": ("vit", "dinov2", "dinov2_with_registers"), "clip": ("clip", "clip_vision_model")}  # model types of config.json
FIXED_SIZE = ("vit", "clip", "clip_vision_model")  # those that take pictures of config.json's image_size only
UNUSED = ("pooler.",)  # of the network: left out of some checkpoints
BATCH = 16
EXTRA = "evaluate"  # of pip: what brings torch and transformers
CONFIG, PREPROCESSOR = "config.json", "preprocessor_config.json"


@dataclass(frozen=True, slots=True)
class Preprocessing:
    """What preprocessor_config.json asks for, in its order: resize, crop, scale, normalize.

    `size` is (height, width), or the one number of the shorter side; `crop` (height, width) or None; `mean` and `std` of RGB.
    """

    size: tuple[int, int] | int | None
    resample: int
    crop: tuple[int, int] | None
    factor: float
    mean: tuple[float, ...]
    std: tuple[float, ...]

    def __call__(self, picture: Picture) -> Floats:
        """uint8 (H, W, 3) RGB -> float32 (3, h, w)."""
        image = Image.fromarray(picture)
        image = image.resize(self.resized(image.size), Image.Resampling(self.resample))
        if self.crop is not None:
            left, top = (image.width - self.crop[1]) // 2, (image.height - self.crop[0]) // 2
            image = image.crop((left, top, left + self.crop[1], top + self.crop[0]))  # black where the picture is smaller
        scaled = np.asarray(image, np.float32) * np.float32(self.factor)
        out = (scaled - np.array(self.mean, np.float32)) / np.array(self.std, np.float32)
        return np.asarray(out.transpose(2, 0, 1), np.float32)

    def resized(self, size: tuple[int, int]) -> tuple[int, int]:
        """(width, height) of a picture of this (width, height) after the resize."""
        if self.size is None:
            return size
        if isinstance(self.size, tuple):
            return self.size[1], self.size[0]
        short, long = sorted(size)
        longer = int(self.size * long / short)
        return (self.size, longer) if size[0] <= size[1] else (longer, self.size)

    def final(self) -> tuple[int, int] | None:
        """(height, width) that every picture ends with; None where that depends on the picture."""
        return self.crop or (self.size if isinstance(self.size, tuple) else None)


def pair(value: Any) -> tuple[int, int]:
    """(height, width) of a number or of a table with both."""
    return (int(value["height"]), int(value["width"])) if isinstance(value, dict) else (int(value), int(value))


def size_in(config: dict[str, Any]) -> tuple[int, int] | int | None:
    """Older files give one number: the shorter side for CLIP, both sides for ViT."""
    value = config.get("size")
    if not config.get("do_resize", True) or value is None:
        return None
    if isinstance(value, dict) and "shortest_edge" in value:
        return int(value["shortest_edge"])
    return int(value) if not isinstance(value, dict) and processor_in(config).startswith("CLIP") else pair(value)


def processor_in(config: dict[str, Any]) -> str:
    """The name of transformers' class for it, of whose defaults files of old leave out some."""
    return str(config.get("image_processor_type") or config.get("feature_extractor_type") or "")


def preprocessing_in(config: dict[str, Any]) -> Preprocessing:
    """Of the contents of preprocessor_config.json. KeyError, TypeError or ValueError where they are something else."""
    crop = pair(config["crop_size"]) if config.get("do_center_crop") else None
    factor = float(config.get("rescale_factor", 1 / 255)) if config.get("do_rescale", True) else 1.0
    plain = not config.get("do_normalize", True)
    mean, std = (0.0,) * 3 if plain else config["image_mean"], (1.0,) * 3 if plain else config["image_std"]
    if len(mean) != 3 or len(std) != 3:
        raise ValueError("image_mean and image_std need three numbers each")
    usual = Image.Resampling.BILINEAR if processor_in(config).startswith("ViT") else Image.Resampling.BICUBIC
    resample = Image.Resampling(config.get("resample", usual))
    return Preprocessing(size_in(config), int(resample), crop, factor, tuple(map(float, mean)), tuple(map(float, std)))


def read_config(path: Path) -> dict[str, Any]:
    hint = f"give a folder as transformers saves it, with {CONFIG}, {PREPROCESSOR} and model.safetensors"
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise ScdError(f"{path} cannot be read ({error.__class__.__name__})", hint) from error
    if not isinstance(found, dict):
        raise ScdError(f"{path} is no JSON object", hint)
    return found


def read_preprocessing(folder: Path) -> Preprocessing:
    path = folder / PREPROCESSOR
    config = read_config(path)
    try:
        return preprocessing_in(config)
    except (KeyError, TypeError, ValueError) as error:
        raise ScdError(f"{path} does not say how to prepare pictures ({error})", "take the file of the network's own repository") from error


def check_sizes(folder: Path, model_type: str, size: int | None, preprocessing: Preprocessing) -> None:
    """Networks with a fixed size of picture need a preprocessing that ends with it."""
    if model_type in FIXED_SIZE and preprocessing.final() != (size, size):
        ends = "x".join(map(str, preprocessing.final() or ())) or "any size"
        raise ScdError(f"{folder} prepares pictures of {ends} for a network of {size}x{size}", f"correct its {PREPROCESSOR}")


@contextmanager
def quiet() -> Iterator[None]:
    """transformers shows a bar while it reads, and lists the text half of a CLIP checkpoint as unexpected."""
    from transformers.utils import logging

    before, bar = logging.get_verbosity(), logging.is_progress_bar_enabled()
    logging.set_verbosity_error()
    logging.disable_progress_bar()
    try:
        yield
    finally:
        logging.set_verbosity(before)
        if bar:
            logging.enable_progress_bar()


def loaded(kind: str, folder: Path) -> tuple[Forward, str, int | None]:
    """The network of a folder as a function (N, 3, h, w) -> (N, D), its model type, and the size of its pictures."""
    from safetensors import SafetensorError
    from transformers import AutoConfig, AutoModel, CLIPVisionModelWithProjection

    model_type = str(read_config(folder / CONFIG).get("model_type"))
    if model_type not in KINDS[kind]:
        raise ScdError(f"{folder} holds a network of the type {model_type}", f"give one of these types: {', '.join(KINDS[kind])}")
    source = AutoModel if kind == "dino" else CLIPVisionModelWithProjection
    try:
        with quiet():
            config = AutoConfig.from_pretrained(str(folder), local_files_only=True)
            if model_type == "clip":  # with a text half, of which nothing is needed
                config.vision_config.projection_dim = config.projection_dim
                config = config.vision_config
            model, facts = source.from_pretrained(
                str(folder), config=config, local_files_only=True, use_safetensors=True, output_loading_info=True
            )
    except (OSError, ValueError, RuntimeError, SafetensorError) as error:
        why = str(error).strip().splitlines()[0]
        raise ScdError(f"the network in {folder} cannot be loaded ({why})", "give its model.safetensors and config.json") from error
    lost = sorted(key for key in facts["missing_keys"] if not key.startswith(UNUSED))
    if lost:
        raise ScdError(f"the weights in {folder} lack {len(lost)} parts of the network, {lost[0]} first", "take a complete checkpoint")
    model.eval().float()
    forward: Forward = (lambda x: model(x).last_hidden_state[:, 0]) if kind == "dino" else (lambda x: model(x).image_embeds)
    return forward, model_type, getattr(model.config, "image_size", None)


class SubjectJudge:
    """Compares whole pictures by one network. `kind` is "dino" or "clip"; `weights` is its folder."""

    def __init__(self, kind: str, forward: Forward, preprocessing: Preprocessing, weights: Weights | None = None) -> None:
        self.kind, self.forward, self.preprocessing, self.weights = kind, forward, preprocessing, weights

    def embed(self, pictures: Sequence[Picture]) -> Vectors:
        """Unit vectors (N, D) of uint8 (H, W, 3) RGB: DINO's CLS token of the last hidden state, CLIP's projected embedding."""
        import torch

        if not pictures:
            return np.zeros((0, 0))
        ready = [self.preprocessing(picture) for picture in pictures]
        out = []
        with torch.inference_mode():
            for start in range(0, len(ready), BATCH):
                out.append(self.forward(torch.from_numpy(np.stack(ready[start : start + BATCH]))).double().numpy())
        vectors = np.concatenate(out)
        return np.asarray(vectors / np.maximum(np.linalg.norm(vectors, axis=1, keepdims=True), 1e-12), np.float64)

    def along(self, frames: Iterable[Picture]) -> Iterator[NDArray[np.float64]]:
        """The unit vector (D,) of each frame, a batch of frames in memory at a time."""
        waiting = iter(frames)
        while batch := list(islice(waiting, BATCH)):
            yield from self.embed(batch)

    def video(self, reference: Picture | None, frames: Iterable[Picture]) -> dict[str, list[float | None]]:
        """Figures of each frame of one video: "<kind>_reference" (left out without a reference) and "<kind>_consistency".

        Reference: the cosine with the reference picture, -1..1 (DINO-I and CLIP-I, Ruiz et al. 2023). Consistency: VBench's subject
        consistency (Huang et al. 2024), the mean of the cosines with the first and the previous frame, each at least 0; None for the
        first frame. VBench itself takes DINO ViT-B/16 and shrinks frames to a shorter side of 224 without antialiasing or a crop;
        here the folder's preprocessing applies.
        """
        own = None if reference is None else self.embed([reference])[0]
        first = before = None
        likeness: list[float | None] = []
        steady: list[float | None] = []
        for vector in self.along(frames):
            if own is not None:
                likeness.append(float(own @ vector))
            known = first is not None and before is not None
            steady.append((max(0.0, float(first @ vector)) + max(0.0, float(before @ vector))) / 2 if known else None)  # type: ignore[operator]
            first, before = vector if first is None else first, vector
        out = {f"{self.kind}_consistency": steady}
        return out if own is None else {f"{self.kind}_reference": likeness, **out}


def judge_of(weights: Weights) -> SubjectJudge:
    """Over the transformers folder at `weights.path`; its key, "dino" or "clip", is the kind. See `open_subjects`."""
    try:
        import torch  # noqa: F401
        import transformers  # noqa: F401
    except ImportError as error:
        raise MissingExtra(f"comparing pictures by {weights.key.upper()}", EXTRA) from error
    preprocessing = read_preprocessing(weights.path)
    forward, model_type, size = loaded(weights.key, weights.path)
    check_sizes(weights.path, model_type, size, preprocessing)
    return SubjectJudge(weights.key, forward, preprocessing, weights)


def open_subjects(kind: str, folder: Path | None) -> SubjectJudge:
    """The judge of kind "dino" (ViT and DINOv2 folders) or "clip", from a local transformers folder found among the weights.

    Nothing is fetched, and only safetensors are read. WeightsMissing where the folder is not there, MissingExtra without torch or
    transformers, ScdError for a folder that holds something else.
    """
    return judge_of(find(kind, folder))
