"""Where a bundle's graphs compute: the first that works of those wished for, or, without a wish, the best there is."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from engines.core.bundle import FLAVOURS, Bundle
from engines.core.errors import ScdError, UsageError
from engines.core.report import Report
from engines.sessions.base import Session

TENSORRT = ("trt-rtx", "trt")
ONNXRUNTIME = ("cuda", "cpu")


@dataclass(frozen=True)
class Backend:
    """`name` is for people, `flavour` the graphs that it runs, `open_graph` gives a session of one of them."""

    name: str
    flavour: str
    open_graph: Callable[[str], Session]


def automatic(bundle: Bundle) -> tuple[str, ...]:
    """What the bundle was made for and this machine might have, best first; always ends with the CPU."""
    from engines.sessions.onnxruntime_session import PROVIDERS, available_providers

    found = [flavour for flavour in TENSORRT if flavour in bundle.facts.flavours]
    if "ort-cuda" in bundle.facts.flavours and PROVIDERS["cuda"] in available_providers():
        found.append("cuda")
    return (*found, "cpu")


def choose(bundle: Bundle, wanted: Sequence[str], report: Report) -> Backend:
    """The backend for `wanted` ("trt-rtx", "trt", "cuda", "cpu" in order of wish; empty: automatic). Loads no weights.

    What is wished for and cannot be had is said, and the next is tried; ScdError when it was the last, UsageError for other names.
    """
    for name in wanted:
        if name not in TENSORRT + ONNXRUNTIME:
            raise UsageError(f"there is no provider {name}", f"choose among: {', '.join(TENSORRT + ONNXRUNTIME)}")
    names = tuple(wanted) or automatic(bundle)
    for number, name in enumerate(names):
        try:
            if name in TENSORRT:
                return tensorrt_backend(bundle, name, report)
            return onnxruntime_backend(bundle, [other for other in names[number:] if other in ONNXRUNTIME])
        except ScdError as error:
            if number + 1 == len(names) or name not in TENSORRT:
                raise
            report.note(f"{name} is left out: {error.message}")
    raise AssertionError("the loop returns or raises")


def onnxruntime_backend(bundle: Bundle, providers: Sequence[str], flavour: str | None = None) -> Backend:
    """`flavour` None takes the graphs made for the first provider."""
    from engines.sessions.onnxruntime_session import open_session, provider_names

    provider_names(providers)
    cuda = providers[0] == "cuda" and "ort-cuda" in bundle.facts.flavours
    made_for = flavour or ("ort-cuda" if cuda else FLAVOURS[0])
    paths = {name: bundle.graph_path(name, made_for) for name in bundle.graphs(made_for)}
    return Backend(f"onnxruntime on {providers[0]}", made_for, lambda name: open_session(paths[name], providers))


def tensorrt_backend(bundle: Bundle, flavour: str, report: Report) -> Backend:
    """Plans for the GPU at hand, from the cache or built when a graph is opened. ScdError without bundle, package, driver or GPU."""
    from engines.sessions.builders import tensorrt_module
    from engines.sessions.cuda import cuda_device
    from engines.sessions.plans import plan_for, plan_request
    from engines.sessions.tensorrt_session import open_session

    bundle.graphs(flavour)
    tensorrt_module(flavour)
    cuda = cuda_device()

    def open_graph(name: str) -> Session:
        plan = plan_for(plan_request(bundle, name, flavour, (cuda.compute_capability,)), report)
        return open_session(plan, cuda)

    return Backend(f"{flavour} on the GPU (SM{cuda.compute_capability})", flavour, open_graph)
