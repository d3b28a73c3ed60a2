"""Lists of pairs, a person and a garment a line, in every spelling that the data sets of try-on and their users have. stdlib only."""

import os
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from engines.core.errors import ScdError, UsageError
from engines.core.garments import Category, ParseLabels
from engines.core.pair_layouts import FOLDERS, LABELS, NAMES, PARTS, PICTURES, POINTS, DataSet, Section, recognise
from engines.core.report import NullReport, Report

COMMENT = re.compile(r"(^|\s)#.*")
COLUMNS = re.compile(r"[\s,;]+")
UNPAIRED, PAIRED = re.compile("unpair", re.I), re.compile("(^|_)paired", re.I)
SHAPE = "write PERSON GARMENT on each line, and upper, lower or dress as a third word where it matters"


@dataclass(frozen=True, kw_only=True)
class Pair:
    """Absolute paths of files that exist, None for what the data set does not have. `name` of the result, without ending: the person's,
    in DressCode after the folder of its category. `labels` are those of `parse`; `category` None where nothing says it."""

    person: Path
    garment: Path
    name: str
    mask: Path | None = None
    agnostic: Path | None = None
    keypoints: Path | None = None
    parse: Path | None = None
    labels: ParseLabels | None = None
    category: Category | None = None


@dataclass(frozen=True)
class Line:
    """What a line of a list says; `garment` None where the person's own is meant. `where`: list and number, for messages."""

    where: str
    person: str
    garment: str | None
    category: Category | None


@dataclass
class PairList:
    """What a data set and a list come to: the pairs, what is wrong with other lines, and what people should know."""

    pairs: list[Pair] = field(default_factory=list)
    problems: list[ScdError] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)


def read_pairs(root: Path, part: str | None, pairs: Path | None, paired: bool | None, report: Report | None = None) -> list[Pair]:
    """The pairs of a list over the data set at `root`, in the list's order; see look_for_pairs. ScdError for the first bad line."""
    found = look_for_pairs(root, part, pairs, paired)
    return sound(found, report or NullReport())


def sound(found: PairList, report: Report) -> list[Pair]:
    """The pairs of a list without bad lines. ScdError names the first of those, and how many more there are."""
    if found.problems:
        first, more = found.problems[0], len(found.problems) - 1
        raise ScdError(first.message + (f" (and {more} more lines are wrong)" if more else ""), first.hint)
    for note in found.notes:
        report.note(note)
    return found.pairs


def train_pairs(root: Path, report: Report | None = None) -> list[Pair]:
    """What to train on: everybody of the part train with the garment that they wear. Column 2 of a list is not read: it is shuffled."""
    return sound(look_for_pairs(root, "train", None, True), report or NullReport())


def look_for_pairs(root: Path, part: str | None, pairs: Path | None, paired: bool | None) -> PairList:
    """The pairs of a list, with what is wrong with its lines.

    `part` is train or test; None is the part that the list is named after, else test. `pairs` is a list, at its path or inside `root`;
    None is the data set's own list of the part, and without one everybody there with their own garment. `paired`: garments are the
    people's own, whatever the list says in column 2; False: they are column 2's; None: as the list is called, else column 2's.
    ScdError for what is no list, no data set that is known, or empty.
    """
    data = recognise(root, check_part(part, pairs))
    found = PairList()
    lists = own_lists(data, paired) if pairs is None else [named_list(pairs, data)]
    lines = [line for path in lists for line in read_list(path, paired, found)]
    if not lists:
        lines = everybody(data, paired, found)
    elif not lines and not found.problems:
        raise ScdError(f"the list {lists[0]} holds no pairs", SHAPE)
    taken: dict[str, str] = {}
    for line in lines:
        try:
            pair = resolved(line, data)
            if pair.name in taken:
                raise ScdError(f"{line.where} and {taken[pair.name]} both are about {pair.name}", "remove one, or give each its own list")
        except ScdError as error:
            found.problems.append(error)
            continue
        taken[pair.name] = line.where
        found.pairs.append(pair)
    return found


def check_part(part: str | None, pairs: Path | None) -> str:
    if part is not None and part not in PARTS:
        raise UsageError(f"there is no part {part}", f"use --part {' or '.join(PARTS)}")
    return part or ("train" if pairs is not None and pairs.name.lower().startswith("train") else "test")


def named_list(path: Path, data: DataSet) -> Path:
    """The list of a path, or of a name inside the data set. ScdError where there is none."""
    found = next((p for p in (path, *(folder / path for folder in data.lists)) if p.is_file()), None)
    if found is None:
        raise ScdError(f"the list of pairs {path} does not exist, nor is it in {data.root}", "name one with --pairs")
    return found


def own_lists(data: DataSet, paired: bool | None) -> list[Path]:
    """The data set's lists of a part: the one at its root, else those of DressCode's categories; none where it has none.

    Nor does `paired` need one in a set of scd prepare-data, whose lists leave out who has nobody to borrow from.
    """
    if paired and data.records:
        return []
    part = data.part
    neutral, own, others = (
        [f"{part}_pairs.txt"], [f"{part}_pairs_paired.txt", f"{part}_paired.txt"],
        [f"{part}_pairs_unpaired.txt", f"{part}_unpairs.txt", f"{part}_unpaired.txt"],
    )  # fmt: skip
    names = {True: [*own, *neutral, *others], False: [*others, *neutral], None: [*neutral, *others, *own]}[paired]
    for name in names:
        found = [folder / name for folder in data.lists if (folder / name).is_file()]
        if found:
            return found if found[0].parent.name in FOLDERS and data.root.name not in FOLDERS else found[:1]
    return []


