"""README's tree names every tracked file, and names nothing that is not there."""

import re
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
LINE = re.compile(r"^((?:  )*)(\S+)\s+(.+)$")


def tracked() -> list[str]:
    done = subprocess.run(["git", "ls-files"], cwd=ROOT, capture_output=True, text=True)
    if done.returncode or not done.stdout:
        pytest.skip("not a git checkout")
    return [name for name in done.stdout.splitlines() if (ROOT / name).stat().st_size]  # empty __init__.py need no line


def listed() -> list[str]:
    """Paths of the tree in README; a folder that stands for all it holds ends in /."""
    block = re.search(r"```tree\n(.*?)```", (ROOT / "README.md").read_text(), re.S)
    assert block, "README has no ```tree block"
    paths: list[str] = []
    parents: list[str] = []
    for line in filter(str.strip, block[1].splitlines()):
        found = LINE.match(line)
        assert found, f"a line of README's tree says nothing about its file: {line}"
        depth = len(found[1]) // 2
        parents[depth:] = [found[2].rstrip("/")]
        paths.append("/".join(parents) + ("/" if found[2].endswith("/") else ""))
    return paths


def test_tree_is_complete() -> None:
    paths = listed()
    closed = [p for p in paths if p.endswith("/") and not any(q != p and q.startswith(p) for q in paths)]
    missing = [name for name in tracked() if name not in paths and not any(name.startswith(folder) for folder in closed)]
    assert not missing, f"README's tree lacks: {', '.join(missing)}"


def test_tree_names_nothing_that_is_gone() -> None:
    gone = [path for path in listed() if not (ROOT / path).exists()]
    assert not gone, f"README's tree names what is not there: {', '.join(gone)}"
