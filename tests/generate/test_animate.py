"""`animate` as a function: what is refused before a model is loaded, what a failure leaves behind, what the summary says."""

import hashlib
import json
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest
from PIL import Image

from engines.core.bundle import read_bundle
from engines.core.errors import ScdError, UsageError
from engines.core.keypoints import BODY_NAMES, COUNT, PoseTrack
from engines.core.report import NullReport, SilentBar
from engines.generate import animate as module
from engines.generate import render, studio
from engines.generate.animate import animate
from engines.generate.request import AnimateRequest, AnimateSummary
from engines.media.encoding import Encoding
from engines.media.fit import resize
from engines.media.images import read_image
from engines.media.video import probe
from engines.pose.files import save_track
from tests.generate.tiny_model import TinyModel

FRAMES = 11


class Notes(NullReport):
    """Keeps what is said and counted."""

    def __init__(self) -> None:
        self.said: list[str] = []
        self.counts: dict[str, list[int]] = {}

    @contextmanager
    def stage(self, name: str, total: int, done: int = 0) -> Iterator[SilentBar]:
        counts = self.counts[name] = [0, total]

        class Bar(SilentBar):
            def advance(self, count: int) -> None:
                counts[0] += count

        yield Bar()

    def note(self, text: str) -> None:
        self.said.append(text)

    def warn(self, text: str) -> None:
        self.said.append(f"warning: {text}")


def track(frames: int, fps: Fraction | None) -> PoseTrack:
    """A person who wanders to the right."""
    points = np.zeros((frames, 1, COUNT, 3), np.float32)
    for number in range(len(BODY_NAMES)):
        points[:, 0, number] = (20 + 13 * (number % 4), 10 + 6 * number, 1.0)
    points[:, 0, :, 0] += np.arange(frames)[:, None]
    return PoseTrack(points, (96, 128), fps)


@pytest.fixture
def request_(tiny: tuple[Path, TinyModel], tmp_path: Path) -> AnimateRequest:
    """A request that works: 11 frames of keypoints at 30000/1001 fps, 2 steps."""
    save_track(tmp_path / "dance.npz", track(FRAMES, Fraction(30000, 1001)), False)
    rng = np.random.default_rng(0)
    Image.fromarray(rng.integers(0, 256, (128, 96, 3), dtype=np.uint8)).save(tmp_path / "me.png")
    (tmp_path / "out").mkdir()
    return AnimateRequest(
        reference=tmp_path / "me.png",
        poses=tmp_path / "dance.npz",
        output=tmp_path / "out" / "clip.mp4",
        model=str(tiny[0]),
        steps=2,
    )


def left(request: AnimateRequest) -> list[str]:
    return sorted(p.name for p in request.output.parent.iterdir())


def digest(request: AnimateRequest, **changes: Any) -> str:
    """Of the pixels: the files also tell their settings and inputs."""
    made = replace(request, output=request.output.with_name("frames.png"), overwrite=True, **changes)
    animate(made, NullReport())
    return hashlib.sha256(b"".join(np.asarray(Image.open(p)).tobytes() for p in sorted(made.output.iterdir()))).hexdigest()


def test_summary(request_: AnimateRequest) -> None:
    notes = Notes()
    summary = animate(request_, notes)
    assert isinstance(summary, AnimateSummary)
    said = json.loads(json.dumps(summary.to_json()))
    info = probe(request_.output)
    assert (info.frames, info.fps, list(info.size)) == (said["frames"], Fraction(said["fps"]), said["size"])
    assert (said["fps"], said["model"], said["steps"], said["guidance"], said["seed"]) == ("30000/1001", "tiny", 2, 1.0, 0)
    assert said["device"] == "cpu"
    assert said["inputs"][str(request_.poses)] == hashlib.sha256(request_.poses.read_bytes()).hexdigest()
    assert set(said["seconds"]) >= {"load", "encode", "reference", "pose", "denoise", "decode and write"}
    assert notes.counts["denoise (windows x steps)"] == [4, 4]
    assert all(done == total for done, total in notes.counts.values())
    assert left(request_) == ["clip.mp4"]


def test_same_seed_same_frames(request_: AnimateRequest) -> None:
    assert digest(request_) == digest(request_) != digest(request_, seed=1)