def read_list(path: Path, paired: bool | None, found: PairList) -> list[Line]:
    """The lines of a list; bad ones become problems. ScdError where it is no text, or where it does not suit `paired`."""
    try:
        text = path.read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        why = getattr(error, "strerror", None) or "it is no UTF-8 text"
        raise ScdError(f"the list of pairs {path} cannot be read ({why})", "name another with --pairs") from error
    own = paired if paired is not None else bool(PAIRED.search(path.stem)) and not UNPAIRED.search(path.stem)
    if paired is None and not own and not UNPAIRED.search(path.stem):
        found.notes.append(f"{path.name} does not say whether it is paired: garments are its second column's (--paired: their own)")
    lines = []
    for number, text_of_line in enumerate(text.splitlines(), 1):
        words = [word for word in COLUMNS.split(COMMENT.sub("", text_of_line)) if word]
        try:
            lines += [line_of(words, f"{path} line {number}", own, FOLDERS.get(path.parent.name))] if words else []
        except ScdError as error:
            found.problems.append(error)
    if paired is False and lines and all(is_own(line) for line in lines):
        raise UsageError(f"the list {path} gives everybody their own garment", "use --paired, or name another list with --pairs")
    return lines


def line_of(words: Sequence[str], where: str, own: bool, category: Category | None) -> Line:
    """ScdError for a line with too few or too many words, and for a category that is none. Folders before the names do not count."""
    if len(words) > 3:
        raise ScdError(f"{where} has {len(words)} columns", SHAPE)
    if len(words) == 1 and not own:
        raise ScdError(f"{where} names no garment", "add one as the second column, or use --paired for the people's own")
    if len(words) == 3 and words[2].lower() not in NAMES:
        raise ScdError(f"{where} has the unknown category {words[2]}", f"use one of: {', '.join(NAMES)}")
    person, garment = (re.split(r"[/\\]", word)[-1] for word in (words[0], words[-1] if len(words) == 1 else words[1]))
    return Line(where, person, None if own else garment, NAMES[words[2].lower()] if len(words) == 3 else category)


def is_own(line: Line) -> bool:
    """Whether the garment is called like the person's own, in any layout."""
    person, garment = (os.path.splitext(name)[0] for name in (line.person, line.garment or line.person))
    return garment in (person, person.removesuffix("_0") + "_1")


def everybody(data: DataSet, paired: bool | None, found: PairList) -> list[Line]:
    """All people of the part in their own garments. ScdError where that is not what was asked for, or where nothing tells the part."""
    if paired is False:
        raise UsageError(f"the data set {data.root} has no list of pairs of its part {data.part}", "name one with --pairs, or use --paired")
    others = [path for part in PARTS if part != data.part for path in own_lists(DataSet(data.root, part, (), data.lists, {}), None)]
    if others and not data.parted:
        raise ScdError(f"the data set {data.root} lists {others[0].name} but nobody of its part {data.part}", "name a list with --pairs")
    lines = [Line(str(s.people.path / name), name, None, s.category) for s in data.sections for name in s.everybody()]
    if not lines:
        raise ScdError(f"the data set {data.root} has no pictures in {folders(s.people.path for s in data.sections)}", "fill it")
    if not data.records:
        found.notes.append(f"{data.root} has no list of its part {data.part}: all {len(lines)} people in their own garments")
    return lines


def folders(paths: Iterable[Path]) -> str:
    return ", ".join(str(path) for path in paths)


def resolved(line: Line, data: DataSet) -> Pair:
    """The files of a line. ScdError for pictures that are not there, or in several folders."""
    sections = [s for s in data.sections if None in (line.category, s.category) or s.category == line.category]
    if not sections:
        raise ScdError(f"{line.where} is about {line.category}, of which {data.root} has no folder", "correct the line, or --root")
    fits = [(section, person) for section in sections if (person := section.people.find(line.person, PICTURES))]
    if not fits:
        raise nowhere(line, "person", line.person, sections)
    if len(fits) > 1:
        raise ScdError(f"{line.where}: {line.person} is in {folders(p.parent for _, p in fits)}", "add upper, lower or dress to the line")
    section, person = fits[0]
    wanted = line.garment or section.layout.own_garment(person.stem)
    garment = section.garments.find(wanted, PICTURES)
    if garment is None:
        raise nowhere(line, "garment", wanted, [section])
    return pair_of(section, person, garment, line.category or section.category or data.records.get(person.stem))


def nowhere(line: Line, what: str, name: str, sections: Sequence[Section]) -> ScdError:
    """The error of a picture that is in none of the folders where it should be."""
    places = [section.people if what == "person" else section.garments for section in sections]
    looked = folders(f"{place.path} ({place.count()} pictures)" for place in places)  # type: ignore[misc]
    return ScdError(f"{line.where}: no picture of the {what} {name} in {looked}", "correct the line, or --root and --part")


def pair_of(section: Section, person: Path, garment: Path, category: Category | None) -> Pair:
    """With all that the data set has about the person."""
    layout = section.layout
    parse = section.beside(person.stem, layout.parses, LABELS)
    return Pair(
        person=person, garment=garment, name=section.prefix + person.stem, category=category, parse=parse,
        labels=layout.labels if parse else None,
        mask=section.beside(person.stem, layout.masks, PICTURES), agnostic=section.beside(person.stem, layout.agnostics, PICTURES),
        keypoints=section.beside(person.stem, layout.keypoints, POINTS),
    )  # fmt: skip
