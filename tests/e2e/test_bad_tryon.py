"""Everything a user can get wrong with `scd tryon`: refused in one sentence that names the file or the flag, with nothing left behind."""

import json
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from engines.core.keypoints import PoseTrack
from engines.pose.files import save_track
from tests.e2e.running import person_picture, scd, waving_track, write_person

SIZE = (96, 128)
SHIRT = np.s_[36:77, 34:62]
Levels = NDArray[np.uint8]


@dataclass
class Given:
    """A good call; a case spoils one thing of it."""

    folder: Path
    person: Path
    garment: Path
    out: Path
    model: str
    mask: tuple[object, ...]
    options: tuple[object, ...] = ()


Spoil = Callable[[Given], None]


@pytest.fixture
def given(dresser: Path, blind: None, tmp_path: Path) -> Given:
    mask = np.zeros(SIZE[::-1], np.uint8)
    mask[SHIRT] = 255
    Image.fromarray(mask).save(tmp_path / "mask.png")
    write_person(tmp_path / "shirt.png", (64, 64))
    person = write_person(tmp_path / "person.png")
    return Given(tmp_path, person, tmp_path / "shirt.png", tmp_path / "dressed.png", str(dresser), ("--mask", tmp_path / "mask.png"))


def file_of(role: str, content: bytes | None) -> Spoil:
    """Person or garment with these bytes, or missing."""

    def spoil(given: Given) -> None:
        path = given.folder / "spoilt.png"
        setattr(given, role, path)
        if content is not None:
            path.write_bytes(content)

    return spoil


def cut(role: str) -> Spoil:
    def spoil(given: Given) -> None:
        Image.fromarray(np.random.default_rng(0).integers(0, 256, (90, 90, 3), dtype=np.uint8)).save(given.folder / "whole.png")
        file_of(role, (given.folder / "whole.png").read_bytes()[:9000])(given)

    return spoil


def folder_of(role: str) -> Spoil:
    return lambda given: setattr(given, role, given.folder)


def sized(role: str, size: tuple[int, int]) -> Spoil:
    def spoil(given: Given) -> None:
        setattr(given, role, given.folder / "spoilt.png")
        Image.new("1", size).save(given.folder / "spoilt.png")

    return spoil


def mask_of(make: Callable[[], Levels], *more: object, flag: str = "--mask") -> Spoil:
    """Another picture as mask or parse map."""

    def spoil(given: Given) -> None:
        Image.fromarray(make()).save(given.folder / "spoilt.png")
        given.mask = (flag, given.folder / "spoilt.png", *more)

    return spoil


def parse_of(make: Callable[[], Levels], *more: object) -> Spoil:
    return mask_of(make, *more, flag="--parse")


def levels(value: int, size: tuple[int, int] = SIZE) -> Levels:
    return np.full(size[::-1], value, np.uint8)


def agnostic() -> Levels:
    out = person_picture()
    out[SHIRT] = 128
    return out


def inverted() -> Levels:
    out = levels(255)
    out[SHIRT] = 0
    return out


def labels() -> Levels:
    """Face, upper clothes and trousers in the labels of LIP."""
    out = levels(0)
    out[12:30, 40:56], out[SHIRT], out[77:110, 36:60] = 13, 5, 9
    return out


def trousers() -> Levels:
    """Without anything above them."""
    return np.where(labels() == 5, np.uint8(0), labels())


def coloured() -> Levels:
    colours = np.random.default_rng(2).integers(40, 255, (20, 3)).astype(np.uint8)
    colours[0] = 0
    return np.asarray(colours[labels()])


def nobodys_points(given: Given) -> None:
    save_track(given.folder / "points.npz", PoseTrack(np.zeros((1, 0, 133, 3), np.float32), SIZE), True)
    given.mask = ("--keypoints", given.folder / "points.npz")


def broken_points(given: Given) -> None:
    (given.folder / "points.json").write_text('{"people": [')
    given.mask = ("--keypoints", given.folder / "points.json")


def points_without_shoulders(given: Given) -> None:
    track = waving_track(1)
    track.points[:, :, 5:7, 2] = 0
    save_track(given.folder / "points.npz", track, True)
    given.mask = ("--keypoints", given.folder / "points.npz")


def both(given: Given) -> None:
    given.mask = (*given.mask, "--parse", given.folder / "mask.png")


def options(*values: object) -> Spoil:
    return lambda given: setattr(given, "options", values)


def mask_out(name: str) -> Spoil:
    return lambda given: setattr(given, "options", ("--mask-out", given.folder / name, "--overwrite"))


def existing(name: str) -> Spoil:
    def spoil(given: Given) -> None:
        (given.folder / name).write_bytes(b"mine")

    return spoil


def output(name: str) -> Spoil:
    return lambda given: setattr(given, "out", given.folder / name)


def onto(role: str) -> Spoil:
    """The output is an input, and may be replaced."""

    def spoil(given: Given) -> None:
        given.out, given.options = getattr(given, role), ("--overwrite",)

    return spoil


