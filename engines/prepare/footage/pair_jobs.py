"""Which pairs a try-on set holds, and what is to be done with each."""

from dataclasses import dataclass
from pathlib import Path

from engines.core.errors import ScdError
from engines.core.garments import Category, MaskStyle
from engines.core.pair_layouts import DRESS_CODE, PARTS, recognise
from engines.core.pairs import Pair, look_for_pairs
from engines.prepare.footage.request import Dropped

VITON_CATEGORY: Category = "upper"  # of all of VITON-HD's garments


@dataclass(frozen=True, kw_only=True)
class PairsRequest:
    """`origin` is the data set, `out` the one to write; `mask_style` is that of masks which are made."""

    source: str
    origin: Path
    out: Path
    mask_style: MaskStyle
    workers: int = 1
    ray: str | None = None
    dry_run: bool = False


@dataclass(frozen=True)
class Job:
    """A pair of a part; `name` is what it is called in the new set."""

    request: PairsRequest
    part: str
    pair: Pair
    name: str

    @property
    def record(self) -> Path:
        """Written when the pair is done."""
        return self.request.out / "records" / self.part / f"{self.name}.json"

    def place(self, folder: str, ending: str, suffix: str = "") -> Path:
        return self.request.out / self.part / folder / f"{self.name}{suffix}{ending}"


def listed(request: PairsRequest) -> tuple[list[Job], list[Dropped]]:
    """Everybody of both parts with the garment that they wear. ScdError where the set is in another layout, or has neither part."""
    jobs: list[Job] = []
    dropped: list[Dropped] = []
    missing: list[ScdError] = []
    for part in PARTS:
        try:
            check_kind(request, part)
            found = look_for_pairs(request.origin, part, None, True)
        except ScdError as error:
            missing.append(error)
            continue
        dropped += [Dropped(part, "layout", str(problem)) for problem in found.problems]
        jobs += [Job(request, part, pair, pair.person.stem) for pair in found.pairs]
    if not jobs and not dropped:
        raise missing[0]
    seen: dict[str, Job] = {}
    for job in list(jobs):
        if job.name in seen:  # one picture's name, in two categories or in train and test
            jobs.remove(job)
            dropped.append(Dropped(f"{job.part}/{job.pair.name}", "duplicate", f"{seen[job.name].pair.person} has the same name"))
        seen.setdefault(job.name, job)
    return jobs, dropped


def check_kind(request: PairsRequest, part: str) -> None:
    data = recognise(request.origin, part)
    if all(section.layout is DRESS_CODE for section in data.sections) != (request.source == "dresscode"):
        other = "dresscode" if request.source == "viton-hd" else "viton-hd"
        raise ScdError(f"{request.origin} is not in the layout of {request.source}", f"try scd prepare-data {other}")
