"""`tryon` as a function, on the tiny bundle: what it leaves alone, what the networks see, and what a failure leaves behind."""

import hashlib
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Collection, Iterable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image, ImageOps

from engines.core.errors import ScdError, UsageError
from engines.core.keypoints import PoseTrack
from engines.core.report import NullReport
from engines.core.sampler import frame_noise
from engines.generate import studio as studios
from engines.generate import tryon as module
from engines.generate.animate import animate
from engines.generate.pipeline import Pipeline, pictures_of, pipeline_on, spec_of, unit
from engines.generate.request import AnimateRequest
from engines.generate.studio import Studio
from engines.generate.tryon import tryon
from engines.generate.tryon_request import MaskWish, TryonRequest, TryonSummary
from engines.media import together
from engines.media.workspace import workspace_path
from engines.pose.draw import DrawStyle, draw_pose
from engines.pose.files import save_track
from engines.sessions.base import Arrays, Session
from tests.generate.test_animate import Notes
from tests.generate.tiny_bundle import SHARED_NOISE, write_tiny_bundle
from tests.generate.tiny_model import DOWNSCALE, SIZE, Floats, TinyModel
from tests.pose.test_parse import keypoints

ROOT = Path(__file__).parents[2]
STEPS = 3
TORSO = np.s_[7:39, 9:23]  # of a picture of the model's size: the window around it is the whole picture
Pixels = NDArray[np.uint8]
Place = tuple[slice, slice]


@pytest.fixture(scope="session")
def dresser(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, TinyModel]:
    """Folder and numpy twin of a tiny model for try-on."""
    folder = tmp_path_factory.mktemp("dresser") / "tiny"
    return folder, write_tiny_bundle(folder, task="tryon")


def smooth(seed: int, size: tuple[int, int] = SIZE) -> Pixels:
    """A picture (H, W, 3) of soft colours."""
    small = np.random.default_rng(seed).integers(0, 256, (5, 4, 3), dtype=np.uint8)
    return np.asarray(cv2.resize(small, size, interpolation=cv2.INTER_CUBIC), np.uint8)


def write_white(path: Path, place: Place, size: tuple[int, int]) -> Path:
    mask = np.zeros(size[::-1], np.uint8)
    mask[place] = 255
    Image.fromarray(mask).save(path)
    return path


@pytest.fixture
def request_(dresser: tuple[Path, TinyModel], tmp_path: Path) -> TryonRequest:
    """A request that works: all pictures of the model's size, a mask file."""
    given, out = tmp_path / "in", tmp_path / "out"
    given.mkdir()
    out.mkdir()
    Image.fromarray(smooth(1)).save(given / "person.png")
    Image.fromarray(smooth(2)).save(given / "shirt.png")
    mask = MaskWish(file=write_white(given / "mask.png", TORSO, SIZE))
    return TryonRequest(
        person=given / "person.png", garment=given / "shirt.png", output=out / "dressed.png", model=str(dresser[0]), mask=mask, steps=STEPS
    )


def pixels(path: Path) -> Pixels:
    with Image.open(path) as image:
        return np.array(image.convert("RGB"), np.uint8)


def white(path: Path) -> NDArray[np.bool_]:
    with Image.open(path) as image:
        assert image.mode == "L"
        return np.array(image) > 0


def made(request: TryonRequest, **changes: Any) -> Pixels:
    """The result's pixels, under a name of its own."""
    other = replace(request, output=request.output.with_name("other.png"), overwrite=True, **changes)
    tryon(other, NullReport())
    return pixels(other.output)


def left(request: TryonRequest) -> dict[str, str]:
    """The files beside the result, with what is in them."""
    paths = sorted(request.output.parent.iterdir())
    return {path.name: hashlib.sha256(path.read_bytes()).hexdigest() if path.is_file() else "folder" for path in paths}


def with_person(request: TryonRequest, size: tuple[int, int], place: Place) -> TryonRequest:
    """Another picture of a person, and its mask; sizes are width, height."""
    Image.fromarray(smooth(3, size)).save(request.person)
    write_white(request.person.with_name("mask.png"), place, size)
    return request


