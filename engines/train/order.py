"""Which samples a step learns from: a function of seed and step alone, whatever number of processes and threads does the work."""

import numpy as np


def chosen(seed: int, step: int, count: int, total: int) -> list[int]:
    """The `count` sample numbers, 0 .. total - 1, of a step: step after step walks through a fresh permutation for each pass."""
    places = range(step * count, (step + 1) * count)
    return [int(np.random.default_rng([seed, 7, place // total]).permutation(total)[place % total]) for place in places]
