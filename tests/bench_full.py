"""`just bench full`: seconds of a denoising step and peak memory at Stable Diffusion 1.5's size, four ways, in one run on one machine.

    python tests/bench_full.py [--bundle B] [--steps 3] [--frames 8]

B is a full-size image bundle of 256x256: `python tests/full_size.py C --image --size 256x256`, `scd export --checkpoint C --out B`.
Without it one is made first, in about six minutes.
The ways: (i) our target graph on onnxruntime; (ii) our torch model with cached K/V; (iii) SCD-dagger: reference and target as one tall
picture; (iv) the arrangement of AnimateAnyone and its like: a second UNet whose tokens are projected again for every frame at every step,
and an unconditional half whose attention is computed twice. Random weights, guidance on, no motion modules in any of them. Each runs in
a process of its own; peak memory is that of the steps alone (Linux: VmHWM, reset after loading and one step to warm up).
"""

import argparse
import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT))
GIGABYTE = 1e9
WAYS = {"graph": "(i) target graph, onnxruntime", "shallow": "(i) its shallow twin", "cached": "(ii) torch, cached K/V",
        "joint": "(iii) SCD-dagger, torch", "reference-net": "(iv) Reference-Net arrangement, torch"}  # fmt: skip
SIDE = 32  # latents of 256 x 256


def peak_bytes(reset: bool) -> int:
    """VmHWM, the largest resident set since the last reset."""
    if reset:
        Path("/proc/self/clear_refs").write_text("5")
    line = next(line for line in Path("/proc/self/status").read_text().splitlines() if line.startswith("VmHWM"))
    return int(line.split()[1]) * 1024


def timed(step: Callable[[], Any], steps: int) -> dict[str, float]:
    """Best and mean seconds of a step after one to warm up, peak bytes while they ran and before."""
    step()
    loading, _ = peak_bytes(False), peak_bytes(True)
    seconds = []
    for _ in range(steps):
        start = time.monotonic()
        step()
        seconds.append(time.monotonic() - start)
    return {"seconds": min(seconds), "mean": sum(seconds) / steps, "peak": peak_bytes(False), "loading": loading}


def run_graph(name: str, bundle: Path, frames: int, steps: int) -> dict[str, float]:
    """A graph of the bundle through the run time's own session; no torch in this process."""
    from engines.core.bundle import read_bundle
    from engines.core.sites import is_kv
    from engines.sessions.onnxruntime_session import open_session
    from engines.sessions.verify import seeded_feeds

    read = read_bundle(bundle)
    feeds = seeded_feeds(read.facts.graphs[name]["inputs"], {"frames": frames, "conditions": 2})
    session = open_session(read.graph_path(name), ("cpu",))
    session.pin({key: array for key, array in feeds.items() if is_kv(key)})
    each = {key: array for key, array in feeds.items() if not is_kv(key)}
    assert "torch" not in sys.modules
    return timed(lambda: session.run(each, ("prediction",)), steps) | {"flop": read.facts.graphs[name]["flop"] * 2 * frames}


def full_unet(seed: int) -> Any:
    """Stable Diffusion 1.5's UNet as ours, float32, random."""
    import torch

    from engines.model.unet import UNet
    from tests.full_size import full_spec

    torch.manual_seed(seed)
    with torch.device("meta"):
        unet = UNet(full_spec((SIDE * 8, SIDE * 8), motion=False))
    unet = unet.to_empty(device="cpu").requires_grad_(False).eval()
    for tensor in unet.state_dict().values():
        tensor.normal_(0, 0.02)
    return unet


