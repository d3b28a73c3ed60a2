"""Inception-v3 of FID against a second statement of it, straight from the file's tensors, and of the two ways to prepare pictures."""

import shutil
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

torch = pytest.importorskip("torch")

import torch.nn.functional as F  # noqa: E402
from safetensors.torch import save_file  # noqa: E402
from torch import Tensor  # noqa: E402

from engines.core.errors import ScdError  # noqa: E402
from engines.evaluate.networks.extractors import Features, open_extractor  # noqa: E402
from engines.evaluate.networks.inception import Inception, prepared  # noqa: E402
from engines.evaluate.networks.loading import device, exact  # noqa: E402
from tests.evaluate.network_files import State, inception, normalised, pictures, random_state, resampled, tensor, write  # noqa: E402
from tests.evaluate.network_files import one_thread as one_thread  # noqa: E402

FILE = "pt_inception-2015-12-05-6726825d"
FRONT_ENDS = {"pytorchfid": "fid_pytorchfid", "clean": "fid_clean"}
PICTURES = pictures(2, 60, 44)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    out = tmp_path_factory.mktemp("inception")
    write(out, FILE)
    yield out
    shutil.rmtree(out)


@pytest.fixture(scope="module", params=list(FRONT_ENDS))
def extractor(request: pytest.FixtureRequest, folder: Path) -> Features:
    out = open_extractor(FRONT_ENDS[request.param], folder)
    assert isinstance(out, Features)
    return out


