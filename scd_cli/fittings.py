"""Many try-ons from the command line: the pairs of a data set, or the lines of a job list; and what options ask for, of one or many."""

from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from engines.core.errors import ScdError, UsageError
from scd_cli.pipes import STREAM
from scd_cli.values import given

if TYPE_CHECKING:
    from engines.core.pairs import Pair
    from engines.generate.batch import Job, Request, Work
    from engines.generate.tryon_request import MaskWish, TryonRequest

AS_THEY_ARE = ("samples", "seed", "steps", "guidance", "providers", "mask_out")
MASKS_OF_LISTS = "-masks"  # after the name of a list's folder: results and masks stay apart, as scd evaluate wants both
OPENPOSE = "_keypoints"  # how OpenPose ends the names of its files
FOR_ONE = {"mask_only": "--mask-only", "then_animate": "--then-animate"}
FOR_SETS = {"pairs": "--pairs", "root": "--root", "part": "--part"}


def request_of(asked: Mapping[str, Any], person: Path, garment: Path, output: Path) -> "TryonRequest":
    """What the options of a command line, or of a line of a list, ask for."""
    from engines.core.bundle import DEFAULT_TRYON_MODEL
    from engines.generate.tryon_request import TryonRequest

    options = given(**{name: asked[name] for name in AS_THEY_ARE}, sampler=asked["sampler"] and str(asked["sampler"]))
    return TryonRequest(
        person=person, garment=garment, output=output, model=asked["model"] or DEFAULT_TRYON_MODEL, mask=mask_wish(asked),
        overwrite=asked["overwrite"], **options,
    )  # fmt: skip


def mask_wish(asked: Mapping[str, Any]) -> "MaskWish":
    """UsageError where two options say where to repaint."""
    from engines.generate.tryon_request import MaskWish

    if asked["mask"] and asked["parse"]:
        raise UsageError("--mask and --parse both say where to repaint", "use one of them")
    names = {name: asked[name] and str(asked[name]) for name in ("category", "parse_labels")}
    options = given(
        **names, file=asked["mask"], parse=asked["parse"], keypoints=asked["keypoints"], grow=asked["mask_grow"],
        style=asked["mask_style"] and str(asked["mask_style"]),
    )  # fmt: skip
    return MaskWish(invert=asked["invert_mask"], **options)


def default_picture(person: Path, garment: Path) -> Path:
    """Where a picture goes without -o: the working directory, named after both inputs. From a pipe comes a person without a name."""
    return Path(f"{'stdin' if person == STREAM else person.stem}-{garment.stem}.png")


def is_list(asked: Mapping[str, Any]) -> bool:
    """Whether the options ask for more than one pair."""
    return any(asked[name] is not None for name in ("jobs", "pairs", "root"))


def check_list(asked: Mapping[str, Any]) -> None:
    """UsageError for options that do not go together. Nothing heavy is imported before this is said."""
    sets = [flag for name, flag in FOR_SETS.items() if asked[name] is not None]
    if asked["person"] or asked["garment"]:
        raise UsageError(f"{'--jobs' if asked['jobs'] else sets[0]} brings its own pictures", "leave PERSON and GARMENT out")
    if asked["jobs"] and sets:
        raise UsageError(f"--jobs and {sets[0]} both name a list", "use one of them")
    if asked["jobs"] and asked["paired"] is not None:
        raise UsageError("--paired and --unpaired are for --pairs and --root", "name persons and garments in the job list")
    if asked["jobs"] and asked["mask_out"]:
        raise UsageError("--mask-out names one file for all jobs", "make it a column of the job list")
    if asked["pairs"] and not asked["root"]:
        raise UsageError("--pairs needs the data set that its names are of", "add --root DIR")
    for name, flag in FOR_ONE.items():
        if asked[name]:
            raise UsageError(f"{flag} is for one pair", "name PERSON and GARMENT instead of a list")
    if asked["root"] and not asked["out"] and not asked["dry_run"]:
        raise UsageError("the pairs of a data set need a folder for their results", "name one with -o")


