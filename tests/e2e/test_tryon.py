"""`scd tryon` from the command line, on a tiny random bundle: names, pipes, masks, and photos that stay as they are outside the mask."""

import hashlib
import io
import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from engines.core.bundle import DEFAULT_MODEL, FACTS, SHIPPED
from engines.media.video import probe
from engines.pose.files import save_track
from tests.e2e.running import scd, waving_track, write_person
from tests.pose.test_parse import person as labels

ROOT = Path(__file__).parents[2]
SIZE = (96, 128)
SHIRT = np.s_[36:77, 34:62]
SCD = [sys.executable, "-m", "scd_cli"]
Pixels = NDArray[np.uint8]


@pytest.fixture
def room(blind: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The working directory, with a person, a garment, a mask and keypoints."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    write_person(tmp_path / "person.png", SIZE)
    write_person(tmp_path / "shirt.png", (64, 64))
    mask = np.zeros(SIZE[::-1], np.uint8)
    mask[SHIRT] = 255
    Image.fromarray(mask).save(tmp_path / "mask.png")
    save_track(tmp_path / "points.npz", waving_track(1), True)
    return tmp_path


def names(folder: Path) -> set[str]:
    """What has been made."""
    return {path.name for path in folder.iterdir()} - {"person.png", "shirt.png", "mask.png", "points.npz"}


def pixels(file: Path | io.BytesIO) -> Pixels:
    with Image.open(file) as image:
        return np.array(image.convert("RGB"), np.uint8)


def white(path: Path) -> NDArray[np.bool_]:
    with Image.open(path) as image:
        assert image.mode == "L"
        return np.array(image) > 0


def check_outside(before: Pixels, after: Pixels, mask: NDArray[np.bool_]) -> None:
    assert after.shape == before.shape
    assert np.array_equal(after[~mask], before[~mask])
    assert (after != before).any(-1)[mask].mean() > 0.5


def words(model: Path, *more: object) -> tuple[object, ...]:
    return ("--model", model, "--mask", "mask.png", "--steps", 2, *more)


# names and what is said


def test_without_o_the_result_lies_in_the_working_directory(dresser: Path, room: Path) -> None:
    ran = scd("tryon", "person.png", "shirt.png", *words(dresser))
    assert (ran.code, ran.out) == (0, "person-shirt.png\n"), ran.err
    assert names(room) == {"person-shirt.png", "person-shirt.mask.png"}
    assert np.array_equal(white(room / "person-shirt.mask.png"), white(room / "mask.png"))
    check_outside(pixels(room / "person.png"), pixels(room / "person-shirt.png"), white(room / "mask.png"))
    assert "mask: 9% of the picture, mask.png; model tiny, 2 steps, guidance 1, onnxruntime on cpu" in ran.err


def test_samples_are_named_after_the_first(dresser: Path, room: Path) -> None:
    ran = scd("tryon", "person.png", "shirt.png", "-o", "a.webp", "--samples", 3, *words(dresser))
    assert (ran.code, ran.out) == (0, "a.webp\na-2.webp\na-3.webp\n"), ran.err
    assert names(room) == {"a.webp", "a-2.webp", "a-3.webp", "a.mask.png"}


def test_summary_as_json(dresser: Path, room: Path) -> None:
    options = ("--seed", 5, "--guidance", 2, "--category", "lower", "--sampler", "euler", "--mask-out", "where.png", "--json")
    ran = scd("tryon", "person.png", "shirt.png", "-o", "a.png", *words(dresser, *options))
    assert ran.code == 0, ran.err
    said = json.loads(ran.out)
    assert (said["output"], said["outputs"], said["mask_file"], said["mask"]) == ("a.png", ["a.png"], "where.png", "mask.png")
    assert (said["seed"], said["guidance"], said["steps"], said["sampler"], said["category"]) == (5, 2.0, 2, "euler", "lower")
    assert (said["size"], said["mask_share"]) == ([96, 128], round(41 * 28 / (96 * 128), 4))
    assert said["inputs"]["shirt.png"] == hashlib.sha256((room / "shirt.png").read_bytes()).hexdigest()
    assert set(said["inputs"]) == {"person.png", "shirt.png", "mask.png"}
    assert names(room) == {"a.png", "where.png"}


def test_what_is_there_is_skipped_where_that_is_asked_for(dresser: Path, room: Path) -> None:
    call = ("tryon", "person.png", "shirt.png", "-o", "a.png", *words(dresser))
    (room / "a.png").write_bytes(b"mine")
    ran = scd(*call, "--skip-existing")
    assert (ran.code, ran.out, ran.err) == (0, "a.png\n", "a.png is there already\n")
    assert json.loads(scd(*call, "--skip-existing", "--json").out) == {"output": "a.png", "outputs": ["a.png"], "skipped": True}
    assert names(room) == {"a.png"}
    assert (room / "a.png").read_bytes() == b"mine"
    assert scd(*call, "--overwrite").code == 0
    assert pixels(room / "a.png").shape == (128, 96, 3)


# masks


def test_masks_from_everything_that_tells_where(dresser: Path, room: Path) -> None:
    """An inverted file, a parse map, keypoints; grown; each is written as it was used."""
    Image.fromarray(255 - np.array(Image.open("mask.png"))).save("black.png")
    Image.fromarray(np.array(Image.fromarray(labels("lip")).resize(SIZE, Image.Resampling.NEAREST))).save("parse.png")
    ways = {
        "inverted": ("--mask", "black.png", "--invert-mask"),
        "grown": ("--mask", "mask.png", "--mask-grow", 3),
        "parsed": ("--parse", "parse.png", "--parse-labels", "lip", "--category", "lower", "--mask-style", "shape"),
        "box": ("--parse", "parse.png", "--parse-labels", "lip", "--mask-style", "box", "--mask-grow", 0),
    }
    for name, options in ways.items():
        ran = scd("tryon", "person.png", "shirt.png", "-o", f"{name}.png", "--model", dresser, "--steps", 1, *options)
        assert ran.code == 0, ran.err
        check_outside(pixels(room / "person.png"), pixels(room / f"{name}.png"), white(room / f"{name}.mask.png"))
        assert scd("tryon", "person.png", "--mask-only", "-o", f"{name}.alone.png", *options).code == 0
        assert np.array_equal(white(room / f"{name}.mask.png"), white(room / f"{name}.alone.png")), "--mask-only shows it beforehand"
    given = white(room / "mask.png")
    assert np.array_equal(white(room / "inverted.mask.png"), given)
    assert white(room / "grown.mask.png").sum() > given.sum()
    assert white(room / "grown.mask.png")[given].all()
    box = white(room / "box.mask.png")
    rows, columns = box.any(1), box.any(0)
    assert box[np.ix_(rows, columns)].mean() > 0.8, "nearly a rectangle: face and hands are left out"
    assert not np.array_equal(white(room / "parsed.mask.png"), box)


def test_a_mask_alone(room: Path) -> None:
    ran = scd("tryon", "person.png", "--mask-only", "-o", "m.png", "--mask", "mask.png")
    assert (ran.code, ran.out) == (0, "m.png\n"), ran.err
    assert np.array_equal(white(room / "m.png"), white(room / "mask.png"))
    ran = scd("tryon", "person.png", "--mask-only", "-o", "n.png", "--mask", "mask.png", "--mask-grow", 2, "--json", "--category", "dress")
    said = json.loads(ran.out)
    assert (said["mask"], said["how"], said["category"], said["size"]) == ("n.png", "mask.png", "dress", [96, 128])
    assert said["share"] == round(float(white(room / "n.png").mean()), 4)
    assert scd("tryon", "person.png", "--mask-only", "-o", "m.png", "--mask", "mask.png").code == 1, "it is there already"
    assert scd("tryon", "person.png", "--mask-only", "-o", "m.png", "--mask", "mask.png", "--overwrite").code == 0
    assert scd("tryon", "person.png", "--mask-only", "--mask-out", "o.png", "--mask", "mask.png").out == "o.png\n"


def test_the_pose_of_a_file_changes_the_result(dresser: Path, room: Path) -> None:
    made = []
    for name, options in (("a", ()), ("b", ("--keypoints", "points.npz"))):
        ran = scd("tryon", "person.png", "shirt.png", "-o", f"{name}.png", *words(dresser, *options))
        assert ran.code == 0, ran.err
        made.append(pixels(room / f"{name}.png"))
    assert not np.array_equal(*made)


# pipes


def piped(command: list[object], stdin: bytes = b"", **environment: str) -> subprocess.CompletedProcess[bytes]:
    return subprocess.run([*SCD, *map(str, command)], input=stdin, capture_output=True, env=os.environ | environment)


def test_a_picture_through_pipes(dresser: Path, room: Path) -> None:
    """stdin to stdout: the bytes of the picture and nothing else; the mask lies in the working directory."""
    options = ("--keypoints", "points.npz", *words(dresser))
    done = piped(["tryon", "-", "shirt.png", "-o", "-", *options], (room / "person.png").read_bytes())
    assert done.returncode == 0, done.stderr
    assert names(room) == {"stdin-shirt.mask.png"}
    check_outside(pixels(room / "person.png"), pixels(io.BytesIO(done.stdout)), white(room / "mask.png"))
    done = piped(["tryon", "person.png", "shirt.png", "-o", "-", "--mask-out", "m.png", *options])
    assert (done.returncode, names(room)) == (0, {"stdin-shirt.mask.png", "m.png"}), done.stderr
    mask = piped(["tryon", "-", "--mask-only", "-o", "-", "--mask", "mask.png"], (room / "person.png").read_bytes())
    assert np.array_equal(pixels(io.BytesIO(mask.stdout))[..., 0] > 0, white(room / "mask.png")), mask.stderr


def test_temporary_files_on_another_disk(dresser: Path, room: Path) -> None:
    """-o - makes the picture in the system's temporary folder, and the mask goes to the working directory."""
    other = Path("/dev/shm")
    if not other.is_dir() or other.stat().st_dev == room.stat().st_dev:
        pytest.skip("no other disk is here")
    done = piped(["tryon", "person.png", "shirt.png", "-o", "-", "--keypoints", "points.npz", *words(dresser)], TMPDIR=str(other))
    assert done.returncode == 0, done.stderr
    assert names(room) == {"person-shirt.mask.png"}


@pytest.mark.parametrize(
    ("stdin", "garment", "said"),
    [(b"", "shirt.png", b"stdin gave no picture"), (b"a text", "shirt.png", b"stdin.png is not a picture"),
     (None, "gone.png", b"gone.png does not exist")],
)  # fmt: skip
def test_a_failure_gives_the_pipe_nothing(dresser: Path, room: Path, stdin: bytes | None, garment: str, said: bytes) -> None:
    sent = (room / "person.png").read_bytes() if stdin is None else stdin
    done = piped(["tryon", "-", garment, "-o", "-", *words(dresser)], sent)
    assert (done.returncode in (1, 2), done.stdout, names(room)) == (True, b"", set())
    assert said in done.stderr
    assert done.stderr.count(b"\n") == 1


def test_dress_and_animate_in_one_pipe(dresser: Path, tiny: Path, driver: Path, room: Path) -> None:
    """`scd tryon ... -o - | scd animate - ...` is the clip of the picture that is written."""
    dress = ["tryon", "person.png", "shirt.png", "--keypoints", "points.npz", *words(dresser)]
    move = ["--poses", driver, "--model", tiny, "--frames", ":3", "--ref-pose", "points.npz"]
    first = subprocess.Popen([*SCD, *map(str, [*dress, "-o", "-"])], stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    second = subprocess.Popen(
        [*SCD, *map(str, ["animate", "-", "-o", "piped.png", *move])], stdin=first.stdout, stdout=subprocess.PIPE, stderr=subprocess.PIPE
    )
    assert first.stdout is not None
    first.stdout.close()
    errors = [child.communicate()[1] for child in (second, first)]
    assert (first.returncode, second.returncode) == (0, 0), errors
    assert scd(*dress, "-o", "dressed.png").code == 0
    assert scd("animate", "dressed.png", "-o", "apart.png", *move).code == 0
    for frame in ("000000.png", "000002.png"):
        assert np.array_equal(pixels(room / "piped.png" / frame), pixels(room / "apart.png" / frame))


@pytest.mark.slow
def test_then_animate(dresser: Path, room: Path) -> None:
    """On the shipped model for animation, at its own steps: two frames."""
    assert (SHIPPED / DEFAULT_MODEL / FACTS).is_file(), "the package lacks its model"
    save_track(room / "wave.npz", waving_track(2), True)
    call = ("tryon", "person.png", "shirt.png", "-o", "a.png", "--then-animate", "wave.npz", *words(dresser))
    ran = scd(*call, "--json")
    assert ran.code == 0, ran.err
    said = json.loads(ran.out)
    assert (said["output"], said["animation"]["output"], said["animation"]["frames"]) == ("a.png", "a.mp4", 2)
    assert names(room) == {"a.png", "a.mask.png", "a.mp4", "wave.npz"}
    assert probe(room / "a.mp4").frames == 2
    assert said["animation"]["inputs"]["a.png"] == hashlib.sha256((room / "a.png").read_bytes()).hexdigest()
    assert scd(*call, "--overwrite").out == "a.png\na.mp4\n"
    whole = (room / "a.png").read_bytes()
    (room / "a.mp4").unlink()
    assert scd(*call, "--skip-existing").out == "a.png\na.mp4\n", "the picture is there, its clip is not"
    assert (room / "a.png").read_bytes() == whole
    (room / "a.mp4").write_bytes(b"mine")
    assert scd(*call, "--skip-existing").out == "a.png\na.mp4\n"
    assert (room / "a.mp4").read_bytes() == b"mine"


# photos


PHOTOS: dict[str, tuple[str, str, tuple[object, ...]]] = {
    "upper": ("omnitry_person_top_cloth.jpg", "omnitry_object_top_cloth.jpg", ("--category", "upper")),
    "lower": ("omnitry_person_bottom_cloth.jpg", "omnitry_object_bottom_cloth.jpg", ("--category", "lower")),
    "dress": ("omnitry_person_dress.jpg", "omnitry_object_dress.jpg", ("--category", "dress")),
    "webp": ("fashn_model.webp", "fashn_garment.webp", ()),
    "2000 pixels": ("schp_photo_2000px.jpg", "fashn_garment.webp", ()),
    "lip": ("schp_photo_2000px.jpg", "fashn_garment.webp", ("--parse", "schp_parse_lip.png", "--parse-labels", "lip")),
    "atr": ("schp_photo_2000px.jpg", "fashn_garment.webp", ("--parse", "schp_parse_atr.png", "--parse-labels", "atr")),
}


@pytest.mark.realdata
@pytest.mark.parametrize("case", PHOTOS)
def test_photos_stay_as_they_are_outside_the_mask(case: str, dresser: Path, testdata: Path, tmp_path: Path) -> None:
    """The pose is detected, by the real networks; every pixel outside the mask is the photo's, at its own size."""
    person, garment, options = PHOTOS[case]
    folder, out = testdata / "tryon", tmp_path / "dressed.png"
    files = [folder / option if str(option).endswith(".png") else option for option in options]
    ran = scd("tryon", folder / person, folder / garment, "-o", out, "--model", dresser, "--steps", 2, *files)
    assert ran.code == 0, ran.err
    assert "pose in" not in ran.err, "it was found"
    mask = white(tmp_path / "dressed.mask.png")
    assert 0.03 < mask.mean() < 0.5
    check_outside(pixels(folder / person), pixels(out), mask)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["dressed.mask.png", "dressed.png"]
