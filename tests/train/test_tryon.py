"""Training of try-on at tiny size: real stages on a small made-up VITON-HD folder."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from engines.core.errors import ScdError  # noqa: E402
from engines.core.pairs import train_pairs  # noqa: E402
from engines.core.recipe import parse, read_toml  # noqa: E402
from engines.core.report import NullReport  # noqa: E402
from engines.media.images import read_image  # noqa: E402
from engines.model import checkpoint as checkpoints  # noqa: E402
from engines.model.checkpoint import save_checkpoint  # noqa: E402
from engines.model.loading import load_model  # noqa: E402
from engines.pose.draw import fitted  # noqa: E402
from engines.pose.laid import laid  # noqa: E402
from engines.prepare.vitonhd import openpose  # noqa: E402
from engines.train.recipe import TryonRecipe  # noqa: E402
from engines.train.run import train  # noqa: E402
from engines.train.start import starting_autoencoder  # noqa: E402
from engines.train.tryon import fresh_model, tryon_loss  # noqa: E402
from engines.train.tryon_batches import Encoder, TryonBatch, TryonBatches, plain_fitting  # noqa: E402
from tests.core.pair_trees import viton  # noqa: E402
from tests.generate.dressing import person_points  # noqa: E402
from tests.model.tiny import tiny_autoencoder  # noqa: E402

RECIPE = Path(__file__).parents[2] / "recipes" / "tryon" / "mini.toml"
IDS = [f"{n:05d}_00" for n in range(8)]
SMALL = [
    "model.size=[32,64]", "model.unet.latent_channels=4", "model.unet.channels=[32,64]", "model.unet.attention=[true,true]",
    "model.unet.head_size=16", "model.unet.groups=8", "model.pose.channels=[8,8,8]", "batching.pairs=3", "sampling.steps=2",
    "initial=", "logging.validation_pairs=2", "logging.log_every=1", "logging.validate_every=100", "optim.warmup_steps=2",
    "optim.decay_steps=1",
]  # fmt: skip


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return viton(tmp_path_factory.mktemp("viton"), ids=IDS)


@pytest.fixture(scope="module")
def autoencoder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    from dataclasses import asdict

    torch.manual_seed(0)
    model, run = tiny_autoencoder(), tmp_path_factory.mktemp("ae")
    facts = {"kind": "autoencoder", "name": "tiny", "step": 1, "recipe": {"autoencoder": asdict(model.spec)}}
    save_checkpoint(run, model.state_dict(), {}, facts, 1)
    return run


def settings(autoencoder: Path, count: int, *more: str) -> list[str]:
    return [*SMALL, f"autoencoder={autoencoder}", f"optim.steps={count}", *more]


def run(out: Path, data: Path, overrides: list[str], resume: bool = False) -> dict[str, Any]:
    return train(RECIPE, overrides, out, data, resume, NullReport())


def losses(out: Path) -> list[float]:
    return [line["loss"] for line in map(json.loads, (out / "log.jsonl").read_text().splitlines()) if "loss" in line]


def recipe_of(overrides: list[str]) -> TryonRecipe:
    return parse(TryonRecipe, read_toml(RECIPE, overrides), "recipe")


def test_twenty_steps_and_an_exact_resume(data: Path, autoencoder: Path, tmp_path: Path) -> None:
    whole, broken = tmp_path / "whole", tmp_path / "broken"
    run(whole, data, settings(autoencoder, 20))
    run(broken, data, settings(autoencoder, 9))
    run(broken, data, settings(autoencoder, 20), resume=True)
    assert len(losses(whole)) == 20
    assert losses(broken)[:8] == losses(whole)[:8]  # the ninth step of a run of nine is its last, at a lower rate
    straight, resumed = tmp_path / "straight", tmp_path / "resumed"
    flat = "optim.decay_steps=0"
    run(straight, data, settings(autoencoder, 12, flat))
    run(resumed, data, settings(autoencoder, 5, flat))
    run(resumed, data, settings(autoencoder, 12, flat), resume=True)
    assert losses(resumed) == losses(straight)
    first, second = (checkpoints.need(folder, "scd", "") for folder in (straight, resumed))
    assert all(torch.equal(tensor, second.weights()[name]) for name, tensor in first.weights().items())
    assert first.facts["task"] == "tryon"
    assert (whole / "sheets" / "000020.png").is_file()


def test_the_second_column_of_the_list_is_not_used(data: Path, autoencoder: Path, tmp_path: Path) -> None:
    other = viton(tmp_path / "other", ids=IDS)
    path = other / "train_pairs.txt"
    rows = [line.split() for line in path.read_text().splitlines()]
    path.write_text("".join(f"{person} {rows[-n - 1][1]}\n" for n, (person, _) in enumerate(rows)))
    assert path.read_text() != (data / "train_pairs.txt").read_text()
    run(tmp_path / "a", data, settings(autoencoder, 2))
    run(tmp_path / "b", other, settings(autoencoder, 2))
    assert losses(tmp_path / "a") == losses(tmp_path / "b")
    assert [p.garment.name for p in train_pairs(other)] == [p.person.name for p in train_pairs(other)]


def test_noise_lies_in_the_mask_alone_and_the_loss_looks_nowhere_else(data: Path, autoencoder: Path) -> None:
    recipe = recipe_of(settings(autoencoder, 1, "batching.drop_reference=0.0"))
    codec = starting_autoencoder(recipe)[0]
    batch = TryonBatches(recipe, train_pairs(data), Encoder(codec, "fp32")).make(0)
    seen: list[torch.Tensor] = []

    class Spy:
        pose_encoder = staticmethod(lambda pose: torch.zeros(len(pose), 32, 8, 4))
        reference = staticmethod(lambda latents, features: [])

        @staticmethod
        def target(latents: torch.Tensor, *_: Any, **__: Any) -> torch.Tensor:
            seen.append(latents)
            return torch.zeros_like(latents)

    value = float(tryon_loss(Spy(), recipe, batch, torch.ones(4)))  # type: ignore[arg-type]
    outside = (batch.mask == 0).expand_as(seen[0])
    assert torch.equal(seen[0][outside], batch.known[outside])
    assert not torch.equal(seen[0][~outside], batch.known[~outside])
    changed = batch.__class__(**{**batch.__dict__, "latents": torch.where(outside, batch.latents + 5, batch.latents)})
    assert float(tryon_loss(Spy(), recipe, changed, torch.ones(4))) == pytest.approx(value)  # type: ignore[arg-type]
    inside = batch.__class__(**{**batch.__dict__, "latents": torch.where(outside, batch.latents, batch.latents + 5)})
    assert float(tryon_loss(Spy(), recipe, inside, torch.ones(4))) > value + 0.1  # type: ignore[arg-type]


def test_some_start_from_the_laid_garment_and_lead_to_the_person(data: Path, autoencoder: Path) -> None:
    still = ["batching.worn=0.0", "sampling.strength=0.5"]
    codec = starting_autoencoder(recipe_of(settings(autoencoder, 1)))[0]

    def batch_of(*more: str) -> TryonBatch:
        return TryonBatches(recipe_of(settings(autoencoder, 1, *still, *more)), train_pairs(data), Encoder(codec, "fp32")).make(0)

    begun = batch_of("batching.from_laid=1.0", "batching.drop_reference=0.0")
    assert torch.equal(begun.noised, begun.ref_latents)
    assert not torch.equal(begun.noised, begun.latents)
    assert ((begun.timesteps >= 199) & (begun.timesteps <= 500)).all()
    for plain in (batch_of("batching.from_laid=0.0"), batch_of("batching.from_laid=1.0", "batching.drop_reference=1.0")):
        assert torch.equal(plain.noised, plain.latents)
    recipe = recipe_of(settings(autoencoder, 1, *still))
    alphas = torch.from_numpy(recipe.schedule.alphas_cumprod()).float()[begun.timesteps][:, None, None, None]

    class Knowing:
        """Answers with the velocity whose x_0 is the person."""

        pose_encoder = staticmethod(lambda pose: torch.zeros(len(pose), 32, 8, 4))
        reference = staticmethod(lambda latents, features: [])

        @staticmethod
        def target(latents: torch.Tensor, *_: Any, **__: Any) -> torch.Tensor:
            return (alphas.sqrt() * latents - begun.latents) / (1 - alphas).sqrt()

    assert float(tryon_loss(Knowing(), recipe, begun, torch.ones(4))) < 1e-9  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("wrong", "says"),
    [
        (["sampling.strength=0.0"], "is not possible"),
        (["sampling.strength=0.5", "batching.laid=false"], "laid garments"),
        (["sampling.strength=1.0", "batching.from_laid=0.5"], "from_laid"),
    ],
)
def test_a_start_that_cannot_be_is_refused(data: Path, autoencoder: Path, tmp_path: Path, wrong: list[str], says: str) -> None:
    with pytest.raises(ScdError, match=says):
        run(tmp_path / "run", data, settings(autoencoder, 1, *wrong))
    assert not (tmp_path / "run" / "log.jsonl").exists()


def test_what_the_mask_hides_cannot_be_seen_in_the_known_part(data: Path) -> None:
    fitting = plain_fitting(train_pairs(data)[0], recipe_of(SMALL))
    assert fitting.mask.any()
    assert not fitting.mask.all()
    other = fitting._replace(person=np.where(fitting.mask[..., None], 255 - fitting.person, fitting.person))
    assert np.array_equal(fitting.known(), other.known())


def test_the_same_step_gives_the_same_batch_and_another_gives_another(data: Path, autoencoder: Path) -> None:
    recipe = recipe_of(settings(autoencoder, 1))
    encoder = Encoder(starting_autoencoder(recipe)[0], "fp32")
    first, again = (TryonBatches(recipe, train_pairs(data), encoder).make(3) for _ in range(2))
    assert all(torch.equal(getattr(first, name), getattr(again, name)) for name in first.__dict__)
    other = TryonBatches(recipe, train_pairs(data), encoder).make(4)
    assert not torch.equal(first.latents, other.latents)


def test_a_laid_garment_is_where_the_person_is_in_that_window(autoencoder: Path, tmp_path: Path) -> None:
    """Its keypoints are those of the photo, and unknown for the share of `drop_pose`: then it lies in the mask."""
    root = viton(tmp_path / "posed", ids=IDS)
    for name in IDS:
        points = person_points((32, 48))
        path = root / "train" / "openpose_json" / f"{name}_keypoints.json"
        path.parent.mkdir(exist_ok=True)
        path.write_text(json.dumps(openpose(points, (32, 48))))
    encoder = Encoder(starting_autoencoder(recipe_of(settings(autoencoder, 1)))[0], "fp32")
    for share, known in ((0.0, True), (1.0, False)):
        still = ["augmentation.share=0.0", "batching.worn=0.0", f"batching.drop_pose={share}"]
        recipe = recipe_of(settings(autoencoder, 1, *still))
        for row in TryonBatches(recipe, train_pairs(root), encoder).draft(0, range(3)):
            fitting = row.fitting
            assert (fitting.points is not None) == row.pose.any() == known
            points = None if fitting.points is None else fitted(fitting.points[0], fitting.size, recipe.model.size)
            garments = [laid(read_image(pair.garment), points, fitting.known(), fitting.mask, "upper") for pair in train_pairs(root)]
            assert any(np.array_equal(fitting.garment, garment) for garment in garments)


def test_a_worn_garment_that_is_laid_stays_in_its_place(data: Path, autoencoder: Path) -> None:
    encoder = Encoder(starting_autoencoder(recipe_of(settings(autoencoder, 1)))[0], "fp32")
    recipe = recipe_of(settings(autoencoder, 1, "batching.worn=1.0", "augmentation.share=0.0"))
    for row in TryonBatches(recipe, train_pairs(data), encoder).draft(0, range(3)):
        assert np.array_equal(row.fitting.garment, row.fitting.person)


def test_a_worn_garment_is_what_the_mask_covers_on_white(data: Path, autoencoder: Path) -> None:
    pairs, moved = train_pairs(data), ["batching.laid=false", "augmentation.share=0.0"]
    encoder = Encoder(starting_autoencoder(recipe_of(settings(autoencoder, 1)))[0], "fp32")
    flat, worn = (
        TryonBatches(recipe_of(settings(autoencoder, 1, *moved, f"batching.worn={share}")), pairs, encoder).draft(0, range(3))
        for share in (0.0, 1.0)
    )
    assert np.array_equal(flat[0].fitting.person, worn[0].fitting.person)
    assert not np.array_equal(flat[0].fitting.garment, worn[0].fitting.garment)
    for row in worn:
        assert 0.05 < (row.fitting.garment > 250).all(axis=2).mean() < 0.95


def test_training_without_masks_says_what_makes_them(data: Path, autoencoder: Path, tmp_path: Path) -> None:
    bare = viton(tmp_path / "bare", ids=IDS)
    for path in (bare / "train" / "agnostic-mask").iterdir():
        path.unlink()
    with pytest.raises(ScdError, match="no mask"):
        run(tmp_path / "run", bare, settings(autoencoder, 2))


def test_garments_of_the_test_part_are_left_out_where_asked(autoencoder: Path, tmp_path: Path) -> None:
    leaky = viton(tmp_path / "leaky", ids=IDS)
    rng = np.random.default_rng(0)
    from PIL import Image

    for number, path in enumerate(sorted((leaky / "train" / "cloth").iterdir())):
        Image.fromarray(rng.integers(0, 256, (48, 32, 3), dtype=np.uint8)).resize((96, 144)).save(path, quality=95)
        test = leaky / "test" / "cloth" / path.name
        if number < 2:
            test.write_bytes(path.read_bytes())
        else:
            Image.fromarray(rng.integers(0, 256, (48, 32, 3), dtype=np.uint8)).resize((96, 144)).save(test, quality=95)
    from engines.train.tryon import pairs_of

    kept = pairs_of(recipe_of(settings(autoencoder, 1, "drop_leaked=true")), leaky, NullReport())
    assert [pair.name for pair in kept] == IDS[2:]
    assert len(pairs_of(recipe_of(settings(autoencoder, 1)), leaky, NullReport())) == 8


def test_the_recipe_of_stable_diffusion_starts_from_its_folder_and_what_it_makes_exports(data: Path, tmp_path: Path) -> None:
    pytest.importorskip("diffusers")
    pytest.importorskip("transformers")
    from engines.model.loading import load_model
    from tests.model.hub import TINY_STABLE, write_stable_diffusion

    folder, path = write_stable_diffusion(tmp_path / "stable-tiny"), RECIPE.with_name("sd15-vitonhd.toml")
    few = ["optim.steps=2", 'optim.precision="fp32"', "batching.pairs=2", "logging.validation_pairs=1", "sampling.steps=2"]
    train(path, [*TINY_STABLE, *few, f"initial={folder}", "logging.log_every=1"], tmp_path / "run", data, False, NullReport())
    assert np.isfinite(losses(tmp_path / "run")).all()
    saved = load_model(tmp_path / "run")
    assert saved.facts["task"] == "tryon"
    assert saved.autoencoder.__class__.__name__ == "StableVae"


def test_a_start_gets_attention_at_levels_that_had_none(data: Path, autoencoder: Path, tmp_path: Path) -> None:
    coarse, fine = "model.unet.attention=[false,true]", "model.unet.attention=[true,true]"
    run(tmp_path / "coarse", data, settings(autoencoder, 2, coarse))
    start = load_model(tmp_path / "coarse").model
    grown = fresh_model(recipe_of(settings(autoencoder, 2, fine, f"initial={tmp_path / 'coarse'}")))
    assert grown.unet.sites != start.unet.sites
    torch.manual_seed(0)
    latents, garment, pose = torch.randn(1, 4, 8, 4), torch.randn(1, 4, 8, 4), torch.rand(1, 3, 64, 32)
    made = []
    for model in (start.eval(), grown.eval()):
        features = model.pose_encoder(pose)
        made.append(model.target(latents, torch.tensor([500]), features, model.reference(garment, features), clips=0))
    assert torch.allclose(made[0], made[1], atol=1e-5), "the new layers are silent"
    made[1].square().sum().backward()
    assert all(p.grad.any() for n, p in grown.named_parameters() if "down_blocks.0.attentions" in n and "proj_out.weight" in n)
    run(tmp_path / "fine", data, settings(autoencoder, 2, fine))
    with pytest.raises(ScdError, match=r"has unet\.attention"):
        fresh_model(recipe_of(settings(autoencoder, 2, coarse, f"initial={tmp_path / 'fine'}")))
