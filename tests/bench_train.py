"""`just bench train`: memory and time of a training step of SCD-I against Reference-Net at equal shape, taken in turns in one run.

    python tests/bench.py train [--rounds 3] [--steps 4] [--references 8] [--targets 1] [--checkpointing]
    python tests/bench.py train --full [--size 64] [--references 1] [--targets 1]
    python tests/bench.py train --run image|video [--out FOLDER] [--set a.b=c ...]

The first compares at the size of scd-mini, `--full` at Stable Diffusion 1.5's (18 GB for SCD-I, 34 GB for Reference-Net with AdamW).
Reference-Net is this project's own (engines/model/reference_net.py): a second UNet of the same shape reads the reference, everything else
is equal: pose encoder, batch, loss, AdamW without Muon, an average of the weights in neither. Each measurement is a process of its own.
Memory is the largest resident set of steps (Linux: VmHWM, reset once model and optimizer are there and one step has been made), minus
what the process held before there was a model: weights, gradients, optimizer state, activations. Beside it stands what `--dry-run` says.

`--run` trains two steps for real: `scd train --recipe paper/scd-i` (or scd-v) from a diffusers folder of Stable Diffusion 1.5's size (and
motion modules of AnimateDiff's) with random weights, which is written first (about 5 GB of disk in FOLDER), at 64x64 pixels.
"""

import argparse
import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from statistics import median
from typing import Any

ROOT = Path(__file__).parents[1]
GIGABYTE = 1e9
MEMORY, SECONDS = 0.65, 0.8  # aims, SCD-I / Reference-Net
WAYS = {"scd": "SCD-I", "reference-net": "Reference-Net"}
ADAPTER, STABLE = "animatediff", "stable-diffusion"
FULL = ["optim.checkpointing=true", "optim.precision=bf16"]  # of `--run`
RUNS = {
    "image": ("paper/scd-i", ["batching.references=1"]),
    "video": (  # AdamW's moments of 1,314 M weights are 10.5 GB in float32, 2.7 in 8 bits
        "paper/scd-v",
        ["batching.references=1", "batching.targets=4", "sampling.window=4", "sampling.overlap=1", "optim.optimizer=adamw8bit"],
    ),
}


def recipe_for(way: str, options: argparse.Namespace) -> Any:
    """scd-mini's recipe, or the paper's, with AdamW and no average; for Reference-Net with a second UNet."""
    from engines.core.recipe import parse, read_toml
    from engines.core.specs import ReferenceNetSpec
    from engines.train.recipe import ScdRecipe
    from scd_cli.recipes import find_recipe

    settings = [
        "optim.muon_learning_rate=0.0", "optim.ema_decay=0.0", "optim.precision=bf16", f"batching.references={options.references}",
        f"batching.targets={options.targets}", f"optim.checkpointing={str(options.checkpointing).lower()}",
    ]  # fmt: skip
    if options.full:
        settings.append(f"model.size=[{options.size},{options.size}]")
    name = "paper/scd-i" if options.full else "mini/scd-i"
    recipe = parse(ScdRecipe, read_toml(find_recipe(name), settings), name)
    if way == "scd":
        return recipe
    return replace(recipe, model=replace(recipe.model, reference_net=ReferenceNetSpec(pose=True)))


def training_step(recipe: Any) -> Callable[[], None]:
    """One step on random data: forward and backward pass, clipping, optimizer; as engines.train.loop does it."""
    import torch

    from engines.train.dry_run import batch_of, loss_of
    from engines.train.optimizer import Optimizer

    torch.manual_seed(0)
    loss = loss_of(recipe, None)
    parameters = dict(loss.model.named_parameters())
    optimizer, zeros = Optimizer(recipe.optim, parameters), batch_of(recipe, recipe.batching.references, recipe.model.size)
    fields = {
        name: torch.randn_like(value) if torch.is_tensor(value) and value.is_floating_point() else value
        for name, value in vars(zeros).items()
    }
    batch = type(zeros)(**fields)

    def step() -> None:
        with torch.autocast("cpu", torch.bfloat16):
            value = loss(0, batch)
        value.backward()
        torch.nn.utils.clip_grad_norm_(list(parameters.values()), recipe.optim.clip_norm)
        optimizer.step()
        optimizer.zero_grad()

    return step


def one(options: argparse.Namespace) -> dict[str, Any]:
    """In this process: bytes and seconds of a step, and the parameters."""
    import torch

    from engines.train.dry_run import loss_of
    from engines.train.simulate import fake
    from tests.bench_full import peak_bytes, timed

    recipe = recipe_for(options.way, options)
    with fake():
        count = sum(parameter.numel() for parameter in loss_of(recipe, None).parameters())
    torch.ones(64, 64) @ torch.ones(64, 64)
    before = resident_bytes()
    figures = timed(training_step(recipe), options.steps)
    assert peak_bytes(False) >= before
    return {"seconds": figures["seconds"], "bytes": figures["peak"] - before, "parameters": count}


def resident_bytes() -> int:
    """VmRSS, what is resident now."""
    line = next(line for line in Path("/proc/self/status").read_text().splitlines() if line.startswith("VmRSS"))
    return int(line.split()[1]) * 1024


def child(way: str, words: list[str]) -> dict[str, Any]:
    done = subprocess.run([sys.executable, str(ROOT / "tests" / "bench.py"), "train", *words, "--way", way], capture_output=True, text=True)
    if done.returncode:
        sys.exit(f"{way} failed:\n{done.stderr}")
    return dict(json.loads(done.stdout.splitlines()[-1]))


def told(way: str, options: argparse.Namespace) -> dict[str, int]:
    """Bytes by what they are for, as `scd train --dry-run` says."""
    from engines.train.dry_run import outlook

    return dict(outlook(recipe_for(way, options), Path("nowhere"), 1, 1.0)["memory_bytes"])


