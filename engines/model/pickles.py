"""Weights in torch's pickles (.pth, .bin), opened so that they can hold tensors and nothing that runs."""

import re
import warnings
from collections.abc import Mapping
from pathlib import Path

import torch
from torch import Tensor

from engines.core.errors import ScdError
from engines.model.pretrained import PICKLES, floats, read_weights


def read_tensors(path: Path) -> dict[str, Tensor]:
    """Tensors by name, float32: a state dict of torch.save, or safetensors.

    Pickles through torch.load(weights_only=True). ScdError names the file that is damaged, needs more than tensors, or is no state dict.
    """
    found = load_pickle(path) if path.suffix.lower() in PICKLES else read_weights(path)
    if not isinstance(found, Mapping) or not found:
        raise ScdError(f"{path} holds no weights by name", "save the state dict of the network")
    other = [name for name, value in found.items() if not isinstance(name, str) or not isinstance(value, Tensor)]
    if other:
        raise ScdError(f"{path} holds {other[0]}, which is no tensor", "save the state dict of the network alone")
    return floats(found)


def load_pickle(path: Path) -> object:
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # what torch warns of here is an error below, or nothing
            return torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # torch, zipfile, pickle and the file system all raise their own
        needs = re.search(r"GLOBAL (\S+)", str(error))
        if needs:
            raise ScdError(
                f"{path} needs {needs[1]} to be opened, more than tensors, and that can run code", "save its tensors alone, by name"
            ) from error
        first = (str(error).strip().splitlines() or [type(error).__name__])[0]
        raise ScdError(f"{path} is no file of weights, or a damaged one ({first[:100].rstrip('.')})", "get the file again") from error
