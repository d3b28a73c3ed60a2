"""What prepare-data makes of films is what `scd train` learns from: both mini stages take a few real steps on it."""

from pathlib import Path

import pytest

pytest.importorskip("torch")

from engines.core.report import NullReport
from engines.prepare.footage.run import prepare_footage
from tests.prepare.footage.filmed import request_of, write_walk
from tests.train.test_training import SMALL, losses, run, scd_settings, steps


@pytest.mark.slow
def test_the_mini_recipes_train_on_films(tmp_path: Path) -> None:
    for seed in range(4):
        write_walk(tmp_path / "films" / f"{seed}.mp4", seed, frames=16)
    request = request_of(tmp_path / "films", tmp_path / "data", size=(32, 64))
    prepare_footage(request, NullReport())
    run("autoencoder", SMALL + steps(3), tmp_path / "autoencoder", request.out)
    run("scd-i", scd_settings(tmp_path / "autoencoder", 3), tmp_path / "scd", request.out)
    assert len(losses(tmp_path / "scd")) == 3
    assert all(0 < loss < 100 for loss in losses(tmp_path / "scd"))
