"""What a run leaves of its course: log.jsonl, and the trackers that accelerate knows (TensorBoard, Weights & Biases, Trackio)."""

import json
import math
import sys
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import torch
from accelerate import Accelerator

from engines.core.errors import ScdError
from engines.media.images import read_image

PROJECT = "scd"  # folder or project of the trackers


def check_trackers(trackers: tuple[str, ...]) -> list[str]:
    """ScdError for a tracker whose package is not installed; each is the name of its package."""
    for name in trackers:
        if find_spec(name) is None:
            raise ScdError(f"logging.trackers names {name}, which is not installed", f"run: pip install {name}")
    return list(trackers)


def peak_memory(device: torch.device) -> float:
    """The most memory that this process has taken so far, in MB: of the GPU, or of the machine where there is none. nan where the system
    does not say."""
    if device.type == "cuda":
        return torch.cuda.max_memory_allocated(device) / 1e6
    try:
        import resource
    except ImportError:  # Windows
        return math.nan
    unit = 1 if sys.platform == "darwin" else 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit / 1e6


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


class Course:
    """Log and trackers of a run that starts or goes on at `start`. Only the first process may have one."""

    def __init__(self, accelerator: Accelerator, run: Path, recipe: dict[str, Any], start: int) -> None:
        self.accelerator, self.run, self.log = accelerator, run, Log(run / "log.jsonl", start)
        own = {"tensorboard": {"purge_step": start + 1}, "wandb": {"name": run.name, "config": recipe, "dir": str(run)}}
        accelerator.init_trackers(PROJECT, init_kwargs=own)

    def write(self, step: int, **values: float) -> None:
        """Figures of a step."""
        self.log.write(step=step, **values)
        self.accelerator.log(values, step=step)

    def show(self, step: int) -> None:
        """The validation sheet of a step, where there is one, as a picture in the trackers that take pictures."""
        sheet = self.run / "sheets" / f"{step:06d}.png"
        if not self.accelerator.trackers or not sheet.exists():
            return
        picture = read_image(sheet)
        for tracker in self.accelerator.trackers:
            if tracker.name == "tensorboard":
                tracker.log_images({"validation": picture[None]}, step=step, dataformats="NHWC")
            elif tracker.name == "wandb":
                tracker.log_images({"validation": [picture]}, step=step)
