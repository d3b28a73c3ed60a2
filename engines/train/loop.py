"""The training loop that every stage shares: one process or several, EMA, log, checkpoints, resume. A stage brings its loss and its
validation.

Every row of every step draws its randomness from (seed, step, row) alone, so a run that is resumed, also by another number of processes,
sees exactly what an uninterrupted one would.
"""

import math
import signal
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

import torch
from accelerate import Accelerator, DistributedType
from accelerate.utils import gather_object, send_to_device
from torch import Tensor, nn

from engines.core.errors import ScdError
from engines.core.report import Report
from engines.model.checkpoint import Checkpoint, latest, load_strict, mark, prefixed, save_checkpoint, under
from engines.model.layers import set_recompute
from engines.train.average import Average, trainable
from engines.train.distributed import accelerator_for, heard, lost_process_named, whole
from engines.train.optimizer import Optimizer
from engines.train.order import Shares
from engines.train.recipe import Logging, Optim
from engines.train.tracking import Course, check_trackers, peak_memory

FIGURES = ("psnr_masked", "psnr")  # of a validation: the first that is there says how good a checkpoint is; higher is better


@dataclass
class Stage:
    """What differs between stages. `loss` is a module around `module` that runs it: loss(step, batch) -> a scalar, the mean over the
    batch's rows. `batches(start, stop, shares)` gives this process's parts of the steps, of `rows` rows each; `samples` is how many
    pictures a step learns from. `validate(average, step)` returns figures for the log; `weights(average)` is what a checkpoint's
    model.safetensors holds; `facts` goes into checkpoint.json."""

    module: nn.Module
    loss: nn.Module
    batches: Callable[[int, int, Shares], Iterator[Any]]
    rows: int
    samples: int
    validate: Callable[[nn.Module, int], dict[str, float]]
    weights: Callable[[nn.Module], dict[str, Tensor]]
    facts: dict[str, Any]


@dataclass
class Progress:
    """The steps that are made, and the losses of those that this call made."""

    step: int = 0
    losses: list[float] = field(default_factory=list)


class Agreed(NamedTuple):
    """What all processes know after a step: the loss of the whole batch, and whether to stop or to save after it."""

    loss: float
    stop: bool
    save: bool


def rate_scale(optim: Optim, step: int) -> float:
    """Share of the learning rates at step 0 .. steps - 1: linear warm-up, flat, linear to nothing over the last `decay_steps`."""
    warm = min(1.0, (step + 1) / max(1, optim.warmup_steps))
    cool = min(1.0, (optim.steps - step) / max(1, optim.decay_steps))
    return min(warm, cool)


