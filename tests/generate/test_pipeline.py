"""The pipeline over the tiny bundle against plain loops over its numpy twin, and what it asks of its sessions."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from engines.core.bundle import read_bundle
from engines.core.sampler import frame_noise
from engines.core.windows import windows
from engines.generate.denoise import Settings
from engines.generate.features import FeatureStore
from engines.generate.pipeline import Pipeline, open_pipeline, pictures_of, unit
from tests.generate.counting import CountingSession
from tests.generate.tiny_bundle import SHARED_NOISE, write_tiny_bundle
from tests.generate.tiny_model import SIZE, TinyModel

Floats = NDArray[np.float32]
Tiny = tuple[Path, TinyModel]
STEPS = 4


def pictures(seed: int, count: int) -> NDArray[np.uint8]:
    return np.random.default_rng(seed).integers(0, 256, (count, SIZE[1], SIZE[0], 3), dtype=np.uint8)


def counted(folder: Path) -> tuple[Pipeline, dict[str, CountingSession]]:
    pipeline = open_pipeline(read_bundle(folder), ("cpu",))
    sessions = {name: CountingSession(session) for name, session in pipeline.sessions.items()}
    return Pipeline(pipeline.spec, sessions), sessions


def run(pipeline: Pipeline, frames: int, guidance: float, seed: int = 0, reference: int = 1, **options: Any) -> Floats:
    """Latents of `frames` random pose pictures under a random reference."""
    conditions = 1 if guidance == 1.0 else 2
    pipeline.set_reference(pipeline.reference_kv(pipeline.encode(pictures(reference, 1)), pictures(2, 1), conditions))
    return pipeline.denoise(
        pipeline.pose_features(pictures(3, frames)), Settings(steps=STEPS, guidance=guidance, seed=seed, **options), lambda: None
    )


def twin_kv(twin: TinyModel, guidance: float) -> dict[str, Floats]:
    latents, features = twin.encoder(unit(pictures(1, 1)) * 2 - 1), twin.pose(unit(pictures(2, 1)))
    if guidance != 1.0:
        latents, features = np.concatenate([latents, 0 * latents]), np.concatenate([features, twin.pose(unit(0 * pictures(2, 1)))])
    return twin.reference(latents, features)


def guided(predictions: Floats, guidance: float) -> Floats:
    return predictions[0] if guidance == 1.0 else predictions[1] + guidance * (predictions[0] - predictions[1])


def denoise_one(twin: TinyModel, pipeline: Pipeline, index: int, features: Floats, guidance: float) -> Floats:
    """DDIM written out for one frame, v-prediction."""
    schedule, kv = pipeline.spec.schedule, twin_kv(twin, guidance)
    alphas, timesteps = schedule.alphas_cumprod(), schedule.timesteps(STEPS)
    x = frame_noise(pipeline.spec.latent_shape, index + 1, 0, SHARED_NOISE)[-1:]
    for number, t in enumerate(timesteps):
        v = guided(twin.target(x, float(t), features, kv), guidance)
        a, b = alphas[t] ** 0.5, (1 - alphas[t]) ** 0.5
        clean, noise = a * x - b * v, a * v + b * x
        after = alphas[timesteps[number + 1]] if number + 1 < STEPS else 1.0
        x = (after**0.5 * clean + (1 - after) ** 0.5 * noise).astype(np.float32)
    return x[0]


@pytest.mark.parametrize("guidance", [1.0, 2.5])
@pytest.mark.parametrize("frames", [1, 8, 19])
def test_equals_a_loop_frame_by_frame(tiny: Tiny, frames: int, guidance: float) -> None:
    """Frames of this bundle do not see each other, so windows and blending must not show."""
    folder, twin = tiny
    pipeline, _ = counted(folder)
    latents = run(pipeline, frames, guidance)
    features = twin.pose(unit(pictures(3, frames)))
    for index in range(frames):
        np.testing.assert_allclose(latents[index], denoise_one(twin, pipeline, index, features[index : index + 1], guidance), atol=2e-4)


def test_windows_are_blended_by_their_weights_at_every_step(tmp_path: Path) -> None:
    """Where frames do see each other: one prediction blended from the windows, written out."""
    twin = write_tiny_bundle(tmp_path / "motion", motion=True)
    pipeline, _ = counted(tmp_path / "motion")
    latents, features = run(pipeline, 13, 1.0), twin.pose(unit(pictures(3, 13)))
    schedule, kv = pipeline.spec.schedule, twin_kv(twin, 1.0)
    alphas, timesteps = schedule.alphas_cumprod(), schedule.timesteps(STEPS)
    x = frame_noise(pipeline.spec.latent_shape, 13, 0, SHARED_NOISE)
    for number, t in enumerate(timesteps):
        v = np.zeros_like(x)
        for w in windows(13, 8, 2):
            for frame, weight in zip(range(w.start, w.stop), w.weights, strict=True):
                v[frame] += weight * twin.target(x[w.start : w.stop], float(t), features[w.start : w.stop], kv)[0][frame - w.start]
        a, b = alphas[t] ** 0.5, (1 - alphas[t]) ** 0.5
        after = alphas[timesteps[number + 1]] if number + 1 < STEPS else 1.0
        x = (after**0.5 * (a * x - b * v) + (1 - after) ** 0.5 * (a * v + b * x)).astype(np.float32)
    np.testing.assert_allclose(latents, x, atol=2e-4)


def test_the_reference_is_read_once_and_pinned_once(tiny: Tiny) -> None:
    pipeline, sessions = counted(tiny[0])
    run(pipeline, 19, 1.0)
    assert (len(sessions["encoder"].feeds), len(sessions["reference"].feeds), len(sessions["target"].pins)) == (1, 1, 1)
    assert len(sessions["target"].feeds) == STEPS * len(pipeline.plan(19))
    assert set(sessions["target"].feeds[0]) == {"latents", "timestep", "pose_features"}


@pytest.mark.parametrize(("guidance", "conditions"), [(1.0, 1), (0.0, 2), (3.0, 2)])
def test_only_guidance_costs_a_second_condition(tiny: Tiny, guidance: float, conditions: int) -> None:
    pipeline, sessions = counted(tiny[0])
    run(pipeline, 3, guidance)
    assert len(sessions["reference"].feeds[0]["ref_latents"]) == conditions
    assert all(len(array) == conditions for array in sessions["target"].pins[0].values())


def test_null_reference_is_zero_latents_and_a_black_pose(tiny: Tiny) -> None:
    pipeline, sessions = counted(tiny[0])
    run(pipeline, 1, 2.0)
    assert not sessions["reference"].feeds[0]["ref_latents"][1].any()
    assert not sessions["pose"].feeds[1]["pose"].any()


def test_another_reference_gives_other_latents_another_seed_too(tiny: Tiny) -> None:
    pipeline, _ = counted(tiny[0])
    first = run(pipeline, 3, 1.0)
    assert np.array_equal(first, run(pipeline, 3, 1.0))
    assert np.abs(first - run(pipeline, 3, 1.0, reference=9)).mean() > 1e-2
    assert np.abs(first - run(pipeline, 3, 1.0, seed=1)).mean() > 1e-2


@pytest.mark.parametrize("shared", [0.0, 0.5])
def test_a_longer_clip_begins_with_the_same_noise(shared: float) -> None:
    noise = frame_noise((4, 6, 4), 400, 7, shared)
    assert np.array_equal(noise[:5], frame_noise((4, 6, 4), 5, 7, shared))
    assert len({frame.tobytes() for frame in noise}) == 400
    alike = np.corrcoef(noise.reshape(400, -1))
    assert float(noise.std()) == pytest.approx(1, abs=0.1)
    assert float(alike[np.triu_indices(400, 1)].mean()) == pytest.approx(shared, abs=0.1)


def test_noise_can_be_one_for_all_frames() -> None:
    noise = frame_noise((4, 6, 4), 3, 7, 1.0)
    assert np.array_equal(noise[0], noise[2])
    assert not np.array_equal(noise[0], frame_noise((4, 6, 4), 1, 8, 1.0)[0])


def test_features_on_disk_are_the_features(tiny: Tiny) -> None:
    pipeline, _ = counted(tiny[0])
    features = pipeline.pose_features(pictures(3, 11))
    with FeatureStore() as store:
        for start in range(0, 11, 4):
            store.append(features[start : start + 4])
        assert len(store) == 11
        assert np.array_equal(store[3:9], features[3:9])
        run(pipeline, 1, 1.0)
        on_disk = pipeline.denoise(store, Settings(steps=STEPS, guidance=1.0), lambda: None)
    assert np.array_equal(on_disk, pipeline.denoise(features, Settings(steps=STEPS, guidance=1.0), lambda: None))


def test_progress_counts_windows_times_steps(tiny: Tiny) -> None:
    pipeline, _ = counted(tiny[0])
    run(pipeline, 1, 1.0)
    ticks: list[None] = []
    pipeline.denoise(pipeline.pose_features(pictures(3, 19)), Settings(steps=STEPS, guidance=1.0), lambda: ticks.append(None))
    assert len(ticks) == STEPS * len(pipeline.plan(19)) == STEPS * 3


def test_decoding_in_chunks_is_decoding(tiny: Tiny) -> None:
    folder, twin = tiny
    pipeline, sessions = counted(folder)
    latents = frame_noise(pipeline.spec.latent_shape, 10, 0, 0.0)
    stream = pipeline.decode(latents)
    assert not sessions["decoder"].feeds, "nothing is decoded before it is asked for"
    difference = np.stack(list(stream)).astype(int) - pictures_of(twin.decoder(latents)).astype(int)
    assert np.abs(difference).max() <= 1
    assert max(len(feed["latents"]) for feed in sessions["decoder"].feeds) <= 4


def test_pixels_survive_the_way_in_and_out() -> None:
    every = np.arange(256, dtype=np.uint8).reshape(1, 16, 16, 1).repeat(3, axis=3)
    assert np.array_equal(pictures_of(unit(every) * 2 - 1), every)
    assert pictures_of(np.full((1, 3, 2, 2), 7, np.float32)).max() == 255


def test_close_closes_every_session(tiny: Tiny) -> None:
    pipeline, sessions = counted(tiny[0])
    pipeline.close()
    assert all(session.closed for session in sessions.values())


class OnDevice(CountingSession):
    """A stand-in for a GPU's session: what it keeps, it hands on."""

    def launch(self, feeds: Any) -> None:
        self.left = self.run(feeds)

    def keep(self) -> "OnDevice":
        return self

    def link(self, other: "OnDevice") -> list[str]:
        self.inner.pin(other.left)
        return list(other.left)

    def close(self) -> None:
        self.closed = True


@pytest.mark.parametrize(
    ("options", "stays"),
    [
        ({}, True),
        ({"guidance": 2.0}, True),
        ({"guidance": 2.0, "guidance_passes": 2}, False),
        ({"guidance": 2.0, "guidance_until": 0.5}, False),
    ],
)
def test_keys_and_values_stay_on_a_device_that_can_keep_them(tiny: Tiny, options: dict[str, Any], stays: bool) -> None:
    plain, others = counted(tiny[0])[0], counted(tiny[0])[1]
    sessions = {name: OnDevice(session.inner) if name in ("reference", "target") else session for name, session in others.items()}
    made = []
    for pipeline in (plain, Pipeline(plain.spec, sessions)):
        settings = Settings(**({"steps": STEPS, "guidance": 1.0} | options))
        pipeline.read_reference(pipeline.encode(pictures(1, 1)), pictures(2, 1), settings)
        made.append(pipeline.denoise(pipeline.pose_features(pictures(3, 5)), settings, lambda: None))
    assert np.array_equal(*made)
    assert sessions["reference"].closed is stays, "the pipeline gave its own hold on the K/V back"
    assert bool(sessions["target"].pins) is not stays
