"""`just bench`: wall time and peak memory of start-up and of the main job, each measured in a process of its own.

    python tests/bench.py [--model mini|FOLDER] [--quick]
    python tests/bench.py full ...    (tests/bench_full.py)
    python tests/bench.py long ...    (tests/bench_long.py)
    python tests/bench.py evaluate ...    (tests/bench_evaluate.py)
    python tests/bench.py tryon ...    (tests/bench_tryon.py)
    python tests/bench.py train ...    (tests/bench_train.py)

Figures of one run belong together: ratios are taken between children started one after the other on the same machine. Peak memory is
the child's largest resident set (getrusage), so imports and model are in it. `--quick` runs fewer steps, to try the bench out.
"""

import argparse
import json
import os
import resource
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from fractions import Fraction
from importlib.util import find_spec
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[1]
EXAMPLES = ROOT / "examples"
MEGABYTE = 1e6
START_UPS = {"scd --help": ["--help"], "scd animate --help": ["animate", "--help"], "a usage error": ["animate", "--frames", "3"]}
LIMITS = {"start": 0.3, "seconds": 60.0, "memory": 1500.0, "growth": 1.15, "eager": 0.6, "drawing": 2.0}
SHORT, LONG = 48, 480
ANIMATE = """
import json, sys
from fractions import Fraction
from pathlib import Path
sys.path.insert(0, sys.argv[2])
from engines.core.report import NullReport
from engines.generate import animate as module
from engines.generate import studio
from engines.generate.request import AnimateRequest
options = json.loads(sys.argv[1])
checkpoint = options.pop("checkpoint", None)
if checkpoint:
    from engines.export.torch_twin import open_torch_pipeline
    studio.pipeline_on = lambda bundle, backend: open_torch_pipeline(Path(checkpoint))
for name in ("reference", "poses", "output"):
    options[name] = Path(options[name])
summary = module.animate(AnimateRequest(**options), NullReport())
print(json.dumps(summary.to_json()))
"""


@dataclass(frozen=True)
class Measured:
    """One child: wall seconds, peak resident megabytes, exit code and stdout."""

    seconds: float
    megabytes: float
    code: int
    out: str


def peak_megabytes(usage: resource.struct_rusage) -> float:
    """ru_maxrss is in kilobytes on Linux and in bytes on macOS."""
    return usage.ru_maxrss * (1 if sys.platform == "darwin" else 1024) / MEGABYTE


def measure(command: list[str]) -> Measured:
    """Run a child to its end; wait4 gives its own peak, not the largest of all children so far."""
    with tempfile.TemporaryFile() as out, tempfile.TemporaryFile() as err:
        start = time.monotonic()
        child = subprocess.Popen(command, stdout=out, stderr=err, cwd=ROOT)
        _, status, usage = os.wait4(child.pid, 0)
        seconds, child.returncode = time.monotonic() - start, os.waitstatus_to_exitcode(status)
        out.seek(0)
        err.seek(0)
        if child.returncode not in (0, 2):
            sys.exit(f"{' '.join(command[:3])} ... failed:\n{err.read().decode()}")
        return Measured(seconds, peak_megabytes(usage), child.returncode, out.read().decode())


def show(what: str, figure: str, limit: str, good: bool) -> None:
    print(f"{what:<46} {figure:>16}   {'ok ' if good else 'NOT'} {limit}", flush=True)


def bench_start_up() -> None:
    for name, arguments in START_UPS.items():
        runs = sorted(measure([sys.executable, "-m", "scd_cli", *arguments]).seconds for _ in range(5))
        show(name, f"{runs[2]:.3f} s", f"< {LIMITS['start']} s (median of 5)", runs[2] < LIMITS["start"])


def bench_drawing() -> None:
    """A pose picture of the examples' person at the model's size, the fastest of ten rounds."""
    import timeit

    from engines.pose.draw import DrawStyle, draw_pose
    from engines.pose.files import load_track

    still, style = load_track(EXAMPLES / "ref.npz"), DrawStyle()
    rounds = timeit.repeat(lambda: draw_pose(still.points[0], still.size, (192, 256), style), number=10, repeat=10)
    milliseconds = min(rounds) * 100
    show("drawing a pose", f"{milliseconds:.2f} ms", f"< {LIMITS['drawing']:.0f} ms", milliseconds < LIMITS["drawing"])


def animate(folder: Path, **options: Any) -> tuple[Measured, dict[str, Any]]:
    """`animate` in a child, and its summary."""
    request = {
        "reference": str(EXAMPLES / "ref.png"),
        "poses": str(EXAMPLES / "dance.mp4"),
        "output": str(folder / "out.mp4"),
        "overwrite": True,
    }
    done = measure([sys.executable, "-c", ANIMATE, json.dumps(request | options), str(ROOT)])
    return done, json.loads(done.out)


