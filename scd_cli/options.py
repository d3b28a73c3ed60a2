"""Options that several commands share, each written once."""

from typing import Annotated

from typer import Option

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