def batch(asked: Mapping[str, Any], command: Callable[..., None]) -> None:
    """Do a list, or with --dry-run say what it would take. `asked`: the command's options by name; `command`: the function that has them.
    Exit 3 where some jobs failed, or would."""
    check_list(asked)
    from engines.generate.tryon import tryon as work

    found = listed(asked, command, work) if asked["jobs"] else paired(asked, work)
    if asked["dry_run"]:
        return tell(found, asked["as_json"])
    if found.problems:
        raise found.refusal()
    from engines.generate.batch import check_jobs, together
    from scd_cli.console import Console
    from scd_cli.jobs import do_jobs

    for note in found.notes:
        Console().note(note)
    check_jobs(found.jobs)
    for folder in found.folders:
        folder.mkdir(parents=True, exist_ok=True)
    do_jobs(together(found.jobs, garment_of), asked)


def garment_of(request: "Request") -> Any:
    """What the networks read once and keep (see engines.generate.studio)."""
    return getattr(request, "garment", None)


@dataclass
class Fittings:
    """The jobs of a list, the folders that they need, what is wrong with the list itself, and what people should know."""

    jobs: "list[Job]"
    folders: list[Path] = field(default_factory=list)
    problems: list[ScdError] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)

    def refusal(self) -> ScdError:
        first, more = self.problems[0], len(self.problems) - 1
        return ScdError(first.message + (f" (and {more} more are wrong; --dry-run lists them)" if more else ""), first.hint)


def listed(asked: Mapping[str, Any], command: Callable[..., None], work: "Work") -> Fittings:
    """The lines of --jobs."""
    from scd_cli.jobs import Columns, Kind, listed_jobs, output_folder

    folder = output_folder(asked["out"])
    kind = Kind(command, Columns(("person", "garment")), request_of_line, work)
    return Fittings(listed_jobs(asked, kind, folder), [folder])


def request_of_line(asked: Mapping[str, Any]) -> "TryonRequest":
    """`asked` holds the options of a line and the `folder` of results without a place."""
    person, garment = asked["person"], asked["garment"]
    return request_of(asked, person, garment, asked["out"] or asked["folder"] / default_picture(person, garment))


def paired(asked: Mapping[str, Any], work: "Work") -> Fittings:
    """The pairs of a data set, each with the mask that it has or the options name."""
    from engines.core.pairs import look_for_pairs
    from engines.generate.batch import Job
    from scd_cli.jobs import output_folder

    out = output_folder(asked["out"] or Path("out"))  # without -o there is nothing but a look ahead
    masks = asked["mask_out"] or out.with_name(out.name + MASKS_OF_LISTS)
    found = look_for_pairs(asked["root"], asked["part"] and str(asked["part"]), asked["pairs"], asked["paired"])
    fittings = Fittings([], problems=found.problems, notes=found.notes)
    finders = [Beside(asked[name], name) for name in ("mask", "parse", "keypoints") if asked[name]]
    for number, pair in enumerate(found.pairs, 1):
        try:
            own = own_options(pair, asked, finders) | {"mask_out": masks / f"{pair.name}.png"}
        except ScdError as error:
            fittings.problems.append(error)
            continue
        request = request_of({**asked, **own}, pair.person, pair.garment, out / f"{pair.name}.png")
        fittings.jobs.append(Job(number, request, work=work))
    made = [folder for job in fittings.jobs if job.request for folder in (job.request.output.parent, masks_folder(job.request))]
    fittings.folders = list(dict.fromkeys(made))
    return fittings


def masks_folder(request: Any) -> Path:
    return Path(request.mask_path.parent)