def check_outside(before: Pixels, after: Pixels, mask: NDArray[np.bool_]) -> None:
    assert after.shape == before.shape
    assert np.array_equal(after[~mask], before[~mask])
    assert (after != before).any(-1)[mask].mean() > 0.9


# what is left alone


@pytest.mark.parametrize("size", [SIZE, (33, 47), (16, 21), (301, 199), (97, 640), (500, 61)])
@pytest.mark.parametrize(
    ("rows", "columns"), [((0.3, 0.7), (0.2, 0.8)), ((0.0, 0.4), (0.0, 0.5)), ((0.5, 1.0), (0.6, 1.0)), ((0.2, 0.6), (0.0, 1.0))]
)
def test_outside_the_mask_nothing_changes(
    request_: TryonRequest, size: tuple[int, int], rows: tuple[float, float], columns: tuple[float, float]
) -> None:
    """Smaller and larger pictures than the model's, wide and tall ones, masks at the border and away from it."""
    (top, bottom), (start, stop) = ([round(share * side) for share in ends] for side, ends in ((size[1], rows), (size[0], columns)))
    request = with_person(request_, size, np.s_[top:bottom, start:stop])
    summary = tryon(request, NullReport())
    assert summary.size == size
    mask = white(request.mask_path)
    assert mask.sum() == (bottom - top) * (stop - start)
    check_outside(pixels(request.person), pixels(request.output), mask)


def test_a_whole_picture_may_be_repainted(request_: TryonRequest) -> None:
    """A mask that was grown over everything."""
    assert request_.mask.file is not None
    request = replace(request_, mask=replace(request_.mask, grow=50))
    assert tryon(request, NullReport()).mask_share == 1
    assert white(request.mask_path).all()
    check_outside(pixels(request.person), pixels(request.output), np.ones(SIZE[::-1], bool))


@pytest.mark.parametrize("ending", [".png", ".webp"])
def test_transparency_is_kept_with_the_colours_below_it(request_: TryonRequest, ending: str) -> None:
    alpha = np.tile(np.linspace(0, 255, SIZE[0]).astype(np.uint8), (SIZE[1], 1))
    before = np.dstack([smooth(1), alpha])
    Image.fromarray(before).save(request_.person)
    request = replace(request_, output=request_.output.with_suffix(ending))
    tryon(request, NullReport())
    with Image.open(request.output) as image:
        assert image.mode == "RGBA"
        after = np.array(image)
    assert np.array_equal(after[..., 3], alpha)
    check_outside(before[..., :3], after[..., :3], white(request.mask_path))


def test_a_rotated_jpeg_comes_back_upright(request_: TryonRequest) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6
    path = request_.person.with_suffix(".jpg")
    Image.fromarray(smooth(1)).transpose(Image.Transpose.ROTATE_90).save(path, exif=exif)
    request = replace(request_, person=path)
    tryon(request, NullReport())
    with Image.open(path) as image, Image.open(request.output) as result:
        assert image.size == SIZE[::-1], "as stored"
        assert 0x0112 not in result.getexif()
        check_outside(np.asarray(ImageOps.exif_transpose(image)), np.asarray(result), white(request.mask_path))


def test_webp_in_and_out(request_: TryonRequest) -> None:
    person, garment = (path.with_suffix(".webp") for path in (request_.person, request_.garment))
    Image.fromarray(smooth(1)).save(person, quality=60)
    Image.fromarray(smooth(2)).save(garment, quality=60)
    request = replace(request_, person=person, garment=garment, output=request_.output.with_suffix(".webp"))
    tryon(request, NullReport())
    check_outside(pixels(person), pixels(request.output), white(request.mask_path))
    assert sorted(left(request)) == ["dressed.mask.png", "dressed.webp"]


def test_a_jpeg_as_result_is_nearly_exact_and_says_so(request_: TryonRequest) -> None:
    notes, request = Notes(), replace(request_, output=request_.output.with_suffix(".jpg"))
    tryon(request, notes)
    outside = ~white(request.mask_path)
    assert np.abs(pixels(request.output)[outside].astype(int) - pixels(request.person)[outside]).max() < 30
    assert any("dressed.jpg is a JPEG" in said for said in notes.said)


# seeds, samples, masks


