"""`scd animate --dry-run`, its neighbours, and `scd export --verify`, on the shipped model as a user calls them."""

import json
from pathlib import Path

import pytest

from tests.e2e.running import scd

EXAMPLES = Path(__file__).parents[2] / "examples"
EXAMPLE = ["animate", str(EXAMPLES / "ref.png"), "--poses", str(EXAMPLES / "dance.mp4")]


def test_dry_run_writes_nothing_and_counts(tmp_path: Path) -> None:
    out = tmp_path / "out.mp4"
    done = scd(*EXAMPLE, "-o", str(out), "--frames", "0:20", "--steps", "10", "--guidance", "2", "--dry-run", "--json")
    assert done.code == 0, done.err
    said = json.loads(done.out)
    assert (said["frames"], said["windows"], said["steps"], said["runs"]) == (20, 2, 10, 20)
    assert said["backend"] == "onnxruntime on cpu"
    assert 0.05 < said["memory_gb"] < 2
    assert 0.01 < said["work_tflop"] < 50
    assert not out.exists()
    plain = scd(*EXAMPLE, "-o", str(out), "--dry-run")
    assert "windows: " in plain.out
    assert "onnxruntime on cpu" in plain.err


def test_dry_run_refuses_what_the_run_would_refuse(tmp_path: Path) -> None:
    done = scd("animate", EXAMPLES / "nobody.png", "--poses", EXAMPLES / "dance.mp4", "-o", str(tmp_path / "x.mp4"), "--dry-run")
    assert done.code != 0
    assert "nobody.png" in done.err


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (["--sampler", "lcm"], "needs a model distilled for few steps"),
        (["--providers", "trt-rtx"], "not for trt-rtx; export it with --flavour trt-rtx"),
        (["--guidance-until", "1.5"], "less than or equal to 1;"),
        (["--guidance-passes", "3"], "less than or equal to 2;"),
        (["--reuse", "0"], "greater than or equal to 1;"),
    ],
)
def test_what_cannot_be_is_one_sentence(tmp_path: Path, options: list[str], said: str) -> None:
    done = scd(*EXAMPLE, "-o", str(tmp_path / "x.mp4"), *options)
    assert done.code in (1, 2)
    assert said in " ".join(done.err.split())
    assert "Traceback" not in done.err
    assert not list(tmp_path.iterdir())


def test_samplers_and_reuse_make_clips(tmp_path: Path) -> None:
    """Same noise, other ways: alike, and not the same."""
    for name, options in {"a": [], "b": ["--sampler", "dpm++2m"], "c": ["--reuse", "2"], "d": ["--guidance-until", "0.5"]}.items():
        guided = ["--frames", "0:2", "--steps", "6", "--guidance", "1.5"]
        done = scd(*EXAMPLE, *guided, "-o", str(tmp_path / f"{name}.png"), *options, "--json")
        assert done.code == 0, done.err
    first = (tmp_path / "a.png" / "000000.png").read_bytes()
    assert all((tmp_path / f"{name}.png" / "000000.png").read_bytes() != first for name in "bcd")


def test_verify_passes_on_the_shipped_model() -> None:
    done = scd("export", "--verify", "mini", "--json")
    assert done.code == 0, done.err
    said = json.loads(done.out)["graphs"]
    assert said["target"]["frames coupled by"] > 1e-3
    assert said["target"]["another reference changes it by"] > 1e-2


def test_export_without_a_checkpoint_says_what_it_needs() -> None:
    done = scd("export", "--out", "nowhere")
    assert done.code == 2
    assert "give --checkpoint and --out, or --verify BUNDLE" in done.err
