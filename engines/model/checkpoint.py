"""Checkpoints: a folder a step with safetensors weights, optimizer state and a JSON of what they are. Written whole or not at all."""

import json
import os
import shutil
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from engines.core.bundle import FACTS as BUNDLE_FACTS
from engines.core.bundle import read_bundle
from engines.core.errors import ScdError

WEIGHTS, STATE, FACTS = "model.safetensors", "train.safetensors", "checkpoint.json"
SCALE = ".scale"  # ending of the tensor that holds the scales of an int8 one
MOST = 12  # keys that an error names


@dataclass(frozen=True)
class Checkpoint:
    """`facts` is checkpoint.json: kind, name, step, recipe, provenance."""

    folder: Path
    facts: dict[str, Any]

    @property
    def step(self) -> int:
        return int(self.facts["step"])

    def weights(self) -> dict[str, Tensor]:
        """The averaged (EMA) weights in float32 (a bundle's are float16 on disk, or int8 with scales): what is exported and evaluated."""
        found = load_file(self.folder / WEIGHTS)
        scales = {name: found.pop(name + SCALE) for name in list(found) if name + SCALE in found}
        return {name: tensor.float() * scales[name] if name in scales else tensor.float() for name, tensor in found.items()}

    def state(self) -> dict[str, Tensor]:
        """Raw weights, their average where one is kept, and the optimizer's moments, for going on."""
        if not (self.folder / STATE).exists():
            raise ScdError(f"{self.folder} holds weights but no training state", "start from it with: --set initial=PATH")
        return load_file(self.folder / STATE)


def save_checkpoint(run: Path, weights: Mapping[str, Tensor], state: Mapping[str, Tensor], facts: Mapping[str, Any], keep: int) -> Path:
    """Write RUN/step-NNNNNN and drop all but the newest `keep`, and those that `mark` has marked as among the best."""
    folder = run / f"step-{facts['step']:06d}"
    for stale in run.glob(".step-*"):  # what a killed process left; one process alone writes to a run
        shutil.rmtree(stale, ignore_errors=True)
    temporary = run / f".{folder.name}.{os.getpid()}"
    temporary.mkdir(parents=True)
    save_file({name: tensor.detach().cpu().contiguous() for name, tensor in weights.items()}, temporary / WEIGHTS)
    save_file({name: tensor.detach().cpu().contiguous() for name, tensor in state.items()}, temporary / STATE)
    write_facts(temporary, facts)
    shutil.rmtree(folder, ignore_errors=True)
    os.replace(temporary, folder)
    prune(run, keep)
    return folder


def step_folders(run: Path) -> list[Path]:
    """The checkpoints of a run, the oldest first."""
    return sorted(run.glob("step-*"), key=lambda folder: (len(folder.name), folder.name))


def prune(run: Path, keep: int) -> None:
    """Drop all checkpoints but the newest `keep` and those that are marked as among the best."""
    for old in step_folders(run)[:-keep]:
        if not read(old).facts.get("best"):
            shutil.rmtree(old, ignore_errors=True)


def mark(run: Path, folder: Path, figure: float, keep: int, keep_best: int) -> None:
    """Write into a checkpoint of RUN how good it is (higher is better), mark the best `keep_best` of those judged, and prune the others."""
    write_facts(folder, read(folder).facts | {"figure": figure})
    judged = [found for found in map(read, step_folders(run)) if "figure" in found.facts]
    ranked = sorted(judged, key=lambda found: (found.facts["figure"], found.step), reverse=True)
    for place, found in enumerate(ranked):
        if found.facts.get("best", False) != (place < keep_best):
            write_facts(found.folder, found.facts | {"best": place < keep_best})
    prune(run, keep)


def write_facts(folder: Path, facts: Mapping[str, Any]) -> None:
    """Put these facts in the place of the checkpoint's own, at once."""
    temporary = folder / f".{FACTS}"
    temporary.write_text(json.dumps(facts, indent=1, default=asdict) + "\n")
    os.replace(temporary, folder / FACTS)


def latest(run: Path) -> Checkpoint | None:
    """The newest checkpoint of a run folder, or the folder itself when it is a checkpoint or a bundle; None when there is none."""
    if (run / BUNDLE_FACTS).exists():
        return of_bundle(run)
    folders = [run] if (run / FACTS).exists() else step_folders(run)
    return read(folders[-1]) if folders else None


def read(folder: Path) -> Checkpoint:
    try:
        return Checkpoint(folder, json.loads((folder / FACTS).read_text()))
    except (OSError, json.JSONDecodeError) as error:
        raise ScdError(f"{folder} is not a checkpoint of scd train ({error})", "name a folder that holds checkpoint.json") from error


def of_bundle(folder: Path) -> Checkpoint:
    """A bundle as a checkpoint to start from: its weights file and what bundle.json says of its making."""
    facts = read_bundle(folder).facts
    return Checkpoint(folder, {"kind": "scd", "task": facts.task, "name": facts.name, "licence": facts.licence, **facts.provenance})


def need(path: Path, kind: str, flag: str) -> Checkpoint:
    """The newest checkpoint under `path`, which must be of this kind; the error names the setting that mends it."""
    found = latest(path) if path.exists() else None
    if found is None:
        raise ScdError(f"no checkpoint in {path}", f"name a run of scd train with {flag}")
    if found.facts["kind"] != kind:
        raise ScdError(f"{found.folder} is a checkpoint of kind '{found.facts['kind']}', not '{kind}'", f"name another with {flag}")
    return found


def load_strict(module: nn.Module, weights: Mapping[str, Tensor], where: Path, hint: str = "use the recipe it was trained with") -> None:
    """Load exactly these weights. ScdError lists missing, extra and misshapen keys (the first MOST of them, and how many there are)."""
    check_fit(module.state_dict(), weights, where, hint)
    module.load_state_dict(dict(weights), strict=True)


def check_fit(own: Mapping[str, Tensor], weights: Mapping[str, Tensor], where: Path, hint: str) -> None:
    """ScdError unless the weights have exactly the names and shapes of `own`; see load_strict."""
    problems = [f"missing {k}" for k in own if k not in weights] + [f"unknown {k}" for k in weights if k not in own]
    problems += [
        f"{k} is {tuple(weights[k].shape)} not {tuple(own[k].shape)}" for k in own if k in weights and weights[k].shape != own[k].shape
    ]
    if problems:
        rest = f" ... ({len(problems)} in all)" if len(problems) > MOST else ""
        raise ScdError(f"{where} does not fit the model: {', '.join(problems[:MOST])}{rest}", hint)


def under(prefix: str, weights: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The entries `prefix.*`, without the prefix."""
    return {name[len(prefix) + 1 :]: tensor for name, tensor in weights.items() if name.startswith(prefix + ".")}


def prefixed(prefix: str, weights: Mapping[str, Tensor]) -> dict[str, Tensor]:
    return {f"{prefix}.{name}": tensor for name, tensor in weights.items()}