def reference_net_attention(inner: Any, writes: bool) -> Any:
    """attn1 of such code: the reference's tokens, not their K/V, are handed over (`writes`: from the second UNet), and projected here."""
    import torch

    class Projecting(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.inner = inner

        def forward(self, hidden: Any, reference: Any = None) -> Any:
            a = self.inner
            if writes:
                return a(hidden)[0], (hidden, hidden)
            both = torch.cat([hidden, reference[0].expand(len(hidden), -1, -1)], dim=1)
            out = a.to_out[0](a.attend(a.to_q(hidden), a.to_k(both), a.to_v(both), a.heads))
            half = len(hidden) // 2  # the unconditional half: once with the reference, for nothing, and again without
            out[:half] = a(hidden[:half])[0]
            return out, None

    return Projecting()


def run_torch(way: str, frames: int, steps: int) -> dict[str, float]:
    import torch

    from engines.model.layers import TransformerBlock

    unet = full_unet(0)
    latents, pose = torch.randn(2 * frames, 4, SIDE, SIDE), torch.randn(2 * frames, 320, SIDE, SIDE)
    time_, zero = torch.tensor([500.0]), torch.zeros(1)
    if way == "joint":
        tall, taller = torch.cat([latents, latents], dim=2), torch.cat([pose, pose], dim=2)
        step = lambda: unet(tall, time_, taller)[0][:, :, SIDE:]
    else:
        reader = full_unet(1) if way == "reference-net" else unet
        if way == "reference-net":
            for writes, network in ((True, reader), (False, unet)):
                for block in [part for part in network.modules() if isinstance(part, TransformerBlock)]:
                    block.attn1 = reference_net_attention(block.attn1, writes)
        with torch.inference_mode():
            kv = reader(latents[:1], zero, pose[:1])[1]
            cached = [tuple(x.expand(2 * frames, -1, -1) for x in pair) for pair in kv] if way == "cached" else kv
        step = lambda: unet(latents, time_, pose, cached)[0]
    with torch.inference_mode():
        return timed(step, steps)


def machine_flop(size: int = 4096) -> float:
    """float32 operations a second of a large matrix product: the bound."""
    import numpy as np

    a = np.random.default_rng(0).standard_normal((size, size), dtype=np.float32)
    a @ a
    seconds = []
    for _ in range(3):
        start = time.monotonic()
        a @ a
        seconds.append(time.monotonic() - start)
    return 2 * size**3 / min(seconds)


def child(way: str, options: argparse.Namespace) -> dict[str, float]:
    command = [sys.executable, __file__, "--bundle", str(options.bundle), "--steps", str(options.steps), "--frames", str(options.frames)]
    done = subprocess.run([*command, "--way", way], capture_output=True, text=True, cwd=ROOT)
    if done.returncode:
        sys.exit(f"{way} failed:\n{done.stderr}")
    return dict(json.loads(done.stdout.splitlines()[-1]))


def report_animate(bundle: Path) -> None:
    """The whole command on this bundle: 4 frames, 2 steps."""
    from tests.bench import EXAMPLES, measure

    with tempfile.TemporaryDirectory(prefix="scd-bench-full-") as folder:
        clip = ["animate", str(EXAMPLES / "ref.png"), "--poses", str(EXAMPLES / "dance.mp4"), "--frames", "0:4", "--steps", "2"]
        done = measure([sys.executable, "-m", "scd_cli", *clip, "--model", str(bundle), "-o", str(Path(folder) / "out.mp4")])
    print(f"scd animate, 4 frames, 2 steps: {done.seconds:.0f} s, peak {done.megabytes / 1000:.2f} GB, loading included")


def report(options: argparse.Namespace) -> None:
    report_animate(options.bundle)
    print(f"{options.frames} frames of 256x256, two conditions, best of {options.steps} steps, float32, {time.strftime('%Y-%m-%d')}")
    found = {}
    for way, name in WAYS.items():
        found[way] = one = child(way, options)
        print(f"{name:<40} {one['seconds']:7.2f} s/step (mean {one['mean']:.2f})   peak {one['peak'] / GIGABYTE:5.2f} GB", flush=True)
    mine, theirs = found["graph"], found["reference-net"]
    print(
        f"(i) / (iv): time {mine['seconds'] / theirs['seconds']:.2f} (aim 0.6), peak memory {mine['peak'] / theirs['peak']:.2f} (aim 0.55)"
    )
    for way, number in (("cached", "ii"), ("joint", "iii")):
        print(f"(i) / ({number}): time {mine['seconds'] / found[way]['seconds']:.2f}")
    reused = (mine["seconds"] + 2 * found["shallow"]["seconds"]) / 3
    print(f"--reuse 3: {reused:.2f} s/step, {reused / mine['seconds']:.2f} x (i) (aim 0.6)")
    bound = machine_flop()
    share = mine["flop"] / mine["seconds"] / bound
    print(f"(i) does {mine['flop'] / 1e12:.2f} TFLOP a step: {100 * share:.0f} % of the {bound / 1e9:.0f} GFLOP/s of a matrix product here")


def make_bundle(folder: Path) -> Path:
    """A full-size image bundle with random weights."""
    checkpoint, bundle = folder / "checkpoint", folder / "bundle"
    full_size = [sys.executable, str(ROOT / "tests" / "full_size.py"), str(checkpoint), "--image", "--size", f"{SIDE * 8}x{SIDE * 8}"]
    subprocess.run(full_size, check=True, cwd=ROOT)
    subprocess.run([sys.executable, "-m", "scd_cli", "export", "--checkpoint", str(checkpoint), "--out", str(bundle)], check=True, cwd=ROOT)
    return bundle


def main(arguments: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--bundle", type=Path)
    parser.add_argument("--steps", type=int, default=3)
    parser.add_argument("--frames", type=int, default=8)
    parser.add_argument("--way", choices=list(WAYS), help=argparse.SUPPRESS)
    options = parser.parse_args(arguments)
    if options.way is None:
        with tempfile.TemporaryDirectory(prefix="scd-bench-full-") as folder:
            options.bundle = options.bundle or make_bundle(Path(folder))
            return report(options)
    graphs = {"graph": "target", "shallow": "target_shallow"}
    if options.way in graphs:
        figures = run_graph(graphs[options.way], options.bundle, options.frames, options.steps)
    else:
        figures = run_torch(options.way, options.frames, options.steps)
    print(json.dumps(figures))


if __name__ == "__main__":
    main()
