"""Everything a user can get wrong with `scd animate`: handled rightly, or refused in one sentence with nothing left behind."""

import json
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest
from PIL import Image

from engines.media.video import probe
from tests.e2e.running import person_picture, scd, write_person, write_skeletons


@dataclass
class Given:
    """A good call; a case spoils one thing of it."""

    folder: Path
    reference: Path
    driver: Path
    model: Path
    out: Path
    options: tuple[object, ...] = ()


def picture(save: Callable[[Image.Image, Path], None], name: str = "person.png") -> Callable[[Given], None]:
    """Replace the reference by the test picture saved in some way."""

    def spoil(given: Given) -> None:
        given.reference = given.folder / name
        save(Image.fromarray(person_picture()), given.reference)

    return spoil


def reference_of(content: bytes | None) -> Callable[[Given], None]:
    def spoil(given: Given) -> None:
        given.reference = given.folder / "spoilt.png"
        if content is not None:
            given.reference.write_bytes(content)

    return spoil


def driver_of(make: Callable[[Path], None], name: str = "spoilt.mp4") -> Callable[[Given], None]:
    def spoil(given: Given) -> None:
        given.driver = given.folder / name
        make(given.driver)

    return spoil


def cut_video(path: Path) -> None:
    write_skeletons(path)
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


def no_frames(path: Path) -> None:
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", rate=Fraction(25))
        stream.width, stream.height, stream.pix_fmt = 64, 64, "yuv420p"
        container.start_encoding()


def only_sound(path: Path) -> None:
    with av.open(str(path), "w") as container:
        stream = container.add_stream("aac", rate=8000)
        frame = av.AudioFrame.from_ndarray(np.zeros((1, 8000), np.float32), format="fltp", layout="mono")
        frame.sample_rate = 8000
        for packet in (*stream.encode(frame), *stream.encode()):
            container.mux(packet)


def options(*values: object) -> Callable[[Given], None]:
    def spoil(given: Given) -> None:
        given.options = values

    return spoil


def model_with(change: Callable[[Path], None]) -> Callable[[Given], None]:
    def spoil(given: Given) -> None:
        given.model = Path(shutil.copytree(given.model, given.folder / "model"))
        change(given.model)

    return spoil


def wrong_bytes(folder: Path) -> None:
    with (folder / "decoder.onnx").open("ab") as file:
        file.write(b"more")


def wrong_version(folder: Path) -> None:
    facts = json.loads((folder / "bundle.json").read_text())
    (folder / "bundle.json").write_text(json.dumps(facts | {"schema_version": 99}))


def existing_output(given: Given) -> None:
    given.out.write_bytes(b"mine")


def output_in(folder: str) -> Callable[[Given], None]:
    def spoil(given: Given) -> None:
        given.out = given.folder / folder / "out.mp4"

    return spoil


def set_model(name: str) -> Callable[[Given], None]:
    def spoil(given: Given) -> None:
        given.model = Path(name)

    return spoil


def densepose(given: Given) -> None:
    clip = Path(__file__).parents[3] / "shared" / "testdata" / "drivers" / "densepose_wrong_kind.mp4"
    if not clip.exists():
        pytest.skip("../shared/testdata is not here")
    given.driver = clip


def saved_picture(size: tuple[int, int]) -> Callable[[Path], None]:
    return lambda path: Image.new("1", size).save(path)


def beyond_the_system(given: Given) -> None:
    if not Path("/proc/self").exists():
        pytest.skip("no /proc, where nobody may write")
    given.out = Path("/proc/out.mp4")


EXIF_TURNED = Image.Exif()
EXIF_TURNED[0x0112] = 8

