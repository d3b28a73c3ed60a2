"""What `scd export` is asked for, and what of it contradicts itself."""

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from engines.core.bundle import FLAVOURS
from engines.core.errors import UsageError

Precision = Literal["fp32", "fp16", "int8"]
Weights = Literal["fp16", "int8"]


@dataclass(frozen=True, kw_only=True)
class ExportRequest:
    """What the user asked for.

    `checkpoint`: a run of scd train, a bundle, a diffusers folder of Stable Diffusion 1.5 or its id on the hub, a folder of
    Moore-AnimateAnyone's files, to which `vae` and `image_encoder` belong. `precision` None is
    float32 on CPUs and float16 on GPUs. `weights`: how the file keeps the network's, which are computed with in `precision` all the same.
    `frames`: least, usual and most frames of a window. `data`: a data set whose held-out frames
    serve as real inputs and, with int8, to measure ranges. `attn_accum`: "fp32" has TensorRT add up attention in float32.
    `motion_adapter`: AnimateDiff's motion modules for a checkpoint without. `engines`: take the TensorRT flavours that are installed.
    `targets`: compute capabilities of trt-rtx engines.
    """

    checkpoint: str
    out: Path
    overwrite: bool = False
    flavours: tuple[str, ...] = FLAVOURS[:1]
    precision: Precision | None = None
    size: tuple[int, int] | None = None
    frames: tuple[int, int, int] | None = None
    data: Path | None = None
    attn_accum: Literal["fp32"] | None = None
    motion_adapter: Path | None = None
    engines: bool = False
    targets: tuple[str, ...] = ("86", "89", "120")
    weights: Weights = "fp16"
    vae: Path | None = None
    image_encoder: Path | None = None


def check_request(request: ExportRequest) -> None:
    """What contradicts itself, before anything is loaded."""
    for flavour in request.flavours:
        if flavour not in FLAVOURS:
            raise UsageError(f"there is no flavour {flavour}", f"use --flavour with one of: {', '.join(FLAVOURS)}")
    gpu = [flavour for flavour in request.flavours if flavour != "ort-cpu"]
    if request.precision == "int8" and request.data is None:
        raise UsageError("int8 needs real inputs to measure ranges on", "name a data set of scd prepare-data with --data")
    if request.precision == "int8" and gpu:
        raise UsageError(f"int8 is for CPUs, not for {gpu[0]}", "leave --precision out: the GPU flavours are float16")
    if request.weights == "int8" and (gpu or request.engines or request.precision == "int8"):
        raise UsageError("--weights int8 is for float32 graphs on CPUs alone", "leave it out, or --flavour, --trt and --precision")
    if request.precision == "fp16" and not gpu:
        raise UsageError("float16 is 4-6 times slower than float32 on CPUs", "leave --precision out, or name a GPU flavour with --flavour")
    tensorrt = [flavour for flavour in gpu if flavour.startswith("trt")]
    if request.precision == "fp32" and tensorrt:
        raise UsageError(f"{tensorrt[0]} has no fused attention in float32", "leave --precision out, or use --flavour ort-cuda")
    frames = request.frames
    if frames is not None and not 1 <= frames[0] <= frames[1] <= frames[2]:
        raise UsageError(f"--frames {','.join(map(str, frames))} does not rise", "write least, usual and most frames, as 1,16,24")
