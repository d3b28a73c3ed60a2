"""Lists of the videos to judge: text with one id a line, pair files of try-on data sets, or JSON."""

import json
import re
from pathlib import Path, PurePosixPath

from engines.core.errors import ScdError
from engines.evaluate.videos import FILMS, PICTURES
from engines.media.images import need_file

COMMENT = re.compile(r"(^|\s)#.*")
REMEDY = "write one video a line, as in: scd evaluate --split FILE"


def read_split(path: Path) -> tuple[str, ...]:
    """Ids in the order of the file, each once. ScdError names file and line.

    Text has an id or the name of a folder or file on each line; # begins a comment. Of a pair file of VITON-HD or DressCode
    ("person.jpg cloth.jpg") the first column counts, without its ending. JSON is a list of ids.
    """
    need_file(path, "the split")
    try:
        text = path.read_text(encoding="utf-8-sig")
    except OSError as error:
        raise ScdError(f"the split {path} may not be read ({error.strerror})", "change its permissions or use another") from error
    except UnicodeDecodeError as error:
        raise ScdError(f"the split {path} is not a text in UTF-8", REMEDY) from error
    ids = from_json(text, path) if path.suffix.lower() == ".json" or text.lstrip().startswith("[") else from_lines(text, path)
    if not ids:
        raise ScdError(f"the split {path} names no videos", REMEDY)
    return tuple(dict.fromkeys(ids))


def from_json(text: str, path: Path) -> list[str]:
    try:
        items = json.loads(text)
    except (json.JSONDecodeError, RecursionError) as error:
        line = getattr(error, "lineno", 1)
        raise ScdError(f"the split {path} line {line} is not JSON ({getattr(error, 'msg', 'nested too deep')})", REMEDY) from error
    if not isinstance(items, list):
        raise ScdError(f"the split {path} is JSON but not a list", "write a list of video ids")
    for place, item in enumerate(items, 1):
        if not isinstance(item, str) or not item.strip():
            raise ScdError(f"the split {path} has no video id as item {place} of its list but {item!r:.40}", "write a list of video ids")
    return [video_id(item.strip()) for item in items]


def from_lines(text: str, path: Path) -> list[str]:
    ids = []
    for number, line in enumerate(text.splitlines(), 1):
        words = COMMENT.sub("", line).strip()
        if not words:
            continue
        if not words.isprintable() and "\t" not in words:
            raise ScdError(f"the split {path} line {number} is not text", REMEDY)
        columns = words.split()
        if len(columns) > 1 and all(Path(c).suffix.lower() in PICTURES for c in columns[:2]):
            words = columns[0]
        elif "\t" in words:
            raise ScdError(f"the split {path} line {number} has several columns and is no pair of pictures", REMEDY)
        ids.append(video_id(words))
    return ids


def video_id(text: str) -> str:
    """The id of what a line names: a path as layouts spell it, without the ending of a picture or film."""
    path = PurePosixPath(text.replace("\\", "/"))
    known = path.suffix.lower() in PICTURES or path.suffix.lower() in FILMS
    return str(path.with_suffix("") if known else path)
