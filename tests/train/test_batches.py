"""What a training step sees: timesteps, targets, cached latents beside freshly encoded ones."""

from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from engines.core.recipe import parse, read_toml  # noqa: E402
from engines.train.autoencoder import to_tensor  # noqa: E402
from engines.train.batches import Batches, choose_frames, shifted_timesteps  # noqa: E402
from engines.train.recipe import Batching, ScdRecipe  # noqa: E402
from tests.model.tiny import tiny_autoencoder  # noqa: E402

RECIPE = Path(__file__).parents[2] / "recipes" / "mini" / "scd-i.toml"


def batches(share: float, drop_reference: float = 0.0, shared_noise: float = 0.0) -> Batches:
    """Three clips of five frames 32x64, with latents that no encoder gives (clip number + 100)."""
    settings = ["model.size=[32,64]", f"augmentation.share={share}", f"batching.drop_reference={drop_reference}"]
    settings.append(f"batching.shared_noise=[{shared_noise},{shared_noise}]")
    recipe = parse(ScdRecipe, read_toml(RECIPE, [*settings, "batching.references=3", "batching.targets=2"]), "recipe")
    rng = np.random.default_rng(0)
    points = rng.uniform(0, 32, (5, 1, 133, 3)).astype(np.float32)
    clips = [
        SimpleNamespace(
            clip=SimpleNamespace(frames=5),
            frames=rng.integers(0, 256, (5, 64, 32, 3), dtype=np.uint8),
            points=points,
            points_size=(32, 64),
            size=(32, 64),
        )
        for _ in range(3)
    ]
    latents = [np.full((5, 4, 8, 4), 100 + n, np.float16) for n in range(3)]
    return Batches(recipe, clips, latents, tiny_autoencoder())  # type: ignore[arg-type]


def test_cached_latents_are_used_as_they_are() -> None:
    batch = batches(share=0).make(0)
    assert sorted(batch.ref_latents[:, 0, 0, 0].tolist()) == [100, 101, 102]
    assert torch.equal(batch.ref_latents.repeat_interleave(2, 0), batch.latents)


def test_references_seen_anew_are_encoded_with_their_targets() -> None:
    makes = batches(share=1)
    rows, batch = makes.draft(4, range(3)).rows, makes.make(4)
    assert all(row.pictures is not None for row in rows)
    with torch.no_grad():
        goal = makes.autoencoder.encode(to_tensor(rows[1].pictures))
    assert (batch.ref_latents[1] - goal[0]).abs().max() < 0.1 * goal.std(), "encoded in bfloat16"
    assert (batch.latents[2:4] - goal[1:]).abs().max() < 0.1 * goal.std()
    again = batches(share=1).make(4)
    assert torch.equal(again.latents, batch.latents), "a step depends on the seed and its number alone"
    assert torch.equal(again.pose, batch.pose)


def test_targets_of_a_reference_share_noise_as_the_recipe_says() -> None:
    for shared in (0.0, 0.5, 1.0):
        noise = torch.cat([batches(0, shared_noise=shared).make(step).noise for step in range(20)]).unflatten(0, (-1, 2))
        assert abs(noise.std() - 1) < 0.05
        assert abs((noise[:, 0] * noise[:, 1]).mean() - shared) < 0.05
        assert abs((noise[:-1, 0] * noise[1:, 0]).mean()) < 0.05, "another reference, other noise"


def test_the_null_reference_is_zeros_with_a_black_pose() -> None:
    for share in (0, 1):
        batch = batches(share, drop_reference=1.0).make(0)
        assert batch.ref_latents.abs().max() == batch.ref_pose.max() == 0
        assert batch.latents.abs().max() > 0
        assert batch.pose.max() > 0


def test_shifted_timesteps_favour_the_noisy_end() -> None:
    plain, shifted = (shifted_timesteps(np.random.default_rng(0), 4000, s, 1000).mean() for s in (1.0, 3.0))
    assert abs(plain - 500) < 20
    assert shifted > 600


def test_video_targets_are_neighbours() -> None:
    batching = Batching(
        references=1,
        targets=4,
        consecutive=True,
        drop_reference=0,
        drop_ref_pose=0,
        drop_pose=0,
        buckets=(),
        timestep_shift=1,
        shared_noise=(0, 0),
        own_steps=0,
    )
    _, frames = choose_frames(np.random.default_rng(0), 9, batching)
    assert (np.diff(frames) == 1).all()
