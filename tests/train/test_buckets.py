"""Aspect-ratio buckets: which size a clip gets, and which clips a step."""

import json
from collections import Counter
from pathlib import Path

import cv2
import numpy as np
import pytest

torch = pytest.importorskip("torch")

from engines.core.errors import ScdError  # noqa: E402
from engines.core.recipe import parse, read_toml  # noqa: E402
from engines.train.batches import Batches  # noqa: E402
from engines.train.buckets import BucketOrder, nearest_size, sizes_of  # noqa: E402
from engines.train.frames import load_clips  # noqa: E402
from engines.train.latents import no_latents  # noqa: E402
from engines.train.recipe import ScdRecipe  # noqa: E402
from tests.model.tiny import tiny_autoencoder, tiny_spec  # noqa: E402
from tests.train.tiny_data import write_data  # noqa: E402

RECIPES = Path(__file__).parents[2] / "recipes"


def test_a_clip_goes_to_the_size_of_its_shape() -> None:
    sizes = ((512, 768), (448, 832), (640, 640), (768, 512))
    assert nearest_size((1080, 1920), sizes) == (448, 832)
    assert nearest_size((576, 768), sizes) == (512, 768)
    assert nearest_size((900, 1000), sizes) == (640, 640)
    assert nearest_size((1920, 1080), sizes) == (768, 512)
    assert nearest_size((100, 100), ((512, 512), (64, 64))) == (512, 512), "of two alike the first"


def test_a_size_that_the_model_cannot_make_is_refused() -> None:
    from dataclasses import replace

    spec = replace(tiny_spec(False), pose=replace(tiny_spec(False).pose, position_frequencies=0))
    assert sizes_of(spec, [(64, 32)]) == ((32, 64), (64, 32))
    with pytest.raises(ScdError, match="cannot make pictures of 60x32"):
        sizes_of(spec, [(60, 32)])
    with pytest.raises(ScdError, match="features of the place"):
        sizes_of(tiny_spec(False), [(64, 32)])


def test_steps_keep_to_one_bucket_and_see_every_sample_as_often() -> None:
    buckets = ["tall"] * 7 + ["wide"] * 3 + ["square"]
    order = BucketOrder(5, 4, buckets)
    steps = [order.of(step) for step in range(2 * len(buckets))]
    assert all(len(step) == 4 and len({buckets[number] for number in step}) == 1 for step in steps)
    assert set(Counter(number for step in steps for number in step).values()) == {8}
    assert len({buckets[step[0]] for step in steps[:6]}) > 1, "buckets take turns"
    tall = [number for step in steps if buckets[step[0]] == "tall" for number in step]
    assert sorted(tall[:7]) == list(range(7)), "a pass over a bucket has each of its samples once"


def test_a_step_is_the_same_whoever_asks_and_whenever() -> None:
    buckets = [0, 1, 0, 1, 1]
    first = [BucketOrder(1, 2, buckets).of(step) for step in (17, 3, 40)]
    order = BucketOrder(1, 2, buckets)
    assert [order.of(step) for step in (17, 3, 40)] == first
    assert [BucketOrder(2, 2, buckets).of(step) for step in range(9)] != [order.of(step) for step in range(9)]


def test_batches_of_two_shapes(tmp_path: Path) -> None:
    data = write_data(tmp_path / "data")
    path = data / "metadata.jsonl"
    records = [json.loads(line) for line in path.read_text().splitlines()]
    for index in range(5):  # the second clip becomes a wide one
        cv2.imwrite(str(data / "clips/000001/frames" / f"{index:04d}.png"), np.full((32, 64, 3), 40 * index, np.uint8))
    records[1]["size"] = [64, 32]
    path.write_text("\n".join(map(json.dumps, records)))
    settings = [
        "model.size=[32,64]", "batching.buckets=[[64,32]]", "batching.references=2", "augmentation.share=1.0", "loss.noise_offset=0.5",
        "batching.targets=2", "model.pose.position_frequencies=0",
    ]  # fmt: skip
    recipe = parse(ScdRecipe, read_toml(RECIPES / "mini" / "scd-i.toml", settings), "recipe")
    clips = load_clips(data, "train", *sizes_of(recipe.model, recipe.batching.buckets))
    assert [clip.size for clip in clips] == [(32, 64), (64, 32), (32, 64)]
    made = Batches(recipe, clips, no_latents(clips, 4, 8), tiny_autoencoder())
    shapes = set()
    for step in range(3):
        batch = made.make(step)
        shapes.add(tuple(batch.pose.shape[2:]))
        assert batch.latents.shape[2:] == batch.noise.shape[2:] == tuple(side // 8 for side in batch.pose.shape[2:])
        assert batch.latents.any(), "latents are those of the pictures, not of the empty cache"
        assert batch.noise.mean((2, 3)).std() > 0.3, "offset noise"
    assert shapes == {(64, 32), (32, 64)}
    assert (data / ".cache/32x64/000000.npy").is_file()
    assert (data / ".cache/64x32/000001.npy").is_file()
