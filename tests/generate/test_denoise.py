"""Guidance in one pass and two, up to a share of the steps; samplers; deep features reused: against plain loops and counts of runs."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from engines.core.reuse import full_step
from engines.core.samplers import SAMPLERS
from engines.generate.deep import DeepStore
from engines.generate.denoise import Settings, passes, runs
from tests.generate.test_pipeline import STEPS, counted, run
from tests.generate.tiny_model import TinyModel

Tiny = tuple[Path, TinyModel]


def settings(**options: Any) -> Settings:
    return Settings(**({"steps": 4, "guidance": 2.0} | options))


@pytest.mark.parametrize("frames", [1, 19])
def test_two_passes_equal_one(tiny: Tiny, frames: int) -> None:
    one, _ = counted(tiny[0])
    two, sessions = counted(tiny[0])
    np.testing.assert_allclose(run(one, frames, 2.5), run(two, frames, 2.5, guidance_passes=2), atol=1e-5)
    assert len(sessions["target"].feeds) == 2 * STEPS * len(two.plan(frames))
    assert {len(array) for pinned in sessions["target"].pins for array in pinned.values()} == {1}, "one condition at a time"


def test_guidance_until_saves_the_late_null_passes(tiny: Tiny) -> None:
    pipeline, sessions = counted(tiny[0])
    half = run(pipeline, 3, 2.5, guidance_until=0.5)
    assert [len(next(iter(pinned.values()))) for pinned in sessions["target"].pins] == [2, 1], "both conditions, then the reference's"
    plain, _ = counted(tiny[0])
    assert np.array_equal(run(plain, 3, 2.5, guidance_until=0.0), run(plain, 3, 1.0))
    assert np.array_equal(run(plain, 3, 2.5, guidance_until=1.0), run(plain, 3, 2.5))
    assert np.abs(half - run(plain, 3, 2.5)).max() > 1e-3


def test_shares_of_a_pass_are_guidance_written_out() -> None:
    assert [each.shares for each in passes(settings(), 1, 2)] == [(2.0, -1.0)]
    assert [each.shares for each in passes(settings(guidance_passes=2), 1, 2)] == [(2.0,), (-1.0,)]
    assert [each.rows for each in passes(settings(guidance_until=0.5), 3, 2)] == [(0, 1)]
    assert runs(settings(guidance_passes=2, guidance_until=0.5), 3) == 3 * (2 + 2 + 1 + 1)
    assert runs(settings(guidance=1.0), 3) == 12


def test_every_sampler_makes_its_own_latents(tiny: Tiny) -> None:
    pipeline, _ = counted(tiny[0])
    made = {name: run(pipeline, 3, 1.0, sampler=name) for name in SAMPLERS}
    assert all(np.isfinite(latents).all() for latents in made.values())
    assert np.abs(made["ddim"] - made["dpm++2m"]).max() > 1e-3
    assert np.abs(made["ddim"] - made["lcm"]).max() > 1e-3
    with pytest.raises(ValueError, match="no sampler 'heun'"):
        run(pipeline, 1, 1.0, sampler="heun")


def test_deep_features_come_back_as_float16() -> None:
    rng = np.random.default_rng(0)
    first, second = (rng.standard_normal((2, 3, 4, 5, 6), dtype=np.float32) for _ in range(2))
    with DeepStore() as store:
        store[0, 0], store[0, 1] = first, second
        store[0, 0] = second
        store[0, 1] = first[:1]
        assert np.array_equal(store[0, 0], second.astype(np.float16))
        assert np.array_equal(store[0, 1], first[:1].astype(np.float16))


@pytest.mark.parametrize(
    "options", [{}, {"guidance": 2.0}, {"guidance": 2.0, "guidance_passes": 2}, {"guidance": 2.0, "guidance_until": 0.4}]
)
def test_reuse_runs_the_shallow_twin_between_full_steps(options: dict[str, Any]) -> None:
    """On the real modules at tiny size, against a loop that carries the deep features itself."""
    torch = pytest.importorskip("torch")
    from engines.core.bundle import LatentSpec, WindowSpec
    from engines.core.sampler import frame_noise
    from engines.core.samplers import dpm_sample
    from engines.core.schedule import NoiseSchedule
    from engines.export.graphs import bundle_graphs
    from engines.export.torch_twin import torch_sessions
    from engines.generate.pipeline import Pipeline, PipelineSpec
    from tests.model.stable import stable_scd, stable_vae

    del torch
    graphs = bundle_graphs(stable_scd(motion=False), stable_vae())  # type: ignore[arg-type]
    schedule = NoiseSchedule(train_timesteps=1000, beta_start=0.00085, beta_end=0.012, zero_terminal_snr=False, prediction_type="epsilon")
    window, latents = WindowSpec(min=1, max=3, default=3, overlap=0), LatentSpec(channels=4, downscale=8, scaling_factor=1.0)
    outer = tuple(name for graph in graphs if graph.name == "target_shallow" for name in graph.inputs if name.startswith("ref_"))
    sessions = torch_sessions(graphs)
    pipeline = Pipeline(PipelineSpec((64, 128), latents, window, schedule, 0.0, outer), sessions)
    chosen = Settings(**({"steps": 5, "guidance": 1.0, "reuse": 3, "sampler": "dpm++2m"} | options))
    rng = np.random.default_rng(0)
    picture, poses = (rng.integers(0, 256, (n, 128, 64, 3), dtype=np.uint8) for n in (1, 2))
    kv = pipeline.reference_kv(pipeline.encode(picture), poses[:1], 1 if chosen.guidance == 1.0 else 2)
    features = pipeline.pose_features(poses)
    pipeline.set_reference(kv)
    made = pipeline.denoise(features, chosen, lambda: None)
    number, deep = 0, {}

    def predict(x: Any, timestep: int) -> Any:
        nonlocal number
        number += 1
        guided = chosen.guidance != 1.0 and number <= chosen.guidance_until * 5
        out = 0
        for row, share in ((0, chosen.guidance if guided else 1.0), (1, 1 - chosen.guidance)):
            if row == 1 and not guided:
                continue
            mine = {name: array[row : row + 1] for name, array in kv.items()}
            feeds = {"latents": x, "timestep": np.array([timestep], np.float32), "pose_features": features}
            sessions["target"].pin({})
            sessions["target_shallow"].pin({})
            if full_step(number, 3):
                found = sessions["target"].run(feeds | mine)
                deep[row] = found["deep"]
            else:
                found = sessions["target_shallow"].run(feeds | {"deep": deep[row]} | {name: mine[name] for name in outer})
            out = out + share * found["prediction"][0]
        return out

    plain = dpm_sample(predict, frame_noise(pipeline.spec.latent_shape, 2, 0, 0.0), schedule, 5)
    np.testing.assert_allclose(made, plain, atol=2e-2)  # the store keeps deep features in float16
    exact = pipeline.denoise(
        features, Settings(**(options | {"steps": 5, "guidance": chosen.guidance, "sampler": "dpm++2m"})), lambda: None
    )
    assert np.abs(made - plain).max() < 0.2 * np.abs(made - exact).max()
