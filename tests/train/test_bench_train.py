"""`just bench train` at tiny size: the same path as with the real sizes."""

import argparse
from pathlib import Path

import pytest

pytest.importorskip("torch")
pytest.importorskip("diffusers")
pytest.importorskip("transformers")

from tests import bench_train
from tests.model.hub import TINY_STABLE, write_adapter, write_stable_diffusion


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["image", "video"])
def test_a_real_run_is_measured(kind: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write_stable_diffusion(tmp_path / bench_train.STABLE)
    write_adapter(tmp_path / bench_train.ADAPTER)
    bench_train.write_start(tmp_path, video=True)  # what is there stays
    settings = [*TINY_STABLE, *(["model.motion.heads=2", "optim.optimizer=adamw"] if kind == "video" else [])]
    bench_train.train(tmp_path, argparse.Namespace(run=kind, set=settings))
    said = capsys.readouterr().out
    assert "2 steps" in said
    assert said.count("'loss'") == 2
    assert "'psnr'" in said


def test_both_ways_differ_in_the_second_unet_alone() -> None:
    options = argparse.Namespace(full=False, references=4, targets=1, checkpointing=False, size=64)
    ours, theirs = (bench_train.recipe_for(way, options) for way in bench_train.WAYS)
    assert ours.model.reference_net is None
    assert theirs.model.reference_net is not None
    assert (ours.model.unet, ours.optim, ours.batching) == (theirs.model.unet, theirs.optim, theirs.batching)


@pytest.mark.parametrize("way", bench_train.WAYS)
def test_a_step_is_measured(way: str) -> None:
    found = bench_train.one(argparse.Namespace(way=way, full=False, references=1, targets=1, checkpointing=True, size=64, steps=1))
    assert found["seconds"] > 0
    assert found["bytes"] > 4 * found["parameters"]
