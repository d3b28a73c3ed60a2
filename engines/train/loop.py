"""The training loop that every stage shares: EMA, log, checkpoints, resume. A stage brings its loss and its validation.

Every step draws its randomness from (seed, step) alone, so a resumed run sees exactly what an uninterrupted one would.
"""

import json
import math
import signal
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from engines.core.errors import ScdError
from engines.core.report import Report
from engines.model.checkpoint import Checkpoint, load_strict, prefixed, save_checkpoint, under
from engines.train.optimizer import Optimizer
from engines.train.recipe import Logging, Optim


@dataclass
class Stage:
    """What differs between stages. `loss` is a module around `module` that runs it: loss(step, batch) -> a scalar, the mean over the
    batch's rows. `validate(ema, step)` returns figures for the log; `weights(ema)` is what a checkpoint's model.safetensors holds;
    `facts` goes into checkpoint.json."""

    module: nn.Module
    ema: nn.Module
    loss: nn.Module
    batches: Callable[[int, int], Iterator[Any]]
    validate: Callable[[nn.Module, int], dict[str, float]]
    weights: Callable[[nn.Module], dict[str, Tensor]]
    facts: dict[str, Any]


@dataclass
class Progress:
    step: int = 0
    losses: list[float] = field(default_factory=list)


def rate_scale(optim: Optim, step: int) -> float:
    """Share of the learning rates at step 0 .. steps - 1: linear warm-up, flat, linear to nothing over the last `decay_steps`."""
    warm = min(1.0, (step + 1) / max(1, optim.warmup_steps))
    cool = min(1.0, (optim.steps - step) / max(1, optim.decay_steps))
    return min(warm, cool)


def trainable(module: nn.Module) -> dict[str, nn.Parameter]:
    return {name: p for name, p in module.named_parameters() if p.requires_grad}


def update_ema(ema: nn.Module, module: nn.Module, decay: float, step: int) -> None:
    """ema <- decay ema + (1 - decay) weights; the decay grows with the steps so that the start is forgotten early."""
    decay = min(decay, (1 + step) / (10 + step))
    own = dict(ema.named_parameters())
    with torch.no_grad():
        for name, parameter in trainable(module).items():
            own[name].lerp_(parameter, 1.0 - decay)


def resume(stage: Stage, optimizer: Optimizer, checkpoint: Checkpoint) -> int:
    """Put model, average and optimizer back to where the checkpoint left them; returns the next step."""
    state = checkpoint.state()
    load_strict(stage.module, under("model", state), checkpoint.folder)
    load_strict(stage.ema, under("ema", state), checkpoint.folder)
    optimizer.restore(under("optimizer", state))
    return checkpoint.step


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


def step_of(line: str) -> float:
    """Of a line of the log; infinite where the line is not whole."""
    try:
        return float(json.loads(line).get("step", 0))
    except ValueError:
        return math.inf


class Log:
    """RUN/log.jsonl, one object a line; a resumed run drops the lines past its checkpoint and a line that a power cut left half."""

    def __init__(self, path: Path, start: int) -> None:
        self.path = path
        kept = [x for x in path.read_text().splitlines() if step_of(x) <= start] if path.exists() else []
        path.write_text("".join(line + "\n" for line in kept))

    def write(self, **values: Any) -> None:
        with self.path.open("a") as file:
            file.write(json.dumps({k: round(v, 6) if isinstance(v, float) else v for k, v in values.items()}) + "\n")


def one_step(stage: Stage, optimizer: Optimizer, optim: Optim, step: int, batch: Any) -> float:
    with torch.autocast("cpu", torch.bfloat16, enabled=optim.precision == "bf16"):
        loss = stage.loss(step, batch)
    value = float(loss.detach())
    if not math.isfinite(value):
        raise ScdError(f"the loss became {value} at step {step}", "go on from the last checkpoint with a lower --set optim.learning_rate")
    loss.backward()
    nn.utils.clip_grad_norm_(list(trainable(stage.module).values()), optim.clip_norm)
    optimizer.step(rate_scale(optim, step))
    update_ema(stage.ema, stage.module, optim.ema_decay, step)
    return value


def run_loop(stage: Stage, optim: Optim, logging: Logging, run: Path, checkpoint: Checkpoint | None, report: Report) -> Progress:
    """Train to `optim.steps`, from the checkpoint where there is one. Returns the losses of the steps that this call made."""
    optimizer = Optimizer(optim, trainable(stage.module))
    progress = Progress(step=resume(stage, optimizer, checkpoint) if checkpoint else 0)
    run.mkdir(parents=True, exist_ok=True)
    log = Log(run / "log.jsonl", progress.step)

    def save() -> None:
        state = prefixed("model", stage.module.state_dict()) | prefixed("ema", stage.ema.state_dict())
        state |= prefixed("optimizer", optimizer.state())
        save_checkpoint(run, stage.weights(stage.ema), state, stage.facts | {"step": progress.step}, logging.keep)

    def validate() -> None:
        log.write(step=progress.step, **stage.validate(stage.ema, progress.step))

    saved = window = time.monotonic()
    first = progress.step
    with stop_flag() as flag, report.stage("train", optim.steps, first) as bar:
        for batch in stage.batches(first, optim.steps):
            progress.losses.append(one_step(stage, optimizer, optim, progress.step, batch))
            progress.step += 1
            bar.advance(1)
            if progress.step % logging.log_every == 0:
                recent = progress.losses[-logging.log_every :]
                seconds, window = (time.monotonic() - window) / len(recent), time.monotonic()
                rate = optim.learning_rate * rate_scale(optim, progress.step - 1)
                log.write(step=progress.step, loss=sum(recent) / len(recent), learning_rate=rate, seconds_per_step=seconds)
            if progress.step % logging.validate_every == 0 and progress.step < optim.steps:
                validate()
                window = time.monotonic()
            if time.monotonic() - saved > 60 * logging.minutes_per_checkpoint:
                save()
                saved = time.monotonic()
            if flag["stop"]:
                break
    if progress.step > first:
        save()
    if progress.step == optim.steps > first:
        validate()
    if flag["stop"]:
        raise KeyboardInterrupt
    return progress
