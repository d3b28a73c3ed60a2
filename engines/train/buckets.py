"""Buckets of aspect ratios: each clip is learnt from at the picture size whose shape is nearest to its own, a step from one size alone."""

from collections.abc import Sequence
from dataclasses import replace
from math import log

import numpy as np

from engines.core.errors import ScdError
from engines.core.specs import ModelSpec, self_attention_sites
from engines.train.order import BUCKETS, SAMPLES, permutation

Size = tuple[int, int]


def sizes_of(spec: ModelSpec, buckets: Sequence[Size]) -> tuple[Size, ...]:
    """The model's own size and the buckets. ScdError for one that the model cannot make."""
    if buckets and spec.pose.position_frequencies:
        raise ScdError(
            "a model with features of the place has one picture size", "--set batching.buckets=[] or model.pose.position_frequencies=0"
        )
    sizes = tuple(dict.fromkeys((spec.size, *buckets)))
    for size in sizes:
        self_attention_sites(replace(spec, size=size))
    return sizes


def nearest_size(own: Size, sizes: Sequence[Size]) -> Size:
    """Of `sizes` (width, height) the one of the most similar aspect ratio; of two alike the first."""
    return min(sizes, key=lambda size: abs(log(size[0] / size[1]) - log(own[0] / own[1])))


class BucketOrder:
    """The samples of each step, all of one bucket: a function of seed and step alone, whatever number of processes does the work.

    In as many steps as there are samples, each bucket has as many steps as it has samples, in random order, so every sample is seen as
    often as any other. Within a bucket step after step walks through fresh permutations, as everywhere (engines/train/order.py).
    """

    def __init__(self, seed: int, count: int, buckets: Sequence[object]) -> None:
        """`count` samples a step; `buckets` has the bucket of each sample."""
        names = list(dict.fromkeys(buckets))
        self.seed, self.count = seed, count
        self.bucket_of = np.array([names.index(bucket) for bucket in buckets])
        self.members = [np.flatnonzero(self.bucket_of == number) for number in range(len(names))]

    def of(self, step: int) -> list[int]:
        """Sample numbers of a step."""
        total = len(self.bucket_of)
        cycle, place = divmod(step, total)
        buckets = self.bucket_of[permutation(self.seed, BUCKETS, cycle, total)[: place + 1]]  # each step has the bucket of a sample
        members = self.members[buckets[-1]]
        turn = cycle * len(members) + int((buckets[:-1] == buckets[-1]).sum())
        places = range(turn * self.count, (turn + 1) * self.count)
        own = [permutation(self.seed, SAMPLES, place // len(members), len(members))[place % len(members)] for place in places]
        return [int(members[number]) for number in own]
