"""Files of weights: read as tensors only, and every tensor accounted for."""

from pathlib import Path
from typing import Any

import pytest

torch = pytest.importorskip("torch")

from safetensors.torch import save_file  # noqa: E402
from torch import nn  # noqa: E402

from engines.core.errors import ScdError  # noqa: E402
from engines.evaluate.networks.loading import device, exact, load_state, loaded  # noqa: E402


class Small(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(3, 4, 3, bias=False)
        self.bn = nn.BatchNorm2d(4)


@pytest.fixture
def state() -> dict[str, torch.Tensor]:
    torch.manual_seed(0)
    out = {k: torch.rand(v.shape) for k, v in Small().state_dict().items() if v.ndim}
    return out | {"bn.num_batches_tracked": torch.tensor(3)}


@pytest.mark.parametrize("wrap", [lambda s: s, lambda s: {"state_dict": s, "epoch": 3}, lambda s: {"model": s}, lambda s: {"module": s}])
@pytest.mark.parametrize("prefix", ["", "module."])
@pytest.mark.parametrize("zipped", [True, False])  # files of before torch 1.6 are not zipped
def test_checkpoints_are_unwrapped(wrap: Any, prefix: str, zipped: bool, state: dict[str, torch.Tensor], tmp_path: Path) -> None:
    path = tmp_path / "a.pth"
    torch.save(wrap({prefix + k: v for k, v in state.items()}), path, _use_new_zipfile_serialization=zipped)
    found = load_state(path)
    assert found.keys() == state.keys()
    assert all(torch.equal(found[k], state[k]) for k in state)


def test_safetensors_and_half_precision(state: dict[str, torch.Tensor], tmp_path: Path) -> None:
    half = {k: v.half() if v.ndim else v for k, v in state.items()}
    save_file(half, tmp_path / "a.safetensors")
    found = load_state(tmp_path / "a.safetensors")
    assert found["conv.weight"].dtype == torch.float32
    assert found["bn.num_batches_tracked"].dtype == torch.int64
    assert torch.equal(found["conv.weight"], half["conv.weight"].float())


@pytest.mark.parametrize("bad", [float("nan"), float("inf")])
@pytest.mark.parametrize("suffix", ["pth", "safetensors"])
def test_numbers_that_are_not_finite(bad: float, suffix: str, state: dict[str, torch.Tensor], tmp_path: Path) -> None:
    path = tmp_path / f"a.{suffix}"
    state["conv.weight"][1, 2, 0, 0] = bad
    save_file(state, path) if suffix == "safetensors" else torch.save(state, path)
    with pytest.raises(ScdError, match=rf"a\.{suffix} holds numbers that are not finite under conv\.weight"):
        load_state(path)


class Boom:
    """What a file that runs code at loading would hold."""

    def __reduce__(self) -> Any:
        return Path.touch, (Path("boom"),)


def test_code_is_refused_and_not_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    for content in (Boom(), {"state_dict": {"a": torch.ones(2), "b": Boom()}}, Small()):
        torch.save(content, tmp_path / "a.pth")
        with pytest.raises(ScdError, match=r"a\.pth holds more than tensors, .*; save its tensors by name as a\.safetensors"):
            load_state(tmp_path / "a.pth")
    assert not (tmp_path / "boom").exists()


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_torchscript_is_refused(tmp_path: Path) -> None:
    torch.jit.save(torch.jit.script(nn.Linear(2, 2)), tmp_path / "inception-2015-12-05.pt")
    with pytest.raises(ScdError, match=r"inception-2015-12-05\.pt is TorchScript"):
        load_state(tmp_path / "inception-2015-12-05.pt")


@pytest.mark.parametrize("suffix", ["pth", "safetensors"])
@pytest.mark.parametrize("damage", ["empty", "cut", "text"])
def test_damaged_files(suffix: str, damage: str, state: dict[str, torch.Tensor], tmp_path: Path) -> None:
    path = tmp_path / f"a.{suffix}"
    save_file(state, path) if suffix == "safetensors" else torch.save(state, path)
    content = path.read_bytes()
    path.write_bytes({"empty": b"", "cut": content[: len(content) // 2], "text": b"<html>Too many requests</html>"}[damage])
    with pytest.raises(ScdError, match=rf"a\.{suffix} cannot be read as .*; fetch a\.{suffix} again"):
        load_state(path)


@pytest.mark.parametrize(("content", "says"), [
    ({"a": torch.ones(2), "epoch": 3}, "holds int under epoch, not a tensor"), ([torch.ones(2)], "holds no tensors by name"),
    ({}, "holds no tensors by name"), (torch.ones(2), "holds no tensors by name"),
])  # fmt: skip
def test_files_of_something_else(content: Any, says: str, tmp_path: Path) -> None:
    torch.save(content, tmp_path / "a.pth")
    with pytest.raises(ScdError, match=says):
        load_state(tmp_path / "a.pth")


def test_file_that_is_not_there(tmp_path: Path) -> None:
    for name in ("a.pth", "a.safetensors"):
        with pytest.raises(ScdError, match=f"{name} cannot be read"):
            load_state(tmp_path / name)


@pytest.mark.parametrize("counted", [True, False])
def test_network_has_the_weights(counted: bool, state: dict[str, torch.Tensor]) -> None:
    if not counted:
        del state["bn.num_batches_tracked"]
    network = loaded(Small, state, Path("a.pth"))
    own = network.state_dict()
    assert all(torch.equal(own[k].cpu(), v) for k, v in state.items() if v.ndim)
    assert not network.training
    assert not any(p.requires_grad or p.device.type != device().type for p in network.parameters())
    with exact():
        assert network.bn(network.conv(torch.ones(1, 3, 4, 4, device=device()))).shape == (1, 4, 2, 2)


def test_strictness(state: dict[str, torch.Tensor]) -> None:
    def refusal(change: dict[str, torch.Tensor | None], *ignored: str) -> str:
        with pytest.raises(ScdError) as caught:
            loaded(Small, {k: v for k, v in (state | change).items() if v is not None}, Path("a.pth"), ignored)
        return caught.value.message

    assert refusal({"bn.weight": None, "bn.bias": None}) == "a.pth lacks bn.weight, a tensor of 4"
    assert refusal({"conv.weight": torch.ones(4, 1, 3, 3)}) == "a.pth has conv.weight as 4x1x3x3, which must be 4x3x3x3"
    extra: dict[str, torch.Tensor | None] = {"fc.weight": torch.ones(1), "AuxLogits.fc.bias": torch.ones(1)}
    assert refusal(extra, "AuxLogits.*") == "a.pth has fc.weight, which the network does not have: it is another network's file"
    assert isinstance(loaded(Small, state | {k: torch.ones(1) for k in extra}, Path("a.pth"), ("AuxLogits.*", "fc.*")), Small)
