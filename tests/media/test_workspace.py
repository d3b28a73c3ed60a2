"""The folder beside an output: one holder at a time, left when it is interrupted, gone otherwise."""

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from engines.media.workspace import Taken, take, workspace, workspace_path

HOLD = """
import sys
from pathlib import Path
from engines.media.workspace import take
held = take(Path(sys.argv[1]))
(held.folder / "state").write_text("half")
print("held", flush=True)
sys.stdin.read()
"""


def left(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def test_one_process_at_a_time_and_a_killed_one_lets_go(tmp_path: Path) -> None:
    out = tmp_path / "clip.mp4"
    other = subprocess.Popen([sys.executable, "-c", HOLD, str(out)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    assert other.stdout is not None
    assert other.stdout.readline() == "held\n"
    assert take(out) is None
    with pytest.raises(Taken, match=r"another scd is making .*clip\.mp4"), workspace(out):
        pass
    other.kill()
    other.wait()
    with workspace(out) as folder:
        assert (folder / "state").read_text() == "half"
    assert left(tmp_path) == []


def test_a_lock_that_its_holder_removed_is_not_taken_for_one(tmp_path: Path) -> None:
    """Who waited for the lock of a folder that is gone must not believe to have the new one."""
    out = tmp_path / "clip.mp4"
    first = take(out)
    assert first is not None
    first.remove()
    second = take(out)
    assert second is not None
    assert take(out) is None
    second.remove()
    assert left(tmp_path) == []


def ended_by(error: type[BaseException], out: Path, fill: Callable[[Path], object]) -> None:
    with workspace(out) as folder:
        fill(folder)
        raise error


@pytest.mark.parametrize("error", [KeyboardInterrupt, SystemExit])
def test_an_interruption_leaves_what_was_made(tmp_path: Path, error: type[BaseException]) -> None:
    out = tmp_path / "clip.mp4"
    with pytest.raises(error):
        ended_by(error, out, lambda folder: (folder / "state").write_text("half"))
    assert left(tmp_path) == [workspace_path(out).name]
    with pytest.raises(error):
        ended_by(error, out, lambda folder: (folder / "state").unlink())
    assert left(tmp_path) == [], "an empty one helps nobody"


def test_an_error_leaves_nothing(tmp_path: Path) -> None:
    with pytest.raises(ValueError):
        ended_by(ValueError, tmp_path / "clip.mp4", lambda folder: (folder / "frames").mkdir())
    assert left(tmp_path) == []
