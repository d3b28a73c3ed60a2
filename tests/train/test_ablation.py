"""Every row of the paper's Table 2, trained from one base at tiny size with the shipped recipes of mini/ablation."""

import importlib.util
import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from engines.core.errors import ScdError  # noqa: E402
from engines.core.recipe import parse, read_toml  # noqa: E402
from engines.core.report import NullReport  # noqa: E402
from engines.model import checkpoint as checkpoints  # noqa: E402
from engines.model.autoencoder import Autoencoder  # noqa: E402
from engines.model.loading import load_autoencoder, load_model  # noqa: E402
from engines.train.batches import Batch, Batches  # noqa: E402
from engines.train.dry_run import outlook  # noqa: E402
from engines.train.frames import load_clips  # noqa: E402
from engines.train.latents import all_latents  # noqa: E402
from engines.train.recipe import ScdRecipe  # noqa: E402
from engines.train.run import train  # noqa: E402
from engines.train.scd import ScdLoss, fresh_model  # noqa: E402
from engines.train.validation import Validation, Wanted, drawn, pairs_of, sampled  # noqa: E402

RECIPES = Path(__file__).parents[2] / "recipes"
MINI, FULL = RECIPES / "mini" / "ablation", RECIPES / "ablation"
ROWS = ("clip", "channels", "reference-net-random", "reference-net", "scd-dagger-no-pose", "scd-dagger", "scd-no-pose", "scd")
DEFINING = {  # what a row may differ in from SCD's: these keys, and nothing else
    "clip": {"model.condition", "model.reference_pose", "model.picture", "model.unet.text"},
    "channels": {"model.condition", "model.reference_pose"},
    "reference-net-random": {"model.reference_pose", "model.reference_net"},
    "reference-net": {"model.reference_pose", "model.reference_net"},
    "scd-dagger-no-pose": {"model.condition", "model.reference_pose"},
    "scd-dagger": {"model.condition"},
    "scd-no-pose": {"model.reference_pose"},
    "scd": set[str](),
}
SIZES = [
    "model.size=[32,64]", "model.unet.latent_channels=4", "model.unet.channels=[32,64]", "model.unet.attention=[true,true]",
    "model.unet.head_size=16", "model.unet.groups=8", "model.pose.channels=[8,8,8]", "model.pose.position_frequencies=2",
]  # fmt: skip
SHORT = [
    "batching.references=2", "batching.targets=3", "sampling.steps=2", "logging.validation_pairs=2", "optim.steps=2",
    "optim.warmup_steps=1", "optim.decay_steps=1", 'optim.precision="fp32"', "logging.log_every=1", "logging.validate_every=100",
]  # fmt: skip
AUTOENCODER = [
    "size=[32,64]", "batch=2", "autoencoder.latent_channels=4", "autoencoder.channels=[8,8,16]", "autoencoder.blocks=[1,1,1]",
    "autoencoder.groups=4", "logging.validation_pairs=6", "optim.steps=1", 'optim.precision="fp32"',
]  # fmt: skip
TOKEN = ["model.picture.size=16", "model.picture.width=16", "model.picture.heads=2", "model.picture.inner=16", "model.picture.layers=1"]


def flat(table: dict[str, Any], before: str = "") -> Iterator[tuple[str, Any]]:
    for key, value in table.items():
        yield from flat(value, f"{before}{key}.") if isinstance(value, dict) else [(before + key, value)]


@pytest.mark.parametrize("row", ROWS)
@pytest.mark.parametrize("folder", [MINI, FULL], ids=["mini", "full"])
def test_rows_differ_in_what_defines_them_and_in_nothing_else(folder: Path, row: str) -> None:
    own, scd = (dict(flat(read_toml(folder / f"{name}.toml", []))) for name in (row, "scd"))
    apart = {key for key in own.keys() | scd.keys() if own.get(key) != scd.get(key)} - {"name"}
    assert {next((d for d in DEFINING[row] if key == d or key.startswith(f"{d}.")), key) for key in apart} <= DEFINING[row]
    assert own["name"].endswith(row)
    condition = {"clip": "picture", "channels": "channels", "scd-dagger": "joint", "scd-dagger-no-pose": "joint"}
    assert own["model.condition"] == condition.get(row, "attention")
    assert own["model.reference_pose"] == (row in ("scd", "scd-dagger"))
    assert own.get("model.reference_net.initial") == {"reference-net": "copy", "reference-net-random": "random"}.get(row)


