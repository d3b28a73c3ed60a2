"""Loads weights into networks: files of tensors only (nothing that could run), every tensor accounted for. Needs torch."""

import zipfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from engines.core.errors import ScdError

N = TypeVar("N", bound=nn.Module)
WRAPPERS = ("state_dict", "model", "module")  # under which training scripts keep the tensors
COUNTERS = "*num_batches_tracked"  # of batch normalisation: old files lack it, and nothing reads it outside of training


def device() -> torch.device:
    """Where the networks of all metrics run: the first CUDA GPU, else the CPU."""
    return torch.device("cuda" if torch.cuda.is_available() else "cpu")


@contextmanager
def exact() -> Iterator[None]:
    """No gradients; float32 stays float32 and the same input gives the same figures on a GPU too (cuDNN rounds to TF32 otherwise)."""
    with torch.inference_mode(), torch.backends.cudnn.flags(enabled=True, benchmark=False, deterministic=True, allow_tf32=False):
        yield


def scaled(pictures: NDArray[np.uint8], where: torch.device) -> Tensor:
    """uint8 (N, H, W, 3), however it lies in memory -> float32 (N, 3, H, W) in 0..1 on `where`."""
    return torch.from_numpy(np.array(pictures, order="C")).to(where).permute(0, 3, 1, 2).contiguous().float() / 255


def load_state(path: Path) -> dict[str, Tensor]:
    """The tensors of a .safetensors, .pth or .pt file by name, on the CPU, floating-point ones as float32.

    Tensors that lie under `state_dict`, `model` or `module` are taken out of there, and a leading `module.` of the names is left out.
    ScdError for a file that cannot be read, holds code (as TorchScript and whole pickled networks do) or anything but tensors, or a
    number that is not finite.
    """
    content: Any = read_tensors(path) if path.suffix == ".safetensors" else read_checkpoint(path)
    while isinstance(content, Mapping) and (wrapper := next((w for w in WRAPPERS if isinstance(content.get(w), Mapping)), None)):
        content = content[wrapper]
    if not isinstance(content, Mapping) or not content:
        raise ScdError(f"{path} holds no tensors by name", f"fetch {path.name} again")
    out = {}
    for key, value in content.items():
        if not isinstance(value, Tensor):
            raise ScdError(f"{path} holds {type(value).__name__} under {key}, not a tensor", f"fetch {path.name} again")
        if value.is_floating_point():
            value = value.float()
            if not bool(torch.isfinite(value).all()):
                raise ScdError(f"{path} holds numbers that are not finite under {key}", f"fetch {path.name} again")
        out[str(key).removeprefix("module.")] = value
    return out


def read_tensors(path: Path) -> dict[str, Tensor]:
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    try:
        tensors: dict[str, Tensor] = load_file(path)
    except (OSError, SafetensorError) as error:
        raise ScdError(f"{path} cannot be read as safetensors ({first_line(error)})", f"fetch {path.name} again") from error
    return tensors


def read_checkpoint(path: Path) -> Any:
    convert = f"save its tensors by name as {path.stem}.safetensors beside it"
    if is_torchscript(path):
        raise ScdError(f"{path} is TorchScript, which holds code and is not run", convert)
    try:
        return torch.load(path, map_location="cpu", weights_only=True)
    except OSError as error:
        raise ScdError(f"{path} cannot be read ({error.strerror})", "correct its permissions") from error
    except Exception as error:  # a broken file raises whatever its reader stumbles upon
        said = str(error)
        if "GLOBAL" in said or "can still be loaded" in said:
            raise ScdError(f"{path} holds more than tensors, which could be code and is not loaded", convert) from error
        why = "it is none" if said.startswith("Weights only") else first_line(error)  # torch goes on to tell how to run its code
        raise ScdError(f"{path} cannot be read as a file of tensors ({why})", f"fetch {path.name} again") from error


def is_torchscript(path: Path) -> bool:
    try:
        with zipfile.ZipFile(path) as archive:
            return any(name.endswith("/constants.pkl") for name in archive.namelist())
    except (OSError, zipfile.BadZipFile):
        return False


def first_line(error: Exception) -> str:
    return (str(error).strip().splitlines() or [type(error).__name__])[0].rstrip(".")


def loaded(make: Callable[[], N], state: Mapping[str, Tensor], path: Path, ignored: Sequence[str] = ()) -> N:
    """The network that `make` builds, with the weights of `state`, ready to run on `device()`.

    All tensors are there, in their shapes, and no others, but for names that fit one of the patterns `ignored` (`classifier.*`): those
    the metric does not need. ScdError, about the file `path`, for the first tensor that is not as expected.
    """
    with torch.device("meta"):
        network = make()
    own = network.state_dict()
    given = {k: v for k, v in state.items() if not any(fnmatchcase(k, pattern) for pattern in (*ignored, COUNTERS))}
    check({k: tuple(v.shape) for k, v in own.items() if not fnmatchcase(k, COUNTERS)}, given, path)
    counters = {k: torch.zeros((), dtype=torch.long) for k in own if fnmatchcase(k, COUNTERS)}
    network.load_state_dict(given | counters, strict=True, assign=True)
    return network.requires_grad_(False).eval().to(device())


def check(expected: Mapping[str, tuple[int, ...]], given: Mapping[str, Tensor], path: Path) -> None:
    """ScdError for the first tensor that is missing, has another shape or is not expected."""
    again = f"fetch {path.name} again"
    for key, shape in expected.items():
        if key not in given:
            raise ScdError(f"{path} lacks {key}, a tensor of {sizes(shape)}", again)
        if tuple(given[key].shape) != shape:
            raise ScdError(f"{path} has {key} as {sizes(tuple(given[key].shape))}, which must be {sizes(shape)}", again)
    for key in given:
        if key not in expected:
            raise ScdError(f"{path} has {key}, which the network does not have: it is another network's file", again)


def sizes(shape: tuple[int, ...]) -> str:
    return "x".join(map(str, shape)) or "one number"
