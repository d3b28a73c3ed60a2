"""Schedule, sampler, guidance, windows: against closed forms and as properties."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from engines.core.guidance import conditions, guided_at, mixed
from engines.core.sampler import Latents, begun, clean_and_noise, ddim_sample, ddim_step, skipped
from engines.core.samplers import SAMPLERS, sampler_named
from engines.core.schedule import NoiseSchedule, PredictionType
from engines.core.windows import windows


def schedule(zero: bool, kind: PredictionType = "v_prediction") -> NoiseSchedule:
    return NoiseSchedule(train_timesteps=1000, beta_start=0.00085, beta_end=0.012, zero_terminal_snr=zero, prediction_type=kind)


def test_plain_schedule_is_stable_diffusions() -> None:
    alphas = schedule(False).alphas_cumprod()
    assert alphas[0] == pytest.approx(1 - 0.00085)
    assert alphas[-1] == pytest.approx(0.0047, abs=2e-4)


def test_zero_terminal_snr_ends_in_pure_noise_and_keeps_the_start() -> None:
    plain, zero = schedule(False).alphas_cumprod(), schedule(True).alphas_cumprod()
    assert zero[-1] == 0
    assert zero[0] == pytest.approx(plain[0])
    assert (np.diff(zero) < 0).all()


@pytest.mark.parametrize("steps", [1, 7, 25, 1000])
def test_timesteps_are_trailing(steps: int) -> None:
    got = schedule(True).timesteps(steps)
    assert list(got) == [round(1000 - i * 1000 / steps) - 1 for i in range(steps)]
    assert got[0] == 999


@pytest.mark.parametrize("kind", ["v_prediction", "epsilon"])
def test_a_true_prediction_gives_back_picture_and_noise(kind: PredictionType) -> None:
    rng = np.random.default_rng(0)
    clean, noise = rng.standard_normal((2, 3, 4, 5), dtype=np.float32)
    alpha = 0.3
    noisy = np.float32(alpha**0.5) * clean + np.float32(0.7**0.5) * noise
    prediction = noise if kind == "epsilon" else np.float32(alpha**0.5) * noise - np.float32(0.7**0.5) * clean
    a, b = clean_and_noise(noisy, prediction, alpha, kind)
    np.testing.assert_allclose(a, clean, atol=1e-5)
    np.testing.assert_allclose(b, noise, atol=1e-5)


@pytest.mark.parametrize("steps", [1, 2, 25])
def test_sampling_with_a_perfect_predictor_ends_at_the_picture(steps: int) -> None:
    """A predictor that knows x_0 leads there in any number of steps, from pure noise (alpha 0) on."""
    rng, plan = np.random.default_rng(0), schedule(True)
    goal, start = rng.standard_normal((2, 4, 4), dtype=np.float32)
    alphas = plan.alphas_cumprod()

    def perfect(latents: np.ndarray, timestep: int) -> np.ndarray:
        signal, noise = alphas[timestep] ** 0.5, (1 - alphas[timestep]) ** 0.5
        return ((signal * latents - goal) / noise).astype(np.float32)

    np.testing.assert_allclose(ddim_sample(perfect, start, plan, steps), goal, atol=1e-4)


def test_epsilon_from_pure_noise_is_refused() -> None:
    zero = np.zeros(3, np.float32)
    with pytest.raises(ValueError, match="alpha is 0"):
        ddim_step(zero, zero, 0.0, 0.5, "epsilon")


def test_guidance_one_needs_one_condition_and_changes_nothing() -> None:
    assert (conditions(1.0), conditions(2.5), conditions(0.0)) == (1, 2, 2)
    stacked = np.array([[3.0], [1.0]], np.float32)
    assert mixed(stacked[:1], (1.0,))[0] == 3.0
    assert mixed(stacked, (2.0, -1.0))[0] == 5.0


@pytest.mark.parametrize(
    ("steps", "until", "count"),
    [(25, 0.8, 20), (25, 1.0, 25), (25, 0.0, 0), (4, 0.8, 3), (1, 1.0, 1), (1, 0.5, 1), (1, 0.49, 0), (50, 0.29, 15), (30, 0.1, 3)],
)
def test_the_first_share_of_the_steps_is_guided(steps: int, until: float, count: int) -> None:
    assert [guided_at(number, steps, until) for number in range(1, steps + 1)] == [True] * count + [False] * (steps - count)


@given(steps=st.integers(1, 1000), count=st.integers(0, 1000))
def test_a_share_that_is_whole_steps_guides_just_those(steps: int, count: int) -> None:
    count = min(count, steps)
    assert sum(guided_at(number, steps, count / steps) for number in range(1, steps + 1)) == count


@pytest.mark.parametrize(("number", "until"), [(0, 0.5), (5, 0.5), (1, -0.1), (1, 1.1), (1, float("nan"))])
def test_guidance_outside_the_steps_is_refused(number: int, until: float) -> None:
    with pytest.raises(ValueError, match="must lie in"):
        guided_at(number, 4, until)


@given(frames=st.integers(1, 300), length=st.integers(1, 24), share=st.floats(0, 0.99))
def test_windows_cover_every_frame_with_weights_that_sum_to_one(frames: int, length: int, share: float) -> None:
    plan = windows(frames, length, int(share * length))
    total = np.zeros(frames)
    for window in plan:
        assert 0 <= window.start < window.stop <= frames
        assert window.stop - window.start == min(length, frames)
        assert (window.weights > 0).all()
        total[window.start : window.stop] += window.weights
    np.testing.assert_allclose(total, 1, atol=1e-5)
    assert plan[-1].stop == frames


def test_the_last_window_is_shifted_back_never_wrapped() -> None:
    assert [(w.start, w.stop) for w in windows(20, 8, 2)] == [(0, 8), (6, 14), (12, 20)]
    assert [(w.start, w.stop) for w in windows(21, 8, 2)] == [(0, 8), (6, 14), (12, 20), (13, 21)]


def test_an_overlap_as_long_as_the_window_is_refused() -> None:
    with pytest.raises(ValueError, match="overlap"):
        windows(20, 8, 8)


def test_sampling_begins_in_the_middle_with_what_is_there() -> None:
    """Strength 0.5 of four steps leaves the last two; a predictor that knows the truth ends at it from wherever it starts."""
    path, rng = schedule(True), np.random.default_rng(0)
    truth, start, noise = (rng.standard_normal((2, 1, 3, 3), dtype=np.float32) for _ in range(3))
    alphas, asked = path.alphas_cumprod(), list[int]()

    def knows(latents: Latents, timestep: int) -> Latents:
        asked.append(timestep)
        alpha = alphas[timestep]
        return np.asarray((np.sqrt(alpha) * latents - truth) / np.sqrt(1 - alpha), np.float32)

    for sample in (sampler_named(name) for name in SAMPLERS):
        asked.clear()
        state = begun(start, noise, path, 4, 0.5)
        first = float(alphas[path.timesteps(4)[2]])
        assert np.allclose(state.latents, np.sqrt(first) * start + np.sqrt(1 - first) * noise, atol=1e-6)
        assert np.allclose(sample(knows, noise, path, 4, state=state), truth, atol=1e-4)
        assert asked == path.timesteps(4)[2:].tolist()
    whole = begun(start, noise, path, 4, 1.0)
    assert whole.done == 0
    assert np.array_equal(whole.latents, noise)
    assert [skipped(4, strength) for strength in (1.0, 0.5, 0.01)] == [0, 2, 3]