@contextmanager
def stop_flag() -> Iterator[dict[str, bool]]:
    """Ctrl-C and SIGTERM ask for a stop after the step at hand, so that a checkpoint can be written."""
    flag = {"stop": False}

    def ask(*_: object) -> None:
        flag["stop"] = True

    old = {s: signal.signal(s, ask) for s in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield flag
    finally:
        for number, handler in old.items():
            signal.signal(number, handler)


class Learner:
    """Model, average and optimizer of a run in this process, wrapped for the others."""

    def __init__(self, stage: Stage, optim: Optim, accelerator: Accelerator) -> None:
        self.stage, self.optim, self.accelerator = stage, optim, accelerator
        set_recompute(stage.module, optim.checkpointing)
        stage.loss.to(accelerator.device)
        self.sharded = accelerator.distributed_type == DistributedType.FSDP
        if self.sharded:  # it cannot cut weights that lie channels-last
            stage.loss.to(memory_format=torch.contiguous_format)  # type: ignore[call-overload]
        self.average = Average(stage.module, optim.ema_decay, self.sharded)

    def start(self, checkpoint: Checkpoint | None) -> None:
        """Take back what the checkpoint holds, and wrap: weights before they can be sharded, the optimizer's state after."""
        state = {} if checkpoint is None else checkpoint.state()
        if checkpoint is not None:
            load_strict(self.stage.module, under("model", state), checkpoint.folder)
            if self.average.module is not self.stage.module:
                load_strict(self.average.module, under("ema", state) or under("model", state), checkpoint.folder)
        self.optimizer = Optimizer(self.optim, trainable(self.stage.module))
        self.loss, self.outer = self.accelerator.prepare(self.stage.loss, self.optimizer)
        self.optimizer.build(trainable(self.stage.module))  # FSDP has made other parameters, and DDP has moved the memory of some
        if self.sharded:
            self.average.shard()
        self.optimizer.restore(under("optimizer", state))
        scaler = {name: value.item() for name, value in under("scaler", state).items()}
        if self.accelerator.scaler is not None and scaler:
            self.accelerator.scaler.load_state_dict(scaler)

    def state(self) -> dict[str, Tensor]:
        """All that a resumed run needs; all processes must ask for it where the weights are sharded."""
        state = prefixed("model", {name: whole(value) for name, value in self.stage.module.state_dict().items()})
        if self.optim.ema_decay:
            state |= prefixed("ema", self.average.module.state_dict())
        if self.accelerator.scaler is not None:
            state |= prefixed("scaler", {name: torch.tensor(value) for name, value in self.accelerator.scaler.state_dict().items()})
        return state | prefixed("optimizer", self.optimizer.state_tensors())

    def gradients(self, step: int, parts: Iterator[Any]) -> float:
        """Leaves the gradients of the whole batch; returns the loss of this process's rows."""
        total, count = 0.0, self.optim.accumulate
        for part in range(count):
            batch = send_to_device(next(parts), self.accelerator.device)
            with nullcontext() if part == count - 1 else self.accelerator.no_sync(self.loss):
                loss = self.loss(step, batch)
                self.accelerator.backward(loss)
            total += float(loss.detach()) / count
        return total

    def update(self, step: int) -> float:
        """Clip, step and average; returns the norm of the gradients, alike in all processes. Nothing moves where it is not finite."""
        norm = float(whole(self.accelerator.clip_grad_norm_(list(trainable(self.stage.module).values()), self.optim.clip_norm)))
        scaler = self.accelerator.scaler
        if math.isfinite(norm) or scaler is not None:  # a scaler leaves such a step out, and lowers its scale
            self.optimizer.scale(rate_scale(self.optim, step))
            self.outer.step()
            self.average.update(step)
        self.optimizer.zero_grad(set_to_none=True)
        return 0.0 if scaler is not None and scaler.get_scale() >= 1 else norm

    def finite(self) -> bool:
        return all(bool(torch.isfinite(whole(value)).all()) for value in self.stage.module.state_dict().values())


class Loop:
    """A run in this process: steps, and what is written of them."""

    def __init__(self, stage: Stage, optim: Optim, logging: Logging, run: Path, report: Report) -> None:
        self.stage, self.optim, self.logging, self.run, self.report = stage, optim, logging, run, heard(report)
        self.accelerator = accelerator_for(optim, check_trackers(logging.trackers), run)
        self.shares = Shares(self.accelerator.process_index, self.accelerator.num_processes, optim.accumulate)
        self.shares.check(stage.rows)
        self.first = self.accelerator.is_main_process
        self.learner = Learner(stage, optim, self.accelerator)
        self.progress, self.saved = Progress(), -1  # the step of the last checkpoint
        self.save_time = self.log_time = time.monotonic()

    def start(self, checkpoint: Checkpoint | None) -> None:
        """Go on from the checkpoint, which must be the same for all processes. ScdError where it is not."""
        step = 0 if checkpoint is None else checkpoint.step
        found = gather_object([step])
        if len(set(found)) > 1:
            raise ScdError(
                f"the processes go on from different checkpoints of {self.run}: steps {found}", "share the run's folder among them"
            )
        self.learner.start(checkpoint)
        self.progress.step = step
        self.saved = step if checkpoint is not None and checkpoint.folder.parent == self.run else -1
        if self.first:
            self.run.mkdir(parents=True, exist_ok=True)
            self.course = Course(self.accelerator, self.run, self.stage.facts["recipe"], step)
        self.save_time = self.log_time = time.monotonic()

    def agreed(self, loss: float, stop: bool) -> Agreed:
        """The mean loss of all processes; stop where one was asked to, save when the first one's clock says so."""
        save = self.first and time.monotonic() - self.save_time > 60 * self.logging.minutes_per_checkpoint
        if self.accelerator.num_processes == 1:
            return Agreed(loss, stop, save)
        sums = self.accelerator.reduce(torch.tensor([loss, stop, save], dtype=torch.float32, device=self.accelerator.device), "sum")
        return Agreed(float(sums[0]) / self.accelerator.num_processes, bool(sums[1]), bool(sums[2]))

    def guard(self, what: str, value: float) -> None:
        """ScdError, in all processes alike, where a number that all know is not finite."""
        if math.isfinite(value):
            return
        good = latest(self.run)
        where = f"go on from {good.folder} with --resume and" if good else "there is no checkpoint yet: start again with"
        raise ScdError(f"the {what} became {value} at step {self.progress.step}", f"{where} a lower --set optim.learning_rate")

    def step(self, parts: Iterator[Any], stop: Callable[[], bool]) -> Agreed:
        step = self.progress.step
        own = self.learner.gradients(step, parts)
        agreed = self.agreed(own, stop())
        self.guard("loss", agreed.loss)
        self.guard("norm of the gradient", self.learner.update(step))
        self.progress.losses.append(agreed.loss)
        self.progress.step += 1
        return agreed

    def save(self) -> None:
        """A checkpoint of this step, unless there is one; weights that are not finite stop the run instead."""
        step = self.progress.step
        if self.saved == step:
            return
        self.guard("weights", 0.0 if self.learner.finite() else math.nan)
        if self.first or self.learner.sharded:
            self.learner.average.publish()
            state = self.learner.state()
        if self.first:
            weights = self.stage.weights(self.learner.average.module)
            save_checkpoint(self.run, weights, state, self.stage.facts | {"step": step}, self.logging.keep)
        self.saved, self.save_time = step, time.monotonic()

    def validate(self) -> None:
        """Figures and sheets, by the first process; the checkpoint of a judged step competes for the `keep_best`."""
        if self.logging.keep_best:
            self.save()
        self.learner.average.publish()
        if self.first:
            step = self.progress.step
            figures = self.stage.validate(self.learner.average.module, step)
            self.course.write(step, **figures)
            self.course.show(step)
            known = [figures[name] for name in FIGURES if name in figures]
            if self.logging.keep_best and known:
                mark(self.run, self.run / f"step-{step:06d}", known[0], self.logging.keep, self.logging.keep_best)
        self.log_time = time.monotonic()

    def log(self) -> None:
        """The mean over the steps since the last line, or since the start."""
        if not self.first or self.progress.step % self.logging.log_every:
            return
        recent = self.progress.losses[-self.logging.log_every :]
        seconds, self.log_time = (time.monotonic() - self.log_time) / len(recent), time.monotonic()
        self.course.write(
            self.progress.step, loss=sum(recent) / len(recent),
            learning_rate=self.optim.learning_rate * rate_scale(self.optim, self.progress.step - 1), seconds_per_step=seconds,
            samples_per_second=self.stage.samples / max(seconds, 1e-9), peak_memory_mb=peak_memory(self.accelerator.device),
        )  # fmt: skip

    def train(self) -> bool:
        """Steps to the last one; whether somebody asked to stop before."""
        first, last, progress = self.progress.step, self.optim.steps, self.progress
        asked = False
        with stop_flag() as flag, self.report.stage("train", last, first) as bar:
            parts = self.stage.batches(first, last, self.shares)
            while progress.step < last and not asked:
                agreed = self.step(parts, lambda: flag["stop"])
                bar.advance(1)
                self.log()
                if progress.step % self.logging.validate_every == 0 and progress.step < last:
                    self.validate()
                if agreed.save:
                    self.save()
                asked = agreed.stop
        if progress.step > first:
            self.save()
        if progress.step == last > first:
            self.validate()
        self.accelerator.wait_for_everyone()
        return asked


def run_loop(stage: Stage, optim: Optim, logging: Logging, run: Path, checkpoint: Checkpoint | None, report: Report) -> Progress:
    """Train to `optim.steps`, from the checkpoint where there is one. Returns the losses of the steps that this call made. ScdError where
    losses, gradients or weights stop being finite, or another process is lost; KeyboardInterrupt where somebody asked to stop."""
    with lost_process_named(run):
        loop = Loop(stage, optim, logging, run, report)
        loop.start(checkpoint)
        asked = loop.train()
        loop.accelerator.end_training()
    if asked:
        raise KeyboardInterrupt
    return loop.progress
