"""`just bench long`: a ten times longer clip in the same memory, and whether the borders of its windows can be seen.

    python tests/bench.py long [--frames 3000] [--steps 2] [--keep FOLDER]

The driver is examples/dance.mp4, forth and back as often as it takes. Seams: mean absolute difference of neighbouring frames, divided by
its mean at the same place of the dance; the mean of that where a window begins or ends, over the mean elsewhere.
"""

import argparse
import tempfile
from collections.abc import Iterator
from itertools import cycle, islice, pairwise
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from engines.core.bundle import read_bundle, resolve_model
from engines.core.windows import windows
from engines.media.video import probe, read_frames
from engines.media.writer import open_writer
from tests.bench import EXAMPLES, LIMITS, animate, latent_megabytes, show

SHARE = 10  # the short clip is a tenth of the long one
SEAM = 1.1


def long_dance(path: Path, frames: int) -> Path:
    """A skeleton video of so many frames; its dance repeats every `period()` frames."""
    info = probe(EXAMPLES / "dance.mp4")
    once = list(read_frames(EXAMPLES / "dance.mp4"))
    with open_writer(path, info.fps, info.size, True) as sink:
        for picture in islice(cycle(once + once[-2:0:-1]), frames):
            sink.write(picture)
    return path


def period() -> int:
    return 2 * probe(EXAMPLES / "dance.mp4").frames - 2


def steps_between(path: Path) -> Iterator[float]:
    """Mean absolute difference of each pair of neighbouring frames, in grey levels."""
    for before, after in pairwise(read_frames(path)):
        yield float(np.abs(after.astype(np.int16) - before).mean())


def borders(frames: int, model: str) -> NDArray[np.bool_]:
    """(frames - 1,): between which frames a window begins or ends."""
    spec = read_bundle(resolve_model(model)).facts.window
    out = np.zeros(frames - 1, bool)
    for window in windows(frames, spec.default, spec.overlap):
        for place in (window.start - 1, window.stop - 1):
            if 0 <= place < frames - 1:
                out[place] = True
    return out


def seam_ratio(changes: NDArray[np.float64], at: NDArray[np.bool_], period: int) -> float:
    """How much larger than elsewhere the changes are at the borders, the dance's own changes divided out."""
    phase = np.arange(len(changes)) % period
    usual = np.array([changes[phase == p].mean() for p in range(period)])
    relative = changes / usual[phase]
    return float(relative[at].mean() / relative[~at].mean())


def main(arguments: list[str]) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", default="mini")
    parser.add_argument("--frames", type=int, default=3000)
    parser.add_argument("--steps", type=int, default=2)
    parser.add_argument("--keep", type=Path, help="folder for the clips")
    options = parser.parse_args(arguments)
    with tempfile.TemporaryDirectory(prefix="scd-bench-") as temporary:
        folder = options.keep or Path(temporary)
        made = []
        for frames in (options.frames // SHARE, options.frames):
            driver = str(long_dance(folder / f"dance-{frames}.mp4", frames))
            output = str(folder / f"clip-{frames}.mp4")
            done, said = animate(folder, model=options.model, poses=driver, output=output, steps=options.steps)
            made.append(done.megabytes)
            each = {stage: round(1000 * seconds / frames, 1) for stage, seconds in said["seconds"].items()}
            print(f"{frames} frames, {options.steps} steps: {done.seconds:.0f} s, {done.megabytes:.0f} MB; milliseconds a frame: {each}")
        own = latent_megabytes(options.model, options.frames)
        growth = (made[1] - own) / made[0]
        show(f"  growth without {own:.0f} MB of latents", f"{growth:.3f}", f"<= {LIMITS['growth']}", growth <= LIMITS["growth"])
        at = borders(options.frames, options.model)
        changes = np.array(list(steps_between(folder / f"clip-{options.frames}.mp4")))
        ratio = seam_ratio(changes, at, period())
        show(f"  change at {at.sum()} borders / elsewhere", f"{ratio:.3f}", f"<= {SEAM}", ratio <= SEAM)
