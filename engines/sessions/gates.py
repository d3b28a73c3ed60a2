"""Gates that need no torch: every input matters, frames see each other exactly where they should, two runs agree. Used by export and
by `scd export --verify`."""

from collections.abc import Callable, Iterable, Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from engines.core.errors import ScdError

HALF_TOLERANCE = 1e-2  # relative L2 error, a float16 graph against the float32 one
PATIENCE = 60.0  # seconds that trying inputs one by one may take; a slower graph's K/V are tried all keys and all values at once
STRONG = 32  # times: the second try of an input that seems to do nothing
UNEQUAL = 1e-5  # relative L2 difference; float32 noise of another batch size stays below
Arrays = dict[str, NDArray[Any]]
Run = Callable[[Arrays], Mapping[str, NDArray[Any]]]


def relative_l2(value: NDArray[Any], truth: NDArray[Any]) -> float:
    """||value - truth|| / ||truth||, in float64."""
    difference = value.astype(np.float64) - truth.astype(np.float64)
    return float(np.linalg.norm(difference) / max(float(np.linalg.norm(truth.astype(np.float64))), 1e-30))


def worst_error(graph: str, values: Mapping[str, NDArray[Any]], truth: Mapping[str, NDArray[Any]], tolerance: float, what: str) -> float:
    """The worst relative L2 error over the outputs. ScdError names the tensor that exceeds the tolerance (or is not finite)."""
    worst = 0.0
    for name in truth:
        error = relative_l2(values[name], truth[name])
        if not error <= tolerance:
            raise ScdError(f"the {graph} graph's {name} differs from {what} by {error:.2e}, above {tolerance:.0e}", "report this as a bug")
        worst = max(worst, error)
    return worst


def changed(array: NDArray[Any]) -> NDArray[Any]:
    """Other values of about the same size."""
    return array * np.float32(0.5) + np.float32(0.25)


def input_groups(names: Iterable[str], seconds: float) -> list[list[str]]:
    """Inputs to change together: one by one where there is time for it, else all keys and all values of the reference at once."""
    names = list(names)
    if seconds * len(names) <= PATIENCE:
        return [[name] for name in names]
    pairs = [[name for name in names if name.startswith(prefix)] for prefix in ("ref_k.", "ref_v.")]
    return [[name] for name in names if not any(name in group for group in pairs)] + [group for group in pairs if group]


def unmoved(run: Run, feeds: Arrays, before: Mapping[str, NDArray[Any]], names: list[str]) -> bool:
    """Whether other values of these inputs leave every output as it was, of about the same size and many times as large: a sharp
    attention may have no eye for the keys of a random reference, until they are long."""
    for strength in (1, STRONG):
        after = run(feeds | {name: changed(feeds[name]) * np.float32(strength) for name in names})
        if not all(np.array_equal(before[name], after[name]) for name in before):
            return False
    return True


def check_inputs_matter(
    graph: str, run: Run, feeds: Arrays, before: Mapping[str, NDArray[Any]], seconds: float, twin: Run | None = None
) -> dict[str, Any]:
    """Every declared input changes the output; an input that does not has been lost in the export.

    Unless it does nothing in the model either, as poses in a pose encoder that ends in zeros and was never trained: `twin` is the model.
    Returns how inputs were tried, and which have no effect.
    """
    groups, idle = input_groups(feeds, seconds), []
    for names in groups:
        if not unmoved(run, feeds, before, names):
            continue
        if twin is None or not unmoved(twin, feeds, twin(feeds), names):
            raise ScdError(f"the {graph} graph does not depend on its input {names[0]}", "report this as a bug")
        idle += names
    how = "one by one" if len(groups) == len(feeds) else "keys together, values together"
    return {"inputs tried": how} | ({"inputs without effect in the model": idle} if idle else {})


def check_coupling(graph: str, run: Run, feeds: Arrays, before: Mapping[str, NDArray[Any]], coupled: bool) -> float:
    """How much a change of frame 0 changes the others: nothing without motion modules, something with them. Needs two frames."""
    other = feeds["latents"].copy()
    other[0] = changed(other[0])
    after = run(feeds | {"latents": other})["prediction"]
    moved = relative_l2(after[:, 1:], before["prediction"][:, 1:])
    if coupled != (moved > UNEQUAL):
        said = "do not see each other" if coupled else "see each other"
        raise ScdError(f"the frames of the {graph} graph {said} (a change of one moves the rest by {moved:.1e})", "report this as a bug")
    return moved
