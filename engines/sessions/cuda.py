"""The GPU by ctypes on the CUDA driver: memory, copies, one stream. No torch, no package.

NEVER EXECUTED ON A GPU: no machine of this project has one. The ctypes calls are tested against a compiled stand-in for the driver.
"""

import ctypes
import math
import sys
from dataclasses import dataclass
from functools import cache
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from engines.core.errors import ScdError

ALIGNMENT = 256  # bytes: what TensorRT asks of addresses, and what cuMemAlloc gives
Shape = tuple[int, ...]
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
