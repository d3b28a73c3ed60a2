"""What `scd prepare-data` is asked to make of films, what a recording is, and why one was dropped."""

from dataclasses import asdict, dataclass, field
from fractions import Fraction
from pathlib import Path
from typing import Any, Literal

from engines.core.errors import UsageError
from engines.prepare.checks import check_least, check_size

Format = Literal["clips", "webdataset"]


@dataclass(frozen=True, kw_only=True)
class Limits:
    """What a clip must have: `seconds` it lasts, the `height` of the person in the source's pixels (median), at most so many `people`,
    so many of the 17 body `joints` seen (median), a `sharpness` (see filters.sharpness), and a `motion` in the person's sizes a second."""

    seconds: Fraction
    height: int
    people: int
    joints: int
    sharpness: float
    motion: float


@dataclass(frozen=True, kw_only=True)
class FootageRequest:
    """`origin` is the folder (or JSON) of the data set, `out` of the one to write. `size` (width, height) of the pictures; `fps` the most
    frames a second that are kept; `source_fps` the rate of folders of frames, which do not say theirs. Shares are of the identities.
    `ray`: the address of a cluster on which `workers` recordings are done at a time, and where the paths mean the same."""

    source: str
    origin: Path
    out: Path
    size: tuple[int, int]
    fps: Fraction
    source_fps: Fraction
    limits: Limits
    split_seed: int
    val_share: float
    test_share: float
    test_list: Path | None = None
    workers: int = 1
    ray: str | None = None
    pose_model: tuple[Path, Path] | None = None
    format: Format = "clips"
    dry_run: bool = False


@dataclass(frozen=True)
class Recording:
    """One film, or one folder of frames (`frames`, in order, at `fps`), before it is looked into.

    `name` is its path inside the data set, unique in it; `identity` who is seen, as far as the layout tells; `split` where the layout has
    one of its own; `keypoints` a file or folder that takes the place of detection.
    """

    name: str
    path: Path
    identity: str
    split: str | None = None
    frames: tuple[Path, ...] = ()
    fps: Fraction | None = None
    keypoints: Path | None = None


@dataclass(frozen=True)
class Dropped:
    """Something that did not become a clip: `reason` is one of a few words to count by, `detail` a sentence, `span` its seconds."""

    source: str
    reason: str
    detail: str
    span: tuple[float, float] | None = None

    def record(self) -> dict[str, Any]:
        return {**asdict(self), "span": list(self.span) if self.span else None}


@dataclass
class Listing:
    """What a layout holds, in the order of names, and what of it is no use."""

    recordings: list[Recording] = field(default_factory=list)
    dropped: list[Dropped] = field(default_factory=list)


def check_request(request: FootageRequest) -> None:
    """UsageError when a number makes no sense or the output lies inside of the data set."""
    check_size(request.size)
    if request.val_share < 0 or request.test_share < 0 or request.val_share + request.test_share >= 1:
        shares = f"{request.val_share:g} and {request.test_share:g}"
        raise UsageError(f"--val-share and --test-share are {shares}, but both must be at least 0 and leave a part to train on")
    check_least((
        ("workers", request.workers, 1), ("max-people", request.limits.people, 1), ("min-height", request.limits.height, 0),
        ("min-seconds", request.limits.seconds, 0), ("min-joints", request.limits.joints, 1),
        ("min-sharpness", request.limits.sharpness, 0), ("min-motion", request.limits.motion, 0),
    ))  # fmt: skip
    check_places(request.origin, request.out)


def check_places(origin: Path, out: Path) -> None:
    """UsageError where the output would lie in the data set, which is never written to."""
    if out.absolute().is_relative_to(origin.absolute()):
        raise UsageError(f"--out {out} lies inside of --from {origin}", "name a folder elsewhere with --out")


def arguments(request: FootageRequest) -> dict[str, Any]:
    """What decides the bytes of a clip; shares and seed of the split decide only where it is listed."""
    limits = {name: float(value) for name, value in asdict(request.limits).items()}
    pose = [path.name for path in request.pose_model] if request.pose_model else None
    return {
        "source": request.source, "size": list(request.size), "fps": str(request.fps), "source_fps": str(request.source_fps),
        "limits": limits, "pose_model": pose,
    }  # fmt: skip
