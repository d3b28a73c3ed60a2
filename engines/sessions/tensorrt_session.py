"""TensorRT behind the Session contract, both flavours: buffers that stay in place, K/V that stay on the GPU.

NEVER EXECUTED ON A GPU: no machine of this project has one. What is tested is all around it: shapes, bindings and ownership against a
stand-in for CUDA and for the engine, the ctypes calls against a compiled stand-in for the driver, and opening a real plan up to the point
where TensorRT-RTX asks for a device.
"""

import ctypes
import math
import mmap
import sys
from contextlib import suppress
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from engines.core.errors import ScdError
from engines.media.output import atomic
from engines.sessions.base import Arrays, TensorSpec
from engines.sessions.builders import PlanFacts, last_error, listener, tensorrt_module
from engines.sessions.plans import Plan, check_shape

ALIGNMENT = 256  # bytes: what TensorRT asks of addresses, and what cuMemAlloc gives
PROFILE = 0  # plans have one
Shape = tuple[int, ...]
AGAIN = "export the bundle again with this version of scd, or use --providers cpu"
SMALLER = "close other programs that use the GPU, or export with fewer --frames or a smaller --size"


class Device(Protocol):
    """A GPU with one stream. Copies are queued on the stream: arrays must live, and stay as they are, until `synchronize`."""

    stream: int
    compute_capability: str

    def malloc(self, size: int) -> int:
        """Address of `size` bytes. ScdError when there is no room."""
        ...

    def free(self, address: int) -> None: ...
    def h2d(self, address: int, array: NDArray[Any]) -> None: ...
    def d2h(self, array: NDArray[Any], address: int) -> None: ...
    def synchronize(self) -> None: ...


Pointer = ctypes.POINTER(ctypes.c_void_p)
Address, Number = ctypes.c_uint64, ctypes.POINTER(ctypes.c_int)
SIGNATURES: dict[str, tuple[Any, ...]] = {  # of cuda.h; without them ctypes would cut addresses to 32 bits
    "cuInit": (ctypes.c_uint,),
    "cuDeviceGet": (Number, ctypes.c_int),
    "cuDeviceGetAttribute": (Number, ctypes.c_int, ctypes.c_int),
    "cuDevicePrimaryCtxRetain": (Pointer, ctypes.c_int),
    "cuCtxSetCurrent": (ctypes.c_void_p,),
    "cuStreamCreate": (Pointer, ctypes.c_uint),
    "cuStreamSynchronize": (ctypes.c_void_p,),
    "cuMemAlloc_v2": (ctypes.POINTER(Address), ctypes.c_size_t),
    "cuMemFree_v2": (Address,),
    "cuMemcpyHtoDAsync_v2": (Address, ctypes.c_void_p, ctypes.c_size_t, ctypes.c_void_p),
    "cuMemcpyDtoHAsync_v2": (ctypes.c_void_p, Address, ctypes.c_size_t, ctypes.c_void_p),
    "cuGetErrorName": (ctypes.c_int, ctypes.POINTER(ctypes.c_char_p)),
}
OUT_OF_MEMORY, NO_DEVICE = 2, 100
NON_BLOCKING = 1  # a stream that does not wait for the default stream
MAJOR, MINOR = 75, 76  # attributes of a device: its compute capability


def driver_library(name: str | None = None) -> ctypes.CDLL:
    """The CUDA driver, which comes with the GPU's driver and needs no package. ScdError where there is none."""
    file = name or ("nvcuda.dll" if sys.platform == "win32" else "libcuda.so.1")
    try:
        library = ctypes.CDLL(file)
        for function, arguments in SIGNATURES.items():
            getattr(library, function).argtypes = arguments
    except (OSError, AttributeError) as error:
        raise ScdError(f"this machine has no NVIDIA driver ({error})", "use --providers cpu") from error
    return library


class CudaDriver:
    """The first GPU by ctypes on the CUDA driver, in its primary context: the one that TensorRT works in."""

    def __init__(self, library: ctypes.CDLL | None = None) -> None:
        self.library = library or driver_library()
        device, context, stream = ctypes.c_int(), ctypes.c_void_p(), ctypes.c_void_p()
        self.call("cuInit", 0)
        self.call("cuDeviceGet", ctypes.byref(device), 0)
        self.call("cuDevicePrimaryCtxRetain", ctypes.byref(context), device)
        self.context = context
        self.queue("cuStreamCreate", ctypes.byref(stream), NON_BLOCKING)
        self.stream = stream.value or 0
        self.compute_capability = f"{self.attribute(device, MAJOR)}{self.attribute(device, MINOR)}"

    def attribute(self, device: ctypes.c_int, number: int) -> int:
        out = ctypes.c_int()
        self.call("cuDeviceGetAttribute", ctypes.byref(out), number, device)
        return out.value

    def call(self, function: str, *arguments: Any) -> None:
        code = getattr(self.library, function)(*arguments)
        if code == NO_DEVICE:
            raise ScdError("this machine has no NVIDIA GPU that CUDA can use", "use --providers cpu")
        if code == OUT_OF_MEMORY:
            raise ScdError("the GPU has no memory left", SMALLER)
        if code:
            name = ctypes.c_char_p()
            self.library.cuGetErrorName(code, ctypes.byref(name))
            said = (name.value or b"an unknown error").decode()
            raise ScdError(f"the GPU failed ({function}: {said}, {code})", "run again, or use --providers cpu")

    def queue(self, function: str, *arguments: Any) -> None:
        """`call` in our context, whichever thread this is."""
        self.call("cuCtxSetCurrent", self.context)
        self.call(function, *arguments)

    def malloc(self, size: int) -> int:
        address = Address()
        self.queue("cuMemAlloc_v2", ctypes.byref(address), size)
        return address.value

    def free(self, address: int) -> None:
        self.queue("cuMemFree_v2", address)

    def h2d(self, address: int, array: NDArray[Any]) -> None:
        self.queue("cuMemcpyHtoDAsync_v2", address, array.ctypes.data, array.nbytes, self.stream)

    def d2h(self, array: NDArray[Any], address: int) -> None:
        self.queue("cuMemcpyDtoHAsync_v2", array.ctypes.data, address, array.nbytes, self.stream)

    def synchronize(self) -> None:
        self.queue("cuStreamSynchronize", self.stream)


