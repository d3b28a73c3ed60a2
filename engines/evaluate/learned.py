"""Metrics that need a learned network: distances of frame pairs (LPIPS) and of sets of pictures or clips (FID, KID, FID-VID, FVD)."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from engines.core.report import Report
from engines.evaluate.features import CLIPS_AT_ONCE, PICTURES_AT_ONCE, Features, Network, Picture, batches, clips_of, computed, kept, key
from engines.evaluate.frechet import frechet, kid
from engines.evaluate.metrics import Metric
from engines.evaluate.pairs import Pair, digest, follows
from engines.evaluate.protocols import CLIP_FRAMES, Protocol, clip_starts
from engines.evaluate.results import Figure, PerFrame
from engines.evaluate.statistics import jackknife

Distance = Callable[[Features, Features], float]
ENOUGH_PICTURES, ENOUGH_VIDEOS = 2048, 256  # below, FID's covariance is singular; and FVD is mostly bias
SIDES = ("pred", "truth")
HALVES = 10  # random halves that the floor is the mean of


@dataclass
class Learned:
    """What the metrics of one evaluation share; features made for one metric serve the next."""

    pairs: Sequence[Pair]
    protocol: Protocol
    weights_dir: Path | None
    report: Report
    floor: bool
    made: dict[str, dict[str, Features]] = field(default_factory=dict)

    def key(self, network: Any, pair: Pair, sides: Sequence[str], *rest: object) -> str:
        """What decides features of these sides: the truth's serve every model that is judged by it, unless its size follows theirs."""
        files = [digest(pair.pred if side == "pred" else pair.truth) for side in sides]
        return key(network.name, *(w.sha256 for w in network.weights), self.protocol.geometry, *files, pair.numbers, *sides, *rest)

    def decisive(self, side: str) -> tuple[str, ...]:
        """The sides that the frames of one side depend on."""
        other, role = ("truth", "truth") if side == "pred" else ("pred", "prediction")
        return (side, other) if follows(self.protocol.geometry, role) else (side,)

    def frames(self, pair: Pair, side: str) -> Iterator[Picture]:
        g = self.protocol.geometry
        return pair.pred_frames(g) if side == "pred" else pair.truth_frames(g)

    def distances(self, metric: Metric, network: Any) -> PerFrame:
        """A value for each frame of each video."""
        out: PerFrame = {}
        with self.report.stage(metric.title, sum(len(p.numbers) for p in self.pairs)) as bar:
            for pair in self.pairs:
                make = partial(pair_distances, network, pair.frames(self.protocol.geometry))
                rows = kept(self.key(network, pair, SIDES, metric.name), make)
                out[pair.id] = [float(v) for v in rows[:, 0]]
                bar.advance(len(pair.numbers))
        return out

    def features(self, metric: Metric, network: Any, side: str) -> dict[str, Features]:
        """Rows for each video's pictures or clips, of the predictions ("pred") or the truths."""
        name = f"{network.name} {side}"
        if name not in self.made:
            self.made[name] = self.compute(metric, network, side)
        return self.made[name]

    def compute(self, metric: Metric, network: Any, side: str) -> dict[str, Features]:
        clips, stride = metric.family == "clips", self.protocol.clip_stride
        total = sum(len(clip_starts(p.numbers, stride)) if clips else len(p.numbers) for p in self.pairs)
        out = {}
        with self.report.stage(f"{metric.title}, {'predictions' if side == 'pred' else 'truth'}", total) as bar:
            for pair in self.pairs:
                make = partial(self.rows, network, pair, side, clips)
                rows = kept(self.key(network, pair, self.decisive(side), stride if clips else "pictures"), make)
                bar.advance(len(rows))
                if len(rows):
                    out[pair.id] = rows
        return out

    def rows(self, network: Network, pair: Pair, side: str, clips: bool) -> Features:
        frames = self.frames(pair, side)
        if clips:
            return computed(network, clips_of(frames, pair.numbers, self.protocol.clip_stride), CLIPS_AT_ONCE)
        return computed(network, frames, PICTURES_AT_ONCE)

    def too_few(self, metric: Metric) -> str | None:
        """Why a distance of sets cannot be computed, before any network runs."""
        if metric.family == "clips":
            clips = sum(len(clip_starts(p.numbers, self.protocol.clip_stride)) for p in self.pairs)
            return None if clips >= 2 else f"it needs two clips of {CLIP_FRAMES} frames with consecutive numbers, and there are {clips}"
        return None if sum(len(p.numbers) for p in self.pairs) >= 2 else "it needs at least two pictures"

    def set_figure(self, metric: Metric, network: Any) -> Figure:
        """The distance of all predictions from all truths, of which there are at least two (see `too_few`)."""
        pred, truth = (self.features(metric, network, side) for side in ("pred", "truth"))
        count, what = sum(map(len, truth.values())), "clips" if metric.family == "clips" else "pictures"
        distance: Distance = kid if metric.name.startswith("kid") else frechet
        videos = list(truth)
        value = distance(joined(pred, videos), joined(truth, videos))

        def without(numbers: list[int]) -> float:
            rest = [v for i, v in enumerate(videos) if i not in numbers]
            return distance(joined(pred, rest), joined(truth, rest))

        smallest_rest = count - max(map(len, truth.values()))
        interval = jackknife(len(videos), value, without) if smallest_rest >= 2 else None
        figure = Figure(
            metric, value, {"videos": len(videos), what: count}, interval, notes=notes_of(metric, self.protocol, len(videos), count)
        )
        figure.controls["identity"] = distance(joined(truth, videos), joined(truth, videos))
        if self.floor and (floor := real_floor(truth, distance)) is not None:
            figure.controls["real_floor"] = floor
        return figure


