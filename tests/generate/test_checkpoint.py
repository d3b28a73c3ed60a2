"""A clip that is interrupted anywhere and started again has the bytes of one that was not."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from engines.core.samplers import SAMPLERS, sampler_named
from engines.core.schedule import NoiseSchedule
from engines.core.windows import Window, windows
from engines.generate.checkpoint import Checkpoint
from engines.generate.denoise import Denoiser, Settings, runs

SHAPE, FRAMES = (2, 3, 4), 19
SCHEDULE = NoiseSchedule(train_timesteps=1000, beta_start=0.00085, beta_end=0.012, zero_terminal_snr=True, prediction_type="v_prediction")
OPTIONS: list[dict[str, Any]] = [
    {}, {"sampler": "dpm++2m"}, {"sampler": "lcm"}, {"guidance": 2.0}, {"guidance": 2.0, "guidance_passes": 2},
    {"guidance": 2.0, "guidance_until": 0.5}, {"reuse": 2}, {"reuse": 3, "sampler": "dpm++2m", "guidance": 2.0},
]  # fmt: skip


class Killed(BaseException):
    pass


class Session:
    """A graph whose outputs are a fixed function of its inputs."""

    def __init__(self, shallow: bool, conditions: list[int]) -> None:
        self.device, self.shallow, self.conditions = "cpu", shallow, conditions

    def run(self, feeds: dict[str, NDArray[Any]], wanted: Any = None) -> dict[str, NDArray[Any]]:
        first, last = self.conditions
        rows = np.arange(first + 1, last + 1, dtype=np.float32).reshape(-1, 1, 1, 1, 1)
        moved = feeds["deep"] if self.shallow else feeds["latents"][None] * rows
        prediction = np.tanh(feeds["latents"][None] * rows + moved * feeds["timestep"][0] / 1000 + feeds["pose_features"][None])
        return {"prediction": prediction.astype(np.float32), "deep": (prediction / 2).astype(np.float32)}

    def pin(self, constants: Any) -> None: ...

    def close(self) -> None: ...


class Network:
    target = "target"

    def __init__(self, conditions: int) -> None:
        self.conditions, self.rows = conditions, [0, conditions]
        self.sessions = {"target": Session(False, self.rows), "target_shallow": Session(True, self.rows)}

    def plan(self, frames: int) -> list[Window]:
        return windows(frames, 8, 2)

    def show(self, rows: tuple[int, int], shallow: bool = False) -> None:
        self.rows[:] = rows


def denoised(settings: Settings, checkpoint: Checkpoint | None, on_window: Callable[[], None]) -> NDArray[np.float32]:
    rng = np.random.default_rng(1)
    noise, features = (rng.standard_normal((FRAMES, *SHAPE), dtype=np.float32) for _ in range(2))
    network = Network(1 if settings.guidance == 1.0 else 2)
    sample = sampler_named(settings.sampler)
    with Denoiser(network, features, settings, on_window, checkpoint) as predict:
        return sample(predict, noise, SCHEDULE, settings.steps, predict.step_done, settings.seed, predict.state)


def killed_at(settings: Settings, folder: Path, number: int, every: float) -> int:
    """Run until window `number` and die there; returns the windows that were counted."""
    seen = 0

    def count() -> None:
        nonlocal seen
        seen += 1
        if seen == number:
            raise Killed

    with pytest.raises(Killed):
        denoised(settings, Checkpoint(folder, "key", every), count)
    return seen


@pytest.mark.parametrize("every", [0.0, 1000.0])
@pytest.mark.parametrize("options", OPTIONS, ids=str)
def test_killed_at_any_window(options: dict[str, Any], every: float, tmp_path: Path) -> None:
    settings = Settings(**({"steps": 4, "guidance": 1.0, "seed": 3} | options))
    whole, total = denoised(settings, None, lambda: None), runs(settings, 3)
    for number in range(1, total + 1):
        folder = tmp_path / str(number)
        folder.mkdir()
        killed_at(settings, folder, number, every)
        again = Checkpoint(folder, "key", every)
        ticks: list[None] = []
        assert np.array_equal(denoised(settings, again, lambda: ticks.append(None)), whole), number  # noqa: B023
        if settings.reuse == 1 and every == 0.0:
            assert again.found + total - len(ticks) >= number - 1, "what was kept is not made again"


def test_twice_killed_is_killed_once(tmp_path: Path) -> None:
    settings = Settings(steps=4, guidance=1.0)
    killed_at(settings, tmp_path, 2, 1000.0)
    killed_at(settings, tmp_path, 5, 1000.0)
    assert np.array_equal(denoised(settings, Checkpoint(tmp_path, "key"), lambda: None), denoised(settings, None, lambda: None))


def test_another_request_begins_anew(tmp_path: Path) -> None:
    settings = Settings(steps=4, guidance=1.0)
    killed_at(settings, tmp_path, 8, 0.0)
    other = Checkpoint(tmp_path, "another key", 0.0)
    assert (other.state.done, other.state.latents) == (0, None)
    assert list(tmp_path.iterdir()) == [], "nothing is kept of either"


def spoil_tail(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-7])


def spoil_middle(path: Path) -> None:
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 255
    path.write_bytes(bytes(data))


@pytest.mark.parametrize("spoil", [spoil_tail, spoil_middle, lambda path: path.write_bytes(b"")])
@pytest.mark.parametrize("what", ["state.npz", "step-3"])
def test_a_damaged_state_costs_only_time(tmp_path: Path, spoil: Callable[[Path], None], what: str) -> None:
    """As after a power cut: what does not fit its checksum is made again."""
    settings = Settings(steps=4, guidance=1.0)
    killed_at(settings, tmp_path, 9, 0.0)
    spoil(tmp_path / what)
    assert np.array_equal(denoised(settings, Checkpoint(tmp_path, "key"), lambda: None), denoised(settings, None, lambda: None))


def test_every_sampler_is_covered() -> None:
    assert set(SAMPLERS) - {str(o.get("sampler", "ddim")) for o in OPTIONS} <= {"euler"}, "euler steps as ddim does"
