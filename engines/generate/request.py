"""What `scd animate` is asked for, what it tells of the result, and what can be refused without opening a file."""

from dataclasses import asdict, dataclass, field
from fractions import Fraction
from pathlib import Path
from typing import Any, Literal

from engines.core.errors import UsageError
from engines.core.samplers import SAMPLERS
from engines.media.encoding import Encoding, check_encoding
from engines.media.output import check_output
from engines.pose.drivers import Kind
from engines.pose.retarget import Align

MAX_SIDE = 8192
NO_POSE = Path("none")  # as --ref-pose: neither look for the reference's pose nor detect it


@dataclass(frozen=True, kw_only=True)
class AnimateRequest:
    """What the user asked for; None leaves a choice to the model or the driver.

    `frames` is a range of driver frames, end excluded; `start` and `end` are seconds of the driver. `sampler` to `reuse` are Settings of
    engines.generate.denoise; `providers` as in engines.generate.backends.choose. `person` counts from 1, the largest steady one.
    `smooth` is the window of the Savitzky-Golay filter in frames, 0 for none. `pose_model` are the files of a person detector and of a
    133-point pose network. `grid`, `preview`, `align_picture` and `composite` as in `scd animate --help`.
    """

    reference: Path
    poses: Path
    output: Path
    model: str
    steps: int | None = None
    guidance: float | None = None
    seed: int = 0
    sampler: str = "ddim"
    guidance_until: float = 1.0
    guidance_passes: Literal[1, 2] = 1
    reuse: int = 1
    frames: tuple[int | None, int | None] = (None, None)
    start: Fraction | None = None
    end: Fraction | None = None
    fps: Fraction | None = None
    size: tuple[int, int] | None = None
    providers: tuple[str, ...] = ()
    ref_pose: Path | None = None
    driver_kind: Kind | None = None
    person: int | None = None
    smooth: int | None = None
    align: Align | None = None
    pose_model: tuple[Path, Path] | None = None
    mute: bool = False
    encoding: Encoding = field(default_factory=Encoding)
    grid: bool = False
    preview: bool = False
    align_picture: bool = False
    composite: bool = False
    overwrite: bool = False

    @property
    def preview_path(self) -> Path:
        return self.output.with_name(f"{self.output.stem}.preview.png")

    @property
    def align_path(self) -> Path:
        return self.output.with_name(f"{self.output.stem}.align.png")

    @property
    def outputs(self) -> list[Path]:
        """The clip, and the pictures beside it."""
        return [self.output] + [self.preview_path] * self.preview + [self.align_path] * self.align_picture


@dataclass
class AnimateSummary:
    """What was made, for people and for --json. `seconds` by stage; `inputs` are sha256 by path; `resumed` are the runs of the target
    graph that an interrupted run had made already."""

    output: str
    frames: int
    fps: str
    size: tuple[int, int]
    model: str
    steps: int
    guidance: float
    seed: int
    sampler: str
    guidance_until: float
    guidance_passes: int
    reuse: int
    driver_kind: str
    reference_pose: str
    align: str
    sound: bool
    backend: str
    device: str
    inputs: dict[str, str]
    resumed: int = 0
    seconds: dict[str, float] = field(default_factory=dict)

    def to_json(self) -> dict[str, Any]:
        return asdict(self)


def check_numbers(request: AnimateRequest) -> None:
    if request.steps is not None and not 1 <= request.steps <= 1000:
        raise UsageError(f"--steps {request.steps} is not possible", "use 1 to 1000")
    if request.size is not None and not all(16 <= side <= MAX_SIDE for side in request.size):
        raise UsageError(f"--size {request.size[0]}x{request.size[1]} is not possible", f"use 16 to {MAX_SIDE} pixels a side")
    if request.fps is not None and not 0 < request.fps <= 240:
        raise UsageError(f"--fps {request.fps} is not possible", "use a rate above 0 and up to 240")
    if request.guidance is not None and not 0 <= request.guidance <= 30:
        raise UsageError(f"--guidance {request.guidance} is not possible", "use 0 to 30")
    if not 0 <= request.guidance_until <= 1:
        raise UsageError(f"--guidance-until {request.guidance_until} is not possible", "use a share of the steps, 0 to 1")
    if request.guidance_passes not in (1, 2) or request.reuse < 1:
        raise UsageError("--guidance-passes must be 1 or 2, and --reuse at least 1", "leave them out for the exact, fastest way")
    if request.sampler not in SAMPLERS:
        raise UsageError(f"there is no sampler {request.sampler}", f"use --sampler with one of: {', '.join(SAMPLERS)}")
    check_choice_of_frames(request)
    check_poses(request)


def check_choice_of_frames(request: AnimateRequest) -> None:
    if request.frames != (None, None) and (request.start is not None or request.end is not None):
        raise UsageError("--frames and --start or --end both choose what of the driver to use", "use one of them")
    first, last = request.start or Fraction(0), request.end
    if first < 0 or (last is not None and last <= first):
        raise UsageError(
            f"--start {float(first):g} --end {float(last or 0):g} holds no frame", "the end must be above the start, both in seconds"
        )


def check_poses(request: AnimateRequest) -> None:
    if request.person is not None and request.person < 1:
        raise UsageError(f"--person {request.person} is not possible", "count from 1, the largest steady one")
    if request.smooth and not (1 <= request.smooth <= 99 and request.smooth % 2):
        raise UsageError(f"--smooth {request.smooth} is not possible", "use 0 (off) or an odd number of frames up to 99")


def check_paths(request: AnimateRequest) -> None:
    """The outputs can be written, and are none of the inputs (--overwrite would destroy it)."""
    check_encoding(request.output, request.encoding)
    for path in (request.reference, request.poses, request.ref_pose):
        for output in request.outputs:
            if path is not None and path.exists() and output.exists() and path.samefile(output):
                raise UsageError(f"the output {output} is also an input", "name another with -o")
    check_output(request.output, request.overwrite)
    for beside in request.outputs[1:]:
        check_output(beside, True)
