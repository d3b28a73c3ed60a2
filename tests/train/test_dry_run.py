"""`scd train --dry-run`: what it counts, against numbers worked out by hand and against the real thing."""

import json
from functools import lru_cache, partial
from pathlib import Path
from typing import Any

import pytest

torch = pytest.importorskip("torch")

from torch import nn  # noqa: E402
from typer.testing import CliRunner  # noqa: E402

from engines.core.recipe import parse, read_toml  # noqa: E402
from engines.train.dry_run import batch_of, bytes_of, loss_of, moment_bytes, outlook, plan_of  # noqa: E402
from engines.train.recipe import Recipe, ScdRecipe, TryonRecipe  # noqa: E402
from engines.train.simulate import Tally, fake, simulate  # noqa: E402
from scd_cli.main import app  # noqa: E402
from scd_cli.recipes import find_recipe  # noqa: E402
from tests.train.tiny_data import write_data  # noqa: E402

SMALL = [
    "model.size=[32,64]", "model.unet.latent_channels=4", "model.unet.channels=[32,64]", "model.unet.attention=[true,true]",
    "model.unet.head_size=16", "model.unet.groups=8", "model.pose.channels=[8,8,8]", "batching.references=4", "batching.targets=3",
]  # fmt: skip


def recipe(name: str, *settings: str) -> Recipe:
    table = read_toml(find_recipe(name), list(settings))
    return parse(TryonRecipe if table["kind"] == "tryon" else ScdRecipe, table, name)


@lru_cache
def small(*settings: str, processes: int = 1) -> dict[str, Any]:
    return outlook(recipe("mini/scd-i", *SMALL, *settings), Path("nowhere"), processes, 1.0)


class Layer(nn.Module):
    """A loss whose step can be worked out: the sum of relu(x W), x (1000, 100), W (100, 100)."""

    def __init__(self) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.zeros(100, 100))

    def forward(self, step: int, batch: torch.Tensor) -> torch.Tensor:
        return torch.relu(batch @ self.weight).sum()


def test_a_step_is_counted_as_by_hand() -> None:
    with fake():
        done = simulate(Layer(), lambda: torch.zeros(1000, 100), None, 0)
        later = simulate(Layer(), lambda: torch.zeros(1000, 100), None, 40000)
    assert done.flop == 2 * (2 * 1000 * 100 * 100), "x W, and the gradient of W; x needs none"
    # the worst moment is in the backward pass: x, the relu's result and its gradient, 400,000 bytes each; the loss and its gradient
    assert done.peak == 3 * 400_000 + 2 * 4
    assert later.peak == done.peak + 40_000, "gradients of earlier parts are there from the start"


def test_memory_is_free_again_once_nobody_holds_it() -> None:
    known = nn.Linear(10, 10)
    with Tally(known) as live:
        tensors = [torch.zeros(1000) for _ in range(3)] + [known.weight.t(), known.weight.view(-1)]
        assert live.now == 3 * 4000
        view = tensors[0][:10]
        del tensors
        assert live.now == 4000
        del view
        assert (live.now, live.peak) == (0, 12000)


def test_bytes_and_parameters_are_the_models() -> None:
    from engines.model.baselines import build_model

    told, real = small(), build_model(recipe("mini/scd-i", *SMALL).model)  # type: ignore[union-attr]
    count = sum(parameter.numel() for parameter in real.parameters())
    assert told["parameters"]["all"] == told["parameters"]["trained"] == sum(told["parameters"]["parts"].values()) == count
    memory = told["memory_bytes"]
    assert memory["average"] == memory["weights"] == bytes_of(real)
    assert memory["of_step_gradients"] == 4 * count
    assert memory["total"] == sum(memory[name] for name in ("weights", "autoencoder", "average", "optimizer", "step"))


def test_the_optimizer_costs_what_the_recipe_says() -> None:
    from engines.model.baselines import build_model

    model = build_model(recipe("mini/scd-i", *SMALL).model)  # type: ignore[union-attr]
    count = sum(parameter.numel() for parameter in model.parameters())

    def moments(*settings: str) -> int:
        return moment_bytes(model, recipe("mini/scd-i", *SMALL, *settings).optim)

    assert moments("optim.muon_learning_rate=0.0") == 8 * count
    assert moments("optim.muon_learning_rate=0.0", "optim.optimizer=adamw8bit") == int(count * (2 + 1 / 32))
    assert 4 * count < moments("optim.muon_learning_rate=0.1") < 5 * count