def output_is_a_folder(given: Given) -> None:
    given.out.mkdir()
    (given.out / "mine.txt").write_text("mine")
    given.options = ("--overwrite",)


def for_animation(given: Given) -> None:
    folder = Path(shutil.copytree(given.model, given.folder / "model"))
    facts = json.loads((folder / "bundle.json").read_text())
    (folder / "bundle.json").write_text(json.dumps(facts | {"task": "animate"}))
    given.model = str(folder)


def damaged_model(given: Given) -> None:
    folder = Path(shutil.copytree(given.model, given.folder / "model"))
    with (folder / "target.onnx").open("ab") as file:
        file.write(b"more")
    given.model = str(folder)


def clip_in_the_way(given: Given) -> None:
    existing("dressed.mp4")(given)
    given.options = ("--then-animate", given.person)


def nobody(given: Given) -> None:
    given.mask = ()


REFUSED: dict[str, tuple[Spoil, str]] = {
    "missing person": (file_of("person", None), "picture of the person {0}/spoilt.png does not exist"),
    "empty person": (file_of("person", b""), "spoilt.png is empty"),
    "text as person": (file_of("person", b"I am a text"), "spoilt.png is not a picture"),
    "truncated person": (cut("person"), "spoilt.png is damaged"),
    "folder as person": (folder_of("person"), "picture of the person {0} is a folder"),
    "tiny person": (sized("person", (3, 3)), "spoilt.png is 3x3 pixels"),
    "huge person": (sized("person", (20000, 20000)), "spoilt.png is too large"),
    "missing garment": (file_of("garment", None), "picture of the garment {0}/spoilt.png does not exist"),
    "empty garment": (file_of("garment", b""), "spoilt.png is empty"),
    "text as garment": (file_of("garment", b"I am a text"), "spoilt.png is not a picture"),
    "truncated garment": (cut("garment"), "spoilt.png is damaged"),
    "folder as garment": (folder_of("garment"), "picture of the garment {0} is a folder"),
    "tiny garment": (sized("garment", (5, 50)), "spoilt.png is 5x50 pixels"),
    "missing mask": (lambda g: setattr(g, "mask", ("--mask", g.folder / "no.png")), "mask {0}/no.png does not exist"),
    "mask of another shape": (mask_of(lambda: levels(0, (100, 100)) | np.eye(100, dtype=np.uint8) * 255), "spoilt.png is 100x100 pixels"),
    "empty mask": (mask_of(lambda: levels(0)), "spoilt.png is black everywhere"),
    "white mask": (mask_of(lambda: levels(255)), "spoilt.png is white everywhere"),
    "agnostic picture as mask": (mask_of(agnostic), "spoilt.png looks like an agnostic picture"),
    "inverted mask": (mask_of(inverted), "add --invert-mask"),
    "needlessly inverted mask": (lambda g: setattr(g, "options", ("--invert-mask",)), "leave --invert-mask out"),
    "photo as mask": (mask_of(person_picture), "spoilt.png looks like"),
    "parse map as mask": (mask_of(labels), "with --parse instead of --mask"),
    "parse map without labels named": (parse_of(lambda: np.minimum(labels(), 17)), "add --parse-labels lip or --parse-labels atr"),
    "parse map without the garment": (parse_of(trousers, "--parse-labels", "lip"), "spoilt.png"),
    "parse map with other labels": (parse_of(lambda: labels() + np.uint8(5), "--parse-labels", "atr"), "use --parse-labels lip"),
    "coloured parse map": (parse_of(coloured, "--parse-labels", "lip"), "spoilt.png is a map in colours"),
    "mask as parse map": (parse_of(lambda: np.uint8(255) - inverted(), "--parse-labels", "lip"), "with --mask instead of --parse"),
    "unknown labels": (parse_of(labels, "--parse-labels", "coco"), "--parse-labels"),
    "mask and parse map": (both, "--mask and --parse both"),
    "keypoints of nobody": (nobodys_points, "points.npz holds nobody"),
    "broken keypoints": (broken_points, "points.json"),
    "missing keypoints": (lambda g: setattr(g, "mask", ("--keypoints", g.folder / "no.json")), "no.json does not exist"),
    "keypoints without shoulders": (points_without_shoulders, "does not show the person's shoulders"),
    "nobody in the picture": (nobody, "nobody is found in the picture {0}/person.png"),
    "folder missing": (output("none/dressed.png"), "the folder {0}/none for the output dressed.png does not exist"),
    "output in a file": (output("person.png/dressed.png"), "is a file"),
    "existing output": (existing("dressed.png"), "dressed.png exists already; add --overwrite"),
    "existing mask": (existing("dressed.mask.png"), "or name another with --mask-out"),
    "output is a folder": (output_is_a_folder, "is a folder with other things in it"),
    "person as output": (onto("person"), "the output {0}/person.png is also an input"),
    "garment as output": (onto("garment"), "the output {0}/shirt.png is also an input"),
    "mask as output of the mask": (mask_out("mask.png"), "the output {0}/mask.png is also an input"),
    "result as mask": (mask_out("dressed.png"), "would replace the result; name another with --mask-out"),
    "mask in a missing folder": (mask_out("none/mask.png"), "the folder {0}/none for the output mask.png does not exist"),
    "mask as JPEG": (mask_out("where.jpg"), "where.jpg is no .png; name one with --mask-out"),
    "unknown ending": (output("dressed.gif"), "dressed.gif ends in no format of pictures"),
    "no ending": (output("dressed"), "use -o with one of"),
    "video as output": (output("dressed.mp4"), "use -o with one of"),
    "no samples": (options("--samples", 0), "--samples"),
    "too many samples": (options("--samples", 1000), "--samples 1000 is not possible; use 1 to 64"),
    "no steps": (options("--steps", 0), "--steps"),
    "too many steps": (options("--steps", 5000), "--steps 5000"),
    "guidance below 0": (options("--guidance", -1), "--guidance"),
    "too much guidance": (options("--guidance", 1000), "--guidance 1000"),
    "unknown sampler": (options("--sampler", "heun"), "--sampler"),
    "sampler of distilled models": (options("--sampler", "lcm"), "--sampler lcm needs a model"),
    "unknown category": (options("--category", "shoes"), "--category"),
    "negative growth": (options("--mask-grow", -3), "--mask-grow"),
    "unknown provider": (options("--providers", "abacus"), "abacus"),
    "unknown option": (options("--colour", "red"), "--colour"),
    "unknown model": (lambda g: setattr(g, "model", "maxi"), "there is no model maxi"),
    "model of the other command": (for_animation, "is for scd animate, not for scd tryon; name another with --model"),
    "damaged model": (damaged_model, "target.onnx is damaged"),
    "option of lists": (options("--dry-run"), "--dry-run"),
    "option of batches": (options("--actors", 2), "--actors is for batches"),
    "missing driver": (lambda g: setattr(g, "options", ("--then-animate", g.folder / "no.mp4")), "no.mp4 does not exist"),
    "clip in the way": (clip_in_the_way, "dressed.mp4 exists already"),
    "samples on stdout": (lambda g: (setattr(g, "out", "-"), setattr(g, "options", ("--samples", 2)))[0], "-o - writes one picture"),
    "summary on stdout": (lambda g: (setattr(g, "out", "-"), setattr(g, "options", ("--json",)))[0], "-o - writes one picture"),
    "clip after stdout": (lambda g: (setattr(g, "out", "-"), setattr(g, "options", ("--then-animate", g.person)))[0], "-o - writes one"),
}  # fmt: skip