def test_the_same_request_has_the_same_bytes_and_another_seed_others(request_: TryonRequest) -> None:
    digests = []
    for folder, seed in (("a", 3), ("b", 3), ("c", 4)):
        place = request_.output.parent / folder
        place.mkdir()
        request = replace(request_, output=place / "dressed.png", seed=seed)
        tryon(request, NullReport())
        digests.append(left(request))
    assert digests[0] == digests[1]
    assert digests[0]["dressed.png"] != digests[2]["dressed.png"]
    assert digests[0]["dressed.mask.png"] == digests[2]["dressed.mask.png"]


@pytest.mark.parametrize("samples", [2, 11])
def test_samples_differ_and_begin_like_one(request_: TryonRequest, samples: int) -> None:
    """Also more of them than the network takes at once."""
    alone, request = made(request_), replace(request_, samples=samples)
    summary = tryon(request, NullReport())
    names = ["dressed.png", *(f"dressed-{number}.png" for number in range(2, samples + 1))]
    assert [Path(path).name for path in summary.outputs] == names
    assert set(left(request)) == {*names, "dressed.mask.png", "other.png", "other.mask.png"}
    results = [pixels(request.output.with_name(name)) for name in names]
    assert np.array_equal(results[0], alone)
    assert len({result.tobytes() for result in results}) == samples
    for result in results:
        check_outside(pixels(request.person), result, white(request.mask_path))


def test_the_mask_goes_where_it_is_wanted(request_: TryonRequest) -> None:
    request = replace(request_, mask_out=request_.output.with_name("where.png"), mask=replace(request_.mask, grow=2))
    summary = tryon(request, NullReport())
    assert sorted(left(request)) == ["dressed.png", "where.png"]
    assert summary.mask_file == str(request.mask_out)
    mask = white(request.mask_path)
    assert summary.mask_share == round(float(mask.mean()), 4)
    assert mask.sum() > white(request_.person.with_name("mask.png")).sum(), "as it was used, not as it was given"
    check_outside(pixels(request.person), pixels(request.output), mask)


def test_the_result_says_how_it_was_made(request_: TryonRequest) -> None:
    notes = Notes()
    summary = tryon(replace(request_, seed=7, guidance=2.0, sampler="euler"), notes)
    assert isinstance(summary, TryonSummary)
    said = json.loads(json.dumps(summary.to_json()))
    assert (said["model"], said["steps"], said["guidance"], said["seed"], said["sampler"]) == ("tiny", STEPS, 2.0, 7, "euler")
    assert (said["category"], said["mask"], said["device"]) == ("upper", "mask.png", "cpu")
    assert said["inputs"][str(request_.garment)] == hashlib.sha256(request_.garment.read_bytes()).hexdigest()
    assert set(said["seconds"]) >= {"check", "mask", "garment", "encode", "denoise", "decode and write"}
    assert notes.counts["denoise (samples x steps)"] == [STEPS, STEPS]
    with Image.open(request_.output) as image:
        settings = json.loads(image.info["settings"])
        assert (image.info["seed"], image.info["model"]) == ("7", "tiny")
    assert set(settings["inputs"]) == {"person.png", "shirt.png", "mask.png"}
    assert str(request_.person.parent) not in json.dumps(settings), "places of this machine are not told"


# what the networks see