REFUSED: dict[str, tuple[Callable[[Given], None], str]] = {
    "missing reference": (reference_of(None), "spoilt.png does not exist"),
    "reference is a folder": (lambda g: setattr(g, "reference", g.folder), "is a folder"),
    "empty reference": (reference_of(b""), "spoilt.png is empty"),
    "text named .png": (reference_of(b"I am a text"), "spoilt.png is not a picture"),
    "1x1 picture": (picture(lambda p, f: p.resize((1, 1)).save(f)), "1x1"),
    "20000x20000 picture": (picture(lambda p, f: Image.new("1", (20000, 20000)).save(f)), "20000x20000"),
    "missing driver": (lambda g: setattr(g, "driver", g.folder / "none.mp4"), "none.mp4 does not exist"),
    "empty driver": (driver_of(lambda p: p.touch()), "spoilt.mp4"),
    "text named .mp4": (driver_of(lambda p: p.write_text("a text") and None), "spoilt.mp4"),
    "truncated mp4": (driver_of(cut_video), "spoilt.mp4"),
    "video without frames": (driver_of(no_frames), "spoilt.mp4"),
    "sound only": (driver_of(only_sound, "spoilt.m4a"), "spoilt.m4a"),
    "driver is an empty folder": (driver_of(Path.mkdir, "empty"), "no OpenPose .json files"),
    "1x1 driver": (driver_of(saved_picture((1, 1)), "spoilt.png"), "1x1"),
    "20000x20000 driver": (driver_of(saved_picture((20000, 20000)), "spoilt.png"), "20000x20000"),
    "DensePose clip": (densepose, "DensePose"),
    "photo as the reference's pose": (lambda g: setattr(g, "options", ("--ref-pose", g.reference)), "the reference's pose"),
    "overlong name": (lambda g: setattr(g, "reference", g.folder / f"{'a' * 300}.png"), "a.png: File name too long"),
    "output where nobody may write": (beyond_the_system, "cannot write to the folder /proc"),
    "output folder missing": (output_in("none"), "does not exist"),
    "output in a file": (output_in("person.png"), "person.png"),
    "existing output": (existing_output, "--overwrite"),
    "unknown ending": (lambda g: setattr(g, "out", g.out.with_suffix(".avi")), "known ending"),
    "unknown model": (set_model("maxi"), "there is no model maxi"),
    "bundle with wrong sha256": (model_with(wrong_bytes), "decoder.onnx"),
    "bundle of another schema": (model_with(wrong_version), "99"),
    "bundle without a graph": (model_with(lambda p: (p / "target.onnx").unlink()), "target"),
    "frames backwards": (options("--frames", "50:10"), "50:10"),
    "frames past the end": (options("--frames", "500:600"), "500"),
    "negative steps": (options("--steps", "-3"), "--steps"),
    "no steps": (options("--steps", "0"), "--steps"),
    "size without height": (options("--size", "640"), "640"),
    "no rate": (options("--fps", "0"), "0"),
    "unknown provider": (options("--providers", "abacus"), "abacus"),
    "unknown option": (options("--stepps", "3"), "--stepps"),
}
TAKEN: dict[str, Callable[[Given], None]] = {
    "alpha": picture(lambda p, f: p.convert("RGBA").save(f)),
    "palette": picture(lambda p, f: p.convert("P").save(f)),
    "16 bits": picture(lambda p, f: Image.fromarray(np.asarray(p.convert("L"), np.uint16) * 257).save(f)),
    "CMYK": picture(lambda p, f: p.convert("CMYK").save(f), "person.jpg"),
    "EXIF rotation": picture(lambda p, f: p.save(f, exif=EXIF_TURNED), "person.jpg"),
    "odd size": picture(lambda p, f: p.resize((97, 131)).save(f)),
    "JPEG named .png": picture(lambda p, f: p.save(f, format="JPEG")),
}


@pytest.fixture
def given(tiny: Path, tmp_path: Path) -> Given:
    inputs, results = tmp_path / "in", tmp_path / "results"
    inputs.mkdir()
    results.mkdir()
    return Given(inputs, write_person(inputs / "person.png"), write_skeletons(inputs / "wave.mp4"), tiny, results / "out.mp4")


@pytest.mark.parametrize("case", [*REFUSED, *TAKEN])
def test_input(case: str, given: Given) -> None:
    (TAKEN.get(case) or REFUSED[case][0])(given)
    before = sorted(given.out.parent.iterdir()) if given.out.parent.is_dir() else []
    ran = scd(
        "animate", given.reference, "--poses", given.driver, "-o", given.out, "--model", given.model, *(given.options or ("--frames", ":2"))
    )
    if case in TAKEN:
        assert ran.code == 0, ran.err
        width, height = probe(given.out, "the clip").size
        assert (width > height) == (case == "EXIF rotation")
        return
    assert ran.code in (1, 2)
    assert ran.out == ""
    last = ran.err.splitlines()[-1]  # notes may come before
    assert REFUSED[case][1] in last
    assert last.startswith("error: ")
    assert ran.err.count("error: ") == 1
    assert "Traceback" not in ran.err
    assert (sorted(given.out.parent.iterdir()) if given.out.parent.is_dir() else []) == before


def test_full_disk_leaves_nothing(given: Given, monkeypatch: pytest.MonkeyPatch) -> None:
    from engines.media.writer import VideoSink

    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(VideoSink, "write", full)
    ran = scd("animate", given.reference, "--poses", given.driver, "-o", given.out, "--model", given.model, "--frames", ":2")
    assert ran.code == 1
    assert "the disk is full" in ran.err
    assert list(given.out.parent.iterdir()) == []
