"""What `scd evaluate` is asked for."""

from dataclasses import dataclass
from pathlib import Path

from engines.evaluate.protocols import DEFAULT


@dataclass(frozen=True, kw_only=True)
class EvaluateRequest:
    """What the user asked for.

    `pred`, `gt`: a video, or a folder in one of the layouts of engines.evaluate.layouts. `out`: the folder to write. `metrics` None: the
    protocol's. `reference`: a picture for all videos, or a folder of one a video. `poses`: the poses asked for, to be shown beside the
    results. `masks`: where the masked metrics count, white pixels, in the layout of `gt`. `split`: a list of the videos to judge.
    `weights_dir`: files of the learned networks. `require`: a metric that cannot be computed is an error. `real_floor`: also the truth
    against itself. `resize`: whose size frames of different sizes take, "truth" or "prediction", where the protocol has no size.
    `renumber`: pair frames by their order, not their numbers. `media`: for how many videos the report has clips.
    `pose_models`: ONNX files of a person detector and a whole-body pose network, None for BlazePose. `command`: what was typed.
    """

    pred: Path
    gt: Path
    out: Path
    overwrite: bool = False
    protocol: str = DEFAULT
    metrics: tuple[str, ...] | None = None
    reference: Path | None = None
    poses: Path | None = None
    masks: Path | None = None
    split: Path | None = None
    weights_dir: Path | None = None
    require: bool = False
    real_floor: bool = False
    resize: str | None = None
    renumber: bool = False
    media: int = 12
    pose_models: tuple[Path, Path] | None = None
    command: str = ""
