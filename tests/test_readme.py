"""README keeps its promises: a tree that is current, links that lead somewhere, commands that CI runs as they stand there."""

import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text()


def test_tree_is_current() -> None:
    if subprocess.run(["git", "rev-parse", "HEAD"], cwd=ROOT, capture_output=True).returncode:
        pytest.skip("not a git checkout")
    done = subprocess.run([sys.executable, "docs/make_tree.py", "--check"], cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("target", sorted(set(re.findall(r"\]\(([^)#:]+)\)", README))))
def test_links_lead_somewhere(target: str) -> None:
    assert (ROOT / target).exists()


def test_the_two_commands_are_one_line_each() -> None:
    commands = [line for line in README.splitlines() if line.startswith("python3 -m venv ")]
    assert len(commands) == 2
    assert "scd animate examples/ref.png --poses examples/dance.mp4" in commands[0]
    assert commands[1].endswith("-m pytest")


def test_texts_hold_no_machine_paths_or_registry_addresses() -> None:
    tracked = subprocess.run(
        ["git", "ls-files", "*.py", "*.md", "*.toml", "*.sh", "*.json", "Justfile", ".ci/run"], cwd=ROOT, capture_output=True, text=True
    )
    # in pieces, so that this file holds none of them
    words = ["/".join(("", *parts)) for parts in (("var", "tmp"), ("work", "main"), ("opt", "mini"))]
    words += [".".join(("pypi", "org")), ".".join(("files", "pythonhosted"))]
    texts = {name: (ROOT / name).read_text() for name in tracked.stdout.split() if (ROOT / name).is_file()}
    found = [name for name, text in texts.items() if any(word in text for word in words)]
    assert not found
