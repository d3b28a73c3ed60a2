"""TensorRT behind the Session contract, both flavours: buffers that stay in place, K/V that stay on the GPU.

NEVER EXECUTED ON A GPU: no machine of this project has one. What is tested is all around it: shapes, bindings and ownership against a
stand-in for CUDA and for the engine, and opening a real plan up to the point where TensorRT-RTX asks for a device.
"""

import mmap
from collections.abc import Collection
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from engines.core.errors import ScdError
from engines.media.output import atomic
from engines.sessions.base import Arrays, TensorSpec, check_complete, fitted, widened
from engines.sessions.builders import PlanFacts, last_error, listener, tensorrt_module
from engines.sessions.cuda import SMALLER, Buffer, Device, Shape, allocate, cuda_device, release
from engines.sessions.plans import Plan, check_shape

PROFILE = 0  # plans have one
AGAIN = "export the bundle again with this version of scd, or use --providers cpu"


def same_kind(mine: TensorSpec, its: TensorSpec) -> bool:
    """Same dtype, rank and fixed axes."""
    if mine.dtype != its.dtype or len(mine.shape) != len(its.shape):
        return False
    return all(a == b for a, b in zip(mine.shape, its.shape, strict=True) if a is not None and b is not None)


def tensor_specs(trt: Any, engine: Any) -> tuple[dict[str, TensorSpec], dict[str, TensorSpec]]:
    """Inputs and outputs, in the engine's order."""
    inputs: dict[str, TensorSpec] = {}
    outputs: dict[str, TensorSpec] = {}
    for name in map(engine.get_tensor_name, range(engine.num_io_tensors)):
        shape = tuple(None if size < 0 else int(size) for size in engine.get_tensor_shape(name))
        side = inputs if engine.get_tensor_mode(name) == trt.TensorIOMode.INPUT else outputs
        side[name] = TensorSpec(shape, np.dtype(trt.nptype(engine.get_tensor_dtype(name))))
    return inputs, outputs


class JitCache:
    """The kernels that TensorRT-RTX compiles for this GPU when an engine is first run (15-30 s), kept in a file beside the plan.

    TensorRT-RTX itself refuses a file of another GPU, driver or version, and is then where it was without.
    """

    def __init__(self, config: Any, path: Path) -> None:
        self.path, self.kernels = path, config.create_runtime_cache()
        self.before = path.read_bytes() if path.is_file() else b""
        if self.before:
            self.kernels.deserialize(self.before)
        config.set_runtime_cache(self.kernels)

    def save(self) -> None:
        """Where it has changed. A cache that cannot be written is none."""
        said = self.kernels.serialize()
        data = b"" if said is None else bytes(said)
        if data and data != self.before:
            with suppress(ScdError), atomic(self.path, True) as temporary:
                temporary.write_bytes(data)


@dataclass(frozen=True, slots=True)
class Kept:
    """Outputs of a session that stay on the GPU, also when the session is closed: K/V on their way from the reference to the target."""

    graph: str
    cuda: Device
    outputs: dict[str, TensorSpec]
    buffers: dict[str, Buffer]

    def buffer(self, name: str) -> Buffer:
        return self.buffers[name]

    def close(self) -> None:
        for buffer in self.buffers.values():
            release(self.cuda, buffer)


