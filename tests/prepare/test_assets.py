"""Finding the packages' data, and refusing what is not them."""

import hashlib
import subprocess
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from engines.core.errors import ScdError
from engines.prepare import assets
from engines.prepare.assets import Package, cache_root, locate

CONTENT = b"v 0 0 0\n"


@pytest.fixture
def package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Package:
    """A package that nobody has, and an empty cache."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.delenv("SCD_ASSETS", raising=False)
    content = hashlib.sha256(CONTENT)
    whole = hashlib.sha256(b"a.obj\0" + content.digest()).hexdigest()
    return Package("tiny", "1.0", "no_such_module_of_scd", "tiny/a.obj", content.hexdigest(), ("tiny/",), whole, "CC0")


def fake_pip(content: bytes, code: int = 0) -> Callable[..., Any]:
    def run(command: list[str], **_: object) -> Any:
        folder = Path(command[command.index("-d") + 1])
        if code == 0:
            with zipfile.ZipFile(folder / "tiny-1.0-py3-none-any.whl", "w") as wheel:
                wheel.writestr("tiny/a.obj", content)
                wheel.writestr("other/big.bin", b"0")
        return subprocess.CompletedProcess(command, code, "", "no matching distribution")

    return run


def test_an_explicit_folder_comes_first(package: Package, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "mine/tiny").mkdir(parents=True)
    (tmp_path / "mine/tiny/a.obj").write_bytes(CONTENT)
    monkeypatch.setenv("SCD_ASSETS", str(tmp_path / "mine"))
    assert locate(package) == tmp_path / "mine"


def test_download_keeps_only_what_is_used_and_is_done_once(package: Package, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(assets.subprocess, "run", fake_pip(CONTENT))
    root = locate(package)
    assert root == cache_root() / "tiny-1.0"
    assert sorted(p.name for p in root.rglob("*") if p.is_file()) == ["a.obj"]
    monkeypatch.setattr(assets.subprocess, "run", fake_pip(b"", code=1))
    assert locate(package) == root


@pytest.mark.parametrize(("content", "code", "said"), [(b"", 1, "could not download tiny==1.0"), (b"changed", 0, "sha256")])
def test_a_failed_download_says_so_and_leaves_nothing(
    package: Package, monkeypatch: pytest.MonkeyPatch, content: bytes, code: int, said: str
) -> None:
    monkeypatch.setattr(assets.subprocess, "run", fake_pip(content, code))
    with pytest.raises(ScdError, match=said):
        locate(package)
    assert list(cache_root().iterdir()) == []
