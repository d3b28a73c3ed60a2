"""A run folder with a checkpoint of a tiny model with random weights."""

from dataclasses import asdict
from pathlib import Path

from engines.core.schedule import NoiseSchedule
from engines.core.specs import Sampling
from engines.model.checkpoint import prefixed, save_checkpoint
from tests.model.tiny import AUTOENCODER, tiny_autoencoder, tiny_scd

SCHEDULE = NoiseSchedule(train_timesteps=1000, beta_start=0.00085, beta_end=0.012, zero_terminal_snr=True, prediction_type="v_prediction")


def save_run(run: Path, motion: bool) -> Path:
    model, autoencoder = tiny_scd(motion), tiny_autoencoder()
    recipe = {
        "data": "/somewhere/data",
        "autoencoder": "/somewhere/runs/autoencoder",
        "initial": "",
        "model": asdict(model.spec),
        "schedule": asdict(SCHEDULE),
        "sampling": asdict(Sampling(steps=3, guidance=1.0, shared_noise=0.5, window=4, overlap=2)),
    }
    facts = {"kind": "scd", "name": "tiny", "step": 1, "recipe": recipe, "autoencoder": asdict(AUTOENCODER), "data": "none"}
    weights = prefixed("scd", model.state_dict()) | prefixed("autoencoder", autoencoder.state_dict())
    save_checkpoint(run, weights, {}, facts, keep=1)
    return run
