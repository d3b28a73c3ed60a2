"""Try-on sets in their own layouts become whole pairs in VITON-HD's folders; broken members are named and left out."""

import json
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from engines.core.errors import ScdError, UsageError
from engines.core.pairs import read_pairs, train_pairs
from engines.core.report import NullReport
from engines.media.images import read_image
from engines.prepare.footage import tryon
from engines.prepare.footage.pair_jobs import PairsRequest
from engines.prepare.footage.tryon import prepare_pairs
from tests.prepare.footage.filmed import figure, pictures
from tests.prepare.test_synthetic import digests

NOTHING = NullReport()


class Segmenter:
    def mask(self, picture: NDArray[np.uint8]) -> NDArray[np.float32]:
        return np.ones(picture.shape[:2], np.float32)


class Finder:
    """Stands in for the pose networks: the figure stands where `figure` puts it, but not in a picture that is all grey."""

    segmenter = Segmenter()

    def points(self, picture: NDArray[np.uint8]) -> NDArray[np.float32] | None:
        return None if picture.std() < 1 else figure(1)[0]


@pytest.fixture(autouse=True)
def known_poses(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tryon, "finder", Finder)
    monkeypatch.setattr(tryon, "networks", lambda report: None)


def save(path: Path, picture: NDArray[np.uint8]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(picture).save(path)


def person(seed: int) -> NDArray[np.uint8]:
    return np.asarray(pictures([figure(1)], seed)[0])


def garment(seed: int) -> NDArray[np.uint8]:
    return np.random.default_rng(seed).integers(0, 255, (128, 96, 3), np.uint8)


def square() -> NDArray[np.uint8]:
    mask = np.zeros((128, 96), np.uint8)
    mask[40:80, 24:72] = 255
    return mask


def parse_map() -> NDArray[np.uint8]:
    """LIP's labels: hair, upper clothes, trousers, face, arms."""
    labels = np.zeros((128, 96), np.uint8)
    labels[8:14, 34:52], labels[14:30, 34:52] = 2, 13
    labels[36:74, 28:58], labels[74:120, 30:56] = 5, 9
    labels[40:56, 14:28], labels[40:56, 58:76] = 14, 15
    return labels


def viton(root: Path) -> Path:
    """Two whole pairs to train on and two to test, and one of each kind that is broken."""
    for part, names in (("train", ("00001_00", "00002_00", "nogarment", "badperson", "badmask", "nomask", "noperson", "parsed")),
                        ("test", ("00008_00", "00009_00"))):  # fmt: skip
        for seed, name in enumerate(names):
            save(root / part / "image" / f"{name}.jpg", person(seed))
            save(root / part / "cloth" / f"{name}.jpg", garment(seed))
            save(root / part / "agnostic-mask" / f"{name}_mask.png", np.repeat(square()[..., None], 3, axis=2))
    train = root / "train"
    (train / "cloth" / "nogarment.jpg").unlink()
    (train / "image" / "badperson.jpg").write_bytes(b"\xff\xd8\xff no picture")
    save(train / "agnostic-mask" / "badmask_mask.png", np.zeros((128, 96), np.uint8))
    for name in ("nomask", "noperson", "parsed"):
        (train / "agnostic-mask" / f"{name}_mask.png").unlink()
    save(train / "image" / "noperson.jpg", np.full((128, 96, 3), 90, np.uint8))
    save(train / "image-parse-v3" / "parsed.png", parse_map())
    (root / "train_pairs.txt").write_text("".join(f"{p.stem}.jpg 00001_00.jpg\n" for p in sorted((train / "image").iterdir())))
    (root / "test_pairs.txt").write_text("00008_00.jpg 00009_00.jpg\n00009_00.jpg 00008_00.jpg\n")
    return root


def asked(origin: Path, out: Path, source: str = "viton-hd") -> PairsRequest:
    return PairsRequest(source=source, origin=origin, out=out, mask_style="limbs")


def dropped(out: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (out / "dropped.jsonl").read_text().splitlines()]


def test_viton_hd(tmp_path: Path) -> None:
    origin = viton(tmp_path / "zalando")
    before = digests(origin)
    request = asked(origin, tmp_path / "data")
    summary = prepare_pairs(request, NOTHING)
    assert digests(origin) == before
    pairs = {pair.name: pair for pair in train_pairs(request.out)}
    assert pairs.keys() == {"00001_00", "00002_00", "nomask", "parsed"}
    for pair in [*pairs.values(), *read_pairs(request.out, "test", None, True)]:
        assert pair.mask is not None
        mask = read_image(pair.mask)
        assert mask.shape == read_image(pair.person).shape
        assert 0.02 < (mask > 127).mean() < 0.8
        assert pair.category == "upper"
        assert pair.person.stem == pair.garment.stem
    assert np.array_equal(read_image(pairs["00001_00"].mask or Path())[..., 0], square())
    whys = {Path(d["source"]).name if "/" in d["source"] else d["detail"]: d["detail"] for d in dropped(request.out)}
    assert any("nogarment" in why for why in whys)
    assert {"badperson", "badmask", "noperson"} < whys.keys()
    assert len(whys) == 4
    assert "nobody is found" in whys["noperson"]
    assert summary["masks_made"] == 2
    assert summary["pairs"]["train"]["upper"] == 4


def test_the_official_test_pairs_stay_and_lose_what_was_dropped(tmp_path: Path) -> None:
    origin = viton(tmp_path / "zalando")
    prepare_pairs(asked(origin, tmp_path / "whole"), NOTHING)
    found = {(p.person.stem, p.garment.stem) for p in read_pairs(tmp_path / "whole", "test", None, False)}
    assert found == {("00008_00", "00009_00"), ("00009_00", "00008_00")}
    (origin / "test" / "image" / "00009_00.jpg").write_bytes(b"broken")
    prepare_pairs(asked(origin, tmp_path / "less"), NOTHING)
    assert [p.name for p in read_pairs(tmp_path / "less", "test", None, True)] == ["00008_00"]


def dress_code(root: Path) -> Path:
    for folder, number in (("upper_body", 1), ("lower_body", 2), ("dresses", 3)):
        for seed in range(2):
            name = f"{number:03d}{seed:03d}"
            save(root / folder / "images" / f"{name}_0.jpg", person(seed))
            save(root / folder / "images" / f"{name}_1.jpg", garment(seed))
            save(root / folder / "agnostic_masks" / f"{name}_0.png", square())
            with (root / folder / f"{'train' if seed == 0 else 'test'}_pairs{'' if seed == 0 else '_paired'}.txt").open("a") as file:
                file.write(f"{name}_0.jpg {name}_1.jpg\n")
    (root / "dresses" / "images" / "003000_1.jpg").write_bytes(b"")
    return root


def test_dresscode(tmp_path: Path) -> None:
    request = asked(dress_code(tmp_path / "DressCode"), tmp_path / "data", "dresscode")
    summary = prepare_pairs(request, NOTHING)
    assert {pair.name: pair.category for pair in train_pairs(request.out)} == {"001000_0": "upper", "002000_0": "lower"}
    assert {p.category for p in read_pairs(request.out, "test", None, True)} == {"upper", "lower", "dress"}
    assert [(d["source"], d["reason"]) for d in dropped(request.out)] == [("train/dresses/003000_0", "unreadable")]
    assert "may not be distributed" in summary["provenance"]["licence"]


def test_a_run_goes_on_and_does_nothing_twice(tmp_path: Path) -> None:
    request = asked(viton(tmp_path / "zalando"), tmp_path / "data")
    prepare_pairs(request, NOTHING)
    whole = digests(request.out)
    kept = request.out / "train" / "agnostic-mask" / "00001_00_mask.png"
    time = kept.stat().st_mtime_ns
    for name in ("train_pairs.txt", "pairs.jsonl", "records/train/parsed.json", "train/cloth/parsed.jpg"):
        (request.out / name).unlink()
    prepare_pairs(request, NOTHING)
    assert digests(request.out) == whole
    assert kept.stat().st_mtime_ns == time
    with pytest.raises(ScdError, match="another mask_style"):
        prepare_pairs(replace(request, mask_style="box"), NOTHING)


def test_a_dry_run_counts_and_writes_nothing(tmp_path: Path) -> None:
    found = prepare_pairs(replace(asked(viton(tmp_path / "zalando"), tmp_path / "data"), dry_run=True), NOTHING)
    assert not (tmp_path / "data").exists()
    assert (found["pairs"]["train"]["upper"], found["pairs"]["test"]["upper"], found["masks_made"]) == (7, 2, 3)
    assert found["dropped"] == {"layout": 1}


def test_another_layout_is_named(tmp_path: Path) -> None:
    with pytest.raises(ScdError, match="try scd prepare-data dresscode"):
        prepare_pairs(asked(dress_code(tmp_path / "DressCode"), tmp_path / "data"), NOTHING)
    with pytest.raises(ScdError, match="try scd prepare-data viton-hd"):
        prepare_pairs(asked(viton(tmp_path / "zalando"), tmp_path / "data", "dresscode"), NOTHING)
    (tmp_path / "empty").mkdir()
    with pytest.raises(ScdError, match="in no layout"):
        prepare_pairs(asked(tmp_path / "empty", tmp_path / "data"), NOTHING)
    with pytest.raises(UsageError, match="inside of --from"):
        prepare_pairs(asked(tmp_path, tmp_path / "data"), NOTHING)


def test_links_are_copies_where_the_disk_has_no_links(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refused(*_: Any) -> None:
        raise OSError("no links here")

    origin = viton(tmp_path / "zalando")
    prepare_pairs(asked(origin, tmp_path / "linked"), NOTHING)
    monkeypatch.setattr(tryon.os, "link", refused)
    prepare_pairs(asked(origin, tmp_path / "copied"), NOTHING)
    assert digests(tmp_path / "linked" / "train") == digests(tmp_path / "copied" / "train")
    shutil.rmtree(origin)
    assert read_image(tmp_path / "linked" / "train" / "image" / "00001_00.jpg").shape == (128, 96, 3)
