"""Where data sets of try-on keep what belongs to a pair: VITON-HD, DressCode, and DressCode as FastFit packs it. stdlib only.

Sources of the names: VITON-HD's and DressCode's releases, and the folders that CatVTON, CAT-DM, IDM-VTON and FastFit add to them.
"""

import json
import os
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from engines.core.errors import ScdError, UsageError
from engines.core.garments import CATEGORIES, Category, ParseLabels

PICTURES = (".png", ".jpg", ".jpeg", ".webp", ".bmp", ".tif", ".tiff")
LABELS = (".png",)
POINTS = (".json", ".npz", ".npy")
PARTS = ("train", "test")
WORN, ALONE = "_0", "_1"  # endings of DressCode's pictures of somebody who wears the garment, and of the garment
FOLDERS: dict[str, Category] = {"upper_body": "upper", "lower_body": "lower", "dresses": "dress"}
NAMES: dict[str, Category] = {"0": "upper", "1": "lower", "2": "dress", **{c: c for c in CATEGORIES}, **FOLDERS}
RECORDS = "pairs.jsonl"  # in sets of scd prepare-data: a line a pair, with its category
Place = tuple[str, str]  # folder, and the name there without ending: {id} is the person's, {base} that without DressCode's `_0`
MASKS, PARSES, KEYPOINTS = ("{id}_mask", "{id}", "{base}"), ("{id}", "{base}_4"), ("{id}_keypoints", "{id}", "{base}_2")


def places(folders: Sequence[str], names: Sequence[str]) -> tuple[Place, ...]:
    return tuple((folder, name) for folder in folders for name in names)


@dataclass(frozen=True)
class Layout:
    """Folders of a data set by what they hold, the likelier first. `own`: endings that turn a person's name into their garment's."""

    name: str
    person: str
    garment: str
    own: tuple[str, str]
    masks: tuple[Place, ...]
    agnostics: tuple[Place, ...]
    keypoints: tuple[Place, ...] = ()
    parses: tuple[Place, ...] = ()
    labels: ParseLabels | None = None

    def own_garment(self, person: str) -> str:
        """The name of the garment that a person wears."""
        return person.removesuffix(self.own[0]) + self.own[1] if person.endswith(self.own[0]) else person


VITON_HD = Layout(
    "VITON-HD", "image", "cloth", ("", ""), places(("agnostic-mask", "agnostic_mask", "agnostic-mask-catvton"), MASKS[:2]),
    places(("agnostic-v3.2", "agnostic"), ("{id}",)), places(("openpose_json", "openpose-json"), KEYPOINTS[:1]),
    places(("image-parse-v3", "image-parse"), ("{id}",)), "lip",
)  # fmt: skip
DRESS_CODE = Layout(
    "DressCode", "images", "images", (WORN, ALONE), places(("agnostic_masks", "agnostic_mask", "mask"), ("{id}",)), (("agnostic", "{id}"),),
    (("keypoints", "{base}_2"),), (("label_maps", "{base}_4"),), "atr",
)  # fmt: skip
FAST_FIT = Layout("FastFit's DressCode", "person", "cloth", (WORN, ALONE), (("mask", "{id}"),), (("agnostic", "{id}"),))
KNOWN = (
    "known are VITON-HD (image/ and cloth/, or test/image/ and test/cloth/), DressCode (upper_body/images/, lower_body/images/, "
    "dresses/images/) and FastFit's DressCode (person/ and cloth/)"
)


@dataclass
class Folder:
    """The files of a folder, read once, by name and by name without ending; hidden ones do not count."""

    path: Path
    names: dict[str, Path] = field(default_factory=dict)
    stems: dict[str, list[Path]] = field(default_factory=dict)

    def find(self, name: str, endings: tuple[str, ...]) -> Path | None:
        """The file of a name with ending, without, or with another of `endings`. ScdError where several fit and none exactly."""
        if name in self.names:
            return self.names[name]
        stem, ending = os.path.splitext(name)
        alike = [p for p in self.stems.get(stem if ending.lower() in endings else name, ()) if p.suffix.lower() in endings]
        if len(alike) > 1:
            raise ScdError(f"{self.path} has both {alike[0].name} and {alike[1].name}", "remove one, or name it with its ending")
        return alike[0] if alike else None

    def count(self) -> int:
        """How many pictures it has."""
        return sum(path.suffix.lower() in PICTURES for path in self.names.values())


def folder_of(path: Path) -> Folder:
    """What a folder holds; nothing where there is none. ScdError where it may not be read."""
    folder = Folder(path)
    try:
        names = sorted(name for name in os.listdir(path) if not name.startswith("."))
    except (FileNotFoundError, NotADirectoryError):
        return folder
    except OSError as error:
        raise ScdError(f"the folder {path} cannot be read ({error.strerror})", "check its permissions") from error
    for name in names:
        folder.names[name] = path / name
        folder.stems.setdefault(os.path.splitext(name)[0], []).append(path / name)
    return folder


