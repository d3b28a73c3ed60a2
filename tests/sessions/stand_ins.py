"""Stand-ins for CUDA and for TensorRT's engine, context and config, which compute in numpy: what the session is tried on without a GPU."""

import weakref
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from engines.sessions.builders import PlanFacts
from engines.sessions.plans import Plan
from engines.sessions.tensorrt_session import TensorRTSession

HALF, SINGLE = np.float16, np.float32
Values = dict[str, NDArray[Any]]


class Cuda:
    """A GPU whose stream does nothing until `synchronize`, as slow ones do, and that notices arrays that are gone by then."""

    stream, compute_capability = 7, "89"

    def __init__(self) -> None:
        self.memory: dict[int, NDArray[np.uint8]] = {}
        self.next, self.mallocs, self.uploads = 0x7F00_0000_0000, 0, Counter[int]()
        self.queued: list[Callable[[], None]] = []
        self.queue = self.queued.append

    def malloc(self, size: int) -> int:
        self.mallocs, self.next = self.mallocs + 1, self.next + 1_000_192  # a multiple of 256
        self.memory[self.next] = np.full(size, 0xEE, np.uint8)
        return self.next

    def free(self, address: int) -> None:
        del self.memory[address]

    d2h = lambda self, array, address: self.copy(address, array, False)

    def h2d(self, address: int, array: NDArray[Any]) -> None:
        self.uploads[address] += 1
        self.copy(address, array, True)

    def copy(self, address: int, array: NDArray[Any], up: bool) -> None:
        held = weakref.ref(array)

        def move() -> None:
            there = held()
            assert there is not None, "the array was gone before the copy"
            assert there.flags.c_contiguous
            device, host = self.view(address, there.nbytes), there.reshape(-1).view(np.uint8)
            (device if up else host)[:] = host if up else device

        self.queued.append(move)

    def synchronize(self) -> None:
        for step in self.queued:
            step()
        self.queued.clear()

    def view(self, address: int, size: int) -> NDArray[np.uint8]:
        assert size <= len(self.memory[address]), "outside of the buffer"
        return self.memory[address][:size]


class Context:
    """Of the engine below."""

    def __init__(self, engine: "Engine", config: Any) -> None:
        self.engine, self.config = engine, config
        self.shapes: dict[str, tuple[int, ...]] = {}
        self.addresses: dict[str, int] = {}
        self.binds = 0

    set_input_shape = lambda self, name, shape: self.shapes.update({name: shape}) is None

    def get_tensor_shape(self, name: str) -> tuple[int, ...]:
        if name in self.engine.inputs:
            return self.shapes[name]
        return tuple(self.shapes[self.engine.inputs[0]][0] if size < 0 else size for size in self.engine.shapes[name])

    def set_tensor_address(self, name: str, address: int) -> bool:
        self.binds += 1
        self.addresses[name] = address
        return True

    def execute_async_v3(self, stream: int) -> bool:
        if self.engine.fails:
            return False
        assert stream == self.engine.machine.stream
        self.engine.machine.queue(self.compute)
        return True

    def array(self, name: str) -> NDArray[Any]:
        shape, kind = self.get_tensor_shape(name), np.dtype(self.engine.kinds[name])
        data: NDArray[Any] = self.engine.machine.view(self.addresses[name], int(np.prod(shape)) * kind.itemsize)
        return data.view(kind).reshape(shape)

    def compute(self) -> None:
        for name, values in self.engine.function({name: self.array(name) for name in self.engine.inputs}).items():
            self.array(name)[...] = values


class Config:
    """Its own cache of compiled kernels, too."""

    def __init__(self) -> None:
        self.cuda_graph_strategy, self.read = "DISABLED", b""

    create_runtime_cache = lambda self: self
    set_runtime_cache = lambda self, kernels: kernels is self
    serialize = lambda self: b"compiled for this GPU"
    deserialize = lambda self, data: vars(self).update(read=data) is None