def pair_distances(network: Callable[[Picture, Picture], NDArray[np.float64]], frames: Iterator[tuple[int, Picture, Picture]]) -> Features:
    """(F, 1): the distance of each prediction from its truth."""
    stacked = (np.stack((pred, truth)) for _, pred, truth in frames)
    rows = [network(batch[:, 0], batch[:, 1]) for batch in batches(stacked, PICTURES_AT_ONCE)]
    return np.concatenate(rows)[:, None]


def joined(features: Mapping[str, Features], videos: Sequence[str]) -> Features:
    return np.concatenate([features[video] for video in videos])


def real_floor(truth: Mapping[str, Features], distance: Distance, seed: int = 0) -> float | None:
    """What two random halves of the real videos are apart, the mean of several splits: no model can be told from the truth below it.

    Each half has half of the videos, and a Fréchet distance of fewer is larger. None where a half would have a single row.
    """
    rng, videos, values = np.random.default_rng(seed), list(truth), []
    if len(videos) < 2:
        return None
    for _ in range(HALVES):
        order = [videos[i] for i in rng.permutation(len(videos))]
        one, other = (joined(truth, half) for half in (order[: len(order) // 2], order[len(order) // 2 :]))
        if min(len(one), len(other)) >= 2:
            values.append(distance(one, other))
    return float(np.mean(values)) if values else None


def notes_of(metric: Metric, protocol: Protocol, videos: int, count: int) -> list[str]:
    """What a reader must know of the sample."""
    out = []
    if metric.name.startswith("fid_") and metric.family == "pictures" and count < ENOUGH_PICTURES:
        out.append(f"{count} pictures: below {ENOUGH_PICTURES} FID is mostly bias; compare at equal N only")
    if metric.family == "clips" and videos < ENOUGH_VIDEOS:
        out.append(f"clips of {videos} videos: below {ENOUGH_VIDEOS} the distance is mostly bias; compare at equal N only")
    if metric.family == "clips" and protocol.clip_stride == 1:
        out.append("clips overlap by 15 frames: the effective sample is the videos, not the clips")
    return out
