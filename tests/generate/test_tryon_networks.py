"""What the networks of a try-on see and are asked, against a plain loop of Eq. 6 over the numpy twin."""

from collections.abc import Iterable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from engines.core.errors import ScdError
from engines.core.report import NullReport
from engines.core.sampler import frame_noise
from engines.generate import studio as studios
from engines.generate.pipeline import Pipeline, pictures_of, spec_of, unit
from engines.generate.studio import Studio
from engines.generate.tryon import tryon
from engines.generate.tryon_request import MaskWish, TryonRequest
from engines.media.crop import window_around
from engines.media.fit import fit_and_pad
from engines.pose.draw import DrawStyle, draw_pose, fitted
from engines.pose.laid import laid
from tests.generate.dressing import (
    STEPS,
    TORSO,
    Pixels,
    left,
    made,
    person_points,
    pixels,
    smooth,
    watch,
    white,
    with_keypoints,
    with_person,
)
from tests.generate.test_animate import Notes
from tests.generate.tiny_bundle import SHARED_NOISE, write_tiny_bundle
from tests.generate.tiny_model import DOWNSCALE, SIZE, Floats, TinyModel


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


@pytest.mark.parametrize("known", [True, False])
def test_a_model_that_learnt_from_laid_garments_sees_them_where_they_are_worn(
    request_: TryonRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, known: bool
) -> None:
    """In a window of a larger photo, with and without keypoints."""
    write_tiny_bundle(tmp_path / "layer", task="tryon", laid=True)
    shirt = np.full((60, 50, 3), 255, np.uint8)
    shirt[10:50, 5:45] = (200, 30, 60)
    Image.fromarray(shirt).save(request_.garment)
    size = (5 * SIZE[0], 4 * SIZE[1])
    request = with_person(request_, size, np.s_[60:140, 30:110])
    request = replace(with_keypoints(request, size) if known else request, model=str(tmp_path / "layer"))
    fed: list[Floats] = []
    watch(monkeypatch, "encoder", lambda feeds: fed.append(np.array(feeds["image"])))
    tryon(request, NullReport())
    window = window_around(white(request.mask_path), SIZE)
    inside = (window.width, window.height)
    hole = fit_and_pad(np.repeat(white(request.mask_path)[window.place][..., None] * np.uint8(255), 3, 2), SIZE, "black")[0][..., 0] > 0
    points = fitted(person_points(size) - np.array([window.left, window.top, 0], np.float32), inside, SIZE) if known else None
    hidden = pictures_of(fed[1])[0]  # the person without what the mask hides
    wanted = laid(shirt, points, hidden, hole, "upper")
    assert 0 < (wanted != hidden).any(-1).sum() < hole.sum()
    assert np.abs(pictures_of(fed[0])[0].astype(int) - wanted).max() <= 1
    assert not np.array_equal(wanted, fit_and_pad(shirt, SIZE, "edge")[0])


@pytest.mark.parametrize("guidance", [1.0, 0.0])
def test_a_model_of_less_strength_starts_from_the_laid_garment_and_never_without_it(
    request_: TryonRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, guidance: float
) -> None:
    twin = write_tiny_bundle(tmp_path / "layer", task="tryon", laid=True, strength=0.5)
    shirt = np.full((60, 50, 3), 255, np.uint8)
    shirt[10:50, 5:45] = (200, 30, 60)
    Image.fromarray(shirt).save(request_.garment)
    asked: list[tuple[Floats, float]] = []
    watch(monkeypatch, "target", lambda feeds: asked.append((np.array(feeds["latents"]), float(feeds["timestep"][0]))))
    request = replace(request_, model=str(tmp_path / "layer"), steps=4, guidance=guidance, samples=2)
    tryon(request, NullReport())
    schedule = spec_of(Studio(NullReport()).bundle(request.model)).schedule
    timesteps = schedule.timesteps(4)
    assert [t for _, t in asked] == timesteps[2 if guidance else 0 :].tolist()
    hole = white(request.mask_path)
    hidden = np.where(hole[..., None], 128, pixels(request.person)).astype(np.uint8)
    seen = laid(shirt, None, hidden, hole, "upper")
    assert seen is not None
    known, garment = (twin.encoder(unit(picture[None]) * 2 - 1) for picture in (hidden, seen))
    noise = frame_noise(known.shape[1:], 2, request.seed, SHARED_NOISE)
    alpha = schedule.alphas_cumprod()[int(asked[0][1])]
    cells = hole.reshape(SIZE[1] // DOWNSCALE, DOWNSCALE, SIZE[0] // DOWNSCALE, DOWNSCALE).any(axis=(1, 3))
    begun = np.sqrt(alpha) * garment + np.sqrt(1 - alpha) * noise if guidance else noise
    assert np.allclose(asked[0][0], np.where(cells, begun, known), atol=1e-4)


def test_a_garment_that_does_not_stand_out_is_no_start(request_: TryonRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_tiny_bundle(tmp_path / "layer", task="tryon", laid=True, strength=0.5)
    Image.fromarray(np.full((60, 50, 3), 90, np.uint8)).save(request_.garment)
    asked: list[float] = []
    watch(monkeypatch, "target", lambda feeds: asked.append(float(feeds["timestep"][0])))
    tryon(replace(request_, model=str(tmp_path / "layer"), steps=4), NullReport())
    assert len(asked) == 4


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
