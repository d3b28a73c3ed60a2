"""Seconds and peak memory of every step of an export, as docs/engines.md has them.

    python tests/bench_export.py CHECKPOINT OUT [--flavour ort-cpu --flavour trt-rtx] [--frames 1,16,24] [--size 512x512]

A line a step: a graph traced, written and checked; its gates; a float16 graph against it; an engine. The peak is the largest resident
set of this process since the line before (Linux); engines are built in processes of their own, whose peak the last line gives.
"""

import argparse
import resource
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT))

from engines.core.report import NullReport  # noqa: E402
from engines.export import plans, writing  # noqa: E402
from engines.export.bundle import export_bundle  # noqa: E402
from engines.export.request import ExportRequest  # noqa: E402
from scd_cli.values import parse_counts, parse_size  # noqa: E402
from tests.bench_full import GIGABYTE, peak_bytes  # noqa: E402


class Clock:
    """Prints what passed since the line before."""

    def __init__(self) -> None:
        self.last = time.monotonic()

    def line(self, what: str, figures: Any = "") -> None:
        now, peak = time.monotonic(), peak_bytes(False)
        print(f"{what:<28} {now - self.last:7.1f} s   peak {peak / GIGABYTE:5.2f} GB   {figures}", flush=True)
        self.last = now
        peak_bytes(True)

    def around(self, function: Callable[..., Any], name_of: Callable[..., str], figures_of: Callable[[Any], Any]) -> Callable[..., Any]:
        """The function, with a line after each call."""

        def timed(*arguments: Any) -> Any:
            out = function(*arguments)
            self.line(name_of(*arguments), figures_of(out))
            return out

        return timed


def watch(clock: Clock) -> None:
    """Put the clock around the steps of an export."""
    room: Any = writing
    room.Writing.save = clock.around(room.Writing.save, lambda _self, _graph, _dialect, file: file, lambda _out: "")
    room.gates = clock.around(room.gates, lambda graph, *_: f"{graph.name} gates", lambda judged: judged.figures)
    room.gates_half = clock.around(room.gates_half, lambda _graph, path, *_: f"{path.stem} half", lambda figures: figures)
    cache: Any = plans
    cache.plan_for = clock.around(
        cache.plan_for,
        lambda request, _report: f"{request.graph.stem} plan",
        lambda plan: {"activation MB": plan.facts.activation_bytes / 1e6, "plan MB": plan.facts.plan_bytes / 1e6},
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("checkpoint")
    parser.add_argument("out", type=Path)
    parser.add_argument("--flavour", action="append")
    parser.add_argument("--frames", type=parse_counts, default=(1, 16, 24))
    parser.add_argument("--size", type=parse_size)
    chosen = parser.parse_args()
    clock, flavours = Clock(), tuple(chosen.flavour or ("ort-cpu", "trt-rtx"))
    watch(clock)
    export_bundle(
        ExportRequest(checkpoint=chosen.checkpoint, out=chosen.out, flavours=flavours, frames=chosen.frames, size=chosen.size), NullReport()
    )
    builder = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss * 1024
    clock.line("all written", f"largest builder {builder / GIGABYTE:.2f} GB" if builder else "")


if __name__ == "__main__":
    main()
