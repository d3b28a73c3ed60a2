"""LPIPS against a second statement of it, straight from the files' tensors."""

import shutil
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pytest

torch = pytest.importorskip("torch")

import torch.nn.functional as F  # noqa: E402
from PIL import Image  # noqa: E402
from safetensors.torch import save_file  # noqa: E402
from torch import Tensor  # noqa: E402

from engines.core.errors import ScdError  # noqa: E402
from engines.evaluate.networks.extractors import Distance, open_extractor  # noqa: E402
from engines.evaluate.networks.loading import device, exact, load_state  # noqa: E402
from engines.evaluate.networks.lpips import TAPS, Heads, Trunk  # noqa: E402
from engines.evaluate.weights import find  # noqa: E402
from tests.evaluate.network_files import FILES, State, pictures, random_state, tensor, write  # noqa: E402
from tests.evaluate.network_files import one_thread as one_thread  # noqa: E402

TRUNKS: dict[str, tuple[str, str]] = {
    "vgg": ("vgg16-397923af", "vgg"), "alex": ("alexnet-owt-7be5be79", "alex"), "squeeze": ("squeezenet1_1-b8a52dc0", "squeeze"),
}  # fmt: skip
METRICS = {"lpips_vgg": "vgg", "lpips_vgg_unnormalized": "vgg", "lpips_alex": "alex", "lpips_squeeze": "squeeze"}
ONE, OTHER = pictures(3, 72, 50), pictures(3, 72, 50, seed=1)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    out = tmp_path_factory.mktemp("lpips")
    write(out, *(name for pair in TRUNKS.values() for name in pair))
    yield out
    shutil.rmtree(out)


def opened(metric: str, folder: Path) -> Distance:
    out = open_extractor(metric, folder)
    assert isinstance(out, Distance)
    return out


def convolved(x: Tensor, state: State, place: object, stride: int = 1, padding: int = 0) -> Tensor:
    return F.conv2d(x, state[f"features.{place}.weight"], state[f"features.{place}.bias"], stride, padding).clamp(min=0)


