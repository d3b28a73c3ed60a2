"""Building TensorRT plans: one small interface over `tensorrt` and `tensorrt_rtx`, whose Python APIs are the same.

TensorRT-RTX builds ahead of time, for GPUs that need not be there. Classic TensorRT times its kernels on the GPU at hand. Networks are
strongly typed: what computes in float16 says so in the ONNX graph. (polygraphy would add nothing here but a dependency.)
"""

import importlib
import json
import re
import time
from collections.abc import Mapping
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from dataclasses import asdict, dataclass
from multiprocessing import get_context
from pathlib import Path
from typing import Any

from engines.core.bundle import sha256
from engines.core.errors import ScdError
from engines.media.output import atomic, remove

MODULES = {"trt": "tensorrt", "trt-rtx": "tensorrt_rtx"}
RTX_TARGETS = ("75", "80", "86", "89", "120", "121")  # of TensorRT-RTX 1.7; it has no Hopper (90) and no data-centre Blackwell (100)
Shapes = tuple[tuple[int, ...], tuple[int, ...], tuple[int, ...]]
MEMORY = re.compile(r"Total (Activation|Weights) Memory: (\d+) bytes")


@dataclass(frozen=True)
class PlanRequest:
    """`graph_sha256` stands for the ONNX file and its weights; `targets`: compute capabilities such as "89" (classic: the one GPU at
    hand); `profile`: least, usual and most shape of every input with free axes."""

    graph: Path
    graph_sha256: str
    flavour: str
    targets: tuple[str, ...]
    profile: Mapping[str, Shapes]


@dataclass(frozen=True)
class PlanFacts:
    """The sidecar of a plan. Bytes as the builder printed them; `seconds` of parsing and building."""

    graph: str
    graph_sha256: str
    flavour: str
    version: str
    targets: tuple[str, ...]
    profile: dict[str, Shapes]
    activation_bytes: int
    weights_bytes: int
    plan_bytes: int
    seconds: float


def installed(flavour: str) -> bool:
    """Whether the flavour's package can be imported here."""
    try:
        importlib.import_module(MODULES[flavour])
    except Exception:  # classic TensorRT's placeholder on the package index fails in several ways
        return False
    return True


def tensorrt_module(flavour: str) -> Any:
    """`tensorrt` or `tensorrt_rtx`. ScdError says how to get it."""
    try:
        return importlib.import_module(MODULES[flavour])
    except Exception as error:
        if flavour == "trt-rtx":
            raise ScdError("TensorRT-RTX is not installed", "pip install 'scd-cli[trt-rtx]'") from error
        raise ScdError(
            "classic TensorRT is not installed, and its engines can only be built on a machine with the GPU they are for",
            "install 'scd-cli[trt]' on that machine, or use --flavour trt-rtx, which builds for other machines' GPUs",
        ) from error


def check_targets(flavour: str, targets: tuple[str, ...]) -> None:
    for target in targets if flavour == "trt-rtx" else ():
        if target not in RTX_TARGETS:
            hopper = " (data-centre GPUs: use --flavour trt on the machine itself)" if target in ("90", "100", "103") else ""
            raise ScdError(f"TensorRT-RTX cannot build for SM{target}", f"choose among --sm {','.join(RTX_TARGETS)}{hopper}")


def listener(trt: Any) -> Any:
    """A logger that keeps what the builder says: `messages` as (is it an error, text)."""

    class Listener(trt.ILogger):
        def __init__(self) -> None:
            trt.ILogger.__init__(self)
            self.messages: list[tuple[bool, str]] = []

        def log(self, severity: Any, text: str) -> None:
            if severity in (trt.ILogger.Severity.ERROR, trt.ILogger.Severity.INTERNAL_ERROR):
                self.messages.append((True, text))
            elif severity == trt.ILogger.Severity.INFO and MEMORY.search(text):
                self.messages.append((False, text))

    return Listener()


def last_error(log: Any) -> str:
    errors = [text for is_error, text in log.messages if is_error]
    return errors[-1].strip().splitlines()[0] if errors else "no reason given"


