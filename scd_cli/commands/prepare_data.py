"""`scd prepare-data`: what it takes and says; the work is in engines.prepare."""

from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any

from typer import Argument, Option

from scd_cli.options import AsJson
from scd_cli.values import parse_fps, parse_size

SOURCES = ("synthetic",)


class Layout(StrEnum):
    """What a data set is laid out for."""

    CLIPS = "clips"
    VITON_HD = "viton-hd"


Source = Annotated[str, Argument(metavar="SOURCE", help="Where the data comes from: synthetic (rendered people).", show_default=False)]
Out = Annotated[Path, Option("--out", metavar="DIR", help="Folder of the data set; a run that stopped goes on there.", show_default=False)]
Identities = Annotated[int, Option(min=1, metavar="N", help="People, with one clip each.")]
Frames = Annotated[int, Option(min=1, metavar="N", help="Frames of a clip.")]
Size = Annotated[Any, Option(metavar="WxH", parser=parse_size, help="Size of the pictures in pixels.")]
Fps = Annotated[Any, Option(metavar="F", parser=parse_fps, help="Frames a second of the clips.")]
Seed = Annotated[int, Option(metavar="S", min=0, help="The same seed gives the same bytes, whatever the number of workers.")]
Shape = Annotated[
    Layout, Option("--layout", help="clips to animate, or each frame as a try-on pair in VITON-HD's folders.", case_sensitive=False)
]
Workers = Annotated[int, Option(min=1, metavar="N", help="Processes that render.")]


def prepare_data(
    source: Source,
    out: Out,
    identities: Identities = 64,
    frames: Frames = 16,
    size: Size = "384x512",
    fps: Fps = "12",
    seed: Seed = 0,
    workers: Workers = 1,
    layout: Shape = Layout.CLIPS,
    as_json: AsJson = False,
) -> None:
    """Make a data set to train on.

    Each clip holds its frames, the exact 133 keypoints of every frame, the masks
    of person and garments, a flat picture of each garment, and where it all comes
    from. People and motions of the test split are never used for training.
    With --layout viton-hd every frame is a person, one garment of theirs, and a
    mask; the test part also holds each person in a garment of somebody else.

    \b
    Examples:
      scd prepare-data synthetic --out data --identities 1200 --workers 2
      scd prepare-data synthetic --out tiny --identities 4 --frames 8 --size 192x256
      scd prepare-data synthetic --layout viton-hd --out pairs --frames 4 --fps 2
    """
    from scd_cli.console import Console, not_yet, result

    if source not in SOURCES:
        raise not_yet(f"this version of scd prepare-data has no source {source}; it knows: {', '.join(SOURCES)}")
    from engines.prepare.synthetic import SyntheticRequest, prepare_synthetic

    request = SyntheticRequest(
        out=out, identities=identities, frames=frames, size=size, seed=seed, workers=workers, fps=fps, layout=layout.value
    )
    result(prepare_synthetic(request, Console()), as_json, out)
