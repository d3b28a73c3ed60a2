"""What the help promises: examples everywhere, docs/cli.md up to date, planned commands that say so."""

import subprocess
import sys
from pathlib import Path

import pytest
from typer.testing import CliRunner

from scd_cli.main import app

ROOT = Path(__file__).parents[2]
COMMANDS = ("prepare-data", "train", "export", "animate", "tryon", "evaluate")


@pytest.mark.parametrize("command", COMMANDS)
def test_help_has_examples_and_fits_a_terminal(command: str) -> None:
    text = CliRunner().invoke(app, [command, "--help"], env={"COLUMNS": "80"}).stdout
    assert f"Examples:\n    scd {command} " in text
    assert "--json" in text
    assert all(len(line) <= 100 for line in text.splitlines())


def test_the_overview_names_every_command() -> None:
    text = CliRunner().invoke(app, ["--help"]).stdout
    assert all(f"\n  {command} " in text for command in COMMANDS)


def test_cli_page_is_current() -> None:
    done = subprocess.run([sys.executable, str(ROOT / "docs" / "make_cli.py"), "--check"], capture_output=True, text=True, cwd=ROOT)
    assert done.returncode == 0, done.stderr


PLANNED = {"video": ["prepare-data", "video", "--out", "data"]}


@pytest.mark.parametrize("what", PLANNED)
def test_what_is_planned_says_so_in_one_sentence(what: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    done = CliRunner().invoke(app, PLANNED[what])
    assert done.exit_code == 2
    assert done.stderr.startswith("error: this version of scd")
    assert done.stderr.count("\n") == 1
    assert not list(tmp_path.iterdir())
