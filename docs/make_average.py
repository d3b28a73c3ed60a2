"""Averages the weights of two checkpoints of one model (runs of `scd train` or bundles) into a third, which `scd export` takes.

    python docs/make_average.py FIRST SECOND OUT

Two ends of one training are often better together than each alone (Wortsman et al. 2022, "Model soups"); docs/decisions.md has
what it gave scd-mini.
"""

import argparse
from pathlib import Path

from engines.core.errors import ScdError
from engines.model.checkpoint import need, save_checkpoint


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    for name in ("first", "second", "out"):
        parser.add_argument(name, type=Path)
    chosen = parser.parse_args()
    first, second = (need(path, "scd", "the first two arguments") for path in (chosen.first, chosen.second))
    one, other = first.weights(), second.weights()
    if {k: v.shape for k, v in one.items()} != {k: v.shape for k, v in other.items()}:
        raise ScdError(f"{first.folder} and {second.folder} are not of one model", "name two runs of one recipe")
    print(save_checkpoint(chosen.out, {k: (v + other[k]) / 2 for k, v in one.items()}, {}, second.facts, keep=1))


if __name__ == "__main__":
    main()
