"""`scd export`: what it takes and says; the work is in engines.export."""

from pathlib import Path
from typing import Annotated

from typer import Option

from scd_cli.options import AsJson, Overwrite

FLAVOURS = ("ort-cpu",)
Checkpoint = Annotated[
    Path, Option(metavar="DIR", help="Checkpoint, or run folder of 'scd train' (its newest checkpoint).", show_default=False)
]
Out = Annotated[Path, Option("--out", metavar="BUNDLE", help="Folder of the bundle.", show_default=False)]
Flavour = Annotated[str, Option(metavar="NAME", help="What the graphs are made for.")]
Data = Annotated[
    Path | None,
    Option(
        metavar="DIR",
        help="Data set whose held-out frames the graphs are compared on too. [default: random inputs only]",
        show_default=False,
    ),
]
PRECISIONS = ("fp32", "int8")
Precision = Annotated[str, Option(metavar="NAME", help="Arithmetic of the target graph: fp32, or int8, which is faster and needs --data.")]
Trt = Annotated[bool, Option("--trt", help="Also build TensorRT engines (a later version).")]


def export(
    checkpoint: Checkpoint,
    out: Out,
    data: Data = None,
    flavour: Flavour = FLAVOURS[0],
    precision: Precision = PRECISIONS[0],
    trt: Trt = False,
    overwrite: Overwrite = False,
    as_json: AsJson = False,
) -> None:
    """Turn a checkpoint into a bundle for 'scd animate'.

    The bundle needs no torch to run. Every graph is compared with torch; the
    differences are written into bundle.json, and the export fails when one is too
    large. Needs the extra packages of scd-cli[train].

    \b
    Examples:
      scd export --checkpoint runs/mini-scd-v --data data --precision int8 --out bundle
      scd animate me.png --poses dance.mp4 --model bundle
    """
    from engines.core.errors import UsageError
    from scd_cli.console import Console, not_yet, result

    if trt:
        raise not_yet("this version of scd export builds no TensorRT engines; leave --trt out and run the bundle with onnxruntime")
    if flavour not in FLAVOURS:
        raise not_yet(f"this version of scd export has no flavour {flavour}; it knows: {', '.join(FLAVOURS)}")
    if precision not in PRECISIONS:
        raise UsageError(f"--precision is {precision}, but scd export knows: {', '.join(PRECISIONS)}")
    from engines.export.bundle import export_bundle

    facts = export_bundle(checkpoint, out, overwrite, data, Console(), "int8" if precision == "int8" else "fp32")
    result(facts, as_json, out)
