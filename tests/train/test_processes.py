"""Several real processes over gloo: what they learn, how they stop, and what is left when one of them is killed."""

import json
import os
import re
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from engines.model import checkpoint as checkpoints  # noqa: E402
from tests.train.test_training import losses, run, scd_settings  # noqa: E402

TREE = Path(__file__).parents[2]
ENOUGH = 180.0  # seconds for anything here, on a busy machine


def settings(autoencoder: Path, count: int, *more: str) -> list[str]:
    """Every step is saved, so that a run can be killed at any."""
    return [*scd_settings(autoencoder, count), "logging.minutes_per_checkpoint=0.0", "optim.decay_steps=1", *more]


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@contextmanager
def one_thread() -> Iterator[None]:
    """As the processes of `started` have: sums of another number of threads are others in their last bits."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)


@contextmanager
def started(out: Path, data: Path, overrides: list[str], count: int, *flags: str) -> Iterator[list[subprocess.Popen[str]]]:
    """`scd train` in so many processes, with what a launcher gives each in its environment; none is left behind."""
    command = [sys.executable, "-m", "scd_cli", "train", "--recipe", "mini/scd-i", "--data", str(data), "--out", str(out), *flags]
    command += [word for override in overrides for word in ("--set", override)]
    port, made = str(free_port()), []
    for rank in range(count):
        place = {"RANK": str(rank), "LOCAL_RANK": str(rank), "WORLD_SIZE": str(count), "LOCAL_WORLD_SIZE": str(count)}
        where = {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": port} if count > 1 else {}
        env = os.environ | {"PYTHONPATH": str(TREE), "OMP_NUM_THREADS": "1"} | (place | where if count > 1 else {})
        made.append(subprocess.Popen(command, env=env, text=True, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, cwd=out.parent))
    try:
        yield made
    finally:
        for process in made:
            process.kill()
            process.communicate()


def wait_for(what: Callable[[], bool], processes: list[subprocess.Popen[str]]) -> None:
    end = time.monotonic() + ENOUGH
    while not what():
        assert all(p.poll() is None for p in processes), [p.stderr.read() for p in processes if p.poll() is not None and p.stderr]
        assert time.monotonic() < end
        time.sleep(0.05)


def reached(out: Path, step: int) -> Callable[[], bool]:
    return lambda: any(int(folder.name[5:]) >= step for folder in out.glob("step-*"))


def ended(process: subprocess.Popen[str]) -> tuple[int, str]:
    """Exit code and stderr."""
    said = process.communicate(timeout=ENOUGH)[1]
    return process.returncode, said


@pytest.mark.slow
@pytest.mark.parametrize(("muon", "accumulate"), [(0.003, 1), (0.0, 2)])
def test_two_processes_learn_what_one_does_of_the_same_batch(
    muon: float, accumulate: int, data: Path, autoencoder: Path, tmp_path: Path
) -> None:
    own = settings(autoencoder, 8, "batching.references=4", f"optim.muon_learning_rate={muon}", f"optim.accumulate={accumulate}")
    run("scd-i", [*own, "optim.accumulate=1"], tmp_path / "one", data)
    with started(tmp_path / "two", data, own, 2) as pair:
        assert [ended(process)[0] for process in pair] == [0, 0]
    one, two = losses(tmp_path / "one"), losses(tmp_path / "two")
    assert len(two) == 8
    np.testing.assert_allclose(two, one, rtol=2e-4)
    assert len(set(two)) == 8
    first, second = (checkpoints.need(tmp_path / name, "scd", "").weights() for name in ("one", "two"))
    assert all((value - second[name]).abs().max() < 2e-3 for name, value in first.items())


@pytest.mark.slow
def test_when_one_is_killed_the_other_says_so_and_a_single_process_goes_on(data: Path, autoencoder: Path, tmp_path: Path) -> None:
    def own(count: int) -> list[str]:
        return settings(autoencoder, count, "optim.decay_steps=0")

    broken, whole = tmp_path / "broken", tmp_path / "whole"
    with started(broken, data, own(100_000), 2) as pair:
        wait_for(reached(broken, 3), pair)
        pair[1].kill()
        code, said = ended(pair[0])
    assert code == 1
    assert re.search(r"error: another process of this run has ended.*--resume", said.splitlines()[-1])
    found = checkpoints.latest(broken)
    assert found is not None
    last = found.step + 3
    run("scd-i", own(last), broken, data, resume=True)
    run("scd-i", own(last), whole, data)
    assert len(losses(broken)) == last
    np.testing.assert_allclose(losses(broken), losses(whole), rtol=2e-3)


@pytest.mark.slow
def test_one_that_is_interrupted_stops_all_with_a_checkpoint(data: Path, autoencoder: Path, tmp_path: Path) -> None:
    out = tmp_path / "run"
    own = settings(autoencoder, 100_000, "logging.minutes_per_checkpoint=60.0")
    with started(out, data, own, 2) as pair:
        wait_for(lambda: (out / "log.jsonl").exists() and len(losses(out)) >= 2, pair)
        pair[1].send_signal(signal.SIGINT)
        assert [ended(process)[0] for process in pair] == [130, 130]
    found = checkpoints.latest(out)
    assert found is not None
    assert found.step == len(losses(out))


@pytest.mark.slow
def test_a_loss_that_is_not_a_number_stops_all_and_names_the_checkpoint(data: Path, autoencoder: Path, tmp_path: Path) -> None:
    out = tmp_path / "run"
    wild = ["optim.learning_rate=1e18", "optim.clip_norm=1e30", "optim.warmup_steps=0"]
    with started(out, data, settings(autoencoder, 50, *wild), 2) as pair:
        results = [ended(process) for process in pair]
    for code, said in results:
        assert code == 1
        assert re.search(r"error: the .* became (nan|inf) at step \d+; .*--set optim.learning_rate", said.splitlines()[-1])


@pytest.mark.slow
def test_forty_steps_are_fifteen_a_kill_and_the_rest(data: Path, autoencoder: Path, tmp_path: Path) -> None:
    broken, whole = tmp_path / "broken", tmp_path / "whole"
    own = settings(autoencoder, 40)
    with started(broken, data, own, 1) as alone:
        wait_for(reached(broken, 15), alone)
        alone[0].kill()
        alone[0].wait()
    found = checkpoints.latest(broken)
    assert found is not None
    assert 15 <= found.step < 40
    with one_thread():
        run("scd-i", own, broken, data, resume=True)
        run("scd-i", own, whole, data)
    assert len(losses(whole)) == 40
    assert losses(broken) == losses(whole)
    first, second = (checkpoints.need(folder, "scd", "").state() for folder in (whole, broken))
    assert all(torch.equal(value, second[name]) for name, value in first.items())
    assert json.loads((found.folder.parent / "log.jsonl").read_text().splitlines()[0])["step"] == 1
