"""Try-on pairs of rendered people, in VITON-HD's folders."""

import json
from dataclasses import replace
from fractions import Fraction
from pathlib import Path

import cv2
import numpy as np
import pytest

from engines.core.errors import ScdError
from engines.core.pairs import read_pairs, train_pairs
from engines.core.report import NullReport
from engines.pose.files import load_track
from engines.prepare import vitonhd
from engines.prepare.synthetic import SyntheticRequest, prepare_synthetic, specs
from tests.prepare.test_synthetic import digests

pytestmark = pytest.mark.usefixtures("assets")


@pytest.fixture(scope="module")
def asked(tmp_path_factory: pytest.TempPathFactory) -> SyntheticRequest:
    out = tmp_path_factory.mktemp("pairs") / "data"
    return SyntheticRequest(out, identities=7, frames=2, size=(96, 128), seed=4, workers=1, fps=Fraction(2), layout="viton-hd")


@pytest.fixture(scope="module")
def made(asked: SyntheticRequest) -> SyntheticRequest:
    prepare_synthetic(asked, NullReport())
    return asked


def grey(path: Path) -> np.ndarray:
    found = cv2.imread(str(path), cv2.IMREAD_GRAYSCALE)
    assert found is not None, path
    return np.asarray(found)


def colours(path: Path) -> np.ndarray:
    found = cv2.imread(str(path))
    assert found is not None, path
    return np.asarray(found)


def records(request: SyntheticRequest) -> list[dict[str, str]]:
    return [json.loads(line) for line in (request.out / "pairs.jsonl").read_text().splitlines()]


def test_every_pair_has_its_files_and_the_lists_name_other_peoples_garments(made: SyntheticRequest) -> None:
    for record in records(made):
        folder, name = made.out / record["part"], record["id"]
        for part in ("image", "cloth", "agnostic-v3.2"):
            assert colours(folder / part / f"{name}.png").shape == (128, 96, 3)
        track = load_track(folder / "openpose_json" / f"{name}_keypoints.json")
        assert track.size == (96, 128)
        assert not track.assumed
        if record["unpaired"]:
            assert record["unpaired"][:5] != name[:5]
            assert (folder / "cloth" / f"{record['unpaired']}.png").is_file()
    assert {r["part"] for r in records(made)} == {"train", "test"}
    assert len(train_pairs(made.out)) == sum(r["part"] == "train" for r in records(made))


def test_the_hidden_picture_is_the_picture_with_a_grey_hole_where_the_mask_is(made: SyntheticRequest) -> None:
    for record in records(made):
        folder, name = made.out / record["part"], record["id"]
        mask = grey(folder / "agnostic-mask" / f"{name}_mask.png")
        assert set(np.unique(mask)) == {0, 255}
        image, hidden = (colours(folder / part / f"{name}.png") for part in ("image", "agnostic-v3.2"))
        assert (hidden[mask == 255] == 128).all()
        assert np.array_equal(hidden[mask == 0], image[mask == 0])


def test_the_garment_lies_where_its_mask_says(made: SyntheticRequest) -> None:
    for record in records(made):
        folder = made.out / record["part"]
        mask = grey(folder / "cloth-mask" / f"{record['id']}.png") > 0
        picture = colours(folder / "cloth" / f"{record['id']}.png")
        assert 0.05 < mask.mean() < 0.95
        far = cv2.dilate(mask.astype(np.uint8), np.ones((5, 5))) == 0
        assert (picture[far] == 255).all()


def test_the_person_in_the_other_garment_is_the_same_outside_the_mask(made: SyntheticRequest) -> None:
    """Another cut may throw another shadow on skin; background and what is far from the mask stay, and the garment does not."""
    pairs = read_pairs(made.out, "test", None, False)
    assert pairs
    for pair in pairs:
        other, own = (colours(path) for path in (made.out / "test" / "unpaired" / f"{pair.name}.png", pair.person))
        assert pair.mask is not None
        mask = cv2.dilate((grey(pair.mask) > 0).astype(np.uint8), np.ones((9, 9))) > 0
        difference = np.abs(other.astype(int) - own).max(axis=2)
        changed = difference > 24
        assert (changed & ~mask).mean() < 0.01, pair.name
        assert (difference[mask] > 4).mean() > 0.1, pair.name


def test_the_same_seed_gives_the_same_bytes_and_a_larger_set_keeps_them(made: SyntheticRequest, tmp_path: Path) -> None:
    again = replace(made, out=tmp_path / "again", identities=6)
    prepare_synthetic(again, NullReport())
    before = digests(again.out)
    prepare_synthetic(replace(again, identities=7), NullReport())
    after = digests(again.out)
    grown = {"arguments.json", "dataset.json", "pairs.jsonl", "train_pairs.txt", "test_pairs.txt"}
    assert all(after[name] == digest for name, digest in before.items() if name not in grown)
    whole = digests(made.out)
    different = {name for name in whole if name not in grown and whole[name] != after[name]}
    first_of_their_kind = {f"records/{spec.number:05d}.json" for spec in specs(made) if not lent_before(spec.number, made)}
    assert {name for name in different if name.startswith("records")} <= first_of_their_kind


def lent_before(number: int, request: SyntheticRequest) -> bool:
    everybody = specs(request)
    found = [vitonhd.lender(everybody[number], everybody, category) for category in vitonhd.wardrobe(everybody[number])[1]]
    return all(other is not None and other.number < number for other in found)


def test_a_set_of_clips_is_not_mixed_with_one_of_pairs(made: SyntheticRequest) -> None:
    with pytest.raises(ScdError, match="layout"):
        prepare_synthetic(replace(made, layout="clips"), NullReport())
