"""Trained weights of CLIP's image encoder for a model whose spec names them: transformers' folder or hub id, safetensors only."""

from pathlib import Path

from engines.model.checkpoint import load_strict
from engines.model.picture_encoder import PictureEncoder
from engines.model.pretrained import floats, from_hub, is_hub_id, read_weights
from engines.model.scd import SCD

FILE = "model.safetensors"
TOWER = ("vision_model.", "visual_projection.")  # of a whole CLIP's tensors, those of its image encoder


def load_picture_encoder(model: SCD) -> None:
    """Into the model's image encoder, where it has one and its spec names weights.

    ScdError for what cannot be read, is no image encoder of CLIP's, or is of other sizes than the spec.
    """
    encoder = getattr(model, "picture_encoder", None)
    if not isinstance(encoder, PictureEncoder) or not encoder.spec.weights:
        return
    name = encoder.spec.weights
    folder = from_hub(name, [FILE]) if is_hub_id(name) else Path(name)
    found = {k: v for k, v in floats(read_weights(folder / FILE)).items() if k.startswith(TOWER) and not k.endswith(".position_ids")}
    load_strict(encoder.clip, found, folder, "name weights of CLIP's image encoder, of the sizes in [model.picture]")
