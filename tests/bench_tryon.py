"""`just bench tryon`: the command on examples/, what mixing the known part costs beside the target graph, and what a kept garment saves.

    python tests/bench.py tryon [--model mini-tryon|FOLDER]

Figures of one run belong together; the pictures go to a temporary folder.
"""

import argparse
import sys
import tempfile
import time
import timeit
from collections.abc import Callable
from pathlib import Path

import numpy as np

from engines.core.bundle import DEFAULT_TRYON_MODEL, read_bundle, resolve_model
from engines.core.report import NullReport
from engines.generate.known import Known
from engines.generate.pipeline import Pipeline, open_pipeline
from engines.generate.studio import Studio
from engines.generate.tryon import tryon
from engines.generate.tryon_request import TryonRequest
from tests.bench import EXAMPLES, measure, show

SECONDS, MEGABYTES, SHARE = 30.0, 1500.0, 0.01  # limits: the command, its memory, and mixing of a run of the target graph
PERSON, GARMENT = EXAMPLES / "ref.png", EXAMPLES / "garment.png"


def milliseconds(work: Callable[[], object], number: int) -> float:
    """Of the fastest of five rounds."""
    return min(timeit.repeat(work, number=number, repeat=5)) / number * 1000


def bench_command(folder: Path, model: str) -> None:
    command = [sys.executable, "-m", "scd_cli", "tryon", str(PERSON), str(GARMENT), "--model", model, "-o", str(folder / "a.png")]
    done = measure(command)
    show("scd tryon on examples/", f"{done.seconds:.1f} s", f"< {SECONDS:.0f} s", done.seconds < SECONDS)
    show("its peak memory", f"{done.megabytes:.0f} MB", f"< {MEGABYTES:.0f} MB", done.megabytes < MEGABYTES)


def opened(model: str) -> tuple[Pipeline, dict[str, np.ndarray]]:
    """A pipeline with a reference pinned, and what its target graph takes."""
    pipeline, rng = open_pipeline(read_bundle(resolve_model(model)), ("cpu",)), np.random.default_rng(0)
    width, height = pipeline.spec.size
    black = np.zeros((1, height, width, 3), np.uint8)
    pipeline.target = pipeline.target_for(1)
    pipeline.set_reference(pipeline.reference_kv(pipeline.encode(black), black, 1))
    pipeline.show((0, 1))
    latents = rng.standard_normal((1, *pipeline.spec.latent_shape), dtype=np.float32)
    return pipeline, {"latents": latents, "timestep": np.array([500], np.float32), "pose_features": pipeline.pose_features(black)}


def bench_mixing(model: str) -> None:
    """Mask and known latents outside the target graph: what that costs at every step, and what a graph with them inside could save."""
    pipeline, feeds = opened(model)
    shape = feeds["latents"].shape
    known = Known(np.zeros(shape[1:], np.float32), (np.arange(shape[2] * shape[3]).reshape(shape[2:]) % 2).astype(np.float32))
    mixing = milliseconds(lambda: known.mixed(feeds["latents"]), 200)
    running = milliseconds(lambda: pipeline.sessions[pipeline.target].run(feeds, ("prediction",)), 3)
    pipeline.close()
    show("a run of the target graph", f"{running:.1f} ms", "", True)
    show("mixing the known part / that", f"{mixing / running:.5f}", f"< {SHARE}", mixing / running < SHARE)


def bench_kept_garment(folder: Path, model: str) -> None:
    """The second person in the same garment, in one studio."""
    studio, spent = Studio(NullReport(), lasting=True), []
    for number in range(3):
        start = time.monotonic()
        tryon(TryonRequest(person=PERSON, garment=GARMENT, output=folder / f"{number}.png", model=model), NullReport(), studio)
        spent.append(time.monotonic() - start)
    studio.close()
    show("the next person in the same garment / the first", f"{spent[2] / spent[0]:.2f}", "< 1", spent[2] < spent[0])


def main(words: list[str]) -> None:
    parser = argparse.ArgumentParser(prog="just bench tryon")
    parser.add_argument("--model", default=DEFAULT_TRYON_MODEL)
    model = parser.parse_args(words).model
    with tempfile.TemporaryDirectory() as folder:
        bench_command(Path(folder), model)
        bench_mixing(model)
        bench_kept_garment(Path(folder), model)
