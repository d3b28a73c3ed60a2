"""The bundle: a folder with bundle.json, ONNX graphs and their shared weights. Written by export, run by animate and tryon."""

import hashlib
import json
import os
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Literal

from engines.core.errors import ScdError
from engines.core.recipe import parse
from engines.core.schedule import NoiseSchedule
from engines.core.sites import Site

SCHEMA_VERSION = 1
FACTS = "bundle.json"
FLAVOURS = ("ort-cpu", "ort-cuda", "trt", "trt-rtx")  # what graphs are made for; every bundle has the first
GRAPHS = ("encoder", "pose", "reference", "target", "decoder")
DEFAULT_MODEL = "mini"
DEFAULT_TRYON_MODEL = "mini-tryon"
Task = Literal["animate", "tryon"]
SHIPPED = Path(__file__).parents[1] / "bundles"


@dataclass(frozen=True, slots=True, kw_only=True)
class LatentSpec:
    """`scaling_factor` 1.0: the whitening is folded into encoder and decoder."""

    channels: int
    downscale: int
    scaling_factor: float


@dataclass(frozen=True, slots=True, kw_only=True)
class WindowSpec:
    """Frames a target graph takes at once (`min`..`max`), and the window and overlap it was made for."""

    min: int
    max: int
    default: int
    overlap: int


@dataclass(frozen=True, slots=True, kw_only=True)
class SamplingSpec:
    """Recommended DDIM steps and guidance scale, and the share of the initial noise's variance that all frames have in common.

    `distilled`: the model was taught to do with few steps (latent consistency), so that the sampler "lcm" means something. `strength`: as
    engines.core.specs.Sampling has it.
    """

    steps: int
    guidance: float
    shared_noise: float
    distilled: bool = False
    strength: float = 1.0


@dataclass(frozen=True, slots=True, kw_only=True)
class SiteSpec:
    name: str
    tokens: int
    channels: int


@dataclass(frozen=True, slots=True, kw_only=True)
class BundleFacts:
    """bundle.json. `files`: sha256 of every other file; `parity`: measured errors of each graph against torch.

    `graphs` are those of `flavour` ort-cpu, `flavours` has the same graphs made for others, by flavour and name. `task` is the command
    that the model was trained for. `laid`: a try-on model that was shown garments upon who will wear them (engines.pose.laid).
    """

    schema_version: int
    name: str
    kind: Literal["scd-i", "scd-v"]
    flavour: str
    size: tuple[int, int]
    latents: LatentSpec
    window: WindowSpec
    schedule: NoiseSchedule
    sampling: SamplingSpec
    sites: tuple[SiteSpec, ...]
    graphs: dict[str, Any]
    files: dict[str, Any]
    parity: dict[str, Any]
    provenance: dict[str, Any]
    licence: str
    flavours: dict[str, Any] = field(default_factory=dict)
    task: Task = "animate"
    laid: bool = False


@dataclass(frozen=True, slots=True)
class Bundle:
    """A verified bundle on disk."""

    folder: Path
    facts: BundleFacts

    def graph_path(self, name: str, flavour: str = FLAVOURS[0]) -> Path:
        return self.folder / str(self.graphs(flavour)[name]["file"])

    def graphs(self, flavour: str) -> dict[str, Any]:
        """What bundle.json says of each graph of a flavour. ScdError when the bundle was made without it."""
        if flavour == self.facts.flavour:
            return self.facts.graphs
        if flavour not in self.facts.flavours:
            have = ", ".join([self.facts.flavour, *self.facts.flavours])
            raise ScdError(f"the bundle {self.folder} was made for {have}, not for {flavour}", f"export it with --flavour {flavour}")
        return dict(self.facts.flavours[flavour])

    @property
    def sites(self) -> tuple[Site, ...]:
        return tuple(Site(s.name, s.tokens, s.channels) for s in self.facts.sites)


