"""What `tryon` refuses, and what a failure, a full disk or a kill leaves behind: nothing that is in the way."""

import os
import shutil
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from engines.core.errors import ScdError, UsageError
from engines.core.report import NullReport
from engines.generate import studio as studios
from engines.generate.animate import animate
from engines.generate.request import AnimateRequest
from engines.generate.tryon import tryon
from engines.generate.tryon_request import MaskWish, TryonRequest
from engines.media import together
from engines.media.workspace import workspace, workspace_path
from engines.sessions.base import Arrays
from tests.generate.dressing import check_outside, left, made, pixels, watch, white, with_keypoints, with_person
from tests.generate.tiny_model import TinyModel

ROOT = Path(__file__).parents[2]


def test_nothing_is_replaced_unless_it_is_asked_for(request_: TryonRequest) -> None:
    request = replace(request_, samples=2)
    for name, flag in (("dressed.png", "-o"), ("dressed-2.png", "-o"), ("dressed.mask.png", "--mask-out")):
        place = request.output.with_name(name)
        place.write_bytes(b"mine")
        with pytest.raises(ScdError, match=rf"{name} exists already; add --overwrite to replace it or name another with {flag}$"):
            tryon(request, NullReport())
        assert list(left(request)) == [name]
        place.unlink()
    for path in (*request.outputs, request.mask_path):
        path.write_bytes(b"old")
    tryon(replace(request, overwrite=True), NullReport())
    assert sorted(left(request)) == ["dressed-2.png", "dressed.mask.png", "dressed.png"]
    check_outside(pixels(request.person), pixels(request.output), white(request.mask_path))


REFUSED: list[tuple[dict[str, Any], str]] = [
    ({"samples": 0}, "--samples 0"), ({"samples": 65}, "use 1 to 64"), ({"guidance": -0.5}, "--guidance -0.5"),
    ({"guidance": 31.0}, "use 0 to 30"), ({"steps": 1001}, "--steps 1001"), ({"mask": MaskWish(grow=-1)}, "--mask-grow -1"),
    ({"output": Path("a.gif")}, "ends in no format"), ({"mask_out": Path("a.jpg")}, r"the mask a\.jpg is no \.png"),
    ({"sampler": "lcm"}, "tiny is none"), ({"model": "no-such-model"}, "there is no model"),
]  # fmt: skip


@pytest.mark.parametrize(("change", "said"), REFUSED, ids=[said for _, said in REFUSED])
def test_refused_before_a_network_is_loaded(
    request_: TryonRequest, monkeypatch: pytest.MonkeyPatch, change: dict[str, Any], said: str
) -> None:
    monkeypatch.setattr(studios, "pipeline_on", lambda *_: pytest.fail("the model was loaded"))
    with pytest.raises(ScdError, match=said):
        tryon(replace(request_, **change), NullReport())
    assert left(request_) == {}


@pytest.mark.parametrize("which", ["person", "garment", "file", "keypoints"])
@pytest.mark.parametrize("written", ["output", "mask_out"])
def test_an_input_is_never_overwritten(request_: TryonRequest, which: str, written: str) -> None:
    request = with_keypoints(request_)
    given = Path(getattr(request, which, None) or getattr(request.mask, which))
    same = Path(shutil.copy(given, request.output.with_name("same.png")))
    before = same.read_bytes()
    own = {which: same} if which in ("person", "garment") else {"mask": replace(request.mask, **{which: same})}
    with pytest.raises(UsageError, match=r"same\.png is also an input; name another with -o or --mask-out"):
        tryon(replace(request, overwrite=True, **own, **{written: same}), NullReport())
    assert (same.read_bytes(), list(left(request))) == (before, ["same.png"])


def test_models_are_for_one_command(request_: TryonRequest, tiny: tuple[Path, TinyModel]) -> None:
    with pytest.raises(UsageError, match="the model tiny is for scd animate, not for scd tryon; name another with --model"):
        tryon(replace(request_, model=str(tiny[0])), NullReport())
    points = with_keypoints(request_).mask.keypoints
    assert points is not None
    clip = AnimateRequest(reference=request_.person, poses=points, output=request_.output.with_suffix(".mp4"), model=request_.model)
    with pytest.raises(UsageError, match="the model tiny is for scd tryon, not for scd animate"):
        animate(clip, NullReport())
    assert left(request_) == {}


@pytest.mark.parametrize("graph", ["encoder", "pose", "reference", "target", "decoder"])
@pytest.mark.parametrize("error", [RuntimeError("out of memory"), KeyboardInterrupt()], ids=["error", "Ctrl-C"])
def test_a_network_that_fails_leaves_nothing(
    request_: TryonRequest, monkeypatch: pytest.MonkeyPatch, graph: str, error: BaseException
) -> None:
    def fail(feeds: Arrays) -> None:
        raise error

    watch(monkeypatch, graph, fail)
    with pytest.raises(type(error)):
        tryon(replace(request_, samples=2), NullReport())
    assert left(request_) == {}


