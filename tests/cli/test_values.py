"""Sizes, ranges, rates and lists on the command line."""

import contextlib
from fractions import Fraction
from pathlib import Path

import pytest
import typer
from hypothesis import given, strategies

from scd_cli.values import default_output, parse_fps, parse_frames, parse_list, parse_size


@pytest.mark.parametrize(("text", "size"), [("192x256", (192, 256)), ("1920X1080", (1920, 1080)), ("1x1", (1, 1))])
def test_size(text: str, size: tuple[int, int]) -> None:
    assert parse_size(text) == size


@pytest.mark.parametrize("text", ["", "x", "192", "192x", "x256", "192x-5", "0x10", "1.5x2", "192x256x3", "192*256"])
def test_wrong_size(text: str) -> None:
    with pytest.raises(typer.BadParameter, match="is not a size; write width x height"):
        parse_size(text)


@pytest.mark.parametrize(("text", "frames"), [("0:48", (0, 48)), ("10:", (10, None)), (":50", (0, 50)), (":", (0, None)), ("7:8", (7, 8))])
def test_frames(text: str, frames: tuple[int, int | None]) -> None:
    assert parse_frames(text) == frames


@pytest.mark.parametrize("text", ["50:10", "5:5", ":0", "5", "a:b", "-1:5", "1:2:3", "1.5:2", ""])
def test_wrong_frames(text: str) -> None:
    with pytest.raises(typer.BadParameter, match=r"range of frames|holds no frame"):
        parse_frames(text)


RATES = {
    "25": Fraction(25),
    "30000/1001": Fraction(30000, 1001),
    "29.97": Fraction(30000, 1001),
    "23.976": Fraction(24000, 1001),
    "12.5": Fraction(25, 2),
}


@pytest.mark.parametrize("text", RATES)
def test_fps(text: str) -> None:
    assert parse_fps(text) == RATES[text]


@pytest.mark.parametrize("text", ["", "0", "-25", "x", "1/0", "nan", "inf", "30fps"])
def test_wrong_fps(text: str) -> None:
    with pytest.raises(typer.BadParameter, match="write frames a second"):
        parse_fps(text)


@given(strategies.text(max_size=12))
def test_any_text_is_a_value_or_a_usage_error(text: str) -> None:
    for parser in (parse_size, parse_frames, parse_fps, parse_list):
        with contextlib.suppress(typer.BadParameter):
            parser(text)


def test_list_and_default_output() -> None:
    assert parse_list("cuda, cpu,") == ("cuda", "cpu")
    with pytest.raises(typer.BadParameter):
        parse_list(" , ")
    assert default_output(Path("a/me.jpg"), Path("b/dance.mp4")) == Path("me-dance.mp4")
