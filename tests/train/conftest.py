"""What most tests of training start from: a small made-up data set, and an autoencoder trained on it for a few steps."""

from pathlib import Path

import pytest

from tests.train.tiny_data import write_data


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_data(tmp_path_factory.mktemp("data"))


@pytest.fixture(scope="module")
def autoencoder(data: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    from tests.train.test_training import SMALL, run, steps

    out = tmp_path_factory.mktemp("autoencoder") / "run"
    run("autoencoder", SMALL + steps(4), out, data)
    return out
