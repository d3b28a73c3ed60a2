"""What an evaluation compares: a video as numbered pictures or as a film, and what lies in a folder that may hold some."""

import os
import re
import stat
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from fractions import Fraction
from pathlib import Path

from engines.core.errors import ScdError
from engines.media.video import probe
from engines.pose.files import natural

PICTURES = {".png": "PNG", ".jpg": "JPEG", ".jpeg": "JPEG", ".webp": "WebP", ".bmp": "BMP", ".tif": "TIFF", ".tiff": "TIFF"}
FILMS = (".mp4", ".m4v", ".mov", ".mkv", ".webm", ".avi", ".gif", ".mpg", ".mpeg", ".wmv")
LITTER = ("thumbs.db", "desktop.ini", "__macosx", "@eadir")  # what systems leave in folders, beside hidden files
NUMBER = re.compile(r"[0-9]+")
NAMED = 3  # names that a message shows


@dataclass(frozen=True, slots=True)
class Video:
    """Either `pictures`, one file for each of `numbers` in rising order, or a `film` whose frames have the numbers 0 .. n - 1.

    `id` is the name that prediction and truth share. `fps` in frames a second, None where nothing tells it.
    """

    id: str
    numbers: tuple[int, ...]
    pictures: tuple[Path, ...] | None
    film: Path | None
    fps: Fraction | None

    @property
    def files(self) -> tuple[Path, ...]:
        return self.pictures or tuple(p for p in (self.film,) if p)

    @property
    def path(self) -> Path:
        """What a message calls the video: its film, its only picture, or the folder of its pictures."""
        return self.files[0] if len(self.files) == 1 else self.files[0].parent

    def file_of(self, index: int) -> str:
        """What a message calls the frame at a position."""
        return f"{self.film} frame {index}" if self.film else str(self.files[index])


@dataclass(slots=True)
class Found:
    """The videos of one side by id, in natural order, and the layout that they lie in.

    `path` was searched, `what` names its role in messages, as "the truth". By id where the layout has them: `references` (pictures),
    `keypoints` (.npz), `labels` (folders of label pictures).
    """

    path: Path
    what: str
    videos: dict[str, Video] = field(default_factory=dict)
    layout: str = ""
    warnings: list[str] = field(default_factory=list)
    references: dict[str, Path] = field(default_factory=dict)
    keypoints: dict[str, Path] = field(default_factory=dict)
    labels: dict[str, Path] = field(default_factory=dict)
    others: list[Path] = field(default_factory=list)  # what is no part of the layout

    def add(self, video: Video) -> None:
        """ScdError when another video has the id."""
        if video.id in self.videos:
            message = f"{self.what} has two videos called {video.id}, {self.videos[video.id].files[0]} and {video.files[0]}"
            raise ScdError(message, "rename or remove one")
        self.videos[video.id] = video


@dataclass(slots=True)
class Contents:
    """What a folder holds, each in natural order; hidden files and what systems leave behind do not count."""

    path: Path
    films: list[Path] = field(default_factory=list)
    pictures: list[Path] = field(default_factory=list)
    folders: list[Path] = field(default_factory=list)
    others: list[Path] = field(default_factory=list)

    def names(self) -> set[str]:
        return {folder.name for folder in self.folders}


def few(items: Iterable[object]) -> str:
    """ "a, b, c and 7 more"."""
    texts = [str(item) for item in items]
    more = f" and {len(texts) - NAMED} more" if len(texts) > NAMED else ""
    return ", ".join(texts[:NAMED]) + more


def look(path: Path, what: str) -> Contents:
    """The contents of one folder; links are followed, and none of its folders is entered. ScdError for what cannot be read or is empty."""
    here = Contents(path)
    try:
        names = [name for name in os.listdir(path) if not name.startswith(".") and name.lower() not in LITTER]
    except OSError as error:
        raise ScdError(f"{what} {path} cannot be read ({error.strerror})", "check the path and its permissions") from error
    for item in sorted((path / name for name in names), key=natural):
        kind(item, here, what).append(item)
    return here


def kind(item: Path, here: Contents, what: str) -> list[Path]:
    """The list that a file or folder belongs to."""
    try:
        facts = item.stat()
    except OSError as error:
        raise ScdError(f"{what} {item} cannot be opened ({error.strerror})", "remove it, or mend what it links to") from error
    if stat.S_ISDIR(facts.st_mode):
        return here.folders
    ending = item.suffix.lower()
    if ending not in PICTURES and ending not in FILMS:
        return here.others
    if facts.st_size == 0:
        raise ScdError(f"{what} {item} is an empty file", "make it again, or remove it")
    return here.pictures if ending in PICTURES else here.films


def film_video(path: Path, what: str, id: str) -> Video:
    """ScdError for a film that cannot be read."""
    info = probe(path, what)
    return Video(id, tuple(range(info.frames)), None, path, info.fps)


def frames_video(pictures: Sequence[Path], what: str, id: str) -> Video:
    """The video of a folder's pictures, numbered by the last digits of their names; a single one without digits has the number 0.

    ScdError for a picture without a number among others, two with one number, two formats, and names of more than one video.
    """
    if len(pictures) == 1 and not NUMBER.search(pictures[0].stem):
        return Video(id, (0,), tuple(pictures), None, None)
    found = [(*split_name(picture, what), picture) for picture in pictures]
    starts = {start: picture.name for start, _, picture in found}
    if len(starts) > 1:
        message = f"{what} {pictures[0].parent} holds frames of more than one video, as {' and '.join(list(starts.values())[:2])}"
        raise ScdError(message, "put the frames of each video into a folder of their own")
    return by_number([(number, picture) for _, number, picture in found], what, id)


def split_name(picture: Path, what: str) -> tuple[str, int]:
    """What stands before the frame number in a picture's name, and the number."""
    numbers = list(NUMBER.finditer(picture.stem))
    if not numbers:
        raise ScdError(f"{what} {picture} has no frame number in its name", "name frames 0000.png, 0001.png and so on, or remove it")
    return picture.stem[: numbers[-1].start()], int(numbers[-1].group())


def by_number(found: Iterable[tuple[int, Path]], what: str, id: str) -> Video:
    """ScdError for two pictures with one number, and for two formats."""
    pictures: dict[int, Path] = {}
    formats: dict[str, Path] = {}
    for number, path in found:
        if number in pictures:
            message = f"{what} {path.parent} has two pictures with the number {number}, {pictures[number].name} and {path.name}"
            raise ScdError(message, "remove one, or put the frames of each video into a folder of their own")
        pictures[number] = path
        formats.setdefault(PICTURES[path.suffix.lower()], path)
    if len(formats) > 1:
        (one, first), (other, second) = list(formats.items())[:2]
        message = f"{what} {first.parent} mixes {one} and {other} in one video, {first.name} and {second.name}"
        raise ScdError(message, "save all its frames in one format")
    numbers = sorted(pictures)
    return Video(id, tuple(numbers), tuple(pictures[number] for number in numbers), None, None)