def test_full_size_rows_are_trained_as_the_paper_s_model_is() -> None:
    paper, scd = (dict(flat(read_toml(path, []))) for path in (RECIPES / "paper" / "scd-i.toml", FULL / "scd.toml"))
    assert scd == paper | {"name": "ablation-scd", "model.condition": "attention", "model.reference_pose": True}


@pytest.mark.slow
@pytest.mark.parametrize("row", ["clip", "reference-net", "scd-dagger"])
def test_a_dry_run_counts_what_a_row_adds(row: str, data: Path, autoencoder: Path) -> None:
    small = [*SIZES, *SHORT, f"autoencoder={autoencoder}", "optim.muon_learning_rate=0.0", *(TOKEN if row == "clip" else [])]
    told = outlook(parse(ScdRecipe, read_toml(MINI / f"{row}.toml", small), row), data, 1, 1.0)
    parts = {"clip": "picture_encoder", "reference-net": "reference_unet", "scd-dagger": "unet"}
    assert told["parameters"]["parts"][parts[row]] > 0
    assert (told["parameters"]["trained"] < told["parameters"]["all"]) == (row != "scd-dagger")
    assert told["flop_per_step"]["network"] > 0


def test_the_base_is_the_rows_network_without_reference_and_pose() -> None:
    base, scd = (dict(flat(read_toml(MINI / f"{name}.toml", []))) for name in ("base", "scd"))
    apart = {k: v for k, v in base.items() if v != scd[k]}
    assert {k: v for k, v in apart.items() if not k.startswith(("optim.", "logging."))} == {
        "name": "ablation-mini-base", "initial": "", "batching.drop_reference": 1.0, "batching.drop_pose": 1.0,
    }  # fmt: skip
    assert apart["optim.steps"] > scd["optim.steps"]
    assert base.keys() == scd.keys()


