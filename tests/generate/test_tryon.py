"""`tryon` as a function, on the tiny bundle: what it leaves alone, seeds, samples, and what it says."""

import hashlib
import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageOps

from engines.core.report import NullReport
from engines.generate.tryon import tryon
from engines.generate.tryon_request import TryonRequest, TryonSummary
from tests.generate.dressing import STEPS, check_outside, left, made, pixels, smooth, white, with_person
from tests.generate.test_animate import Notes
from tests.generate.tiny_model import SIZE


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
