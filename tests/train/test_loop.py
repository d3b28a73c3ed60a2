"""The training loop at tiny size: parts of a batch, recomputed activations, stops, checkpoints that are kept, trackers."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from torch import Tensor, nn  # noqa: E402

from engines.core.errors import ScdError  # noqa: E402
from engines.core.recipe import parse, read_toml  # noqa: E402
from engines.core.report import NullReport  # noqa: E402
from engines.model import checkpoint as checkpoints  # noqa: E402
from engines.model.checkpoint import Checkpoint  # noqa: E402
from engines.model.layers import set_recompute  # noqa: E402
from engines.model.scd import repeat_kv  # noqa: E402
from engines.train.loop import Stage, run_loop  # noqa: E402
from engines.train.order import ALONE, Shares, chosen, parts_between  # noqa: E402
from engines.train.recipe import Logging, Optim  # noqa: E402
from tests.model.tiny import tiny_scd  # noqa: E402
from tests.train.test_training import RECIPES, SMALL, losses, run, scd_settings, steps  # noqa: E402

ROWS = 4


class Line(nn.Module):
    """A straight line, and its squared error; `spoilt` steps get a gradient that is not a number from a loss that is one."""

    def __init__(self) -> None:
        super().__init__()
        self.line, self.spoilt = nn.Linear(3, 2), -1

    def forward(self, step: int, batch: Tensor) -> Tensor:
        loss = (self.line(batch) - 1).square().mean()
        if step == self.spoilt:
            loss = loss + (self.line.bias[0].detach() - self.line.bias[0]).abs().sqrt()  # 0, with an infinite slope
        return loss


def line_stage(figures: list[float]) -> tuple[Stage, Line]:
    """A stage whose validations give these figures, one after the other."""
    torch.manual_seed(0)
    loss, judged = Line(), iter(figures)

    def part(step: int, rows: range) -> Tensor:
        return torch.stack([torch.from_numpy(np.random.default_rng([step, row]).standard_normal(3, np.float32)) for row in rows])

    def batches(start: int, stop: int, shares: Shares) -> Iterator[Tensor]:
        return parts_between(part, shares, ROWS, start, stop)

    facts: dict[str, Any] = {"kind": "line", "recipe": {}}
    return Stage(loss.line, loss, batches, ROWS, ROWS, lambda *_: {"psnr": next(judged)}, lambda m: m.state_dict(), facts), loss


def optim(**changes: Any) -> Optim:
    table = read_toml(RECIPES / "scd-i.toml", ['optim.precision="fp32"', "optim.warmup_steps=0", "optim.decay_steps=0", "optim.steps=6"])
    return parse(Optim, table["optim"] | changes, "optim")


def logging(**changes: Any) -> Logging:
    table = read_toml(RECIPES / "scd-i.toml", ["logging.log_every=1", "logging.validate_every=1", "logging.keep=1"])
    return parse(Logging, table["logging"] | changes, "logging")


def train_line(out: Path, figures: list[float], o: Optim, g: Logging, start: Checkpoint | None = None) -> nn.Module:
    stage, _ = line_stage(figures)
    run_loop(stage, o, g, out, start, NullReport())
    return stage.module


def test_shares_are_the_rows_of_the_whole_batch_in_equal_slices() -> None:
    found = [row for process in range(2) for part in range(3) for row in Shares(process, 2, 3).rows(12, part)]
    assert found == list(range(12))
    with pytest.raises(ScdError, match=r"10 rows .* 2 processes with optim.accumulate = 3"):
        Shares(0, 2, 3).check(10)
    whole = chosen(5, 7, range(12), 12, 30)
    assert [n for part in range(3) for n in chosen(5, 7, Shares(1, 2, 3).rows(12, part), 12, 30)] == whole[6:]
    assert ALONE.rows(12, 0) == range(12)


def test_each_pass_sees_every_sample_once_in_an_order_of_its_own() -> None:
    seen = [number for step in range(6) for number in chosen(0, step, range(5), 5, 10)]
    assert [sorted(seen[i : i + 10]) for i in (0, 10, 20)] == [list(range(10))] * 3
    assert seen[:10] != seen[10:20]


@pytest.mark.parametrize("stage", ["autoencoder", "scd-i"])
def test_parts_of_a_batch_add_up_to_the_batch(stage: str, data: Path, autoencoder: Path, tmp_path: Path) -> None:
    own = SMALL + steps(4) if stage == "autoencoder" else [*scd_settings(autoencoder, 4), "batching.references=4"]
    own += ["batch=4"] if stage == "autoencoder" else []
    for parts in (1, 2):
        run(stage, [*own, f"optim.accumulate={parts}"], tmp_path / str(parts), data)
    np.testing.assert_allclose(losses(tmp_path / "2"), losses(tmp_path / "1"), rtol=1e-4)
    first, second = (checkpoints.latest(tmp_path / name) for name in "12")
    assert first is not None
    assert second is not None
    assert all((value - second.weights()[name]).abs().max() < 1e-3 for name, value in first.weights().items())


@pytest.mark.parametrize("motion", [False, True])
def test_recomputed_activations_give_the_same_gradients_and_keep_less(motion: bool) -> None:
    found, kept = [], []
    for recompute in (False, True):
        model = tiny_scd(motion).requires_grad_(True)
        set_recompute(model, recompute)
        generator, size = torch.Generator().manual_seed(0), [0]
        latents, pose = torch.randn(5, 4, 8, 4, generator=generator), torch.rand(5, 3, 64, 32, generator=generator)

        def keep(tensor: Tensor, size: list[int] = size) -> Tensor:
            size[0] += tensor.numel()
            return tensor

        with torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor):
            features = model.pose_encoder(pose)
            kv = repeat_kv(model.reference(latents[:1], features[:1]), 4)
            model.target(latents[1:], torch.tensor([7.0]), features[1:], kv, int(motion)).square().mean().backward()
        found.append({name: p.grad for name, p in model.named_parameters() if p.grad is not None})
        kept.append(size[0])
    assert found[0].keys() == found[1].keys()
    assert all(torch.equal(value, found[1][name]) for name, value in found[0].items())
    assert any("motion_modules" in name for name in found[0]) == motion
    assert kept[1] < 0.6 * kept[0]


def test_training_with_recomputed_activations_has_the_same_losses(data: Path, autoencoder: Path, tmp_path: Path) -> None:
    for setting in ("false", "true"):
        run("scd-i", [*scd_settings(autoencoder, 3), f"optim.checkpointing={setting}"], tmp_path / setting, data)
    assert losses(tmp_path / "true") == losses(tmp_path / "false")


def test_the_best_checkpoints_stay_beside_the_newest(tmp_path: Path) -> None:
    train_line(tmp_path / "run", [3.0, 9.0, 1.0, 7.0, 2.0, 4.0], optim(), logging(keep_best=2))
    folders = checkpoints.step_folders(tmp_path / "run")
    found = [(facts["step"], facts["figure"], facts.get("best", False)) for facts in (checkpoints.read(folder).facts for folder in folders)]
    assert found == [(2, 9.0, True), (4, 7.0, True), (6, 4.0, False)]
    last = checkpoints.latest(tmp_path / "run")
    assert last is not None
    assert last.step == 6


def test_a_better_checkpoint_drives_out_the_worst_of_the_best(tmp_path: Path) -> None:
    train_line(tmp_path / "run", [1.0, 2.0, 3.0, 4.0, 5.0, 6.0], optim(), logging(keep_best=1, keep=2))
    assert [folder.name for folder in checkpoints.step_folders(tmp_path / "run")] == ["step-000005", "step-000006"]


def test_a_step_past_a_million_is_newer_than_one_before(tmp_path: Path) -> None:
    for step in (999_999, 1_000_000):
        checkpoints.save_checkpoint(tmp_path, {}, {}, {"kind": "line", "step": step}, 2)
    found = checkpoints.latest(tmp_path)
    assert found is not None
    assert found.step == 1_000_000


def test_what_a_killed_process_left_half_is_cleared_away(tmp_path: Path) -> None:
    (tmp_path / ".step-000003.17").mkdir()
    checkpoints.save_checkpoint(tmp_path, {}, {}, {"kind": "line", "step": 4}, 2)
    assert [path.name for path in tmp_path.iterdir()] == ["step-000004"]


def test_one_gradient_that_is_not_finite_stops_the_run_and_names_the_checkpoint(tmp_path: Path) -> None:
    stage, loss = line_stage([1.0] * 9)
    loss.spoilt = 4
    with pytest.raises(ScdError, match=r"gradient became (inf|nan) at step 4; go on from .*step-000003 with --resume") as caught:
        run_loop(stage, optim(), logging(validate_every=3, keep_best=1), tmp_path / "run", None, NullReport())
    assert "optim.learning_rate" in str(caught.value)
    assert all(torch.isfinite(value).all() for value in stage.module.state_dict().values()), "the step is not taken"


def test_without_an_average_the_weights_themselves_are_saved(tmp_path: Path) -> None:
    module = train_line(tmp_path / "plain", [1.0] * 6, optim(ema_decay=0.0), logging())
    found = checkpoints.latest(tmp_path / "plain")
    assert found is not None
    assert all(torch.equal(value, module.state_dict()[name]) for name, value in found.weights().items())
    assert not any(name.startswith("ema.") for name in found.state())
    averaged = train_line(tmp_path / "averaged", [1.0] * 6, optim(), logging())
    other = checkpoints.latest(tmp_path / "averaged")
    assert other is not None
    assert torch.equal(averaged.weight, module.weight)
    assert not torch.equal(other.weights()["weight"], module.weight)


def test_a_run_without_an_average_goes_on_with_one(tmp_path: Path) -> None:
    train_line(tmp_path / "run", [1.0] * 3, optim(ema_decay=0.0, steps=3), logging())
    train_line(tmp_path / "run", [1.0] * 6, optim(), logging(), checkpoints.latest(tmp_path / "run"))
    found = checkpoints.latest(tmp_path / "run")
    assert found is not None
    assert found.step == 6
    assert "ema.weight" in found.state()


@pytest.mark.skipif(torch.accelerator.is_available(), reason="this machine has a GPU")
def test_float16_needs_a_gpu(tmp_path: Path) -> None:
    with pytest.raises(ScdError, match=r"fp16 needs a GPU; .*bf16"):
        train_line(tmp_path / "run", [], optim(precision="fp16"), logging())


def test_a_tracker_that_is_not_installed_is_named(tmp_path: Path) -> None:
    pytest.importorskip("accelerate")
    from engines.train.tracking import check_trackers

    with pytest.raises(ScdError, match="a_tracker_of_nobody, which is not installed; run: pip install a_tracker_of_nobody"):
        check_trackers(("a_tracker_of_nobody",))


def test_the_log_says_how_fast_and_how_large(tmp_path: Path) -> None:
    train_line(tmp_path / "run", [1.0] * 6, optim(), logging())
    line = json.loads((tmp_path / "run" / "log.jsonl").read_text().splitlines()[0])
    assert line["samples_per_second"] == pytest.approx(ROWS / line["seconds_per_step"], rel=0.05)
    assert 50 < line["peak_memory_mb"] < 50_000


def test_tensorboard_gets_figures_and_sheets(data: Path, autoencoder: Path, tmp_path: Path) -> None:
    pytest.importorskip("tensorboard")
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    run("scd-i", [*scd_settings(autoencoder, 2), 'logging.trackers=["tensorboard"]'], tmp_path / "run", data)
    (events,) = (tmp_path / "run" / "trackers").rglob("events.out.*")
    read = EventAccumulator(str(events))
    read.Reload()
    assert [round(event.value, 6) for event in read.Scalars("loss")] == pytest.approx(losses(tmp_path / "run"), abs=2e-6)
    assert [event.step for event in read.Scalars("psnr")] == [2]
    (picture,) = read.Images("validation")
    assert picture.height == 5 * 64


def test_eight_bit_moments_survive_a_resume_and_are_small(data: Path, autoencoder: Path, tmp_path: Path) -> None:
    pytest.importorskip("bitsandbytes")
    own = ['optim.optimizer="adamw8bit"', "optim.muon_learning_rate=0.0", "optim.decay_steps=0"]
    whole, broken = tmp_path / "whole", tmp_path / "broken"
    run("scd-i", [*scd_settings(autoencoder, 6), *own], whole, data)
    run("scd-i", [*scd_settings(autoencoder, 3), *own], broken, data)
    run("scd-i", [*scd_settings(autoencoder, 6), *own], broken, data, resume=True)
    assert losses(broken) == losses(whole)
    found = checkpoints.latest(whole)
    assert found is not None
    moments = {name: value for name, value in found.state().items() if name.startswith("optimizer.state1/")}
    large = {name: value for name, value in moments.items() if value.numel() >= 4096}
    assert large
    assert all(value.dtype == torch.uint8 for value in large.values())
    run("scd-i", [*scd_settings(autoencoder, 6), *own, 'optim.optimizer="adamw"'], tmp_path / "plain", data)
    np.testing.assert_allclose(losses(whole), losses(tmp_path / "plain"), rtol=0.03)
