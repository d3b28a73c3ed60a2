"""What `scd tryon` is asked for, and what it tells of the result."""

from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from engines.core.garments import Category, MaskStyle, ParseLabels


@dataclass(frozen=True, kw_only=True)
class MaskWish:
    """Where to repaint: a mask `file`; or a `parse` map in `parse_labels`; or found from `keypoints`, which are detected where None.

    `invert`: the file is black where to repaint. `style` as in engines.core.garments; `grow` in pixels of the picture, None for a share
    of the picture that fits the style.
    """

    category: Category = "upper"
    file: Path | None = None
    invert: bool = False
    parse: Path | None = None
    parse_labels: ParseLabels | None = None
    keypoints: Path | None = None
    style: MaskStyle = "limbs"
    grow: int | None = None


@dataclass(frozen=True, kw_only=True)
class TryonRequest:
    """What the user asked for; None leaves a choice to the model.

    `output` is a picture; with `samples` N > 1 the others are OUT-2.png ... OUT-N.png, each of its own seed. `mask_out`: where the mask
    that was used is written, None for OUT.mask.png beside the output. Settings as in engines.generate.denoise.
    """

    person: Path
    garment: Path
    output: Path
    model: str
    mask: MaskWish = field(default_factory=MaskWish)
    mask_out: Path | None = None
    samples: int = 1
    steps: int | None = None
    guidance: float | None = None
    seed: int = 0
    sampler: str = "ddim"
    providers: tuple[str, ...] = ()
    overwrite: bool = False

    @property
    def inputs(self) -> list[Path]:
        """The files that it reads, but for its model."""
        wish = self.mask
        return [path for path in (self.person, self.garment, wish.file, wish.parse, wish.keypoints) if path is not None]

    @property
    def outputs(self) -> list[Path]:
        """The pictures, one a sample."""
        more = [self.output.with_name(f"{self.output.stem}-{n}{self.output.suffix}") for n in range(2, self.samples + 1)]
        return [self.output, *more]

    @property
    def mask_path(self) -> Path:
        return self.mask_out or self.output.with_name(f"{self.output.stem}.mask.png")


@dataclass
class TryonSummary:
    """What was made, for people and for --json. `seconds` by stage; `inputs` are sha256 by path; `mask` says how it was found."""

    output: str
    outputs: list[str]
    mask_file: str
    mask: str
    mask_share: float
    category: str
    size: tuple[int, int]
    model: str
    steps: int
    guidance: float
    strength: float
    seed: int
    sampler: str
    backend: str
    device: str
    inputs: dict[str, str]
    seconds: dict[str, float] = field(default_factory=dict)

    def to_json(self) -> dict[str, Any]:
        return asdict(self)
