"""One process or several, on one machine or many, through accelerate: who they are, where they compute, how one that is lost is named."""

import re
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path

import torch
from accelerate import Accelerator, DistributedType, PartialState
from accelerate.state import AcceleratorState
from accelerate.utils import DistributedDataParallelKwargs, GradientAccumulationPlugin, ProjectConfiguration
from torch import Tensor, nn
from torch.distributed.tensor import DTensor

from engines.core.errors import ScdError
from engines.core.report import NullReport, Report
from engines.train.recipe import Optim

# The first process alone validates and saves, and the others wait for it. One that ends is noticed at once, by its connection.
PATIENCE = timedelta(hours=2)
LOST = re.compile(r"gloo|nccl|connection (was )?(closed|reset|refused)|broken pipe|timed? ?out|peer|socket", re.IGNORECASE)


def processes() -> PartialState:
    """This process among those of the run, which the first call connects. Without a GPU they compute on the CPU, through gloo."""
    return PartialState(cpu=not torch.accelerator.is_available(), timeout=PATIENCE)


def device_of(module: nn.Module) -> torch.device:
    """Where the module's weights are."""
    return next(module.parameters()).device


def half(device: torch.device, precision: str) -> torch.autocast:
    """What passes without gradients run in: bfloat16 where the recipe's `precision` is bf16, else float32 (many CPUs and older GPUs have no
    instructions for bfloat16, and public autoencoders overflow in float16)."""
    return torch.autocast(device.type, torch.bfloat16, enabled=precision == "bf16")


def heard(report: Report) -> Report:
    """The report in the first process; in the others one that says nothing."""
    return report if processes().is_main_process else NullReport()


def accelerator_for(optim: Optim, trackers: list[str], run: Path) -> Accelerator:
    """What moves, wraps and scales for a run of these settings. ScdError for what this machine, or the training, cannot do."""
    state = processes()
    if optim.precision == "fp16" and state.device.type == "cpu":
        raise ScdError("optim.precision fp16 needs a GPU", "on CPUs: --set optim.precision=bf16 or fp32")
    AcceleratorState._reset_state()  # accelerate keeps the precision of an earlier run of this process, and refuses another
    accelerator = Accelerator(
        cpu=state.device.type == "cpu",
        mixed_precision={"fp32": "no"}.get(optim.precision, optim.precision),
        gradient_accumulation_plugin=GradientAccumulationPlugin(num_steps=optim.accumulate),
        log_with=trackers or None,
        project_config=ProjectConfiguration(project_dir=str(run), logging_dir=str(run / "trackers")),
        kwargs_handlers=[DistributedDataParallelKwargs(gradient_as_bucket_view=True)],
    )
    check_sharding(accelerator, optim)
    return accelerator


def check_sharding(accelerator: Accelerator, optim: Optim) -> None:
    """ScdError for a way to share the work that the loop does not know, and for what cannot be sharded."""
    kind = accelerator.distributed_type
    if kind in (DistributedType.DEEPSPEED, DistributedType.MEGATRON_LM, DistributedType.XLA):
        raise ScdError(f"scd train does not run under {kind.value}", "choose DDP or FSDP with: accelerate config")
    if kind != DistributedType.FSDP:
        return
    if not accelerator.is_fsdp2:
        raise ScdError("scd train shards with FSDP version 2 alone", "set fsdp_version: 2 in the file of accelerate config")
    for refused, setting, instead in (
        (optim.muon_learning_rate > 0, "muon_learning_rate", "0.0"),
        (optim.optimizer != "adamw", "optimizer", "adamw"),
        (optim.precision == "fp16", "precision", "bf16"),
    ):
        if refused:
            raise ScdError(f"optim.{setting} = {getattr(optim, setting)} does not go with FSDP", f"--set optim.{setting}={instead}")


def whole(tensor: Tensor) -> Tensor:
    """A tensor that is sharded over the processes, put together (all of them must ask for it); any other as it is."""
    return tensor.full_tensor() if isinstance(tensor, DTensor) else tensor


@contextmanager
def lost_process_named(run: Path) -> Iterator[None]:
    """Turns the error that the connection gives when another process has ended into an ScdError."""
    try:
        yield
    except RuntimeError as error:
        if processes().num_processes == 1 or not (isinstance(error, torch.distributed.DistError) or LOST.search(str(error))):
            raise
        raise ScdError(
            f"another process of this run has ended, so process {processes().process_index} stops",
            f"go on from the last checkpoint in {run} with --resume, with any number of processes",
        ) from error