def test_work_is_that_of_the_whole_batch_however_it_is_shared() -> None:
    alone, shared, parts = small(), small(processes=4), small("optim.accumulate=2")
    assert shared["flop_per_step"]["network"] == pytest.approx(alone["flop_per_step"]["network"], rel=0.01), "but for a pass's timestep"
    assert parts["flop_per_step"]["network"] == pytest.approx(alone["flop_per_step"]["network"], rel=0.01)
    assert (alone["rows_at_once"], shared["rows_at_once"], parts["rows_at_once"]) == (4, 1, 2)
    assert alone["hours"] == pytest.approx(4 * shared["hours"], rel=0.01)
    assert alone["hours"] == pytest.approx(alone["flop_per_step"]["network"] * 3500 / 1e12 / 3600)
    assert shared["memory_bytes"]["step"] < alone["memory_bytes"]["step"]


def test_what_is_computed_twice_is_not_kept() -> None:
    found = []
    for twice in ("false", "true"):
        one = recipe("mini/scd-i", *SMALL, "batching.references=16", f"optim.checkpointing={twice}")
        with fake():
            found.append(simulate(loss_of(one, None), partial(batch_of, one, 16, one.model.size), None, 0))  # type: ignore[union-attr]
    kept, again = found
    assert 1.2 * kept.flop < again.flop < 1.34 * kept.flop, "at most one forward pass more, of three"
    assert again.peak < 0.8 * kept.peak


def test_motion_modules_alone_are_trained() -> None:
    video = [
        *SMALL, "batching.references=1", "model.motion.levels=[0,1]", "model.motion.head_size=16", "optim.muon_learning_rate=0.0",
    ]  # fmt: skip
    some = outlook(recipe("mini/scd-v", *video), Path("nowhere"), 1, 1.0)
    everything = outlook(recipe("mini/scd-v", *video, "train_only_motion=false"), Path("nowhere"), 1, 1.0)
    assert some["parameters"]["trained"] == some["parameters"]["parts"]["motion_modules"] < some["parameters"]["all"]
    assert some["memory_bytes"]["optimizer"] == 8 * some["parameters"]["trained"]
    assert some["flop_per_step"]["network"] < everything["flop_per_step"]["network"]


def test_passes_over_the_data_are_told_where_there_is_data(tmp_path: Path) -> None:
    told = outlook(recipe("mini/scd-i", *SMALL), write_data(tmp_path), 1, 1.0)
    assert told["data"] == {"folder": str(tmp_path), "samples": 3, "passes": 4 * 3500 / 3}
    assert small()["data"] is None


def test_what_the_autoencoder_must_encode_anew() -> None:
    assert plan_of(recipe("paper/scd-i")).encoded == 64
    assert plan_of(recipe("studio/scd-v")).encoded == 8 * 25 / 4
    assert plan_of(recipe("paper/tryon")).encoded == 3 * 8
    assert plan_of(recipe("studio/scd-i")).size == (640, 640), "the largest bucket"


def test_a_shipped_autoencoder_counts() -> None:
    told = outlook(recipe("mini/ablation/scd", "batching.references=1", "batching.targets=1"), Path("nowhere"), 1, 1.0)
    assert told["parameters"]["autoencoder"] > 1e6
    assert told["flop_per_step"]["autoencoder"] > 0
    assert not any("left out" in sentence for sentence in told["assumptions"])


@pytest.mark.slow
def test_the_papers_image_model_on_the_command_line() -> None:
    """No hub, no data, no gigabytes."""
    done = CliRunner().invoke(app, ["train", "--recipe", "paper/scd-i", "--dry-run", "--processes", "8", "--tflops", "100", "--json"])
    assert done.exit_code == 0, done.output
    told = json.loads(done.stdout)
    assert 859e6 < told["parameters"]["parts"]["unet"] < 860e6
    assert told["parameters"]["autoencoder"] == pytest.approx(83.65e6, rel=0.001)
    assert (told["steps"], told["rows_per_step"], told["rows_at_once"]) == (30000, 32, 4)
    # a pass of the UNet at 64x64 latents is about 0.8 TFLOP; a row is two of them, and backward is twice forward
    assert told["flop_per_step"]["network"] == pytest.approx(32 * 2 * 0.8e12 * 3, rel=0.25)


def test_the_command_line_says_what_is_wrong() -> None:
    for arguments, said in (
        (["--recipe", "mini/scd-i"], "--out DIR"),
        (["--recipe", "mini/scd-i", "--out", "x", "--processes", "2"], "are for --dry-run"),
    ):
        done = CliRunner().invoke(app, ["train", *arguments])
        assert isinstance(done.exception, Exception)
        assert said in str(done.exception)


def test_the_command_line_tells_people(tmp_path: Path) -> None:
    settings = [part for setting in SMALL for part in ("--set", setting)]
    done = CliRunner().invoke(app, ["train", "--recipe", "mini/scd-i", "--dry-run", "--data", str(write_data(tmp_path)), *settings])
    assert done.exit_code == 0, done.output
    for word in ("parameters", "memory", "3500 of 4 rows", "passes over the 3 samples", "hours", "matrix product here"):
        assert word in done.stdout