def bench_examples(folder: Path, model: str, quick: dict[str, int]) -> None:
    """The default run on examples/, and the same run in torch eager, on the weights that lie in the bundle."""
    from engines.core.bundle import resolve_model

    done, said = animate(folder, model=model, **quick)
    what = f"examples/: {said['frames']} frames, {said['steps']} steps"
    show(what, f"{done.seconds:.1f} s", f"<= {LIMITS['seconds']:.0f} s", done.seconds <= LIMITS["seconds"])
    show("  peak memory", f"{done.megabytes:.0f} MB", f"<= {LIMITS['memory']:.0f} MB", done.megabytes <= LIMITS["memory"])
    print(f"  seconds by stage: {said['seconds']}")
    if find_spec("torch") is None:
        print("  torch eager is left out: torch is not installed")
        return
    eager, twin = animate(folder, model=model, checkpoint=str(resolve_model(model)), **quick)
    ratio = said["seconds"]["denoise"] / twin["seconds"]["denoise"]
    print(f"  torch eager: {eager.seconds:.1f} s, {eager.megabytes:.0f} MB, by stage: {twin['seconds']}")
    whole = done.seconds / eager.seconds
    show("  time / torch eager, whole command", f"{whole:.2f}", f"<= {LIMITS['eager']}", whole <= LIMITS["eager"])
    show("  time / torch eager, denoising alone", f"{ratio:.2f}", f"<= {LIMITS['eager']}", ratio <= LIMITS["eager"])


def long_driver(folder: Path, frames: int) -> Path:
    """A keypoint file that swings through a still person's pose."""
    import numpy as np

    from engines.core.keypoints import PoseTrack
    from engines.pose.files import load_track, save_track

    still = load_track(EXAMPLES / "ref.npz")
    points = np.repeat(still.points[:1], frames, axis=0)
    points[..., 0] += 5 * np.sin(np.arange(frames) / 6)[:, None, None]
    path = folder / f"{frames}.npz"
    save_track(path, PoseTrack(points, still.size, Fraction(15)), True)
    return path


def latent_megabytes(model: str, frames: int) -> float:
    import numpy as np

    from engines.core.bundle import read_bundle, resolve_model
    from engines.generate.pipeline import spec_of

    return float(np.prod(spec_of(read_bundle(resolve_model(model))).latent_shape)) * 4 * frames / MEGABYTE


def bench_length(folder: Path, model: str) -> None:
    """Peak memory must not grow with the clip, apart from its latents. One step: every buffer has been used by then."""
    short, _ = animate(folder, model=model, poses=str(long_driver(folder, SHORT)), steps=1)
    long, _ = animate(folder, model=model, poses=str(long_driver(folder, LONG)), steps=1)
    own = latent_megabytes(model, LONG)
    growth = (long.megabytes - own) / short.megabytes
    print(f"{SHORT} frames: {short.megabytes:.0f} MB; {LONG} frames: {long.megabytes:.0f} MB, of which latents {own:.0f} MB")
    show("  growth without the latents", f"{growth:.3f}", f"<= {LIMITS['growth']}", growth <= LIMITS["growth"])


def main() -> None:
    sys.path.insert(0, str(ROOT))
    if sys.argv[1:2] == ["full"]:
        from tests import bench_full

        return bench_full.main(sys.argv[2:])
    if sys.argv[1:2] == ["long"]:
        from tests import bench_long

        return bench_long.main(sys.argv[2:])
    if sys.argv[1:2] == ["evaluate"]:
        from tests import bench_evaluate

        return bench_evaluate.main(sys.argv[2:])
    if sys.argv[1:2] == ["tryon"]:
        from tests import bench_tryon

        return bench_tryon.main(sys.argv[2:])
    if sys.argv[1:2] == ["train"]:
        from tests import bench_train

        return bench_train.main(sys.argv[2:])
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", default="mini", help="a shipped model or the folder of a bundle")
    parser.add_argument("--quick", action="store_true", help="2 steps instead of the model's")
    options = parser.parse_args()
    print(f"{len(os.sched_getaffinity(0)) if hasattr(os, 'sched_getaffinity') else os.cpu_count()} cores, load {os.getloadavg()[0]:.1f}")
    bench_start_up()
    bench_drawing()
    with tempfile.TemporaryDirectory(prefix="scd-bench-") as folder:
        bench_examples(Path(folder), options.model, {"steps": 2} if options.quick else {})
        bench_length(Path(folder), options.model)


if __name__ == "__main__":
    main()