def own_options(pair: "Pair", asked: Mapping[str, Any], finders: "Sequence[Beside]") -> dict[str, Any]:
    """A pair's category, and where its mask comes from: files of the folders that were named; else the data set's mask, unless a style was
    asked for; else its parse map; else its keypoints; else the picture. OpenPose's keypoints also go with a mask or map: they show the
    pose, which would otherwise be detected."""
    own: dict[str, Any] = dict.fromkeys(("mask", "parse", "keypoints"))
    own["category"] = asked["category"] or pair.category
    if finders:
        return own | {finder.option: finder.find(pair.person) for finder in finders}
    if pair.keypoints and pair.keypoints.stem.endswith(OPENPOSE):
        own["keypoints"] = pair.keypoints
    if pair.mask and not asked["mask_style"]:
        return own | {"mask": pair.mask}
    if pair.parse:
        return own | {"parse": pair.parse, "parse_labels": asked["parse_labels"] or pair.labels}
    return own | {"keypoints": pair.keypoints}


class Beside:
    """The folder that an option names for the people of a list, with a file for each."""

    def __init__(self, folder: Path, option: str) -> None:
        from engines.core.pair_layouts import KEYPOINTS, LABELS, MASKS, PARSES, PICTURES, POINTS, VITON_HD, Section, places

        if not folder.is_dir():
            raise UsageError(f"--{option} {folder} is no folder, but there are many pairs", "name a folder with a file for each person")
        self.folder, self.option = folder, option
        names, self.endings = {"mask": (MASKS, PICTURES), "parse": (PARSES, LABELS), "keypoints": (KEYPOINTS, POINTS)}[option]
        self.section, self.places = Section(folder.absolute(), VITON_HD), places((".",), names)

    def find(self, person: Path) -> Path:
        """The file for a person, called like their picture. ScdError where there is none."""
        found = self.section.beside(person.stem, self.places, self.endings)
        if found is None:
            raise ScdError(f"--{self.option} {self.folder} has no file for {person.name}", f"add {person.stem}{self.endings[0]}")
        return found


def tell(found: Fittings, as_json: bool) -> None:
    """What a list would take, on stdout; Exit 3 where something is missing."""
    from typer import Exit

    from scd_cli.console import Console, result
    from scd_cli.jobs import PART_FAILED

    for note in found.notes:
        Console().note(note)
    outlook = outlook_of(found)
    result(outlook, as_json, "\n".join(lines_of(outlook)))
    if outlook["missing"]:
        raise Exit(PART_FAILED)


def outlook_of(found: Fittings) -> dict[str, Any]:
    """How many pairs there are, of which categories, with masks from where, how many results are there, and all that is missing."""
    requests: list[Any] = [job.request for job in found.jobs if job.request is not None]
    missing = [str(problem) for problem in found.problems]
    missing += [f"job {job.number}: {job.error}" for job in found.jobs if job.request is None]
    missing += [f"{request.output}: {path} does not exist" for request in requests for path in request.inputs if not path.exists()]
    return {
        "pairs": len(requests),
        "garments": len({request.garment for request in requests}),
        "categories": counted(request.mask.category for request in requests),
        "masks": counted(source(request.mask) for request in requests),
        "there already": sum(request.output.exists() for request in requests),
        "missing": missing,
    }


def lines_of(outlook: Mapping[str, Any]) -> list[str]:
    """For people: counts in a line each, and then what is missing."""
    counts = {name: ", ".join(f"{n} {what}" for what, n in v.items()) if isinstance(v, dict) else v for name, v in outlook.items()}
    missing = outlook["missing"]
    return [f"{name}: {value}" for name, value in (counts | {"missing": len(missing)}).items()] + [f"  {what}" for what in missing]


def counted(names: Iterable[str]) -> dict[str, int]:
    return dict(Counter(names).most_common())


def source(wish: "MaskWish") -> str:
    """Where a mask comes from, in a word."""
    sources = {"mask files": wish.file, "parse maps": wish.parse, "keypoints": wish.keypoints}
    return next((name for name, path in sources.items() if path), "detected poses")