def vgg(x: Tensor, s: State) -> list[Tensor]:
    out = []
    for group in ((0, 2), (5, 7), (10, 12, 14), (17, 19, 21), (24, 26, 28)):
        x = x if group[0] == 0 else x[..., : x.shape[2] // 2 * 2, : x.shape[3] // 2 * 2].unfold(2, 2, 2).unfold(3, 2, 2).amax((4, 5))
        for place in group:
            x = convolved(x, s, place, padding=1)
        out.append(x)
    return out


def alex(x: Tensor, s: State) -> list[Tensor]:
    first = convolved(x, s, 0, 4, 2)
    second = convolved(first.unfold(2, 3, 2).unfold(3, 3, 2).amax((4, 5)), s, 3, padding=2)
    third = convolved(second.unfold(2, 3, 2).unfold(3, 3, 2).amax((4, 5)), s, 6, padding=1)
    fourth = convolved(third, s, 8, padding=1)
    return [first, second, third, fourth, convolved(fourth, s, 10, padding=1)]


def squeeze(x: Tensor, s: State) -> list[Tensor]:
    def fires(x: Tensor, *places: int) -> Tensor:
        for p in places:
            few = convolved(x, s, f"{p}.squeeze")
            x = torch.cat([convolved(few, s, f"{p}.expand1x1"), convolved(few, s, f"{p}.expand3x3", padding=1)], 1)
        return x

    def pool(x: Tensor) -> Tensor:
        """Windows that stand over the edge count."""
        return F.pad(x, (0, 2, 0, 2)).unfold(2, 3, 2).unfold(3, 3, 2).amax((4, 5))[..., : x.shape[2] // 2, : x.shape[3] // 2]

    out = [convolved(x, s, 0, 2)]
    for places in ((3, 4), (6, 7)):
        out.append(fires(pool(out[-1]), *places))
    out.append(fires(pool(out[-1]), 9))
    for place in (10, 11, 12):
        out.append(fires(out[-1], place))
    return out


RESTATED = {"vgg": vgg, "alex": alex, "squeeze": squeeze}


def distances(trunk: str, a: Tensor, b: Tensor) -> list[float]:
    """Of pictures in the range that the caller chose."""
    files = random_states(trunk)
    mean, deviation = (torch.tensor(v).view(3, 1, 1) for v in ((-0.030, -0.088, -0.188), (0.458, 0.448, 0.450)))
    out = []
    for x, y in zip(a, b, strict=True):
        p, q = (RESTATED[trunk]((z[None] - mean) / deviation, files[0]) for z in (x, y))
        total = 0.0
        for i, (f, g) in enumerate(zip(p, q, strict=True)):
            f, g = (z[0].double() / z[0].double().norm(dim=0) for z in (f, g))
            total += float(((f - g) ** 2 * files[1][f"lin{i}.model.1.weight"][0].double()).sum(0).mean())
        out.append(total)
    return out


def random_states(trunk: str) -> tuple[State, State]:
    number = 2 * list(TRUNKS).index(trunk)
    features, heads = (random_state(FILES[name], number + i) for i, name in enumerate(TRUNKS[trunk]))
    return features, {k: v.abs() for k, v in heads.items()}


@pytest.mark.parametrize("metric", METRICS)
def test_distances_are_the_restated_ones(metric: str, folder: Path) -> None:
    a, b = (tensor(p) / 255 for p in (ONE, OTHER))
    want = distances(METRICS[metric], *((a, b) if metric.endswith("unnormalized") else (2 * a - 1, 2 * b - 1)))
    found = opened(metric, folder)(ONE, OTHER)
    assert found.shape == (3,)
    assert found.dtype == np.float64
    assert min(want) > 1e-3
    np.testing.assert_allclose(found, want, rtol=1e-4)


def test_alex_128_squashes_in_whole_grey_levels(folder: Path) -> None:
    a, b = pictures(1, 256, 192, seed=2), pictures(1, 256, 192, seed=3)
    small = [np.asarray(Image.fromarray(p[0]).resize((128, 128), Image.Resampling.BILINEAR))[None] for p in (a, b)]
    found = opened("lpips_alex_128", folder)(a, b)
    np.testing.assert_allclose(found, opened("lpips_alex", folder)(*small), rtol=1e-6)
    assert abs(found[0] / opened("lpips_alex", folder)(a, b)[0] - 1) > 0.01
    np.testing.assert_allclose(found, distances("alex", *(tensor(p) / 127.5 - 1 for p in small)), rtol=1e-4)


@pytest.mark.parametrize("metric", METRICS)
def test_batches_do_not_matter(metric: str, folder: Path) -> None:
    network = opened(metric, folder)
    swapped, alone = network(OTHER[::-1], ONE[::-1]), network(ONE[1:2], OTHER[1:2])
    with exact():
        together = network.network(ONE, OTHER, where=device()).cpu().numpy()[:, 0]
    np.testing.assert_allclose(together, swapped[::-1], rtol=1e-5)
    np.testing.assert_allclose(alone, swapped[1:2], rtol=1e-5)
    np.testing.assert_array_equal(alone, network(ONE[1:2], OTHER[1:2]))
    np.testing.assert_array_equal(network(ONE, ONE), 0)
    assert network(ONE[:0], OTHER[:0]).shape == (0,)


@pytest.mark.parametrize(("metric", "least"), [("lpips_vgg", 16), ("lpips_alex", 31), ("lpips_squeeze", 17)])
def test_small_pictures_are_refused(metric: str, least: int, folder: Path) -> None:
    network, small = opened(metric, folder), pictures(1, least, 40)
    assert np.isfinite(network(small, small)).all()
    with pytest.raises(ScdError, match=f"LPIPS needs pictures of {least} pixels a side, not 40x{least - 1}"):
        network(small[:, 1:], small[:, 1:])


def test_strictness(tmp_path: Path) -> None:
    features, heads = (dict(random_state(FILES[name])) for name in TRUNKS["alex"])
    del features["features.10.bias"]
    save_file(features, tmp_path / "alexnet-owt-7be5be79.safetensors")
    save_file(heads, tmp_path / "alex.safetensors")
    with pytest.raises(ScdError, match=r"alexnet-owt-7be5be79\.safetensors lacks features\.10\.bias, a tensor of 256"):
        opened("lpips_alex", tmp_path)(ONE, OTHER)


@pytest.mark.skipif(not (find_spec("lpips") or find_spec("torchmetrics")), reason="neither lpips nor torchmetrics is installed")
@pytest.mark.parametrize("trunk", list(TAPS))
def test_real_heads_have_this_layout(trunk: Trunk, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("SCD_EVAL_WEIGHTS", raising=False)
    state = load_state(find(f"lpips_{trunk}", None).path)
    assert {k: tuple(v.shape) for k, v in state.items()} == FILES[trunk]
    assert {k: tuple(v.shape) for k, v in Heads(trunk).state_dict().items()} == FILES[trunk]
    assert all(bool((v >= 0).all()) for v in state.values())
