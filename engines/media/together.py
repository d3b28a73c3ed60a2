"""Files that belong together: all of them come into their places, or none stays; and what a killed process has put there is taken back."""

import json
import shutil
from collections.abc import Iterable, Mapping
from pathlib import Path

from engines.core.bundle import sha256
from engines.media.output import atomic, check_output, remove

PLACES = "places.json"


def put(ready: Mapping[Path, Path], overwrite: bool, workspace: Path) -> None:
    """Move files to their places, in the order of `ready`: finished files by place. Any disk will do.

    Where one cannot be moved, those before it are taken away again. `workspace` (see engines.media.workspace) tells `take_back` of a
    later process, with a sha256 each, what this one was about to put where. ScdError as of check_output.
    """
    for place in ready:
        check_output(place, overwrite)
    moved: list[Path] = []
    list_of_places = workspace / PLACES
    list_of_places.write_text(json.dumps({str(place.absolute()): sha256(file) for place, file in ready.items()}))
    try:
        for place, file in ready.items():
            with atomic(place, overwrite) as temporary:
                shutil.move(file, temporary)  # copies where the place is on another disk than the workspace
            moved.append(place)
    except BaseException:
        for place in moved:
            remove(place)
        raise
    finally:
        remove(list_of_places)


def take_back(workspace: Path, keep: Iterable[Path] = ()) -> None:
    """Remove what a process that was killed while it did `put` has put into its places: what is still as it was then, and not in `keep`."""
    try:
        places: dict[str, str] = json.loads((workspace / PLACES).read_text())
    except (OSError, ValueError):  # none, or killed while it wrote the list and before it moved anything
        return
    kept = {path.absolute() for path in keep}
    for place, digest in ((Path(name), digest) for name, digest in places.items()):
        if place not in kept and place.is_file() and sha256(place) == digest:
            remove(place)