class Engine:
    """What TensorRT's engine says of itself; free axes are -1, and an output's free axis is that of the first input."""

    def __init__(self, inputs: Values, outputs: Values, profile: dict[str, Any], function: Callable[[Values], Values]) -> None:
        arrays = inputs | outputs
        self.inputs, self.names = list(inputs), list(arrays)
        self.shapes = {name: tuple(-1 if size == 0 else size for size in array.shape) for name, array in arrays.items()}
        self.kinds = {name: array.dtype.type for name, array in arrays.items()}
        self.profile, self.function, self.num_io_tensors = profile, function, len(arrays)
        self.machine: Any = None
        self.context: Any = None
        self.config: Any = None
        self.fails = False

    get_tensor_name = lambda self, number: self.names[number]
    get_tensor_mode = lambda self, name: "in" if name in self.inputs else "out"
    get_tensor_dtype = lambda self, name: self.kinds[name]
    get_tensor_shape = lambda self, name: self.shapes[name]
    get_tensor_profile_shape = lambda self, name, number: [self.profile][number][name]

    def create_runtime_config(self) -> Config:
        self.config = Config()
        return self.config

    def create_execution_context(self, config: Any = None) -> Context | None:
        self.context = None if self.fails else Context(self, config)
        return self.context


TRT = SimpleNamespace(
    TensorIOMode=SimpleNamespace(INPUT="in", OUTPUT="out"),
    CudaGraphStrategy=SimpleNamespace(WHOLE_GRAPH_CAPTURE="whole graph"),
    EngineValidity=SimpleNamespace(INVALID=2),
    nptype=lambda kind: kind,
)
LOG = SimpleNamespace(messages=[(True, "[engine.cpp] out of luck\nmore")])
FREE = np.empty((0, 4), HALF)  # stands for a tensor whose first axis is free
FRAMES, CONDITIONS = ((1, 4), (16, 4), (24, 4)), ((1, 4), (2, 4), (2, 4))


def reference_values(values: Values) -> Values:
    return {"ref_k.mid": values["ref_latents"] * HALF(2), "ref_v.mid": -values["ref_latents"]}


def target_values(values: Values) -> Values:
    kv = values["ref_k.mid"].sum(0) + HALF(10) * values["ref_v.mid"].sum(0)
    return {"prediction": values["latents"] * values["timestep"].astype(HALF) + kv}


def opened(name: str, engine: Engine, cuda: Any, folder: Path = Path("nowhere"), flavour: str = "trt-rtx") -> TensorRTSession:
    facts = PlanFacts(f"{name}.onnx", "00", flavour, "1.7", ("89",), engine.profile, 1, 1, 1, 1.0)
    engine.machine = cuda
    return TensorRTSession(Plan(folder / f"{name}.plan", facts), TRT, engine, cuda, LOG)


def reference_engine() -> Engine:
    return Engine({"ref_latents": FREE}, {"ref_k.mid": FREE, "ref_v.mid": FREE}, {"ref_latents": CONDITIONS}, reference_values)


def target_engine() -> Engine:
    inputs = {"latents": FREE, "timestep": np.empty(1, SINGLE), "ref_k.mid": FREE, "ref_v.mid": FREE}
    profile = {"latents": FRAMES, "ref_k.mid": CONDITIONS, "ref_v.mid": CONDITIONS}
    return Engine(inputs, {"prediction": FREE}, profile, target_values)


def pair(cuda: Any) -> tuple[TensorRTSession, TensorRTSession]:
    return opened("reference", reference_engine(), cuda), opened("target", target_engine(), cuda)


def rows(count: int, start: float = 0.0) -> NDArray[np.float32]:
    return ((np.arange(count * 4).reshape(count, 4) + start) / 8).astype(np.float32)


def feeds(frames: int) -> Values:
    return {"latents": rows(frames), "timestep": np.array([3], np.float32)}


KV = {"ref_k.mid": rows(2, 1), "ref_v.mid": rows(2, 2)}


def expected(frames: int, kv: Values) -> NDArray[np.float32]:
    half = {name: array.astype(HALF) for name, array in (feeds(frames) | kv).items()}
    return target_values(half)["prediction"].astype(np.float32)
