"""Finding the pictures of try-on: VITON-HD and DressCode trees and flat results, where every picture is a sample of its own."""

import os.path
from collections.abc import Sequence
from pathlib import Path

from engines.core.errors import ScdError
from engines.evaluate.videos import Contents, Found, Video, few, look

DRESS_CODE = {"dresses", "lower_body", "upper_body"}
MODEL = "_0"  # ending of DressCode's pictures of somebody who wears the garment that is alone in `_1`
KNOWN = (
    "known are: a folder of pictures, folders of pictures, VITON-HD (test/image/00006_00.jpg) "
    "and DressCode (dresses/images/020714_0.jpg and so on)"
)


def is_tryon(here: Contents) -> bool:
    """Whether a folder is the root of VITON-HD, one of its parts, or DressCode."""
    names = here.names()
    test = all(os.path.isdir(here.path / "test" / part) for part in ("image", "cloth"))
    return test or {"image", "cloth"} <= names or names >= DRESS_CODE


def find_pictures(here: Contents, found: Found) -> None:
    """Adds a video of one frame for each picture; its id is the name without ending, in folders `folder/name`.

    VITON-HD's root means test/image, its part means image. DressCode's pictures are those of people (`_0`), by name alone where the names
    differ between the categories. ScdError for two pictures of one name and for folders in no known layout.
    """
    names = here.names()
    if os.path.isdir(here.path / "test" / "image"):
        return add_all(look(here.path / "test" / "image", found.what), "VITON-HD, test", found)
    for inner in ("image", "images"):
        if inner in names:
            return add_all(look(here.path / inner, found.what), "VITON-HD" if inner == "image" else "DressCode", found)
    if here.pictures and here.folders:
        message = f"{found.what} {here.path} holds both pictures and folders, as {here.pictures[0].name} and {here.folders[0].name}"
        raise ScdError(message, "name the folder that holds the pictures")
    if here.folders:
        return in_folders(here, found)
    add_all(here, "pictures", found)


def add_all(here: Contents, layout: str, found: Found) -> None:
    """The pictures of one folder, which must hold some."""
    found.layout = layout
    if not here.pictures:
        inside = few(p.name for p in (*here.films, *here.folders, *here.others))
        raise ScdError(f"{found.what} {here.path} " + (f"holds no pictures, only {inside}" if inside else "is an empty folder"), KNOWN)
    found.others += [*here.others, *here.films]
    for picture in people(here):
        add(picture, picture.stem, found)


def in_folders(here: Contents, found: Found) -> None:
    """Folders of pictures, or DressCode's categories with the pictures in `images`."""
    groups = {folder.name: pictures_of(folder, found) for folder in here.folders}
    dress = groups.keys() <= DRESS_CODE
    found.layout = "DressCode" if dress else "folders of pictures"
    stems = [picture.stem for group in groups.values() for picture in group]
    short = dress and len(set(stems)) == len(stems)
    for name, group in groups.items():
        for picture in group:
            add(picture, picture.stem if short else f"{name}/{picture.stem}", found)


def pictures_of(folder: Path, found: Found) -> Sequence[Path]:
    inside = look(folder, found.what)
    if folder.name in DRESS_CODE and "images" in inside.names():
        inside = look(folder / "images", found.what)
    if not inside.pictures:
        raise ScdError(f"{found.what} {inside.path} holds no pictures", KNOWN)
    if inside.folders:
        raise ScdError(f"{found.what} {found.path} is in no known layout: {inside.folders[0]} lies too deep", KNOWN)
    found.others += [*inside.others, *inside.films]
    return people(inside)


def people(here: Contents) -> Sequence[Path]:
    """The pictures of a folder; of one of DressCode's those of people, `_0`, without the garments beside them, `_1`."""
    if here.path.name != "images" or Path(os.path.abspath(here.path)).parent.name not in DRESS_CODE:
        return here.pictures
    return [p for p in here.pictures if p.stem.endswith(MODEL)] or here.pictures


def add(picture: Path, id: str, found: Found) -> None:
    found.add(Video(id, (0,), (picture,), None, None))
