"""Muon where it belongs, AdamW elsewhere; both move the model's own weights."""

import pytest

torch = pytest.importorskip("torch")

from torch import nn  # noqa: E402

from engines.train.muon import COEFFICIENTS, STEPS, Float32Muon, orthogonalised  # noqa: E402
from engines.train.optimizer import Optimizer  # noqa: E402
from engines.train.recipe import Optim  # noqa: E402


def settings(method: str) -> Optim:
    return Optim(
        optimizer="adamw", accumulate=1, checkpointing=False,
        steps=1, learning_rate=0.01, muon_learning_rate=0.01 * (method == "muon"), warmup_steps=0, decay_steps=0, weight_decay=0.0,
        betas=(0.9, 0.99), clip_norm=1.0, ema_decay=0.9, precision="fp32",
    )  # fmt: skip


class Net(nn.Module):
    """One of each kind of weight."""

    def __init__(self) -> None:
        super().__init__()
        self.conv_in = nn.Conv2d(3, 8, 3)
        self.middle = nn.Conv2d(8, 6, 3)
        self.last = nn.Linear(24, 16)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.last(self.middle(self.conv_in(x)).flatten(1)).square().mean()


def stepped(method: str) -> tuple[Net, Optimizer, dict[str, torch.Tensor]]:
    """A net after one update, its optimizer, and by how much each weight moved."""
    torch.manual_seed(0)
    net = Net().to(memory_format=torch.channels_last)
    optimizer = Optimizer(settings(method), dict(net.named_parameters()))
    before = {name: p.detach().clone() for name, p in net.named_parameters()}
    net(torch.randn(4, 3, 6, 6)).backward()
    optimizer.step()
    return net, optimizer, {name: p.detach() - before[name] for name, p in net.named_parameters()}


@pytest.mark.parametrize("method", ["adamw", "muon"])
def test_every_weight_moves_and_no_gradient_is_left(method: str) -> None:
    net, optimizer, moved = stepped(method)
    assert all(step.abs().max() > 1e-4 for step in moved.values())
    optimizer.zero_grad()
    assert all(p.grad is None for p in [*net.parameters(), *optimizer.seen.values()])


def test_muons_update_of_an_inner_matrix_has_nearly_equal_singular_values() -> None:
    _, optimizer, moved = stepped("muon")
    assert optimizer.matrices == ["middle.weight", "last.weight"]
    _, _, plain = stepped("adamw")

    def spread(steps: dict[str, torch.Tensor]) -> float:
        values = torch.linalg.svdvals(steps["middle.weight"].permute(0, 2, 3, 1).flatten(1))
        return float(values[0] / values[-1])

    assert spread(moved) < 2 < spread(plain)


@pytest.mark.parametrize("method", ["adamw", "muon"])
def test_restored_state_goes_on_alike(method: str) -> None:
    net, optimizer, _ = stepped(method)
    twin = Net().to(memory_format=torch.channels_last)
    twin.load_state_dict(net.state_dict())
    other = Optimizer(settings(method), dict(twin.named_parameters()))
    other.restore({name: value.clone() for name, value in optimizer.state_tensors().items()})
    x = torch.randn(4, 3, 6, 6, generator=torch.Generator().manual_seed(5))
    for model, its in ((net, optimizer), (twin, other)):
        its.zero_grad()
        model(x).backward()
        its.step()
    assert all(torch.equal(a, b) for a, b in zip(net.state_dict().values(), twin.state_dict().values(), strict=True))


def test_muon_in_float32_is_torchs_but_for_the_rounding() -> None:
    torch.manual_seed(0)
    start, gradients = torch.randn(24, 40), [torch.randn(24, 40) for _ in range(3)]
    ends = []
    for kind in (Float32Muon, lambda p, **rates: torch.optim.Muon(p, adjust_lr_fn="match_rms_adamw", **rates)):
        parameter = nn.Parameter(start.clone())
        optimizer = kind([parameter], lr=0.01, weight_decay=0.1)
        for gradient in gradients:
            parameter.grad = gradient.clone()
            optimizer.step()
        ends.append(parameter.detach() - start)
    assert (ends[0] - ends[1]).norm() < 0.03 * ends[1].norm()
    assert ends[0].norm() > 0.1


@pytest.mark.parametrize("shape", [(16, 96), (96, 16), (24, 24)])
def test_polynomials_of_the_gram_matrix_give_what_the_plain_iteration_gives(shape: tuple[int, int]) -> None:
    torch.manual_seed(1)
    matrix = torch.randn(shape) * torch.logspace(0, -3, shape[1])
    plain = (matrix / matrix.norm()).double()
    for _ in range(STEPS):
        gram = plain @ plain.T
        plain = COEFFICIENTS[0] * plain + (COEFFICIENTS[1] * gram + COEFFICIENTS[2] * gram @ gram) @ plain
    worst = 1e-3  # the smallest singular values of a square matrix are rounded: 4e-4
    assert (orthogonalised(matrix).double() - plain).norm() < worst * plain.norm()