class TensorRTSession:
    """One plan on the GPU. Every tensor has one buffer, allocated when it is first needed, whose address never changes.

    TensorRT-RTX records the kernels as a CUDA graph by itself, anew for every new shape; classic TensorRT launches them one by one.
    """

    device = "cuda"

    def __init__(self, plan: Plan, trt: Any, engine: Any, cuda: Device, log: Any) -> None:
        self.facts: PlanFacts = plan.facts
        self.graph, self.engine, self.cuda, self.log = plan.facts.graph, engine, cuda, log
        self.inputs, self.outputs = tensor_specs(trt, engine)
        self.jit: JitCache | None = None
        self.context = self.rtx_context(trt, plan.path) if plan.facts.flavour == "trt-rtx" else engine.create_execution_context()
        self.must(self.context is not None, "make room for the activations on the GPU", SMALLER)
        self.largest = self.largest_shapes()
        self.buffers: dict[str, Buffer] = {}
        self.pinned: set[str] = set()
        self.linked: set[str] = set()

    def rtx_context(self, trt: Any, plan: Path) -> Any:
        config = self.engine.create_runtime_config()
        config.cuda_graph_strategy = trt.CudaGraphStrategy.WHOLE_GRAPH_CAPTURE
        self.jit = JitCache(config, plan.with_suffix(".jit"))
        return self.engine.create_execution_context(config)

    def must(self, done: bool, what: str, hint: str = AGAIN) -> None:
        """ScdError with the last words of TensorRT, whose calls return False or None when they fail."""
        if not done:
            raise ScdError(f"TensorRT could not {what} for {self.facts.graph} ({last_error(self.log)})", hint)

    def largest_shapes(self) -> dict[str, Shape]:
        """Of every tensor, at the profile's most."""
        out: dict[str, Shape] = {}
        for name, spec in self.inputs.items():
            free = None in spec.shape
            out[name] = tuple(self.engine.get_tensor_profile_shape(name, PROFILE)[2] if free else self.engine.get_tensor_shape(name))
            self.must(self.context.set_input_shape(name, out[name]), f"take {name} at its largest")
        return out | {name: self.output_shape(name) for name in self.outputs}

    def output_shape(self, name: str) -> Shape:
        """Of an output, given the inputs' shapes."""
        shape = tuple(self.context.get_tensor_shape(name))
        self.must(min(shape, default=0) >= 0, f"tell the shape of {name}")
        return shape

    def buffer(self, name: str) -> Buffer:
        if name not in self.buffers:
            spec = self.inputs.get(name) or self.outputs[name]
            self.hold(name, allocate(self.cuda, self.largest[name], spec.dtype))
        return self.buffers[name]

    def hold(self, name: str, buffer: Buffer) -> None:
        """Bind, once and for all: a recorded CUDA graph goes on using the address it was recorded with."""
        self.buffers[name] = buffer
        self.must(self.context.set_tensor_address(name, buffer.address), f"bind {name}")

    def checked(self, feeds: Arrays) -> dict[str, NDArray[Any]]:
        """Ready to upload. ValueError for a name, dtype or shape that the plan does not take, ScdError outside of its profile."""
        unknown, taken = sorted(set(feeds) - set(self.inputs)), sorted(set(feeds) & self.linked)
        if unknown or taken:
            raise ValueError(f"{self.facts.graph}: no inputs: {unknown}, given though linked: {taken}")
        out = {name: fitted(array, self.inputs[name].dtype) for name, array in feeds.items()}
        for name, array in out.items():
            wrong = self.inputs[name].mismatch(array)
            if wrong:
                raise ValueError(f"{self.facts.graph}: {name} {wrong}")
            check_shape(self.facts, name, array.shape)
        return out

    def upload(self, arrays: Arrays) -> None:
        try:
            for name, array in arrays.items():
                buffer = self.buffer(name)
                self.cuda.h2d(buffer.address, array)
                buffer.shape = array.shape
        finally:
            self.cuda.synchronize()  # also when a later one fails: the arrays may be gone at any time from here on

    def pin(self, constants: Arrays) -> None:
        """Upload now, to where they stay; float32 becomes float16 where the engine computes in it."""
        arrays = self.checked(constants)
        self.upload(arrays)
        self.pinned = set(arrays)

    def keep(self) -> Kept:
        """The outputs of the last launch, to outlive this session: for `link` of others."""
        buffers = {name: self.buffer(name) for name in self.outputs}
        for buffer in buffers.values():
            buffer.users += 1
        return Kept(self.facts.graph, self.cuda, self.outputs, buffers)

    def link(self, other: "Kept | TensorRTSession") -> list[str]:
        """Take the other's outputs as inputs of the same names, with no copy, as its last `launch` or `run` left them. Returns the names.

        The buffers live until all that hold them are closed. ValueError if nothing fits, or if this session has a buffer of that name
        already: link before the first run.
        """
        names = [name for name in self.inputs if name in other.outputs]
        for name in names:
            if other.cuda is not self.cuda or name in self.buffers or not same_kind(self.inputs[name], other.outputs[name]):
                raise ValueError(f"{self.facts.graph}: {name} cannot be linked: other device, dtype or shape, or bound already")
        if not names:
            raise ValueError(f"{self.facts.graph} takes nothing that {other.graph} gives")
        for name in names:
            buffer = other.buffer(name)
            buffer.users += 1
            self.hold(name, buffer)
        self.linked |= set(names)
        return names

    def set_shapes(self) -> None:
        """Of the inputs as their buffers hold them, and so of the outputs. The profile of a linked input is checked here."""
        for name in self.inputs:
            shape = self.buffers[name].shape
            if shape is None:
                raise ValueError(f"{self.facts.graph}: the session that {name} is linked to has not run")
            check_shape(self.facts, name, shape)
            self.must(self.context.set_input_shape(name, shape), f"take {name} of shape {shape}")
        for name in self.outputs:
            self.buffer(name).shape = self.output_shape(name)

    def launch(self, feeds: Arrays) -> None:
        """`run` that leaves the outputs on the GPU, for sessions that are linked to this one."""
        check_complete(self.graph, self.inputs, feeds, self.pinned | self.linked)
        self.upload(self.checked(feeds))
        self.set_shapes()
        self.must(self.context.execute_async_v3(self.cuda.stream), "run")
        self.cuda.synchronize()

    def fetch(self, wanted: Collection[str] | None = None) -> dict[str, NDArray[Any]]:
        """Outputs of the last launch, all or those that are wanted; float16 becomes float32."""
        out: dict[str, NDArray[Any]] = {}
        for name, spec in self.outputs.items():
            if wanted is not None and name not in wanted:
                continue
            shape = self.buffer(name).shape
            if shape is None:
                raise ValueError(f"{self.facts.graph} has not run")
            out[name] = np.empty(shape, spec.dtype)
        for name, array in out.items():
            self.cuda.d2h(array, self.buffers[name].address)
        self.cuda.synchronize()
        return widened(out)

    def run(self, feeds: Arrays, wanted: Collection[str] | None = None) -> dict[str, NDArray[Any]]:
        self.launch(feeds)
        return self.fetch(wanted)

    def close(self) -> None:
        """Engine first, buffers after: nothing may run on memory that is gone. Buffers that others are linked to stay."""
        self.cuda.synchronize()
        if self.jit is not None:
            self.jit.save()
        self.context = self.engine = self.jit = None
        for buffer in self.buffers.values():
            release(self.cuda, buffer)
        self.buffers.clear()