@pytest.mark.parametrize(("ending", "size"), [(".mp4", (32, 44)), (".MP4", (32, 44)), (".png", (32, 43))])
def test_odd_sides_are_told_as_the_file_has_them(request_: AnimateRequest, ending: str, size: tuple[int, int]) -> None:
    """96x128 in the model's 32x48 is 32x43; video has even sides."""
    request = replace(request_, output=request_.output.with_suffix(ending), frames=(0, 1))
    assert animate(request, NullReport()).size == size
    first = request.output / "000000.png"
    assert (Image.open(first).size if ending == ".png" else probe(request.output).size) == size


def test_size_is_a_box_that_the_reference_is_fit_into(request_: AnimateRequest) -> None:
    assert animate(replace(request_, size=(300, 200), frames=(0, 1)), NullReport()).size == (150, 200)


def test_fps_takes_the_nearest_frames(request_: AnimateRequest) -> None:
    summary = animate(replace(request_, fps=Fraction(15000, 1001)), NullReport())
    assert summary.fps == "15000/1001"
    assert summary.frames == probe(request_.output).frames == round(FRAMES / 2)


def test_a_rate_in_decimals_becomes_the_one_it_stands_for(request_: AnimateRequest) -> None:
    points = track(3, None)
    np.savez(request_.poses, points=points.points, size=np.array(points.size), fps=np.array(30000 / 1001))
    assert animate(request_, NullReport()).fps == "30000/1001"
    assert probe(request_.output).fps == Fraction(30000, 1001)


def test_a_gif_is_not_faster_than_players(request_: AnimateRequest) -> None:
    save_track(request_.poses, track(60, Fraction(60)), True)
    request = replace(request_, output=request_.output.with_suffix(".GIF"))
    summary = animate(request, NullReport())
    with Image.open(request.output) as gif:
        frames = getattr(gif, "n_frames", 1)
        delays = set()
        for index in range(frames):
            gif.seek(index)
            delays.add(gif.info["duration"])
    assert (summary.fps, summary.frames, frames, delays) == ("50/1", 50, 50, {20})


def test_pose_beside_the_reference_is_found_and_counts(request_: AnimateRequest) -> None:
    without = digest(request_)
    save_track(request_.reference.with_suffix(".npz"), track(1, None), False)
    assert digest(request_) != without
    assert animate(request_, NullReport()).reference_pose.endswith("me.npz")


def test_a_file_beside_the_reference_that_is_no_pose_is_passed_over(request_: AnimateRequest) -> None:
    without, notes = digest(request_), Notes()
    request_.reference.with_suffix(".json").write_text('{"camera": "X100"}')
    assert animate(request_, notes).reference_pose == "none"
    assert any("me.json lies beside the reference" in said for said in notes.said)
    assert digest(request_) == without


def test_a_driver_without_rate_gets_one_and_says_so(request_: AnimateRequest) -> None:
    save_track(request_.poses, track(3, None), True)
    notes = Notes()
    assert animate(request_, notes).fps == "25/1"
    assert any("no frame rate" in said for said in notes.said)


REFUSED: list[tuple[dict[str, Any], type[ScdError], str]] = [
    ({"steps": 0}, UsageError, "--steps 0"),
    ({"steps": 1001}, UsageError, "--steps 1001"),
    ({"guidance": -1.0}, UsageError, "--guidance -1"),
    ({"size": (0, 40)}, UsageError, "--size 0x40"),
    ({"fps": Fraction(1000)}, UsageError, "--fps 1000"),
    ({"frames": (50, 10)}, UsageError, "--frames"),
    ({"frames": (5, 5)}, UsageError, "--frames 5:5"),
    ({"frames": (-3, None)}, UsageError, "--frames -3"),
    ({"frames": (FRAMES, None)}, UsageError, "has 11 frames"),
    ({"model": "no-such-model"}, ScdError, "there is no model no-such-model"),
    ({"output": Path("/nonexistent/clip.mp4")}, ScdError, "/nonexistent"),
    ({"reference": Path("gone.png")}, ScdError, "gone.png does not exist"),
    ({"poses": Path("gone.mp4")}, ScdError, "gone.mp4 does not exist"),
    ({"ref_pose": Path("gone.npz")}, ScdError, "--ref-pose"),
    ({"sampler": "heun"}, UsageError, "use --sampler with one of: ddim, dpm++2m, euler, lcm"),
    ({"sampler": "lcm"}, UsageError, "needs a model distilled for few steps, and tiny is none"),
    ({"guidance_until": 1.5}, UsageError, "--guidance-until 1.5"),
    ({"guidance_passes": 3}, UsageError, "must be 1 or 2"),
    ({"smooth": 4}, UsageError, "--smooth 4"),
    ({"person": 0}, UsageError, "--person 0"),
    ({"start": Fraction(2), "end": Fraction(1)}, UsageError, "--start 2 --end 1 holds no frame"),
    ({"encoding": Encoding("prores")}, UsageError, "--codec prores cannot be written into"),
    ({"align": "limbs", "poses": Path("gone.mp4")}, ScdError, "gone.mp4 does not exist"),
    ({"reuse": 0}, UsageError, "--reuse at least 1"),
    ({"reuse": 2}, UsageError, "tiny has none; export it again"),
]


