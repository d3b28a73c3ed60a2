"""Sessions backed by torch modules: the run-time pipeline on the training weights, for previews, goldens and the bench's eager twin."""

from collections.abc import Collection, Mapping

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from engines.core.sites import is_kv

Arrays = Mapping[str, NDArray[np.generic]]


class TorchSession:
    """engines.sessions.base.Session over one graph of engines.export.graphs: the same names, arrays in and out."""

    def __init__(self, module: torch.nn.Module, inputs: list[str], outputs: list[str]) -> None:
        self.module, self.input_names, self.output_names = module.eval(), inputs, outputs
        self.pinned: dict[str, Tensor] = {}
        self.device = "cpu"

    def pin(self, constants: Arrays) -> None:
        self.pinned = {name: torch.from_numpy(np.asarray(array)) for name, array in constants.items()}

    @torch.inference_mode()
    def run(self, feeds: Arrays, wanted: Collection[str] | None = None) -> dict[str, NDArray[np.float32]]:
        tensors = {name: torch.from_numpy(np.ascontiguousarray(array)) for name, array in feeds.items()} | self.pinned
        values = [tensors[name] for name in self.input_names]
        kv = [name for name in self.input_names if is_kv(name)]
        if kv:
            plain = len(values) - len(kv)
            values = [*values[:plain], values[plain:]]  # type: ignore[list-item]
        out = self.module(*values)
        results = out if isinstance(out, tuple) else (out,)
        pairs = zip(self.output_names, results, strict=True)
        return {name: tensor.float().numpy() for name, tensor in pairs if wanted is None or name in wanted}

    def close(self) -> None:
        self.pinned = {}
