"""What `scd train --dry-run` says to people."""

from collections.abc import Mapping
from typing import Any

GIGABYTE = 1e9


def millions(count: float) -> str:
    return f"{count / 1e6:,.1f} M"


def gigabytes(size: float) -> str:
    return f"{size / GIGABYTE:.2f} GB"


def outlook_text(told: Mapping[str, Any]) -> str:
    """The summary of engines.train.dry_run.outlook in lines."""
    counts, memory, work, data = told["parameters"], told["memory_bytes"], told["flop_per_step"], told["data"]
    parts = ", ".join(f"{name} {millions(count)}" for name, count in counts["parts"].items())
    frozen = f", beside the autoencoder's {millions(counts['autoencoder'])}" if "autoencoder" in counts else ""
    held = ", ".join(f"{name} {gigabytes(memory[name])}" for name in ("weights", "optimizer", "average", "autoencoder", "step"))
    passes = f"{data['passes']:.1f} passes over the {data['samples']} samples of {data['folder']}" if data else "no data set here"
    rate = told["flop_per_second"]
    lines = [
        ("parameters", f"{millions(counts['all'])}, of which {millions(counts['trained'])} trained ({parts}){frozen}"),
        ("memory", f"{gigabytes(memory['total'])} a process, {told['rows_at_once']} rows at once ({held})"),
        ("steps", f"{told['steps']} of {told['rows_per_step']} rows, {told['pictures_per_step']} pictures to learn from"),
        ("samples", f"{told['rows_per_step'] * told['steps']} rows, {told['pictures']} pictures, {passes}"),
        ("work", f"{sum(work.values()) / 1e12:.2f} TFLOP a step, of which the autoencoder {work['autoencoder'] / 1e12:.2f}"),
        ("hours", f"{told['hours']:.1f} ({told['processes']} x {rate['each_process'] / 1e12:.2f} TFLOP/s of {rate['of']})"),
    ]
    return "\n".join([f"{name:<11} {text}" for name, text in lines] + [f"- {said}" for said in told["assumptions"]])
