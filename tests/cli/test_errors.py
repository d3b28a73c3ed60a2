"""The error boundary: one sentence and an exit code for everything that can go wrong."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import typer

from engines.core.errors import MissingExtra, ScdError, UsageError
from scd_cli.main import guarded


def failing(error: BaseException) -> object:
    def work() -> None:
        raise error

    return work


CASES = {
    "mendable": (ScdError("the file a.png does not exist", "check the path"), 1, "error: the file a.png does not exist; check the path\n"),
    "usage": (UsageError("--frames 9:12 is empty"), 2, "error: --frames 9:12 is empty\n"),
    "extra": (MissingExtra("x", "train"), 1, "error: x needs packages that are not installed; run: pip install 'scd-cli[train]'\n"),
    "many lines": (ScdError("first\nsecond"), 1, "error: first second\n"),
    "typer": (typer.BadParameter("that is wrong."), 2, "error: Invalid value: that is wrong; see scd --help\n"),
    "bug": (KeyError("x"), 1, "error: KeyError: 'x' (set SCD_DEBUG=1 for the traceback)\n"),
    "stopped": (KeyboardInterrupt(), 130, ""),
}  # fmt: skip


@pytest.mark.parametrize("name", CASES)
def test_one_sentence_and_the_exit_code(name: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("SCD_DEBUG", raising=False)
    error, code, sentence = CASES[name]
    assert guarded(failing(error)) == code  # type: ignore[arg-type]
    captured = capsys.readouterr()
    assert (captured.out, captured.err) == ("", sentence)


def test_debug_shows_the_traceback(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SCD_DEBUG", "1")
    with pytest.raises(ScdError):
        guarded(failing(ScdError("x")))  # type: ignore[arg-type]


SLEEPER = """
import time
from scd_cli import main
@main.app.command("sleep")
def sleep() -> None:
    try:
        print("ready", flush=True)
        time.sleep(60)
    finally:
        print("tidied", flush=True)
main.run()
"""


@pytest.mark.skipif(os.name == "nt", reason="signals")
@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_a_stopped_run_unwinds(number: signal.Signals, code: int) -> None:
    process = subprocess.Popen(
        [sys.executable, "-c", SLEEPER, "sleep"], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),  # a shell's background job inherits it ignored
    )  # fmt: skip
    assert process.stdout is not None
    assert process.stdout.readline() == "ready\n"
    time.sleep(0.1)
    process.send_signal(number)
    out, err = process.communicate(timeout=20)
    assert (out, process.returncode) == ("tidied\n", code)
    assert "Traceback" not in err


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="no /dev/full")
def test_a_full_stdout_is_an_error_of_one_sentence() -> None:
    with open("/dev/full", "w") as full:
        done = subprocess.run([sys.executable, "-m", "scd_cli", "--version"], stdout=full, stderr=subprocess.PIPE, text=True)
    assert done.returncode == 1
    assert "No space left" in done.stderr
    assert "Traceback" not in done.stderr
