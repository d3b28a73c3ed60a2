"""Sets of features: which frames and clips reach a network, what is kept, and the figures made of them. The network here is a formula."""

from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest

from engines.core.report import NullReport
from engines.evaluate.features import batches, clips_of
from engines.evaluate.frechet import frechet, kid
from engines.evaluate.layouts import find_videos
from engines.evaluate.learned import Learned, real_floor
from engines.evaluate.metrics import METRICS
from engines.evaluate.pairing import pair
from engines.evaluate.protocols import PROTOCOLS
from engines.evaluate.weights import Weights
from tests.evaluate import trees


class Rows:
    """Four numbers of each picture or clip: means over its left, right, upper and lower half. Counts what it was given."""

    def __init__(self, name: str = "halves") -> None:
        self.name, self.weights, self.seen = name, (Weights("none", Path("none"), "0" * 64),), 0

    def __call__(self, batch: np.ndarray) -> np.ndarray:
        self.seen += len(batch)
        x = batch.astype(np.float64)
        height, width = x.shape[-3] // 2, x.shape[-2] // 2
        parts = (x[..., :width, :], x[..., width:, :], x[..., :height, :, :], x[..., height:, :, :])
        return np.stack([part.reshape(len(x), -1).mean(1) for part in parts], axis=1)


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("SCD_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


@pytest.fixture
def shared(tmp_path: Path) -> Learned:
    """Five videos of 33 frames, the predictions 5 grey levels brighter."""
    for side, shift in (("pred", 5), ("truth", 0)):
        trees.videos(tmp_path / side, tuple("abcde"), numbers=range(33), shift=shift)
    pairs, _ = pair(find_videos(tmp_path / "pred", "the prediction"), find_videos(tmp_path / "truth", "the truth"))
    return Learned(pairs, PROTOCOLS["native"], None, NullReport(), floor=True)


def frames_of(shared: Learned, side: str) -> dict[str, np.ndarray]:
    return {p.id: np.stack(list(shared.frames(p, side))) for p in shared.pairs}


def test_clips_follow_the_protocols_stride() -> None:
    frames = [np.full((2, 2, 3), n, np.uint8) for n in range(35)]
    disjoint = list(clips_of(iter(frames), range(35), 16))
    assert [clip[:, 0, 0, 0].tolist() for clip in disjoint] == [list(range(16)), list(range(16, 32))]
    every = list(clips_of(iter(frames), range(35), 1))
    assert len(every) == 20
    assert all((b == a + 1).all() for a, b in pairwise(every))
    gap = [*range(17), *range(40, 58)]
    assert [int(clip[0, 0, 0, 0]) for clip in clips_of(iter(frames), gap, 1)] == [0, 1, 17, 18, 19]


def test_batches_end_where_the_size_changes() -> None:
    small, large = np.zeros((2, 2, 3), np.uint8), np.zeros((4, 4, 3), np.uint8)
    assert [b.shape[:2] for b in batches([small] * 5 + [large] * 2, 3)] == [(3, 2), (2, 2), (2, 4)]


@pytest.mark.parametrize(("name", "distance"), [("fid_clean", frechet), ("kid_clean", kid)])
def test_distances_of_pictures(shared: Learned, name: str, distance: object) -> None:
    network = Rows()
    figure = shared.set_figure(METRICS[name], network)
    pred, truth = (np.concatenate([Rows()(x) for x in frames_of(shared, side).values()]) for side in ("pred", "truth"))
    assert figure.value == pytest.approx(distance(pred, truth), abs=1e-9)  # type: ignore[operator]
    assert figure.n == {"videos": 5, "pictures": 165}
    assert figure.interval is not None
    assert "leave-one-video-out jackknife over 5 videos" in figure.interval.method
    assert figure.interval.low < figure.value < figure.interval.high
    if name.startswith("fid"):
        assert figure.controls["identity"] == pytest.approx(0, abs=1e-6)
        assert "165 pictures: below 2048" in figure.notes[0]
    assert "real_floor" in figure.controls
    assert network.seen == 2 * 165


def test_clips_are_counted_and_their_overlap_said(shared: Learned) -> None:
    figure = shared.set_figure(METRICS["fvd_i3d400"], Rows())
    assert figure.n == {"videos": 5, "clips": 10}
    assert not any("overlap" in note for note in figure.notes)
    every = replace(shared, protocol=replace(shared.protocol, clip_stride=1), made={})
    figure = every.set_figure(METRICS["fvd_i3d400"], Rows("again"))
    assert figure.n == {"videos": 5, "clips": 5 * 18}
    assert any("overlap by 15 frames" in note for note in figure.notes)


def test_features_are_kept_by_content(shared: Learned, tmp_path: Path) -> None:
    first, again = Rows(), Rows()
    value = shared.set_figure(METRICS["fid_clean"], first).value
    assert replace(shared, made={}).set_figure(METRICS["fid_clean"], again).value == value
    assert (first.seen, again.seen) == (330, 0)
    trees.picture(tmp_path / "pred" / "a" / "0004.png", 250)
    pairs, _ = pair(find_videos(tmp_path / "pred", "the prediction"), find_videos(tmp_path / "truth", "the truth"))
    changed = Rows()
    assert replace(shared, pairs=pairs, made={}).set_figure(METRICS["fid_clean"], changed).value != value
    assert changed.seen == 33, "the prediction that changed, and no truth"
    follows = replace(shared.protocol, geometry=replace(shared.protocol.geometry, match="prediction"))
    sized = Rows()
    replace(shared, pairs=pairs, protocol=follows, made={}).set_figure(METRICS["fid_clean"], sized)
    trees.picture(tmp_path / "pred" / "a" / "0004.png", 10)
    pairs, _ = pair(find_videos(tmp_path / "pred", "the prediction"), find_videos(tmp_path / "truth", "the truth"))
    replace(shared, pairs=pairs, protocol=follows, made={}).set_figure(METRICS["fid_clean"], sized)
    assert sized.seen == 330 + 66, "the truth's size follows the prediction's"


def test_another_network_or_stride_is_another_feature(shared: Learned) -> None:
    shared.set_figure(METRICS["fid_clean"], Rows())
    other = Rows("other")
    replace(shared, made={}).set_figure(METRICS["fid_clean"], other)
    assert other.seen == 330


def test_a_damaged_cache_costs_only_time(shared: Learned, cache: Path) -> None:
    value = shared.set_figure(METRICS["fid_clean"], Rows()).value
    for path in cache.rglob("*.npz"):
        path.write_bytes(path.read_bytes()[:50])
    again = Rows()
    assert replace(shared, made={}).set_figure(METRICS["fid_clean"], again).value == value
    assert again.seen == 330


def test_the_floor_is_what_halves_of_the_truth_are_apart() -> None:
    rng = np.random.default_rng(0)
    far = {str(i): rng.normal(i * 10, 1, (20, 3)) for i in range(6)}
    near = {str(i): rng.normal(0, 1, (20, 3)) for i in range(6)}
    floors = [real_floor(truth, frechet) for truth in (far, near)]
    assert floors[0] is not None
    assert floors[1] is not None
    assert floors[0] > 100 * floors[1] > 0
    assert real_floor({"only": far["1"]}, frechet) is None
    assert real_floor({str(i): far["1"][:1] for i in range(3)}, frechet) is None


def test_too_few_are_said_before_a_network_runs(shared: Learned) -> None:
    few = replace(shared, pairs=[replace(p, numbers=p.numbers[:10]) for p in shared.pairs])
    assert few.too_few(METRICS["fvd_i3d400"]) == "it needs two clips of 16 frames with consecutive numbers, and there are 0"
    assert few.too_few(METRICS["fid_clean"]) is None
