"""Which steps run the whole network."""

import pytest

from engines.core.reuse import full_step


@pytest.mark.parametrize(("every", "full"), [(1, [1, 2, 3, 4, 5, 6, 7]), (2, [1, 3, 5, 7]), (3, [1, 4, 7]), (7, [1]), (99, [1])])
def test_every_nth_step_from_the_first_runs_in_full(every: int, full: list[int]) -> None:
    assert [number for number in range(1, 8) if full_step(number, every)] == full


@pytest.mark.parametrize(("number", "every"), [(0, 1), (1, 0), (1, -2)])
def test_reuse_below_one_is_refused(number: int, every: int) -> None:
    with pytest.raises(ValueError, match="at least 1"):
        full_step(number, every)
