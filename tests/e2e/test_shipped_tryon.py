"""scd-mini-tryon as the package ships it: README's example, and that what it paints is the garment it was given."""

import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from engines.core.bundle import DEFAULT_TRYON_MODEL, read_bundle, resolve_model
from tests.e2e.running import scd
from tests.e2e.test_tryon import check_outside, pixels, white

EXAMPLES = Path(__file__).parents[2] / "examples"
PERSON, GARMENT = EXAMPLES / "ref.png", EXAMPLES / "garment.png"


def test_it_is_in_the_package_and_small() -> None:
    folder = resolve_model(DEFAULT_TRYON_MODEL)
    facts = read_bundle(folder).facts
    assert (facts.name, facts.task) == ("scd-mini-tryon", "tryon")
    assert sum(file.stat().st_size for file in folder.iterdir()) <= 30e6


@pytest.mark.slow
def test_readmes_example(tmp_path: Path) -> None:
    out = tmp_path / "dressed.png"
    ran = scd("tryon", PERSON, GARMENT, "-o", out, "--json")
    assert ran.code == 0, ran.err
    assert json.loads(ran.out)["model"] == "scd-mini-tryon"
    check_outside(pixels(PERSON), pixels(out), white(tmp_path / "dressed.mask.png"))


@pytest.mark.slow
def test_another_colour_of_the_garment_is_another_colour_on_the_person(tmp_path: Path) -> None:
    """The mean colours inside the mask differ as the garments' do; with the null reference they do not differ at all."""
    other, mask = tmp_path / "other.png", tmp_path / "mask.png"
    garments = [pixels(GARMENT), np.roll(pixels(GARMENT), 1, axis=2)]
    Image.fromarray(garments[1]).save(other)
    assert scd("tryon", PERSON, "--mask-only", "--mask-style", "shape", "-o", mask).code == 0

    def worn(garment: Path, *options: object) -> np.ndarray:
        out = tmp_path / f"{garment.stem}{len(options)}.png"
        ran = scd("tryon", PERSON, garment, "-o", out, "--mask", mask, "--mask-out", tmp_path / "used.png", "--overwrite", *options)
        assert ran.code == 0, ran.err
        return np.asarray(pixels(out)[white(mask)].mean(0))

    cloth = garments[0].min(2) < 240
    wanted = np.subtract(*(garment[cloth].mean(0) for garment in garments))
    made = worn(GARMENT) - worn(other)
    assert made @ wanted > 0.9 * np.linalg.norm(made) * np.linalg.norm(wanted)
    assert np.linalg.norm(made) > 0.3 * np.linalg.norm(wanted)
    assert np.array_equal(worn(GARMENT, "--guidance", 0), worn(other, "--guidance", 0))
