"""The same work on a Ray cluster that is started here."""

import os
import signal
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from engines.core.errors import ScdError
from engines.core.report import NullReport
from engines.prepare.footage.pool import each
from engines.prepare.footage.run import prepare_footage
from tests.prepare.footage.filmed import request_of, write_walk
from tests.prepare.test_synthetic import digests

ray = pytest.importorskip("ray")


@pytest.fixture(autouse=True)
def gone_afterwards() -> Iterator[None]:
    yield
    ray.shutdown()


@pytest.mark.slow
def test_a_cluster_writes_the_same_bytes(tmp_path: Path) -> None:
    for seed in range(3):
        write_walk(tmp_path / "films" / f"{seed}.mp4", seed)
    (tmp_path / "films" / "broken.mp4").write_bytes(b"no film")
    (tmp_path / "films" / "broken.npz").write_bytes(b"")
    here = request_of(tmp_path / "films", tmp_path / "here")
    there = replace(here, out=tmp_path / "there", ray="local", workers=2)
    prepare_footage(here, NullReport())
    prepare_footage(there, NullReport())
    assert digests(here.out) == digests(there.out)


@pytest.mark.slow
def test_a_job_that_kills_its_worker_is_given_up_alone_and_errors_come_through() -> None:
    def work(job: int) -> int:
        if job == 1:
            os.kill(os.getpid(), signal.SIGKILL)
        if job == 9:
            raise OSError(28, "No space left on device")
        return job * job

    assert dict(each(work, [0, 1, 2], 1, "local")) == {0: 0, 1: None, 2: 4}
    with pytest.raises(OSError, match="No space left") as caught:
        list(each(work, [9], 1, "local"))
    assert caught.value.errno == 28


def test_where_no_cluster_answers_one_sentence_says_so(tmp_path: Path) -> None:
    write_walk(tmp_path / "films" / "a.mp4", 1)
    with pytest.raises(ScdError, match=r"no Ray cluster answers at 127\.0\.0\.1:1"):
        prepare_footage(request_of(tmp_path / "films", tmp_path / "data", ray="127.0.0.1:1"), NullReport())
