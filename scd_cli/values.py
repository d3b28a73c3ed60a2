"""Values on the command line: sizes, frame ranges, rates, lists. A wrong one is a usage error of one sentence (exit 2).

Only the form is judged here; whether a value suits the model or the driver is for the engines to say.
"""

from fractions import Fraction
from pathlib import Path
from typing import Any

import typer

NTSC = {"23.976": 24, "23.98": 24, "29.97": 30, "47.952": 48, "59.94": 60, "119.88": 120}


def parse_size(text: str) -> tuple[int, int]:
    """`512x704` -> (512, 704): width, then height, in pixels."""
    width, _, height = text.lower().partition("x")
    if not (width.isdecimal() and height.isdecimal() and int(width) and int(height)):
        raise typer.BadParameter(f"{text} is not a size; write width x height in pixels, for example 192x256")
    return int(width), int(height)


def parse_frames(text: str) -> tuple[int, int | None]:
    """`10:50` -> (10, 50), `10:` -> (10, None), `:50` -> (0, 50). Frames count from 0; the end is not included."""
    first, colon, last = text.partition(":")
    if not colon or not all(part == "" or part.isdecimal() for part in (first, last)):
        raise typer.BadParameter(f"{text} is not a range of frames; write A:B with 0 <= A < B, for example 0:48")
    start, stop = int(first or 0), int(last) if last else None
    if stop is not None and stop <= start:
        raise typer.BadParameter(f"{text} holds no frame; in A:B, A must be smaller than B")
    return start, stop


def parse_fps(text: str) -> Fraction:
    """`25`, `30000/1001` -> frames a second as an exact fraction. 29.97 and its like are taken as the NTSC rates they stand for."""
    if text in NTSC:
        return Fraction(NTSC[text] * 1000, 1001)
    try:
        fps = Fraction(text)
    except (ValueError, ZeroDivisionError):
        raise typer.BadParameter(f"{text} is not a rate; write frames a second, for example 25 or 30000/1001") from None
    if fps <= 0:
        raise typer.BadParameter(f"{text} is not above 0; write frames a second, for example 25 or 30000/1001")
    return fps


def parse_seconds(text: str) -> Fraction:
    """`1.5`, `1:02.5` or `1:00:02` -> seconds as an exact fraction."""
    try:
        parts = [Fraction(part) for part in text.split(":")]
    except (ValueError, ZeroDivisionError):
        parts = []
    if not 1 <= len(parts) <= 3 or any(part < 0 for part in parts) or any(part >= 60 for part in parts[1:]):
        raise typer.BadParameter(f"{text} is not a time; write seconds, for example 1.5 or 1:02")
    return sum((part * 60**place for place, part in enumerate(reversed(parts))), Fraction(0))


def parse_pose_model(text: str) -> tuple[Path, Path]:
    """`det.onnx,pose.onnx` -> both paths."""
    parts = [part.strip() for part in text.split(",")]
    if len(parts) != 2 or not all(parts):
        raise typer.BadParameter(f"{text} is not two files; write detector,network, for example yolox.onnx,dwpose.onnx")
    return Path(parts[0]), Path(parts[1])


def parse_list(text: str) -> tuple[str, ...]:
    """`cuda,cpu` -> ("cuda", "cpu")."""
    names = tuple(part.strip() for part in text.split(",") if part.strip())
    if not names:
        raise typer.BadParameter("the list is empty; write names with commas between them")
    return names


def parse_counts(text: str) -> tuple[int, int, int]:
    """`1,16,24` -> (1, 16, 24): least, usual and most. One number stands for all three."""
    parts = text.split(",")
    if len(parts) not in (1, 3) or not all(part.isdecimal() and int(part) for part in parts):
        raise typer.BadParameter(f"{text} is not three counts; write least, usual and most, for example 1,16,24")
    least, usual, most = (int(part) for part in (parts * 3)[:3])
    return least, usual, most


def default_output(reference: Path, driver: Path) -> Path:
    """Where a clip goes without -o: the working directory, named after both inputs."""
    return Path(f"{reference.stem}-{driver.stem}.mp4")


def given(**options: Any) -> dict[str, Any]:
    """The options that were given: what was not stays out, so that its default is written in one place, the engine's request."""
    return {name: value for name, value in options.items() if value is not None}
