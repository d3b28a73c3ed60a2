"""Building blocks against plainer ones."""

import pytest

torch = pytest.importorskip("torch")

from torch import Tensor  # noqa: E402
from torch.nn import functional  # noqa: E402

from engines.model.layers import attend  # noqa: E402


def test_attention_of_bfloat16_on_the_cpu_is_computed_in_float32(monkeypatch: pytest.MonkeyPatch) -> None:
    torch.manual_seed(0)
    halves = [(2 * torch.randn(3, n, 64)).bfloat16().requires_grad_() for n in (12, 24, 24)]
    wanted = [x.detach().float().requires_grad_() for x in halves]
    seen, fused = [], functional.scaled_dot_product_attention

    def spied(query: Tensor, key: Tensor, value: Tensor) -> Tensor:
        seen.append(query.dtype)
        return fused(query, key, value)

    monkeypatch.setattr(functional, "scaled_dot_product_attention", spied)
    with torch.autocast("cpu", torch.bfloat16):
        found = attend(halves[0], halves[1], halves[2], 2)
    exact = attend(wanted[0], wanted[1], wanted[2], 2)
    assert seen == [torch.float32, torch.float32]
    assert found.dtype == torch.bfloat16
    assert torch.equal(found, exact.bfloat16())
    torch.autograd.backward([found.float().square().sum(), exact.square().sum()])
    for half, whole in zip(halves, wanted, strict=True):
        assert half.grad is not None
        assert whole.grad is not None
        assert (half.grad - whole.grad).norm() < 0.02 * whole.grad.norm()