@pytest.mark.parametrize(("change", "kind", "said"), REFUSED, ids=[said for *_, said in REFUSED])
def test_refused_before_the_model_is_loaded(
    request_: AnimateRequest, monkeypatch: pytest.MonkeyPatch, change: dict[str, Any], kind: type[ScdError], said: str
) -> None:
    monkeypatch.setattr(studio, "pipeline_on", lambda *_: pytest.fail("the model was loaded"))
    with pytest.raises(kind) as caught:
        animate(replace(request_, **change), NullReport())
    assert said in str(caught.value)
    assert "\n" not in str(caught.value)
    assert left(request_) == []


def test_lcm_is_for_models_that_say_they_are_distilled(request_: AnimateRequest) -> None:
    bundle = read_bundle(Path(request_.model))
    sampling = replace(bundle.facts.sampling, distilled=True)
    module.check_model(replace(request_, sampler="lcm"), replace(bundle, facts=replace(bundle.facts, sampling=sampling)))


def test_an_unknown_provider_leaves_nothing(request_: AnimateRequest) -> None:
    with pytest.raises(UsageError, match="no provider abacus"):
        animate(replace(request_, providers=("abacus",)), NullReport())
    assert left(request_) == []


@pytest.mark.parametrize("which", ["reference", "poses"])
def test_an_input_is_never_overwritten(request_: AnimateRequest, which: str) -> None:
    before = getattr(request_, which).read_bytes()
    ending = {"reference": ".png", "poses": ".mp4"}[which]
    renamed = Path(shutil.copy(getattr(request_, which), request_.output.with_name(f"same{ending}")))
    with pytest.raises(UsageError, match="is also an input"):
        animate(replace(request_, overwrite=True, output=renamed, **{which: renamed}), NullReport())
    assert renamed.read_bytes() == before


def interrupt(monkeypatch: pytest.MonkeyPatch, at: int, error: type[BaseException]) -> None:
    """Raise when the frame of that number is about to be written."""
    taken: list[int] = []
    unpad = render.unpad

    def failing(picture: Any, box: Any, size: Any) -> Any:
        taken.append(1)
        if len(taken) == at:
            raise error
        return unpad(picture, box, size)

    monkeypatch.setattr(render, "unpad", failing)


