"""Pictures through stdin and stdout: what is refused, and that nothing is left in the temporary folder."""

import io
import sys
import tempfile
from pathlib import Path

import pytest

from engines.core.errors import ScdError, UsageError
from scd_cli.fittings import default_picture
from scd_cli.pipes import STREAM, from_stdin, to_stdout


class Stream(io.TextIOWrapper):
    """A stream over bytes, on a terminal or not."""

    def __init__(self, content: bytes = b"", terminal: bool = False) -> None:
        super().__init__(io.BytesIO(content))
        self.terminal = terminal

    def isatty(self) -> bool:
        return self.terminal


@pytest.fixture(autouse=True)
def temporary(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder for temporary files."""
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    return tmp_path


def test_paths_pass_through(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stdin", Stream(terminal=True))
    monkeypatch.setattr(sys, "stdout", Stream(terminal=True))
    with from_stdin(Path("a.png")) as given, to_stdout(Path("b.png")) as made:
        assert (given, made) == (Path("a.png"), Path("b.png"))


def test_stdin_is_a_file_as_long_as_it_is_needed(monkeypatch: pytest.MonkeyPatch, temporary: Path) -> None:
    content = bytes(range(256)) * 300
    monkeypatch.setattr(sys, "stdin", Stream(content))
    with from_stdin(STREAM) as path:
        assert path.read_bytes() == content
    assert not list(temporary.iterdir())


@pytest.mark.parametrize(("terminal", "said"), [(True, "nothing is piped into it; name a file"), (False, "stdin gave no picture")])
def test_stdin_that_gives_nothing(monkeypatch: pytest.MonkeyPatch, temporary: Path, terminal: bool, said: str) -> None:
    monkeypatch.setattr(sys, "stdin", Stream(terminal=terminal))
    with pytest.raises(UsageError, match=said), from_stdin(STREAM):
        pytest.fail("there is nothing to work on")
    assert not list(temporary.iterdir())


def half() -> None:
    with to_stdout(STREAM) as path:
        path.write_bytes(b"half")
        raise ScdError("the rest did not come")


def test_stdout_gets_what_was_made_and_nothing_of_a_failure(monkeypatch: pytest.MonkeyPatch, temporary: Path) -> None:
    content, out = b"\x89PNG" + bytes(5000), Stream()
    monkeypatch.setattr(sys, "stdout", out)
    with pytest.raises(ScdError):
        half()
    assert out.buffer.getvalue() == b""
    with to_stdout(STREAM) as path:
        assert path.suffix == ".png"
        path.write_bytes(content)
    assert out.buffer.getvalue() == content
    assert not list(temporary.iterdir())


def test_a_terminal_gets_no_picture(monkeypatch: pytest.MonkeyPatch, temporary: Path) -> None:
    monkeypatch.setattr(sys, "stdout", Stream(terminal=True))
    with pytest.raises(UsageError, match="which is a terminal; pipe it into a command or a file"), to_stdout(STREAM):
        pytest.fail("nothing is to be made")
    assert not list(temporary.iterdir())


def test_a_person_from_a_pipe_has_a_name() -> None:
    assert default_picture(STREAM, Path("in/shirt.jpg")) == Path("stdin-shirt.png")
    assert default_picture(Path("in/me.jpg"), Path("in/shirt.jpg")) == Path("me-shirt.png")