@cache
def cuda_device() -> CudaDriver:
    """One for all sessions of the process: they share its stream, so they run in the order in which they were asked."""
    return CudaDriver()


@dataclass(slots=True)
class Buffer:
    """Device memory for the largest array that a tensor can be. `shape`: of what it holds now; `users`: sessions that hold it."""

    address: int
    shape: Shape | None = None
    users: int = 1


def allocate(cuda: Device, shape: Shape, dtype: np.dtype[Any]) -> Buffer:
    blocks = max(1, math.ceil(math.prod(shape) * dtype.itemsize / ALIGNMENT))
    address = cuda.malloc(blocks * ALIGNMENT)
    if address % ALIGNMENT:
        cuda.free(address)
        raise ValueError(f"the address {address:#x} is not aligned to {ALIGNMENT} bytes")
    return Buffer(address)


def release(cuda: Device, buffer: Buffer) -> None:
    buffer.users -= 1
    if buffer.users == 0:
        cuda.free(buffer.address)


def same_kind(mine: TensorSpec, its: TensorSpec) -> bool:
    """Same dtype, rank and fixed axes."""
    if mine.dtype != its.dtype or len(mine.shape) != len(its.shape):
        return False
    return all(a == b for a, b in zip(mine.shape, its.shape, strict=True) if a is not None and b is not None)


def fitted(array: NDArray[Any], dtype: np.dtype[Any]) -> NDArray[Any]:
    """Contiguous, and float32 as float16 where the engine computes in float16: the pipeline knows float32 alone."""
    halved = array.dtype == np.float32 and dtype == np.float16
    return np.asarray(array.astype(np.float16) if halved else array, order="C")


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


class TensorRTSession:
    """One plan on the GPU. Every tensor has one buffer, allocated when it is first needed, whose address never changes.

    TensorRT-RTX records the kernels as a CUDA graph by itself, anew for every new shape; classic TensorRT launches them one by one.
    """

    device = "cuda"

    def __init__(self, plan: Plan, trt: Any, engine: Any, cuda: Device, log: Any) -> None:
        self.facts: PlanFacts = plan.facts
        self.engine, self.cuda, self.log = engine, cuda, log
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

    def link(self, other: "TensorRTSession") -> list[str]:
        """Take the other's outputs as inputs of the same names, with no copy, as its last `launch` or `run` left them. Returns the names.

        The buffers live until both are closed. ValueError if nothing fits, or if this session has a buffer of that name already: link
        before the first run.
        """
        names = [name for name in self.inputs if name in other.outputs]
        for name in names:
            if other.cuda is not self.cuda or name in self.buffers or not same_kind(self.inputs[name], other.outputs[name]):
                raise ValueError(f"{self.facts.graph}: {name} cannot be linked: other device, dtype or shape, or bound already")
        if not names:
            raise ValueError(f"{self.facts.graph} takes nothing that {other.facts.graph} gives")
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
        kept = self.pinned | self.linked
        missing, twice = sorted(set(self.inputs) - set(feeds) - kept), sorted(set(feeds) & kept)
        if missing or twice:
            raise ValueError(f"{self.facts.graph}: inputs missing: {missing}, given though pinned: {twice}")
        self.upload(self.checked(feeds))
        self.set_shapes()
        self.must(self.context.execute_async_v3(self.cuda.stream), "run")
        self.cuda.synchronize()

    def fetch(self) -> dict[str, NDArray[Any]]:
        """The outputs of the last launch; float16 becomes float32."""
        out: dict[str, NDArray[Any]] = {}
        for name, spec in self.outputs.items():
            shape = self.buffer(name).shape
            if shape is None:
                raise ValueError(f"{self.facts.graph} has not run")
            out[name] = np.empty(shape, spec.dtype)
        for name, array in out.items():
            self.cuda.d2h(array, self.buffers[name].address)
        self.cuda.synchronize()
        return {name: array.astype(np.float32) if array.dtype == np.float16 else array for name, array in out.items()}

    def run(self, feeds: Arrays) -> dict[str, NDArray[Any]]:
        self.launch(feeds)
        return self.fetch()

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