def resolve_model(model: str) -> Path:
    """The folder of a model: a shipped one by name, or a path."""
    shipped = SHIPPED / model
    if (shipped / FACTS).is_file():
        return shipped
    path = Path(model)
    if (path / FACTS).is_file():
        return path
    known = ", ".join(sorted(p.parent.name for p in SHIPPED.glob(f"*/{FACTS}"))) or "none"
    if path.exists():
        raise ScdError(f"{model} is not a bundle (no {FACTS} in it)", "make one with scd export")
    raise ScdError(f"there is no model {model}", f"give --model a folder made by scd export or one of: {known}")


def sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def graph_file(facts: BundleFacts, name: str) -> str | None:
    graph = facts.graphs.get(name)
    file = graph.get("file") if isinstance(graph, dict) else None
    return file if isinstance(file, str) else None


def check_facts(facts: BundleFacts) -> None:
    """ValueError when numbers that parsed one by one cannot stand together."""
    window, latents, schedule = facts.window, facts.latents, facts.schedule
    if not 1 <= window.min <= window.default <= window.max or not 0 <= window.overlap < window.default:
        raise ValueError("window needs 1 <= min <= default <= max and 0 <= overlap < default")
    if latents.downscale < 1 or any(side < 1 or side % latents.downscale for side in facts.size):
        raise ValueError(f"the size {facts.size} is no multiple of latents.downscale {latents.downscale}")
    if schedule.zero_terminal_snr and schedule.prediction_type == "epsilon":
        raise ValueError("a schedule that ends in pure noise cannot predict epsilon")
    if not 1 <= facts.sampling.steps <= schedule.train_timesteps:
        raise ValueError("sampling.steps must lie in 1 .. schedule.train_timesteps")
    if not 0 <= facts.sampling.shared_noise <= 1:
        raise ValueError("sampling.shared_noise must lie in 0 .. 1")
    if not 0 < facts.sampling.strength <= 1 or (facts.sampling.strength < 1 and not facts.laid):
        raise ValueError("sampling.strength must lie above 0 and be 1 at most, and 1 where garments are not laid")
    for name in facts.files:
        if Path(name).name != name:
            raise ValueError(f"the file {name} would lie outside the folder")


def read_bundle(folder: Path) -> Bundle:
    """Read and verify: schema version, graphs, and the sha256 of every file. ScdError says what is wrong."""
    path = folder / FACTS
    again = "export it again with scd export, or install scd-cli again if it is the shipped one"
    try:
        data = json.loads(path.read_text())
    except (OSError, UnicodeDecodeError, json.JSONDecodeError) as error:
        raise ScdError(f"{path} cannot be read ({error})", again) from error
    version = data.get("schema_version") if isinstance(data, dict) else None
    if version != SCHEMA_VERSION:
        raise ScdError(f"{path} has schema version {version} but this scd reads version {SCHEMA_VERSION}", again)
    facts = parse(BundleFacts, data, str(path))
    try:
        check_facts(facts)
    except ValueError as error:
        raise ScdError(f"{path} contradicts itself: {error}", again) from error
    for name in GRAPHS:
        file = graph_file(facts, name)
        if file is None or not (folder / file).is_file():
            raise ScdError(f"the bundle {folder} lacks its {name} graph", again)
        if file not in facts.files:
            raise ScdError(f"{path} gives no sha256 of {file}", again)
    for name, wanted in facts.files.items():
        if not (folder / name).is_file():
            raise ScdError(f"the bundle {folder} lacks the file {name}", again)
        if sha256(folder / name) != wanted:
            raise ScdError(f"{folder / name} is damaged (its sha256 is not the one in {FACTS})", again)
    return Bundle(folder, facts)


def write_facts(folder: Path, facts: Mapping[str, Any]) -> None:
    """Write bundle.json, with the sha256 of the files that lie beside it, after checking that it reads back."""
    files = {p.name: sha256(p) for p in sorted(folder.iterdir()) if p.is_file() and p.name != FACTS}
    parsed = parse(BundleFacts, {**facts, "files": files}, FACTS)
    temporary = folder / f".{FACTS}"
    temporary.write_text(json.dumps(asdict(parsed), indent=1) + "\n")
    os.replace(temporary, folder / FACTS)