def contents(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file()}


@pytest.mark.parametrize("case", REFUSED)
def test_refused(case: str, given: Given, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(given.folder)
    spoil, said = REFUSED[case]
    spoil(given)
    before, folders = contents(given.folder), sorted(given.folder.rglob("*"))
    ran = scd("tryon", given.person, given.garment, "-o", given.out, "--model", given.model, *given.mask, "--steps", 2, *given.options)
    assert ran.code in (1, 2), ran.err
    assert ran.out == ""
    assert said.format(given.folder) in ran.err
    lines = [line for line in ran.err.splitlines() if not line.startswith("warning: ")]
    assert len(lines) == 1
    assert lines[0].startswith("error: ")
    assert "SCD_DEBUG" not in lines[0], "no error that nobody has thought of"
    assert (contents(given.folder), sorted(given.folder.rglob("*"))) == (before, folders)


def test_the_call_that_they_spoil_is_a_good_one(given: Given) -> None:
    ran = scd("tryon", given.person, given.garment, "-o", given.out, "--model", given.model, *given.mask, "--steps", 2)
    assert (ran.code, ran.out) == (0, f"{given.out}\n"), ran.err


MASK_ONLY: dict[str, tuple[tuple[object, ...], str]] = {
    "nowhere": ((), "--mask-only needs a place for the mask; give -o mask.png"),
    "JPEG": (("-o", "where.jpg"), "where.jpg is no .png; name one with -o"),
    "onto the person": (("-o", "person.png", "--overwrite"), "the output person.png is also an input"),
    "onto the mask": (("-o", "mask.png", "--overwrite", "--mask", "mask.png"), "the output mask.png is also an input"),
    "existing": (("-o", "shirt.png"), "shirt.png exists already"),
    "nobody": (("-o", "new.png"), "nobody is found in the picture person.png"),
    "two places": (("-o", "new.png", "--mask-out", "other.png"), "-o and --mask-out both name a place"),
    "nobody to animate": (("-o", "new.png", "--then-animate", "dance.mp4"), "--mask-only dresses nobody"),
    "to stdout with a summary": (("-o", "-", "--json"), "leave --json out"),
}


@pytest.mark.parametrize("case", MASK_ONLY)
def test_refused_masks(case: str, given: Given, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(given.folder)
    before = contents(given.folder)
    words, said = MASK_ONLY[case]
    ran = scd("tryon", "person.png", "--mask-only", *words)
    assert (ran.code in (1, 2), ran.out) == (True, ""), ran.err
    assert said in ran.err
    assert ran.err.count("\n") == 1
    assert contents(given.folder) == before
