"""Protocols: clip counts by DisCo's rule, and one line that says all."""

import pytest

from engines.core.errors import UsageError
from engines.evaluate.metrics import METRICS, WEIGHT_FREE, chosen
from engines.evaluate.protocols import PROTOCOLS, clip_starts, protocol_of


@pytest.mark.parametrize("frames", [0, 1, 15, 16, 17, 100, 300])
def test_discos_clips(frames: int) -> None:
    """Every frame with 15 successors starts a clip: max(0, T - 15)."""
    assert len(clip_starts(range(1, frames + 1), 1)) == max(0, frames - 15)
    assert len(clip_starts(range(frames), 16)) == frames // 16


def test_ten_videos_of_two_hundred_frames() -> None:
    """N is about frames - 150 for ten videos, as in the research notes."""
    assert sum(len(clip_starts(range(200), 1)) for _ in range(10)) == 2000 - 150


def test_no_clip_crosses_a_gap() -> None:
    numbers = [*range(0, 20), *range(30, 50)]
    assert clip_starts(numbers, 1) == [0, 1, 2, 3, 4, 20, 21, 22, 23, 24]
    assert clip_starts(numbers, 16) == [0, 20]


def test_lines_tell_protocols_apart() -> None:
    assert len({p.text for p in PROTOCOLS.values()}) == len(PROTOCOLS)
    text = PROTOCOLS["disco-2023"].text
    assert all(part in text for part in ("centre square", "256x256", "pillow-bilinear", "16 frames", "stride 1,", "frames"))


def test_every_protocol_has_a_metric_that_needs_nothing() -> None:
    assert all(set(p.metrics) & set(WEIGHT_FREE) for p in PROTOCOLS.values())
    assert all(name in METRICS for p in PROTOCOLS.values() for name in p.metrics)


def test_unknown_names_get_the_nearest() -> None:
    with pytest.raises(UsageError, match=r"there is no protocol disco2023; did you mean disco-2023\?"):
        protocol_of("disco2023")
    with pytest.raises(UsageError, match=r"there is no metric psmr; did you mean psnr\?"):
        chosen(("psmr",))