def interrupted(request: AnimateRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """A run that Ctrl-C ends while it writes the fifth frame."""
    with monkeypatch.context() as patch:
        interrupt(patch, 5, KeyboardInterrupt)
        notes = Notes()
        with pytest.raises(KeyboardInterrupt):
            animate(request, notes)
        assert notes.said[-1].startswith("interrupted: the same command goes on from what is kept in ")


@pytest.mark.parametrize("name", ["clip.mp4", "clip.webm", "clip.gif", "clip.png"])
def test_an_error_while_writing_leaves_nothing(request_: AnimateRequest, monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    interrupt(monkeypatch, 5, RuntimeError)
    with pytest.raises(RuntimeError):
        animate(replace(request_, output=request_.output.with_name(name)), NullReport())
    assert left(request_) == []


@pytest.mark.parametrize("name", ["clip.mp4", "clip.webm", "clip.gif", "clip.png"])
def test_an_interrupted_clip_goes_on_and_has_the_same_bytes(request_: AnimateRequest, monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    request = replace(request_, output=request_.output.with_name(name))
    whole = replace(request, output=request_.output.with_name(f"whole{request.output.suffix}"))
    animate(whole, NullReport())
    interrupted(request, monkeypatch)
    assert left(request_) == sorted([f".{name}.scd", whole.output.name]), "only what the next run goes on from"
    notes = Notes()
    assert animate(request, notes).resumed == 4
    assert any("an interrupted run had made 4 of the 4" in said for said in notes.said)
    assert content(request.output) == content(whole.output)
    assert left(request_) == sorted([name, whole.output.name])


def content(path: Path) -> list[bytes]:
    return [p.read_bytes() for p in sorted(path.iterdir())] if path.is_dir() else [path.read_bytes()]


def test_other_settings_do_not_go_on_from_there(request_: AnimateRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    interrupted(request_, monkeypatch)
    assert animate(replace(request_, seed=1), NullReport()).resumed == 0
    assert left(request_) == ["clip.mp4"]


def test_an_interruption_keeps_what_was_there_before(request_: AnimateRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    request_.output.write_bytes(b"precious")
    interrupt(monkeypatch, 1, KeyboardInterrupt)
    with pytest.raises(KeyboardInterrupt):
        animate(replace(request_, overwrite=True), NullReport())
    assert request_.output.read_bytes() == b"precious"
    assert left(request_) == [".clip.mp4.scd", "clip.mp4"]


def test_the_file_says_how_it_was_made(request_: AnimateRequest) -> None:
    animate(replace(request_, seed=7), NullReport())
    with av.open(str(request_.output)) as container:
        facts = dict(container.metadata)
    settings = json.loads(facts["settings"])
    assert (facts["model"], facts["seed"], settings["steps"], settings["scd"]) == ("tiny", "7", 2, render.scd_version())
    assert set(settings["inputs"]) == {"me.png", "dance.npz"}


def test_grid_preview_and_the_picture_of_the_alignment(request_: AnimateRequest) -> None:
    save_track(request_.reference.with_suffix(".npz"), track(1, None), False)
    summary = animate(replace(request_, grid=True, preview=True, align_picture=True), NullReport())
    assert (summary.size, summary.align) == ((96, 44), "limbs")
    assert left(request_) == ["clip.align.png", "clip.mp4", "clip.preview.png"]
    with Image.open(request_.output.with_name("clip.align.png")) as picture:
        assert picture.size == (192, 128), "the reference twice"
    plain = replace(request_, output=request_.output.with_name("plain.png"))
    grid = replace(plain, output=plain.output.with_name("grid.png"), grid=True)
    animate(plain, NullReport())
    animate(grid, NullReport())
    wide, narrow = (np.asarray(Image.open(r.output / "000003.png")) for r in (grid, plain))
    np.testing.assert_array_equal(wide[:, -32:], narrow)


def test_seconds_choose_frames(request_: AnimateRequest) -> None:
    """11 frames at 30000/1001 fps: 0.1 s is frame 3, 0.2 s frame 6."""
    made = digest(request_, start=Fraction(1, 10), end=Fraction(2, 10))
    assert made == digest(request_, frames=(3, 6))
    with pytest.raises(UsageError, match=r"lasts 0\.367"):
        animate(replace(request_, start=Fraction(1)), NullReport())
    with pytest.raises(UsageError, match="use one of them"):
        animate(replace(request_, start=Fraction(1, 10), frames=(0, 2)), NullReport())


def test_several_people_are_reduced_to_one(request_: AnimateRequest) -> None:
    """The larger one drives; --person 2 takes the other; a third there is not."""
    both = track(5, Fraction(25))
    small = both.points * np.array([0.5, 0.5, 1], np.float32)
    save_track(request_.poses, PoseTrack(np.concatenate([small, both.points], axis=1), both.size, both.fps), True)
    first, second = digest(request_), digest(request_, person=2)
    save_track(request_.poses, both, True)
    assert digest(request_) == first
    save_track(request_.poses, PoseTrack(small, both.size, both.fps), True)
    assert digest(request_) == second
    with pytest.raises(ScdError, match="no person 3"):
        animate(replace(request_, person=3), NullReport())


def test_compositing_leaves_the_background_bit_for_bit(request_: AnimateRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where neither person nor skeleton is, in this frame or in the reference, the picture itself stays."""

    class Middle:
        def mask(self, picture: Any) -> Any:
            mask = np.zeros(picture.shape[:2], np.float32)
            mask[15:25, 12:20] = 1
            return mask

    monkeypatch.setattr(studio.Studio, "segmenter", lambda self: Middle())
    plain = replace(request_, output=request_.output.with_name("plain.png"))
    pasted = replace(plain, output=plain.output.with_name("pasted.png"), composite=True)
    animate(plain, NullReport())
    animate(pasted, NullReport())
    before, after = (np.asarray(Image.open(r.output / "000000.png")) for r in (plain, pasted))
    reference = resize(read_image(request_.reference), (32, 43))
    np.testing.assert_array_equal(after[30:, 26:], reference[30:, 26:])
    np.testing.assert_array_equal(after[16:24, 13:19], before[16:24, 13:19])
    assert (before[30:, 26:] != reference[30:, 26:]).mean() > 0.9
