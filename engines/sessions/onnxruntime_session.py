"""onnxruntime behind the Session contract: CPU everywhere, CUDA where it is."""

from collections.abc import Collection, Iterable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
from numpy.typing import NDArray

from engines.core.cores import usable_cores
from engines.core.errors import ScdError, UsageError
from engines.sessions.base import Arrays, TensorSpec, check_complete, fitted, widened
from engines.sessions.memory import give_back

PROVIDERS = {"cpu": "CPUExecutionProvider", "cuda": "CUDAExecutionProvider"}
FATAL_ONLY = 4  # what goes wrong comes as an exception
DTYPES = {"tensor(float)": "float32", "tensor(float16)": "float16", "tensor(int64)": "int64", "tensor(uint8)": "uint8"}


def available_providers() -> list[str]:
    """onnxruntime's names of what was built into it: that a device is there does not follow."""
    return list(onnxruntime.get_available_providers())


def provider_names(wanted: Sequence[str]) -> list[str]:
    """onnxruntime's names of providers such as "cuda", in order; ScdError lists what this machine has."""
    available = available_providers()
    names = []
    for name in wanted:
        if name not in PROVIDERS:
            raise UsageError(f"there is no provider {name}", f"choose among: {', '.join(PROVIDERS)}")
        if PROVIDERS[name] not in available:
            have = [k for k, v in PROVIDERS.items() if v in available]
            raise ScdError(f"this machine's onnxruntime has no {name} provider", f"use --providers {','.join(have)}")
        names.append(PROVIDERS[name])
    return names


def options() -> onnxruntime.SessionOptions:
    """One pool of as many threads as there are cores, and a memory arena (see docs/decisions.md)."""
    out = onnxruntime.SessionOptions()
    out.log_severity_level = FATAL_ONLY
    out.intra_op_num_threads = usable_cores()
    out.inter_op_num_threads = 1
    out.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_ENABLE_ALL
    return out


def specs(values: Iterable[Any]) -> dict[str, TensorSpec]:
    """Of onnxruntime's descriptions of inputs or outputs, in graph order."""
    return {v.name: TensorSpec(tuple(v.shape), np.dtype(DTYPES[v.type])) for v in values}


def load(path: Path, providers: Sequence[str]) -> onnxruntime.InferenceSession:
    names = provider_names(providers)
    try:
        session = onnxruntime.InferenceSession(str(path), options(), providers=names)
    except Exception as error:  # onnxruntime's own exceptions share no public base
        first = str(error).strip().splitlines()[0]
        raise ScdError(f"onnxruntime cannot load the graph {path} ({first})", "export the bundle again with this version of scd") from error
    if not set(names) & set(session.get_providers()):  # onnxruntime adds the CPU by itself
        raise ScdError(f"onnxruntime could not start {providers[0]} on this machine", f"use --providers {providers[0]},cpu to fall back")
    return session


class OrtSession:
    """One graph. Pinned constants become OrtValues once and are bound, not copied, at every run."""

    def __init__(self, path: Path, providers: Sequence[str]) -> None:
        onnxruntime.set_default_logger_severity(FATAL_ONLY)
        self.path = path
        self.session = load(path, providers)
        give_back()
        self.inputs, self.outputs = specs(self.session.get_inputs()), specs(self.session.get_outputs())
        self.device = "cuda" if "CUDAExecutionProvider" in self.session.get_providers() else "cpu"
        self.pinned: dict[str, onnxruntime.OrtValue] = {}

    def pin(self, constants: Arrays) -> None:
        arrays = self.checked(constants)
        self.pinned = {k: onnxruntime.OrtValue.ortvalue_from_numpy(v, self.device, 0) for k, v in arrays.items()}

    def checked(self, feeds: Arrays) -> dict[str, NDArray[Any]]:
        """Ready to bind. ValueError for a name, dtype or shape that the graph does not take."""
        unknown = sorted(set(feeds) - set(self.inputs))
        if unknown:
            raise ValueError(f"{self.path.name} has no inputs {unknown}")
        out = {name: fitted(array, self.inputs[name].dtype) for name, array in feeds.items()}
        for name, array in out.items():
            wrong = self.inputs[name].mismatch(array)
            if wrong:
                raise ValueError(f"{self.path.name}: {name} {wrong}")
        return out

    def run(self, feeds: Arrays, wanted: Collection[str] | None = None) -> dict[str, NDArray[Any]]:
        feeds = self.checked(feeds)  # alive until the run is over
        check_complete(self.path.name, self.inputs, feeds, self.pinned)
        binding = self.session.io_binding()
        for name, value in self.pinned.items():
            binding.bind_ortvalue_input(name, value)
        for name, array in feeds.items():
            binding.bind_cpu_input(name, array)
        names = [name for name in self.outputs if wanted is None or name in wanted]
        for name in names:
            binding.bind_output(name, "cpu")
        self.session.run_with_iobinding(binding)
        return widened(dict(zip(names, binding.copy_outputs_to_cpu(), strict=True)))

    def close(self) -> None:
        self.pinned = {}
        if hasattr(self, "session"):
            del self.session


def open_session(path: Path, providers: Sequence[str]) -> OrtSession:
    """A session over an ONNX file on the first of the providers that can run each node."""
    return OrtSession(path, providers)
