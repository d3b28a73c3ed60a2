"""Every learned metric opens its network, and says what is missing."""

import subprocess
import sys
from pathlib import Path

import pytest

from engines.core.errors import MissingExtra, ScdError, UsageError
from engines.evaluate.metrics import METRICS
from engines.evaluate.networks.extractors import OPENERS, Distance, Features, open_extractor
from engines.evaluate.weights import VARIABLE, WeightsMissing, table

pytest.importorskip("torch")


@pytest.fixture(autouse=True)
def nowhere_else(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(VARIABLE, raising=False)


def put_converted(folder: Path, *keys: str) -> None:
    """Files whose content nobody reads before the first call."""
    for key in keys:
        (folder / f"{Path(table()[key].names[0]).stem}.safetensors").write_bytes(key.encode())


def test_the_registry_of_metrics_and_the_networks_agree() -> None:
    learned = {m.name for m in METRICS.values() if m.family in ("distance", "pictures", "clips")}
    assert set(OPENERS) == learned


@pytest.mark.parametrize("metric", list(OPENERS))
def test_opens_with_the_weights_that_the_registry_names(metric: str, tmp_path: Path) -> None:
    put_converted(tmp_path, *METRICS[metric].needs)
    found = open_extractor(metric, tmp_path)
    assert isinstance(found, Distance if METRICS[metric].family == "distance" else Features)
    assert tuple(w.key for w in found.weights) == METRICS[metric].needs


@pytest.mark.parametrize("metric", list(OPENERS))
def test_missing_weights(metric: str, tmp_path: Path) -> None:
    key = METRICS[metric].needs[0]
    with pytest.raises(WeightsMissing, match=f"{table()[key].names[0]} not found, get it from "):
        open_extractor(metric, tmp_path)


def test_the_same_name_for_the_same_features_alone(tmp_path: Path) -> None:
    put_converted(tmp_path, *(key for metric in OPENERS for key in METRICS[metric].needs))
    names = {metric: open_extractor(metric, tmp_path).name for metric in OPENERS}
    assert names.pop("kid_pytorchfid") == names["fid_pytorchfid"]
    assert names.pop("kid_clean") == names["fid_clean"]
    assert len(set(names.values())) == len(names)


def test_unreadable_weights_are_told_at_the_first_call(tmp_path: Path) -> None:
    import numpy as np

    put_converted(tmp_path, "inception_fid")
    network = open_extractor("fid_clean", tmp_path)
    assert isinstance(network, Features)
    with pytest.raises(ScdError, match="cannot be read as safetensors"):
        network(np.zeros((1, 32, 32, 3), np.uint8))


def test_without_torch(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    put_converted(tmp_path, "i3d400")
    monkeypatch.setitem(sys.modules, "torch", None)
    with pytest.raises(MissingExtra, match=r"the metric fvd_i3d400 needs packages .*scd-cli\[evaluate\]"):
        open_extractor("fvd_i3d400", tmp_path)


def test_unknown_metric(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="there is no learned metric fvd"):
        open_extractor("fvd", tmp_path)


def test_torch_comes_in_at_the_first_call(tmp_path: Path) -> None:
    put_converted(tmp_path, "i3d400")
    code = (
        "import sys; from pathlib import Path; from engines.evaluate.networks.extractors import open_extractor\n"
        f"open_extractor('fvd_i3d400', Path({str(tmp_path)!r})); print('torch' in sys.modules)"
    )
    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=Path(__file__).parents[2], timeout=60)
    assert ran.stdout.strip() == "False", ran.stderr