@pytest.fixture(scope="module")
def autoencoder(data: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("ae") / "run"
    train(RECIPES / "mini" / "autoencoder.toml", AUTOENCODER, out, data, False, NullReport())
    return out


@pytest.fixture(scope="module")
def base(data: Path, autoencoder: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("base") / "run"
    train(MINI / "base.toml", [*SIZES, *SHORT, f"autoencoder={autoencoder}"], out, data, False, NullReport())
    return out


def settings(row: str, autoencoder: Path, base: Path) -> list[str]:
    return [*SIZES, *SHORT, f"autoencoder={autoencoder}", f"initial={base}", *(TOKEN if row == "clip" else [])]


def recipe_of(row: str, autoencoder: Path, base: Path) -> ScdRecipe:
    initial = [*SIZES, *SHORT, f"autoencoder={autoencoder}"] if row == "base" else settings(row, autoencoder, base)
    return parse(ScdRecipe, read_toml(MINI / f"{row}.toml", initial), row)


def batches_of(recipe: ScdRecipe, data: Path, codec: Autoencoder) -> Batches:
    clips = load_clips(data, "train", recipe.model.size)
    return Batches(recipe, clips, all_latents(data, clips, codec, recipe.optim.precision, NullReport()), codec)


@pytest.mark.parametrize("row", ROWS)
def test_a_row_trains_from_the_base_and_its_checkpoint_samples(row: str, data: Path, autoencoder: Path, base: Path, tmp_path: Path) -> None:
    train(MINI / f"{row}.toml", settings(row, autoencoder, base), tmp_path, data, False, NullReport())
    lines = [json.loads(line) for line in (tmp_path / "log.jsonl").read_text().splitlines()]
    assert [line["step"] for line in lines if "loss" in line] == [1, 2]
    assert np.isfinite([line["psnr"] for line in lines if "psnr" in line]).all()
    assert (tmp_path / "sheets" / "000002.png").exists()
    saved, recipe = load_model(tmp_path), recipe_of(row, autoencoder, base)
    clips, size = load_clips(data, "val", (32, 64)), (32, 64)
    wanted = Wanted(clips[0].frames[:1], drawn(clips[0], [0], size), drawn(clips[0], [2, 4], size))
    noise = np.random.default_rng(0).standard_normal((2, 4, 8, 4), dtype=np.float32)
    made, again = (sampled(saved.model, recipe, saved.autoencoder, wanted, noise) for _ in range(2))
    assert made.shape == (2, 64, 32, 3)
    assert (made == again).all()
    assert np.ptp(made) > 10


@pytest.mark.parametrize("row", ROWS)
def test_gradients_reach_all_that_is_trained(row: str, data: Path, autoencoder: Path, base: Path) -> None:
    """With no weight at zero, as the fresh outputs are at the start, every parameter has a part in the loss. Only the biases of keys have
    none in any attention: softmax does not see what all keys have in common."""
    recipe, codec, random = recipe_of(row, autoencoder, base), load_autoencoder(autoencoder), torch.Generator().manual_seed(1)
    model = fresh_model(recipe)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter += 0.1 * torch.randn(parameter.shape, generator=random) * (parameter == 0)
    ScdLoss(model, recipe, torch.ones(4), codec.decode)(0, batches_of(recipe, data, codec).make(0)).backward()
    trained = {name: p for name, p in model.named_parameters() if p.requires_grad}
    silent = [name for name, p in trained.items() if p.grad is None or not p.grad.any()]
    assert [name for name in silent if not name.endswith("k_proj.bias")] == []
    own = {"clip": "picture_encoder.", "reference-net": "reference_unet.", "reference-net-random": "reference_unet."}
    assert any(name.startswith(own.get(row, "unet.")) for name in trained)


def test_the_base_reads_no_reference_and_sees_no_pose(data: Path, autoencoder: Path, base: Path) -> None:
    recipe, codec = recipe_of("base", autoencoder, base), load_autoencoder(autoencoder)
    batch: Batch = batches_of(recipe, data, codec).make(3)
    assert not batch.pose.any()
    assert not batch.ref_pose.any()
    model = fresh_model(recipe)
    validation = Validation(recipe, codec, load_clips(data, "val", (32, 64)), data)
    assert pairs_of(model, recipe, codec, Wanted(validation.references, validation.ref_poses, validation.poses)) is None
    loss = ScdLoss(model, recipe, torch.ones(4), codec.decode)
    first = loss(0, batch)
    batch.ref_latents.normal_()
    assert torch.equal(loss(0, batch), first)


def test_the_rows_start_from_the_base_s_weights(data: Path, autoencoder: Path, base: Path) -> None:
    weights = checkpoints.under("scd", checkpoints.need(base, "scd", "").weights())
    for row in ROWS:
        own = fresh_model(recipe_of(row, autoencoder, base)).state_dict()
        same = [k for k, v in weights.items() if torch.equal(own[k][:, : v.shape[1]] if k == "unet.conv_in.weight" else own[k], v)]
        assert same == list(weights)


def test_poses_are_dropped_by_reference_at_their_share(data: Path, autoencoder: Path, base: Path) -> None:
    codec = load_autoencoder(autoencoder)
    overrides = [*settings("scd", autoencoder, base), "batching.drop_pose=0.4", "batching.references=3"]
    recipe = parse(ScdRecipe, read_toml(MINI / "scd.toml", overrides), "scd")
    batches = batches_of(recipe, data, codec)
    black = torch.stack([~batches.make(step).pose.flatten(1).any(1) for step in range(40)]).unflatten(1, (3, 3))
    assert (black.all(2) == black.any(2)).all()
    assert 0.25 < black.float().mean() < 0.55


def script(name: str) -> Any:
    """A script of docs/, which is no package."""
    spec = importlib.util.spec_from_file_location(name, RECIPES.parent / "docs" / f"{name}.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module  # dataclasses look themselves up there
    spec.loader.exec_module(module)
    return module


def test_the_kept_base_is_small_and_what_rows_start_from(data: Path, autoencoder: Path, base: Path, tmp_path: Path) -> None:
    kept = script("make_ablation").keep_base(base, tmp_path / "base")
    exact, stored = (checkpoints.need(folder, "scd", "").weights() for folder in (base, kept))
    assert stored.keys() == {name for name in exact if name.startswith("scd.")}
    for name, tensor in stored.items():
        step = exact[name].abs().flatten(1).amax(1).view(-1, *[1] * (tensor.dim() - 1)) / 127 if tensor.dim() > 1 else 2**-10
        assert ((tensor - exact[name]).abs() <= 0.51 * step + 2**-11 * exact[name].abs()).all(), name
    assert (kept / "model.safetensors").stat().st_size < 0.5 * sum(4 * t.numel() for t in stored.values())
    model = fresh_model(recipe_of("reference-net", autoencoder, kept))
    assert torch.equal(model.state_dict()["reference_unet.conv_in.weight"], stored["scd.unet.conv_in.weight"])


def test_main_rows_come_first_and_get_the_further_seeds() -> None:
    plan = script("make_ablation").plan
    every = plan(["clip", "scd", "reference-net", "channels"], 2)
    assert every == [("scd", 0), ("reference-net", 0), ("channels", 0), ("clip", 0), ("scd", 1), ("reference-net", 1)]


def result(row: str, seed: int, psnr_of: list[float], **changes: Any) -> dict[str, Any]:
    """What docs/make_ablation.py keeps of a run: `psnr_of` by clip, and other figures that follow from it."""
    metrics = {"psnr": 1.0, "ssim_gray_uniform7": 0.01, "mae": -1.0, "ssim_masked": 0.01, "psnr_masked": 1.0}
    per_video = {f"{i:06d}": {name: factor * value for name, factor in metrics.items()} for i, value in enumerate(psnr_of)}
    values = {name: {"value": float(np.mean([v[name] for v in per_video.values()])), "ci": None} for name in metrics}
    return {
        "row": row, "seed": seed, "protocol": "native", "truth": "t", "base": "b", "steps": 5, "pictures": 80, "videos": len(psnr_of),
        "frames": 8, "parameters": 10, "seconds_per_step": 1.0, "last_loss": 0.5, "metrics": values, "per_video": per_video, **changes,
    }  # fmt: skip


def write_results(folder: Path, results: list[dict[str, Any]]) -> Path:
    folder.mkdir(exist_ok=True)
    for one in results:
        (folder / f"{one['row']}-{one['seed']}.json").write_text(json.dumps(one))
    return folder


def test_the_table_compares_clip_by_clip_over_the_seeds_that_both_have(tmp_path: Path) -> None:
    made = script("make_ablation_table")
    scd = [20.0, 22.0, 24.0, 26.0, 21.0, 23.0, 25.0]
    folder = write_results(
        tmp_path / "ablation",
        [
            result("scd", 0, scd), result("scd", 1, [x + 2 for x in scd]), result("reference-net", 0, [x - 1 for x in scd]),
            result("reference-net", 1, [x + 1 for x in scd]), result("clip", 0, [x + 3 for x in scd]),
        ],
    )  # fmt: skip
    found = made.summary(made.read_rows(folder))
    assert found["rows"]["scd"]["metrics"]["psnr"]["value"] == pytest.approx(24.0)
    assert found["rows"]["scd"]["metrics"]["psnr"]["of_seeds"] == [23.0, 25.0]
    behind, ahead = (found["against_scd"]["psnr"][row] for row in ("reference-net", "clip"))
    assert (behind["difference"], ahead["difference"]) == (pytest.approx(-1.0), pytest.approx(3.0))
    assert (behind["seeds"], ahead["seeds"]) == ([0, 1], [0])
    assert behind["p"] == 2 / 2**7  # all differences have one sign: only that pattern and its mirror reach it
    assert behind["p_holm"] == 2 * behind["p"]
    assert found["order"]["psnr"]["pairs"] == 3
    assert found["order"]["psnr"]["agreed"] == 1  # of clip < reference-net < SCD only the last holds
    page = made.replaced(f"before\n{made.BEGIN}\nold\n{made.END}\nafter\n", made.text(found))
    assert page.startswith("before\n")
    assert page.endswith("\nafter\n")
    assert "old" not in page
    assert "Not run yet: Channel concatenation" in page
    assert "| Reference-Net | 0, 1 | -0.010" in page


def test_results_that_do_not_go_together_are_refused(tmp_path: Path) -> None:
    made = script("make_ablation_table")
    folder = write_results(tmp_path / "ablation", [result("scd", 0, [20.0, 21.0]), result("clip", 0, [20.0, 21.0], base="another")])
    with pytest.raises(ScdError, match=r"(clip|scd)-0\.json has another base"):
        made.read_rows(folder)
    with pytest.raises(ScdError, match="holds no result"):
        made.read_rows(tmp_path)
    with pytest.raises(ScdError, match="put the two lines"):
        made.replaced("a page without marks", "block")