@pytest.mark.parametrize("name", ["dressed-2.png", "mask.png"])
def test_a_full_disk_leaves_nothing_and_replaces_nothing(request_: TryonRequest, monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    request = replace(request_, samples=2, overwrite=True)
    tryon(request, NullReport())
    before, save = left(request), Image.Image.save
    saved: list[int] = []

    def full(self: Image.Image, *rest: Any, **options: Any) -> None:
        saved.append(1)
        if len(saved) == {"dressed-2.png": 2, "mask.png": 3}[name]:
            raise OSError(28, "No space left on device")
        save(self, *rest, **options)

    monkeypatch.setattr(Image.Image, "save", full)
    with pytest.raises(ScdError, match="the disk is full"):
        tryon(replace(request, seed=1), NullReport())
    assert left(request) == before


def test_a_picture_that_the_format_cannot_hold(request_: TryonRequest) -> None:
    """WebP ends at 16383 pixels a side."""
    request = with_person(request_, (16, 16500), np.s_[8000:8020, 2:14])
    with pytest.raises(ScdError, match=r"the result cannot be written as \.webp .*16383.*; use -o with a \.png"):
        tryon(replace(request, output=request.output.with_suffix(".webp")), NullReport())
    assert left(request) == {}
    tryon(request, NullReport())
    check_outside(pixels(request.person), pixels(request.output), white(request.mask_path))


def test_the_mask_goes_when_the_result_cannot_come(request_: TryonRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    move = shutil.move

    def failing(file: Path, place: Path) -> None:
        if file.name == "1.png":
            raise OSError(5, "Input/output error")
        move(file, place)

    monkeypatch.setattr(together.shutil, "move", failing)
    with pytest.raises(ScdError, match=r"cannot write .*dressed\.png: Input/output error"):
        tryon(replace(request_, samples=2), NullReport())
    assert left(request_) == {}


KILLED = """
import os, shutil, sys
from pathlib import Path
from engines.core.report import NullReport
from engines.generate import studio
from engines.generate.tryon import tryon
from engines.generate.tryon_request import MaskWish, TryonRequest
from engines.media import together
from tests.generate.blind import Blind

person, garment, mask, output, model = sys.argv[1:]
studio.open_detector = lambda models, report: Blind()
move = shutil.move

def killed(file, place):
    if file.name == "1.png":
        os.kill(os.getpid(), 9)
    move(file, place)

together.shutil.move = killed
request = TryonRequest(person=Path(person), garment=Path(garment), output=Path(output), model=model, mask=MaskWish(file=Path(mask)),
                       samples=2, steps=3)
tryon(request, NullReport())
"""


@pytest.fixture
def killed(request_: TryonRequest) -> TryonRequest:
    """What a process that was killed between the mask and the result has left: mask, second sample, its hidden folder."""
    request = replace(request_, samples=2)
    words = [request.person, request.garment, request.mask.file, request.output, request.model]
    done = subprocess.run([sys.executable, "-c", KILLED, *map(str, words)], cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == -9, done.stderr
    assert sorted(left(request)) == [".dressed.png.scd", "dressed-2.png", "dressed.mask.png"]
    return request


@pytest.mark.skipif(os.name == "nt", reason="SIGKILL")
def test_a_killed_try_on_is_made_again(killed: TryonRequest) -> None:
    killed.mask_path.with_name("precious.png").write_bytes(b"mine")
    elsewhere = replace(killed, mask_out=killed.mask_path.with_name("precious.png"))
    with pytest.raises(ScdError, match=r"precious\.png exists already"):
        tryon(elsewhere, NullReport())
    assert elsewhere.mask_path.read_bytes() == b"mine"
    elsewhere.mask_path.unlink()
    tryon(killed, NullReport())
    assert sorted(left(killed)) == ["dressed-2.png", "dressed.mask.png", "dressed.png"]
    assert np.array_equal(pixels(killed.output), made(killed, samples=1))


@pytest.mark.skipif(os.name == "nt", reason="SIGKILL")
def test_the_mask_of_a_killed_try_on_may_be_used(killed: TryonRequest) -> None:
    """As an input it is not taken away."""
    again = replace(killed, mask=MaskWish(file=killed.mask_path))
    with pytest.raises(UsageError, match=r"dressed\.mask\.png is also an input"):
        tryon(again, NullReport())
    tryon(replace(again, mask_out=killed.output.with_name("m.png")), NullReport())
    assert np.array_equal(white(killed.output.with_name("m.png")), white(killed.mask_path))


def test_another_process_at_work_is_named(request_: TryonRequest) -> None:
    with workspace(request_.output), pytest.raises(ScdError, match=r"another scd is making .*dressed\.png"):
        tryon(request_, NullReport())
    assert left(request_) == {}
    assert not workspace_path(request_.output).exists()