@dataclass(frozen=True)
class Section:
    """A folder with pairs in one layout: the whole part of a data set, or a category of DressCode. `prefix` begins names of results.

    Its folders are read once.
    """

    folder: Path
    layout: Layout
    category: Category | None = None
    prefix: str = ""
    seen: dict[Path, Folder] = field(default_factory=dict, compare=False)

    def inside(self, name: str | Path) -> Folder:
        """A folder in this one, or at an absolute path."""
        path = self.folder / name
        if path not in self.seen:
            self.seen[path] = folder_of(path)
        return self.seen[path]

    @property
    def people(self) -> Folder:
        return self.inside(self.layout.person)

    @property
    def garments(self) -> Folder:
        return self.inside(self.layout.garment)

    def everybody(self) -> list[str]:
        """The names of all pictures of people, with endings; of DressCode's those that end in `_0` where some do."""
        names = [name for name, path in self.people.names.items() if path.suffix.lower() in PICTURES]
        worn = [name for name in names if os.path.splitext(name)[0].endswith(WORN)]
        return worn if worn and self.layout.own[0] else names

    def beside(self, person: str, where: Iterable[Place], endings: tuple[str, ...]) -> Path | None:
        """The first of the places that has a file for a person, named without ending."""
        names = {"id": person, "base": person.removesuffix(WORN)}
        found = (self.inside(folder).find(name.format(**names), endings) for folder, name in where)
        return next((path for path in found if path is not None), None)


@dataclass(frozen=True)
class DataSet:
    """`sections` of one part; `lists`: the folders where its lists of pairs may lie; `records`: categories by id, from RECORDS."""

    root: Path
    part: str
    sections: tuple[Section, ...]
    lists: tuple[Path, ...]
    records: dict[str, Category]

    @property
    def parted(self) -> bool:
        """Whether train and test have folders of their own, and not only lists."""
        return any(section.folder.name == self.part for section in self.sections)


def has(folder: Path, layout: Layout) -> bool:
    return (folder / layout.person).is_dir() and (folder / layout.garment).is_dir()


def recognise(root: Path, part: str) -> DataSet:
    """The data set at `root`: its root, one of its parts, or one of DressCode's categories. ScdError where it is none that is known."""
    root = Path(os.path.abspath(root))
    if not root.is_dir():
        raise ScdError(f"the data set {root} " + ("is a file" if root.exists() else "does not exist"), "name its folder with --root")
    for layout in (VITON_HD, FAST_FIT):
        for folder in (root / part, root):
            if has(folder, layout):
                return one_section(root, folder, layout, part)
    if root.name in FOLDERS and has(root, DRESS_CODE):
        section = Section(root, DRESS_CODE, FOLDERS[root.name], f"{root.name}/")
        return DataSet(root, part, (section,), (root,), {})
    found = tuple(Section(root / name, DRESS_CODE, c, f"{name}/") for name, c in FOLDERS.items() if has(root / name, DRESS_CODE))
    if found:
        return DataSet(root, part, found, (root, *(section.folder for section in found)), {})
    other = next((p for p in PARTS if p != part and any(has(root / p, layout) for layout in (VITON_HD, FAST_FIT))), None)
    if other:
        raise ScdError(f"the data set {root} has no part {part}, only {other}", f"add --part {other}")
    raise ScdError(f"{root} is in no layout of try-on data sets that is known", KNOWN)


def one_section(root: Path, folder: Path, layout: Layout, part: str) -> DataSet:
    if folder == root and root.name in PARTS and root.name != part:
        raise UsageError(f"--root {root} is the part {root.name}, not {part}", f"leave --part out, or name {root.parent} with --root")
    above = (root.parent,) if folder == root and root.name in PARTS else ()
    lists = tuple(dict.fromkeys((root, folder, *above)))
    return DataSet(root, part, (Section(folder, layout),), lists, records(lists))


def records(folders: Iterable[Path]) -> dict[str, Category]:
    """Category by id of a set of scd prepare-data; nothing for other sets. ScdError names the line."""
    path = next((folder / RECORDS for folder in folders if (folder / RECORDS).is_file()), None)
    out: dict[str, Category] = {}
    for number, line in enumerate(path.read_text(encoding="utf-8").splitlines() if path else (), 1):
        try:
            record = json.loads(line)
            out[str(record["id"])] = NAMES[str(record["category"])]
        except (ValueError, KeyError, TypeError) as error:
            raise ScdError(f"{path} line {number} is no record of a pair", "make the data set again with scd prepare-data") from error
    return out
