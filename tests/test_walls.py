"""The walls between the rooms: what runs a model imports without torch, and the layers hold (pyproject's import-linter contracts)."""

import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
TORCH_FREE = ("core", "media", "pose", "sessions", "generate", "prepare", "evaluate")
NETWORKS = "engines.evaluate.networks"  # these are torch; what asks for them opens them late
IMPORT_ALL = """
import importlib, pkgutil, sys
BLOCKED = ("torch", "diffusers", "accelerate", "safetensors", "onnx")

class Wall:
    def find_spec(self, name, path=None, target=None):
        if name.split(".")[0] in BLOCKED:
            raise ImportError(f"{name} is behind the wall")

sys.meta_path.insert(0, Wall())
room = importlib.import_module(f"engines.{sys.argv[1]}")
names = [m.name for m in pkgutil.walk_packages(room.__path__, room.__name__ + ".") if not m.name.startswith(sys.argv[2] + ".")]
for name in names:
    importlib.import_module(name)
print(len(names))
assert not any(name in sys.modules for name in BLOCKED)
"""


@pytest.mark.parametrize("room", TORCH_FREE)
def test_every_module_of_a_torch_free_room_imports_with_torch_blocked(room: str) -> None:
    if room == "prepare":
        pytest.importorskip("numba")
    done = subprocess.run([sys.executable, "-c", IMPORT_ALL, room, NETWORKS], cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    files = [p for p in (ROOT / "engines" / room).rglob("*.py") if p.parent != ROOT / NETWORKS.replace(".", "/")]
    inner = [p for p in (ROOT / "engines" / room).rglob("__init__.py") if p.parent != ROOT / "engines" / room]  # packages count too
    assert int(done.stdout) == len([p for p in files if p.name != "__init__.py"]) + len(inner)


def test_import_linter_contracts_hold() -> None:
    cli = pytest.importorskip("importlinter.cli")
    assert cli.lint_imports(config_filename=str(ROOT / "pyproject.toml"), is_debug_mode=False, show_timings=False, verbose=False) == 0


def test_engines_come_from_beside_the_command_line() -> None:
    """`engines` is a common name: what is imported must be ours."""
    import engines
    import scd_cli

    assert Path(str(engines.__file__)).parents[1] == Path(str(scd_cli.__file__)).parents[1]
