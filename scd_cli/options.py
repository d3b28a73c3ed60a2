"""Options that several commands share, each written once."""

from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any

from typer import Option

from scd_cli.values import parse_list

Model = Annotated[
    str | None,
    Option(
        metavar="BUNDLE", help="Name of a shipped model, or folder made by 'scd export'. [default: the shipped mini]", show_default=False
    ),
]
Steps = Annotated[int | None, Option(metavar="N", min=1, help="Denoising steps. [default: the model's]", show_default=False)]
Guidance = Annotated[
    float | None,
    Option(metavar="G", min=0, help="How strongly the picture is followed; 1 is the fastest. [default: the model's]", show_default=False),
]
Seed = Annotated[
    int | None,
    Option(metavar="S", min=0, help="Seed of the noise: the same seed gives the same frames. [default: a fixed one]", show_default=False),
]
Overwrite = Annotated[bool, Option("--overwrite", help="Replace the output if it exists.")]
AsJson = Annotated[bool, Option("--json", help="Print a summary as JSON on stdout.")]
Providers = Annotated[
    Any,
    Option(
        metavar="NAMES",
        parser=parse_list,
        help="Where to compute, in order of wish: trt-rtx, trt, cuda, cpu. [default: the best that BUNDLE and machine have]",
        show_default=False,
    ),
]


class SamplerName(StrEnum):
    DDIM = "ddim"
    DPM = "dpm++2m"
    EULER = "euler"
    LCM = "lcm"


Sampler = Annotated[
    SamplerName | None, Option(help="How to step; lcm is for distilled models. [default: ddim]", show_default=False, show_choices=True)
]
SkipExisting = Annotated[
    bool | None,
    Option("--skip-existing/--no-skip-existing", help="Take outputs that are there as done. [default: in batches]", show_default=False),
]
FailFast = Annotated[bool, Option("--fail-fast", help="End a batch at its first failure.")]
SummaryFile = Annotated[
    Path | None, Option("--summary", metavar="FILE", help="A line of JSON for each job of a batch.", show_default=False)
]
RayAddress = Annotated[
    str | None,
    Option("--ray", metavar="[ADDRESS]", help="Do the batch on a Ray cluster; without address, on one started here.", show_default=False),
]
Actors = Annotated[
    int | None, Option(min=1, metavar="N", help="Workers on the Ray cluster. [default: one a GPU, else one]", show_default=False)
]