def compare(options: argparse.Namespace, words: list[str]) -> None:
    from tests.bench import show

    found: dict[str, list[dict[str, Any]]] = {way: [] for way in WAYS}
    for _ in range(options.rounds):
        for way in WAYS:
            found[way].append(child(way, words))
    shape = f"{options.references} references with {options.targets} targets each"
    print(f"{shape}, bf16, best of {options.steps} steps, median of {options.rounds} rounds in turns, {time.strftime('%Y-%m-%d')}")
    middle = {way: {key: median(run[key] for run in runs) for key in runs[0]} for way, runs in found.items()}
    for way, name in WAYS.items():
        run, parts = middle[way], told(way, options)
        own = sum(parts[key] for key in ("weights", "optimizer", "step"))
        print(
            f"{name:<14} {run['parameters'] / 1e6:7.1f} M parameters   {run['bytes'] / GIGABYTE:6.3f} GB   {run['seconds']:7.3f} s/step   "
            f"(--dry-run: {own / GIGABYTE:.3f} GB, of which weights {parts['weights'] / GIGABYTE:.3f}, "
            f"optimizer state {parts['optimizer'] / GIGABYTE:.3f}, the step {parts['step'] / GIGABYTE:.3f})"
        )
    ours, theirs = middle["scd"], middle["reference-net"]
    memory, seconds = ours["bytes"] / theirs["bytes"], ours["seconds"] / theirs["seconds"]
    show("memory, SCD-I / Reference-Net", f"{memory:.2f}", f"<= {MEMORY}", memory <= MEMORY)
    show("time, SCD-I / Reference-Net", f"{seconds:.2f}", f"<= {SECONDS}", seconds <= SECONDS)


def write_start(folder: Path, video: bool) -> None:
    """Stable Diffusion 1.5's folder, and AnimateDiff's, at full size with random weights; what is there stays."""
    from engines.model.stable_vae import VAE_15
    from tests.full_size import UNET
    from tests.model.hub import write_adapter, write_stable_diffusion

    if not (folder / STABLE / "model_index.json").is_file():
        kinds = {
            "down_block_types": ("CrossAttnDownBlock2D",) * 3 + ("DownBlock2D",), "sample_size": 64, "in_channels": 4, "out_channels": 4,
            "up_block_types": ("UpBlock2D",) + ("CrossAttnUpBlock2D",) * 3, "layers_per_block": 2, "cross_attention_dim": 768,
            "block_out_channels": UNET.channels, "attention_head_dim": UNET.heads,
        }  # fmt: skip
        write_stable_diffusion(folder / STABLE, kinds, VAE_15, tokens=77)
    if video and not (folder / ADAPTER / "config.json").is_file():
        write_adapter(folder / ADAPTER, UNET.channels, UNET.heads, UNET.groups)


def real_run(options: argparse.Namespace) -> None:
    """Two steps of the paper's recipe through the command line: its seconds, its peak, its losses."""
    with tempfile.TemporaryDirectory(prefix="scd-bench-train-") as temporary:
        folder = options.out or Path(temporary)
        folder.mkdir(parents=True, exist_ok=True)
        writing = [sys.executable, __file__, "--write", str(folder), *(["--video"] if options.run == "video" else [])]
        subprocess.run(writing, check=True, cwd=ROOT, env=environment())
        train(folder, options)


def environment() -> dict[str, str]:
    import os

    return os.environ | {"PYTHONPATH": str(ROOT)}


def train(folder: Path, options: argparse.Namespace) -> None:
    from tests.bench import measure
    from tests.train.tiny_data import write_data

    recipe, own = RUNS[options.run]
    data, run = folder / f"data-{options.run}", folder / f"run-{options.run}-{int(time.time())}"
    if not data.exists():
        write_data(data)
    settings = [
        *FULL, *own, f"initial={folder / STABLE}", "model.size=[64,64]", "optim.steps=2", "logging.log_every=1",
        "logging.validation_pairs=1", "sampling.steps=2",
    ]  # fmt: skip
    settings += [f"motion_adapter={folder / ADAPTER}"] if options.run == "video" else []
    settings += options.set or []
    words = ["--recipe", recipe, "--data", str(data), "--out", str(run), *(w for setting in settings for w in ("--set", setting))]
    done = measure([sys.executable, "-m", "scd_cli", "train", *words])
    lines = [json.loads(line) for line in (run / "log.jsonl").read_text().splitlines()]
    print(f"scd train --recipe {recipe}, 2 steps: {done.seconds:.0f} s, peak {done.megabytes / 1000:.2f} GB, loading and saving included")
    for line in lines:
        print(f"  {line}")


def main(words: list[str]) -> None:
    parser = argparse.ArgumentParser(prog="just bench train", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--steps", type=int, default=4)
    parser.add_argument("--references", type=int)
    parser.add_argument("--targets", type=int, default=1)
    parser.add_argument("--checkpointing", action="store_true")
    parser.add_argument("--full", action="store_true")
    parser.add_argument("--size", type=int, default=64, help="of the full size, pixels a side")
    parser.add_argument("--run", choices=list(RUNS))
    parser.add_argument("--out", type=Path)
    parser.add_argument("--set", action="append")
    parser.add_argument("--way", choices=list(WAYS), help=argparse.SUPPRESS)
    options = parser.parse_args(words)
    options.references = options.references or (1 if options.full else 8)
    if options.way:
        return print(json.dumps(one(options)))
    return real_run(options) if options.run else compare(options, words)


if __name__ == "__main__":  # writes the start of `--run`, in a process of its own: its memory is not the training's
    write_start(Path(sys.argv[2]), "--video" in sys.argv)
