"""`scd export`: what it takes and says; the work is in engines.export."""

from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any

from typer import Option

from scd_cli.options import AsJson, Overwrite
from scd_cli.values import given, parse_counts, parse_list, parse_size


class FlavourName(StrEnum):
    """What graphs can be made for."""

    ORT_CPU = "ort-cpu"
    ORT_CUDA = "ort-cuda"
    TRT = "trt"
    TRT_RTX = "trt-rtx"


class PrecisionName(StrEnum):
    FP32 = "fp32"
    FP16 = "fp16"
    INT8 = "int8"


class Sums(StrEnum):
    FP32 = "fp32"


Checkpoint = Annotated[
    str | None,
    Option(
        metavar="CHECKPOINT",
        help="Run of 'scd train', bundle, Stable Diffusion 1.5 as a diffusers folder or hub id, or Moore-AnimateAnyone's folder of files.",
        show_default=False,
    ),
]
Out = Annotated[Path | None, Option("--out", metavar="BUNDLE", help="Folder of the bundle.", show_default=False)]
Flavour = Annotated[
    list[FlavourName] | None,
    Option(help="What the graphs are made for; may be given several times. Every bundle also runs on CPUs. [default: ort-cpu]"),
]
Trt = Annotated[bool, Option("--trt", help="The TensorRT flavours that are installed here, and engines of them.")]
Size = Annotated[
    Any, Option(metavar="WxH", parser=parse_size, help="Size of the pictures. [default: the checkpoint's]", show_default=False)
]
Frames = Annotated[
    Any,
    Option(
        metavar="A,B,C",
        parser=parse_counts,
        help="Least, usual and most frames at once, as 1,16,24. [default: the checkpoint's]",
        show_default=False,
    ),
]
Precision = Annotated[
    PrecisionName | None,
    Option(help="Arithmetic: fp32; fp16 for GPUs; int8 for CPUs, which needs --data. [default: fp32 on CPUs, fp16 on GPUs]"),
]


class WeightsName(StrEnum):
    FP16 = "fp16"
    INT8 = "int8"


Weights = Annotated[
    WeightsName | None,
    Option(help="How the file keeps the network's weights: int8 halves it; the arithmetic stays that of --precision. [default: fp16]"),
]
AttnAccum = Annotated[Sums | None, Option(help="Have TensorRT add up attention in float32. [default: float16]")]
Targets = Annotated[
    Any,
    Option(
        "--sm",
        metavar="SMS",
        parser=parse_list,
        help="Compute capabilities of the GPUs that trt-rtx engines are for, as 86,89,120. [default: these three]",
        show_default=False,
    ),
]
MotionAdapter = Annotated[
    Path | None,
    Option(metavar="PATH", help="AnimateDiff motion modules for an image checkpoint: folder or .safetensors.", show_default=False),
]
Vae = Annotated[
    Path | None,
    Option(
        "--vae", metavar="DIR", help="VAE for Moore-AnimateAnyone's files. [default: sd-vae-ft-mse in their folder]", show_default=False
    ),
]
ImageEncoder = Annotated[
    Path | None,
    Option(metavar="DIR", help="CLIP image encoder for the same. [default: image_encoder in their folder]", show_default=False),
]
Data = Annotated[
    Path | None,
    Option(
        metavar="DIR",
        help="Data set whose held-out frames the graphs are compared on too. [default: random inputs only]",
        show_default=False,
    ),
]


Verify = Annotated[
    str | None,
    Option(
        metavar="BUNDLE", help="Check a finished bundle instead: its hashes, and every gate that this machine can run.", show_default=False
    ),
]


def export(
    checkpoint: Checkpoint = None,
    out: Out = None,
    flavour: Flavour = None,
    trt: Trt = False,
    size: Size = None,
    frames: Frames = None,
    precision: Precision = None,
    weights: Weights = None,
    attn_accum: AttnAccum = None,
    sm: Targets = None,
    motion_adapter: MotionAdapter = None,
    vae: Vae = None,
    image_encoder: ImageEncoder = None,
    data: Data = None,
    verify: Verify = None,
    overwrite: Overwrite = False,
    as_json: AsJson = False,
) -> None:
    """Turn a checkpoint into a bundle for 'scd animate' or 'scd tryon'.

    The bundle needs no torch to run. Every graph is compared with torch; the
    differences are written into bundle.json, and the export fails when one is too
    large. Needs the extra packages of scd-cli[train].

    \b
    Examples:
      scd export --checkpoint runs/mini-scd-v --data data --precision int8 --out bundle
      scd export --checkpoint runs/sd15-scd-v --out bundle --trt --frames 1,16,24
      scd export --checkpoint runs/sd15-scd-v --out bundle --flavour trt-rtx --sm 89
      scd export --checkpoint runs/mini-tryon --weights int8 --out tryon
      scd export --checkpoint pretrained_weights --out moore --trt
      scd export --verify bundle
      scd animate me.png --poses dance.mp4 --model bundle
    """
    from engines.core.errors import UsageError
    from engines.export.bundle import export_bundle
    from engines.export.request import ExportRequest
    from scd_cli.console import Console, result

    if verify is not None:
        from engines.sessions.verify import verify as check

        return result(check(verify, Console()), as_json, f"{verify}: every gate passed that this machine can run (--json shows figures)")
    if checkpoint is None or out is None:
        raise UsageError("scd export needs a checkpoint and a place for the bundle", "give --checkpoint and --out, or --verify BUNDLE")
    flavours = tuple(str(name) for name in flavour or ())
    options = given(size=size, frames=frames, precision=precision and str(precision), attn_accum=attn_accum and str(attn_accum))
    options |= given(
        weights=weights and str(weights),
        data=data,
        motion_adapter=motion_adapter,
        vae=vae,
        image_encoder=image_encoder,
        targets=sm,
        flavours=flavours or None,
    )
    request = ExportRequest(checkpoint=checkpoint, out=out, overwrite=overwrite, engines=trt, **options)
    result(export_bundle(request, Console()), as_json, out)