def twin_latents(twin: TinyModel, request: TryonRequest, pose: Pixels, samples: int, guidance: float) -> Floats:
    """Eq. 6 in DDIM, written out: the known part in its place before every step and at the end."""
    hole = white(request.person.with_name("mask.png"))
    masked = np.where(hole[..., None], 128, pixels(request.person)).astype(np.uint8)
    cells = hole.reshape(SIZE[1] // DOWNSCALE, DOWNSCALE, SIZE[0] // DOWNSCALE, DOWNSCALE).any(axis=(1, 3))
    known, garment = (twin.encoder(unit(picture[None]) * 2 - 1) for picture in (masked, pixels(request.garment)))
    black, features = (twin.pose(unit(picture[None])) for picture in (np.zeros_like(pose), pose))
    seen = twin.reference(np.concatenate([garment, 0 * garment]), np.concatenate([black, black]))
    schedule = spec_of(Studio(NullReport()).bundle(request.model)).schedule
    alphas, timesteps = schedule.alphas_cumprod(), schedule.timesteps(STEPS)
    x = frame_noise(known.shape[1:], samples, request.seed, SHARED_NOISE)
    for number, t in enumerate(timesteps):
        x = np.where(cells, x, known)
        shown, null = twin.target(x, float(t), np.repeat(features, samples, 0), seen)
        v = null + guidance * (shown - null)
        a, b = alphas[t] ** 0.5, (1 - alphas[t]) ** 0.5
        clean, noise = a * x - b * v, a * v + b * x
        after = alphas[timesteps[number + 1]] if number + 1 < STEPS else 1.0
        x = (after**0.5 * clean + (1 - after) ** 0.5 * noise).astype(np.float32)
    return np.where(cells, x, known).astype(np.float32)


def person_points(size: tuple[int, int]) -> NDArray[np.float32]:
    """The drawn person of the parse maps, (133, 3), in a picture of another size."""
    points = keypoints()
    points[:, :2] *= np.array(size, np.float32) / (100, 150)
    return points


def with_keypoints(request: TryonRequest, size: tuple[int, int] = SIZE) -> TryonRequest:
    path = request.person.with_name("points.npz")
    save_track(path, PoseTrack(person_points(size)[None, None], size), True)
    return replace(request, mask=replace(request.mask, keypoints=path))


@pytest.mark.parametrize("guidance", [1.0, 2.5])
@pytest.mark.parametrize("posed", [False, True])
def test_equals_equation_6_written_out(
    request_: TryonRequest, dresser: tuple[Path, TinyModel], monkeypatch: pytest.MonkeyPatch, guidance: float, posed: bool
) -> None:
    """Latents and pixels, from the files on; with two samples."""
    latents: list[Floats] = []
    decode = Pipeline.decode

    def heard(self: Pipeline, given: Floats) -> Iterator[Pixels]:
        latents.append(given)
        return decode(self, given)

    monkeypatch.setattr(Pipeline, "decode", heard)
    request = replace(with_keypoints(request_) if posed else request_, guidance=guidance, samples=2)
    tryon(request, NullReport())
    pose = draw_pose(person_points(SIZE)[None], SIZE, SIZE, DrawStyle()) if posed else np.zeros((*SIZE[::-1], 3), np.uint8)
    assert pose.any() == posed
    wanted = twin_latents(dresser[1], request, pose, 2, guidance)
    assert len(latents) == 1
    np.testing.assert_allclose(latents[0], wanted, atol=1e-4)
    deep = np.s_[9:37, 11:21]
    for path, content in zip(request.outputs, pictures_of(dresser[1].decoder(wanted)), strict=True):
        assert np.abs(pixels(path)[deep].astype(int) - content[deep]).max() <= 1


def test_the_pose_reaches_the_network(request_: TryonRequest) -> None:
    assert not np.array_equal(made(request_), made(with_keypoints(request_)))


def test_guidance_weighs_the_garment(request_: TryonRequest) -> None:
    """At 0 there is the null reference alone: no garment makes a difference."""
    Image.fromarray(smooth(5)).save(request_.garment.with_name("coat.png"))
    coat = request_.garment.with_name("coat.png")
    assert np.array_equal(made(request_, guidance=0.0), made(request_, guidance=0.0, garment=coat))
    assert not np.array_equal(made(request_, guidance=1.0), made(request_, guidance=1.0, garment=coat))
    assert not np.array_equal(made(request_, guidance=1.0), made(request_, guidance=0.0))


class Watched:
    """A session that tells what it is fed, and raises what it is told to."""

    def __init__(self, inner: Session, on_run: Callable[[Arrays], None]) -> None:
        self.inner, self.on_run, self.device = inner, on_run, inner.device

    def run(self, feeds: Arrays, wanted: Collection[str] | None = None) -> dict[str, NDArray[Any]]:
        self.on_run(feeds)
        return self.inner.run(feeds, wanted)

    def pin(self, constants: Arrays) -> None:
        self.inner.pin(constants)

    def close(self) -> None:
        self.inner.close()


def watch(monkeypatch: pytest.MonkeyPatch, name: str, on_run: Callable[[Arrays], None]) -> None:
    """Every pipeline's session of that graph calls `on_run` before it runs."""

    def opened(*given: Any) -> Pipeline:
        pipeline = pipeline_on(*given)
        return Pipeline(pipeline.spec, {**pipeline.sessions, name: Watched(pipeline.sessions[name], on_run)})

    monkeypatch.setattr(studios, "pipeline_on", opened)


def test_the_old_garment_is_never_seen(request_: TryonRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """The encoder gets grey where the mask is, and the person elsewhere: what was worn there makes no difference."""
    fed: list[Floats] = []
    watch(monkeypatch, "encoder", lambda feeds: fed.append(np.array(feeds["image"])))
    tryon(request_, NullReport())
    masked = pictures_of(fed[-1])[0]
    assert (masked[TORSO] == 128).all()
    outside = ~white(request_.mask_path)
    assert np.array_equal(masked[outside], pixels(request_.person)[outside])
    other = pixels(request_.person)
    other[TORSO] = 255 - other[TORSO]
    Image.fromarray(other).save(request_.person)
    made(request_)
    assert np.array_equal(fed[-1][0], fed[1][0])


def test_a_garment_that_comes_again_is_not_read_again(request_: TryonRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    alone = made(request_)
    read: list[int] = []
    watch(monkeypatch, "reference", lambda feeds: read.append(len(feeds["ref_latents"])))
    studio = Studio(NullReport(), lasting=True)
    other = replace(request_, person=request_.person.with_name("other.png"), output=request_.output.with_name("b.png"))
    Image.fromarray(smooth(4)).save(other.person)
    for request in (other, request_):
        tryon(request, NullReport(), studio)
    assert read == [1]
    assert np.array_equal(pixels(request_.output), alone)
    tryon(replace(request_, guidance=2.0, overwrite=True), NullReport(), studio)
    assert read == [1, 2], "with the null reference it is another"


class Seeing:
    """A detector that finds one person, standing as in the parse maps."""

    name = "seeing"

    def track(self, pictures: Iterable[Pixels], most: int = 4) -> Iterator[NDArray[np.float32]]:
        for picture in pictures:
            yield person_points((picture.shape[1], picture.shape[0]))[None]


@pytest.fixture
def seeing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(studios, "open_detector", lambda models, report: Seeing())


def test_a_detected_pose_counts_like_a_given_one(request_: TryonRequest, seeing: None) -> None:
    assert np.array_equal(made(request_), made(with_keypoints(request_)))


def test_a_mask_file_is_held_against_the_pose_that_is_detected(request_: TryonRequest, seeing: None) -> None:
    size = (100, 150)
    notes, request = Notes(), with_person(request_, size, np.s_[14:70, 36:64])
    tryon(request, notes)
    assert [said for said in notes.said if "of the face" in said and "(mask.png) hides 6" in said and said.startswith("warning: ")]
    inverted = np.full(size[::-1], 255, np.uint8)
    inverted[27:110, 20:] = 0
    assert request.mask.file is not None
    Image.fromarray(inverted).save(request.mask.file)
    before = left(request)
    with pytest.raises(ScdError, match=r"mask\.png covers the face and not the torso: it looks inverted; add --invert-mask"):
        tryon(replace(request, overwrite=True), NullReport())
    assert left(request) == before


def test_nobody_in_the_picture_is_no_matter_with_a_mask(request_: TryonRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """And the pose is looked for once, whatever the mask was found with."""
    looks: list[int] = []
    real = studios.Studio.detector

    def counted(self: Studio, models: Any) -> Any:
        looks.append(1)
        return real(self, models)

    monkeypatch.setattr(studios.Studio, "detector", counted)
    made(request_)
    assert looks == [1]
    labels = np.zeros(SIZE[::-1], np.uint8)
    labels[2:8, 10:20], labels[TORSO] = 13, 5
    parse = request_.person.with_name("parse.png")
    Image.fromarray(labels).save(parse)
    for style in ("limbs", "shape"):
        looks.clear()
        made(request_, mask=MaskWish(parse=parse, parse_labels="lip", style=style))
        assert looks == [1], style


# what is refused, and what stays of a failure


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
    with module.workspace(request_.output), pytest.raises(ScdError, match=r"another scd is making .*dressed\.png"):
        tryon(request_, NullReport())
    assert left(request_) == {}
    assert not workspace_path(request_.output).exists()