def parsed(trt: Any, builder: Any, log: Any, graph: Path) -> Any:
    network = builder.create_network(0)  # strongly typed: the only kind there is since TensorRT 11
    parser = trt.OnnxParser(network, log)
    if not parser.parse_from_file(str(graph)):
        said = str(parser.get_error(0)) if parser.num_errors else last_error(log)
        raise ScdError(f"TensorRT cannot read the graph {graph.name} ({said})", "export the bundle again with this version of scd")
    return network, parser


def configured(trt: Any, builder: Any, request: PlanRequest) -> Any:
    config = builder.create_builder_config()
    if request.flavour == "trt-rtx":
        config.num_compute_capabilities = len(request.targets)
        for number, target in enumerate(request.targets):
            config.set_compute_capability(getattr(trt.ComputeCapability, f"SM{target}"), number)
    if request.profile:
        profile = builder.create_optimization_profile()
        for name, shapes in request.profile.items():
            profile.set_shape(name, *shapes)
        config.add_optimization_profile(profile)
    return config


def create_builder(trt: Any, log: Any, flavour: str) -> Any:
    """ScdError where classic TensorRT finds no GPU."""
    try:
        builder = trt.Builder(log)
    except Exception as error:
        raise ScdError(
            f"{MODULES[flavour]} found no GPU, and its engines are timed on the GPU they are for",
            "export on that machine, or use --flavour trt-rtx, which builds without one",
        ) from error
    return builder


def build(request: PlanRequest) -> tuple[bytes, PlanFacts]:
    """Parse and build, in this process. ScdError gives the builder's last words."""
    check_targets(request.flavour, request.targets)
    trt, start = tensorrt_module(request.flavour), time.monotonic()
    log = listener(trt)
    builder = create_builder(trt, log, request.flavour)
    network, _parser = parsed(trt, builder, log, request.graph)  # the parser owns the weights: it must live as long as the network
    plan = builder.build_serialized_network(network, configured(trt, builder, request))
    if plan is None:
        raise ScdError(
            f"TensorRT could not build {request.graph.name} ({last_error(log)})", "try --flavour ort-cuda, and report this as a bug"
        )
    memory = {found[1]: int(found[2]) for _, text in log.messages if (found := MEMORY.search(text))}
    data = bytes(plan)
    return data, PlanFacts(
        request.graph.name, request.graph_sha256, request.flavour, str(trt.__version__), request.targets, dict(request.profile),
        memory.get("Activation", 0), memory.get("Weights", 0), len(data), round(time.monotonic() - start, 1),
    )  # fmt: skip


def build_to(request: PlanRequest, path: Path) -> PlanFacts:
    """Build and write the plan and, last, its sidecar with the plan's sha256: a plan without one was cut off and counts for nothing."""
    data, facts = build(request)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with atomic(path, True) as temporary:
            temporary.write_bytes(data)
        with atomic(path.with_suffix(".json"), True) as temporary:
            temporary.write_text(json.dumps(asdict(facts) | {"plan_sha256": sha256(path)}, indent=1) + "\n")
    except (OSError, ScdError) as error:
        remove(path)
        said = error.message if isinstance(error, ScdError) else f"cannot keep plans in {path.parent} ({error.strerror})"
        raise ScdError(said, "free some space, or point SCD_CACHE at another folder") from error
    except BaseException:
        remove(path)
        raise
    return facts


def build_apart(request: PlanRequest, path: Path) -> PlanFacts:
    """`build_to` in a process of its own: its gigabytes go back at the end, and its crash would not be ours."""
    with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as pool:
        try:
            return pool.submit(build_to, request, path).result()
        except BrokenProcessPool as error:
            said = f"the builder of {MODULES[request.flavour]} died on {request.graph.name}"
            cause = "it may have run out of memory: lower --size or --frames; an untrained model, whose queries are its keys, kills it too"
            raise ScdError(said, cause) from error