REFUSALS = {  # TensorRT-RTX's diagnostics, of which it may give several at once: what it means, what to do
    "VERSION_MISMATCH": ("it is of another version of TensorRT-RTX", "export the bundle again"),
    "UNSUPPORTED_CC": ("it is for other GPUs than this SM{here}", "export the bundle again with --sm {here}"),
    "OLD_CUDA_DRIVER": ("the NVIDIA driver is too old for it", "update the driver"),
    "OLD_CUDA_RUNTIME": ("the CUDA runtime is too old for it", "update the driver and tensorrt-rtx"),
    "INSUFFICIENT_GPU_MEMORY": ("the GPU has too little memory", "export with fewer --frames or a smaller --size"),
    "MALFORMED_ENGINE": ("it is damaged, or of another version of TensorRT-RTX", "export the bundle again"),
    "CUDA_ERROR": ("CUDA failed", "check the driver with nvidia-smi, or use --providers cpu"),
}


def check_validity(trt: Any, runtime: Any, header: bytes, facts: PlanFacts, cuda: Device, log: Any) -> None:
    """Ask TensorRT-RTX by the plan's header, before gigabytes are loaded. ScdError with its reason. (Classic TensorRT cannot say.)"""
    validity, bits = runtime.get_engine_validity(header)
    if validity != trt.EngineValidity.INVALID:
        return
    for name, (reason, hint) in REFUSALS.items():
        if bits & int(getattr(trt.EngineInvalidityDiagnostics, name)):
            here = cuda.compute_capability
            raise ScdError(f"TensorRT-RTX refuses the plan of {facts.graph}: {reason.format(here=here)}", hint.format(here=here))
    raise ScdError(f"TensorRT-RTX refuses the plan of {facts.graph} ({last_error(log)})", "check the driver with nvidia-smi")


def open_session(plan: Plan, cuda: Device | None = None) -> TensorRTSession:
    """A session over a plan that `find_plan` or `plan_for` has verified. ScdError without a GPU, or where it refuses the plan."""
    facts, trt = plan.facts, tensorrt_module(plan.facts.flavour)
    cuda, log = cuda or cuda_device(), listener(trt)
    runtime = trt.Runtime(log)
    with plan.path.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as data:
        if facts.flavour == "trt-rtx":
            check_validity(trt, runtime, data[: runtime.engine_header_size], facts, cuda, log)
        engine = runtime.deserialize_cuda_engine(data)
    if engine is None:
        here = f"on this GPU, SM{cuda.compute_capability}"
        again = f"build it again on this machine: scd export --flavour {facts.flavour}"
        raise ScdError(f"TensorRT cannot load the plan of {facts.graph} {here} ({last_error(log)})", again)
    return TensorRTSession(plan, trt, engine, cuda, log)
