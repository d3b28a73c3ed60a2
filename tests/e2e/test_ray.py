"""A batch on a local Ray cluster of two actors, one of them killed in the middle."""

import os
import signal
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from engines.core.report import NullReport
from engines.generate import ray_batch
from engines.generate.batch import BatchOptions, Job, run_batch
from engines.generate.request import AnimateRequest
from tests.e2e.running import scd
from tests.e2e.test_batch import digests, inputs

ray = pytest.importorskip("ray")
pytestmark = pytest.mark.slow


@pytest.fixture(autouse=True)
def gone_afterwards() -> Iterator[None]:
    yield
    ray.shutdown()


def jobs(folder: Path, out: Path, model: Path, count: int) -> list[Job]:
    out.mkdir()
    requests = [
        AnimateRequest(
            reference=folder / f"r{n % 2}.png",
            poses=folder / f"d{n % 2}.npz",
            output=out / f"{n:02d}.mp4",
            model=str(model),
            steps=3,
            seed=n,
        )
        for n in range(count)
    ]
    return [Job(n, request) for n, request in enumerate(requests, 1)]


def test_a_killed_actor_costs_no_job(tiny: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    inputs(tmp_path, 2, 2, frames=60)
    plain, spread = tmp_path / "plain", tmp_path / "spread"
    run_batch(jobs(tmp_path, plain, tiny, 10), NullReport(), BatchOptions())
    killed: list[int] = []
    real = ray_batch.spread

    def sabotaged(crew: Any, *rest: Any) -> Iterator[Any]:
        """Kill the process of one actor as soon as the first clip is there."""
        processes = ray.get([actor.process.remote() for actor in crew.idle])

        def kill() -> None:
            while not any(spread.glob("*.mp4")):
                time.sleep(0.01)
            os.kill(processes[0], signal.SIGKILL)
            killed.append(processes[0])

        threading.Thread(target=kill, daemon=True).start()
        return real(crew, *rest)

    monkeypatch.setattr(ray_batch, "spread", sabotaged)
    warnings: list[str] = []

    class Heard(NullReport):
        def warn(self, text: str) -> None:
            warnings.append(text)

    done = run_batch(jobs(tmp_path, spread, tiny, 10), Heard(), BatchOptions(), ray_batch.RayRunner("local", 2))
    assert killed
    assert any("its worker died; another takes it over" in said for said in warnings), warnings
    assert (done["made"] + done["skipped"], done["failed"]) == (10, 0), done
    assert digests(spread) == digests(plain)
    assert sorted(path.name for path in spread.iterdir()) == sorted(digests(plain))


def test_from_the_command_line(tiny: Path, tmp_path: Path) -> None:
    inputs(tmp_path, 1, 2, frames=5)
    words = ["animate", tmp_path / "r0.png", tmp_path / "gone.png", "--poses", tmp_path / "d0.npz", "-o", tmp_path / "out", "--model", tiny]
    ran = scd(*words, "--steps", 1, "--ray")
    assert ran.code == 3, ran.err
    assert list(digests(tmp_path / "out")) == ["r0-d0.mp4"]
    assert "gone.png does not exist" in ran.err


def test_no_cluster_is_one_sentence() -> None:
    ran = scd("animate", "a.png", "b.png", "--poses", "d.npz", "--ray", "127.0.0.1:1")
    assert ran.code == 1
    assert "no Ray cluster answers at 127.0.0.1:1" in ran.err
    assert "Traceback" not in ran.err