class Restated:
    """The network as one function for each kind of block."""

    def __init__(self, state: State) -> None:
        self.state = state

    def unit(self, x: Tensor, name: str, stride: int = 1, padding: tuple[int, int] = (0, 0)) -> Tensor:
        weight, bias = normalised(self.state, f"{name}.bn", self.state[f"{name}.conv.weight"], 1e-3)
        return F.conv2d(x, weight, bias, stride, padding).clamp(min=0)

    def chain(self, x: Tensor, block: str, *names: str, stride: int = 1) -> Tensor:
        """Kernels as the file has them, edges kept, but for the last unit of a block that halves."""
        for i, name in enumerate(names):
            height, width = self.state[f"Mixed_{block}.{name}.conv.weight"].shape[2:]
            halves = stride == 2 and i == len(names) - 1
            x = self.unit(x, f"Mixed_{block}.{name}", stride if halves else 1, (0, 0) if halves else (height // 2, width // 2))
        return x

    def mean(self, x: Tensor) -> Tensor:
        """Over the neighbours that are inside the picture."""
        ones = torch.ones(x.shape[1], 1, 3, 3, dtype=x.dtype)
        return F.conv2d(x, ones, padding=1, groups=len(ones)) / F.conv2d(torch.ones_like(x[:1]), ones, padding=1, groups=len(ones))

    def a(self, x: Tensor, b: str) -> Tensor:
        double = self.chain(x, b, "branch3x3dbl_1", "branch3x3dbl_2", "branch3x3dbl_3")
        five = self.chain(x, b, "branch5x5_1", "branch5x5_2")
        return torch.cat([self.chain(x, b, "branch1x1"), five, double, self.chain(self.mean(x), b, "branch_pool")], 1)

    def b(self, x: Tensor, b: str) -> Tensor:
        double = self.chain(x, b, "branch3x3dbl_1", "branch3x3dbl_2", "branch3x3dbl_3", stride=2)
        return torch.cat([self.chain(x, b, "branch3x3", stride=2), double, F.max_pool2d(x, 3, 2)], 1)

    def c(self, x: Tensor, b: str) -> Tensor:
        seven, double = (self.chain(x, b, *(f"branch7x7{kind}_{i}" for i in range(1, n))) for kind, n in (("", 4), ("dbl", 6)))
        return torch.cat([self.chain(x, b, "branch1x1"), seven, double, self.chain(self.mean(x), b, "branch_pool")], 1)

    def d(self, x: Tensor, b: str) -> Tensor:
        long = self.chain(x, b, *(f"branch7x7x3_{i}" for i in range(1, 5)), stride=2)
        return torch.cat([self.chain(x, b, "branch3x3_1", "branch3x3_2", stride=2), long, F.max_pool2d(x, 3, 2)], 1)

    def e(self, x: Tensor, b: str, pooled: Tensor) -> Tensor:
        three, double = self.chain(x, b, "branch3x3_1"), self.chain(x, b, "branch3x3dbl_1", "branch3x3dbl_2")
        forks = [
            self.chain(y, b, name) for y, stem in ((three, "branch3x3_2"), (double, "branch3x3dbl_3")) for name in (stem + "a", stem + "b")
        ]
        return torch.cat([self.chain(x, b, "branch1x1"), *forks, self.chain(pooled, b, "branch_pool")], 1)

    def __call__(self, x: Tensor) -> Tensor:
        x = self.unit(self.unit(x, "Conv2d_1a_3x3", 2), "Conv2d_2a_3x3")
        x = F.max_pool2d(self.unit(x, "Conv2d_2b_3x3", padding=(1, 1)), 3, 2)
        x = F.max_pool2d(self.unit(self.unit(x, "Conv2d_3b_1x1"), "Conv2d_4a_3x3"), 3, 2)
        x = self.b(self.a(self.a(self.a(x, "5b"), "5c"), "5d"), "6a")
        for block in ("6b", "6c", "6d", "6e"):
            x = self.c(x, block)
        x = self.d(x, "7a")
        x = self.e(x, "7b", self.mean(x))
        x = self.e(x, "7c", F.pad(x, (1, 1, 1, 1), value=-torch.inf).unfold(2, 3, 1).unfold(3, 3, 1).amax((4, 5)))
        return x.flatten(2).sum(2) / x[0, 0].numel()


def scaled(front_end: str) -> Tensor:
    """PICTURES as the two programs feed them."""
    if front_end == "clean":
        return (tensor(np.stack([resampled(p, 299, True) for p in PICTURES])) - 128) / 128
    return tensor(np.stack([resampled(p, 299, False) for p in PICTURES])) / 127.5 - 1


def test_layout() -> None:
    assert {k: tuple(v.shape) for k, v in Inception().state_dict().items()} == inception()
    assert len(inception()) == 94 * 6 + 2  # convolutions with five tensors of normalisation each, and the last layer


@pytest.mark.parametrize("front_end", FRONT_ENDS)
def test_pictures_are_prepared_as_the_program_does(front_end: str) -> None:
    found = prepared(PICTURES, front_end, torch.device("cpu"))  # type: ignore[arg-type]
    torch.testing.assert_close(found, scaled(front_end), atol=1e-5, rtol=0)


def test_large_pictures_are_antialiased_by_clean_fid_alone() -> None:
    large = pictures(1, 700, 500)
    for front_end, antialias, scale in (("clean", True, 128), ("pytorchfid", False, 127.5)):
        want = tensor(np.stack([resampled(large[0], 299, antialias)])) / scale - 1
        torch.testing.assert_close(prepared(large, front_end, torch.device("cpu")), want, atol=3e-4, rtol=0)  # type: ignore[arg-type]


def test_features_are_the_restated_ones(extractor: Features, folder: Path) -> None:
    network = Restated(random_state(inception()))
    want = network(scaled(extractor.name.split()[-1])).numpy()
    found = extractor(PICTURES)
    assert found.shape == (2, 2048)
    assert found.dtype == np.float64
    assert want.std() > 0.1
    np.testing.assert_allclose(found, want, atol=1e-4 * np.abs(want).max(), rtol=0)


def test_batches_do_not_matter(extractor: Features) -> None:
    backwards, alone = extractor(PICTURES[::-1]), extractor(PICTURES[:1])
    with exact():
        together = extractor.network(PICTURES, where=device()).cpu().numpy()
    np.testing.assert_allclose(together, backwards[::-1], rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(alone, backwards[1:], rtol=1e-5, atol=1e-6)
    np.testing.assert_array_equal(alone, extractor(PICTURES[:1]))
    assert extractor(PICTURES[:0]).shape == (0, 2048)


def test_the_front_ends_differ(folder: Path) -> None:
    one, other = (open_extractor(name, folder) for name in FRONT_ENDS.values())
    assert one.name != other.name
    assert np.abs(one(PICTURES[:1]) - other(PICTURES[:1])).max() > 1e-3  # type: ignore[call-arg]


def test_the_weights_of_torchvision_are_refused(tmp_path: Path) -> None:
    """Trained on ImageNet of 2012, with 1000 classes and an auxiliary classifier."""
    state = {k: torch.zeros(1000, *v.shape[1:]) if k.startswith("fc") else v for k, v in random_state(inception()).items()}
    save_file(state, tmp_path / f"{FILE}.safetensors")
    with pytest.raises(ScdError, match=r"has fc\.weight as 1000x2048, which must be 1008x2048"):
        open_extractor("fid_clean", tmp_path)(PICTURES)  # type: ignore[call-arg]
