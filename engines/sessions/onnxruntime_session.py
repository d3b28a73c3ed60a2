"""onnxruntime behind the Session contract: CPU everywhere, CUDA where it is."""

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
from numpy.typing import NDArray

from engines.core.errors import ScdError, UsageError
from engines.sessions.base import Arrays

PROVIDERS = {"cpu": "CPUExecutionProvider", "cuda": "CUDAExecutionProvider"}
ERRORS_ONLY = 3


def provider_names(wanted: Sequence[str]) -> list[str]:
    """onnxruntime's names of providers such as "cuda", in order; ScdError lists what this machine has."""
    available = onnxruntime.get_available_providers()
    names = []
    for name in wanted:
        if name not in PROVIDERS:
            raise UsageError(f"there is no provider {name}", f"choose among: {', '.join(PROVIDERS)}")
        if PROVIDERS[name] not in available:
            have = [k for k, v in PROVIDERS.items() if v in available]
            raise ScdError(f"this machine's onnxruntime has no {name} provider", f"use --providers {','.join(have)}")
        names.append(PROVIDERS[name])
    return names


def usable_cores() -> int:
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else (os.cpu_count() or 1)


def options() -> onnxruntime.SessionOptions:
    """One pool of as many threads as there are cores; no memory arena: it keeps the peak of every run (see docs/decisions.md)."""
    out = onnxruntime.SessionOptions()
    out.log_severity_level = ERRORS_ONLY
    out.intra_op_num_threads = usable_cores()
    out.inter_op_num_threads = 1
    out.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_ENABLE_ALL
    out.enable_cpu_mem_arena = False
    return out


class OrtSession:
    """One graph. Pinned constants become OrtValues once and are bound, not copied, at every run."""

    def __init__(self, path: Path, providers: Sequence[str]) -> None:
        onnxruntime.set_default_logger_severity(ERRORS_ONLY)
        self.path = path
        self.session = onnxruntime.InferenceSession(str(path), options(), providers=provider_names(providers))
        self.input_names = [i.name for i in self.session.get_inputs()]
        self.output_names = [o.name for o in self.session.get_outputs()]
        self.device = "cuda" if "CUDAExecutionProvider" in self.session.get_providers() else "cpu"
        self.pinned: dict[str, onnxruntime.OrtValue] = {}

    def pin(self, constants: Arrays) -> None:
        unknown = set(constants) - set(self.input_names)
        if unknown:
            raise ValueError(f"{self.path.name} has no inputs {sorted(unknown)}")
        self.pinned = {k: onnxruntime.OrtValue.ortvalue_from_numpy(np.ascontiguousarray(v), self.device, 0) for k, v in constants.items()}

    def run(self, feeds: Arrays) -> dict[str, NDArray[Any]]:
        if set(feeds) | set(self.pinned) != set(self.input_names):
            wrong = sorted((set(feeds) | set(self.pinned)) ^ set(self.input_names))
            raise ValueError(f"{self.path.name}: inputs missing or unknown: {wrong}")
        binding = self.session.io_binding()
        for name, value in self.pinned.items():
            binding.bind_ortvalue_input(name, value)
        for name, array in feeds.items():
            binding.bind_cpu_input(name, np.ascontiguousarray(array))
        for name in self.output_names:
            binding.bind_output(name, "cpu")
        self.session.run_with_iobinding(binding)
        return dict(zip(self.output_names, binding.copy_outputs_to_cpu(), strict=True))

    def close(self) -> None:
        self.pinned = {}
        del self.session


def open_session(path: Path, providers: Sequence[str]) -> OrtSession:
    """A session over an ONNX file on the first of the providers that can run each node."""
    return OrtSession(path, providers)
