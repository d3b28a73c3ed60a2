"""Help and usage errors answer at once: nothing heavy is loaded for them."""

import subprocess
import sys

import pytest

HEAVY = ("numpy", "torch", "cv2", "onnxruntime", "PIL", "av", "rich", "onnx", "scipy", "numba")
PROBE = f"""
import atexit, sys
atexit.register(lambda: print("LOADED", [m for m in {HEAVY!r} if m in sys.modules]))
sys.argv = ["scd", *sys.argv[1:]]
from scd_cli.main import run
run()
"""
QUICK = {
    "help": (["--help"], 0),
    "bare": ([], 0),
    "version": (["--version"], 0),
    "animate help": (["animate", "--help"], 0),
    "prepare-data help": (["prepare-data", "--help"], 0),
    "train help": (["train", "--help"], 0),
    "export help": (["export", "--help"], 0),
    "tryon help": (["tryon", "--help"], 0),
    "evaluate help": (["evaluate", "--help"], 0),
    "no such command": (["animat"], 2),
    "missing argument": (["animate"], 2),
    "backward range": (["animate", "a.png", "--poses", "b.mp4", "--frames", "50:10"], 2),
    "planned only": (["prepare-data", "video", "--out", "data"], 2),
    "nobody to dress": (["tryon"], 2),
    "no garment": (["tryon", "a.png"], 2),
    "mask to nowhere": (["tryon", "a.png", "--mask-only"], 2),
    "list and pair": (["tryon", "a.png", "b.png", "--root", "data"], 2),
    "list without a place": (["tryon", "--root", "data"], 2),
}


@pytest.mark.parametrize("name", QUICK)
def test_nothing_heavy_is_loaded(name: str) -> None:
    arguments, code = QUICK[name]
    done = subprocess.run([sys.executable, "-c", PROBE, *arguments], capture_output=True, text=True)
    assert done.returncode == code, done.stderr
    assert "LOADED []" in done.stdout


def test_both_ways_to_start_agree() -> None:
    module = subprocess.run([sys.executable, "-m", "scd_cli", "--version"], capture_output=True, text=True)
    assert module.returncode == 0
    assert module.stdout.startswith("scd 0.")
