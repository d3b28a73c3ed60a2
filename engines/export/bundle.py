"""`scd export`: a checkpoint becomes a bundle, with every gate passed before the folder appears."""

from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from engines.core.bundle import FLAVOURS, read_bundle, write_facts
from engines.core.errors import MissingExtra, ScdError, UsageError
from engines.core.report import Report
from engines.export.plans import build_plans, check_possible, tensorrt_flavours
from engines.media.output import atomic

if TYPE_CHECKING:
    from engines.core.specs import ModelSpec
    from engines.export.graphs import Graph
    from engines.export.weights import WeightFile
    from engines.model.loading import SavedModel

Precision = Literal["fp32", "fp16", "int8"]
LARGE = 200e6  # parameters above which graphs are tried on fewer frames


@dataclass(frozen=True, kw_only=True)
class ExportRequest:
    """What the user asked for.

    `checkpoint`: a run of scd train, a bundle, a diffusers folder of Stable Diffusion 1.5 or its id on the hub. `precision` None is
    float32 on CPUs and float16 on GPUs. `frames`: least, usual and most frames of a window. `data`: a data set whose held-out frames
    serve as real inputs and, with int8, to measure ranges. `attn_accum`: "fp32" has TensorRT add up attention in float32.
    `motion_adapter`: AnimateDiff's motion modules for a checkpoint without. `engines`: take the TensorRT flavours that are installed.
    `targets`: compute capabilities of trt-rtx engines.
    """

    checkpoint: str
    out: Path
    overwrite: bool = False
    flavours: tuple[str, ...] = FLAVOURS[:1]
    precision: Precision | None = None
    size: tuple[int, int] | None = None
    frames: tuple[int, int, int] | None = None
    data: Path | None = None
    attn_accum: Literal["fp32"] | None = None
    motion_adapter: Path | None = None
    engines: bool = False
    targets: tuple[str, ...] = ("86", "89", "120")


def check_request(request: ExportRequest) -> None:
    """What contradicts itself, before anything is loaded."""
    for flavour in request.flavours:
        if flavour not in FLAVOURS:
            raise UsageError(f"there is no flavour {flavour}", f"use --flavour with one of: {', '.join(FLAVOURS)}")
    gpu = [flavour for flavour in request.flavours if flavour != "ort-cpu"]
    if request.precision == "int8" and request.data is None:
        raise UsageError("int8 needs real inputs to measure ranges on", "name a data set of scd prepare-data with --data")
    if request.precision == "int8" and gpu:
        raise UsageError(f"int8 is for CPUs, not for {gpu[0]}", "leave --precision out: the GPU flavours are float16")
    if request.precision == "fp16" and not gpu:
        raise UsageError("float16 is 4-6 times slower than float32 on CPUs", "leave --precision out, or name a GPU flavour with --flavour")
    tensorrt = [flavour for flavour in gpu if flavour.startswith("trt")]
    if request.precision == "fp32" and tensorrt:
        raise UsageError(f"{tensorrt[0]} has no fused attention in float32", "leave --precision out, or use --flavour ort-cuda")
    frames = request.frames
    if frames is not None and not 1 <= frames[0] <= frames[1] <= frames[2]:
        raise UsageError(f"--frames {','.join(map(str, frames))} does not rise", "write least, usual and most frames, as 1,16,24")


def load(request: ExportRequest) -> "SavedModel":
    """The model of any kind of checkpoint."""
    from engines.model import pretrained
    from engines.model.loading import load_model

    path = Path(request.checkpoint)
    if pretrained.is_hub_id(request.checkpoint):
        path = pretrained.from_hub(request.checkpoint, pretrained.HUB_FILES)
    if pretrained.is_diffusers(path):
        saved = pretrained.load_stable_diffusion(path, request.size or pretrained.MADE_FOR)
    else:
        saved = load_model(path, request.size)
    return pretrained.add_motion(saved, request.motion_adapter) if request.motion_adapter else saved


def export_bundle(request: ExportRequest, report: Report) -> dict[str, Any]:
    """Write the bundle, and engines for the TensorRT flavours; returns bundle.json and their figures.

    Weights are rounded to float16 first, so parity compares the same model on both sides.
    """
    check_request(request)
    try:
        import onnxscript  # noqa: F401
        import torch  # noqa: F401
    except ImportError as error:
        raise MissingExtra("scd export", "train") from error
    flavours = request.flavours
    if request.engines:
        flavours = tuple(dict.fromkeys((*flavours, *tensorrt_flavours())))
    check_possible(flavours, request.targets)
    request = replace(request, flavours=flavours)
    with atomic(request.out, request.overwrite) as temporary:
        temporary.mkdir()
        facts, spec = write_bundle(load(request), temporary, request, report)
        engines = build_plans(read_bundle(temporary), spec, flavours, request.targets, report)
        return facts | ({"engines": engines} if engines else {})


def write_bundle(saved: "SavedModel", folder: Path, request: ExportRequest, report: Report) -> "tuple[dict[str, Any], ModelSpec]":
    """Weights, graphs in every dialect asked for, gates, bundle.json. The model is free when this returns."""
    from engines.export.facts import bundle_facts
    from engines.export.graphs import bundle_graphs
    from engines.export.parity import real_feeds
    from engines.export.samples import held_out_samples
    from engines.export.torch_twin import saved_spec
    from engines.export.weights import write_weights
    from engines.export.writing import Writing, give_back, model_tensors, round_to_half
    from engines.model.checkpoint import WEIGHTS

    saved_spec(saved, request.frames)  # refuses frames that the model cannot take
    round_to_half(saved.model, saved.autoencoder)
    graphs = bundle_graphs(saved.model, saved.autoencoder)
    with report.stage("write weights", 1) as bar:
        weights = write_weights(folder / WEIGHTS, model_tensors(saved))
        give_back()
        bar.advance(1)
    real = {}
    if request.data:
        (sample,) = held_out_samples(request.data, saved.model.spec.size, clips=1, frames=1)
        real = real_feeds(graphs, sample.picture, sample.poses[0])
    size = sum(p.numel() for p in saved.model.parameters())
    writing = Writing(folder, weights, saved.model.spec, request, size > LARGE)
    with report.stage("export and check graphs", len(graphs)) as bar:
        for graph in graphs:
            writing.write(graph, real.get(graph.name))
            bar.advance(1)
    if request.precision == "int8" and request.data:
        with report.stage("int8 target graph", 1) as bar:
            writing.parity["target"]["int8"] = quantize_target(saved, folder, graphs, weights, request.data)
            bar.advance(1)
    writing.graphs["target"]["precision"] = "int8" if request.precision == "int8" else "fp32"
    facts = bundle_facts(saved, writing, request)
    write_facts(folder, facts)
    return facts, saved.model.spec


def quantize_target(saved: "SavedModel", folder: Path, graphs: "list[Graph]", weights: "WeightFile", data: Path) -> dict[str, Any]:
    """Write the int8 target graph over the float one, which has passed its gates. Returns the figures of its own gate."""
    import onnx
    import onnx_ir as ir

    from engines.export import quantize
    from engines.export.exportable import ORT_FP32
    from engines.export.graphs import trace
    from engines.export.torch_twin import saved_spec
    from engines.export.weights import move_weights, save_graph

    by_name = {graph.name: graph for graph in graphs}
    if "target_video" in by_name:
        raise ScdError("int8 is not made for models of Stable Diffusion's size", "leave --precision int8 out")
    spec, steps = saved_spec(saved), saved.sampling.steps
    *others, judged = quantize.samples_for(spec, data)
    measured = others or [judged]
    plain = quantize.pictures(folder, graphs, spec, judged, steps)
    feeds = quantize.calibration_feeds(folder, graphs, spec, measured)
    model = ir.from_proto(quantize.quantized(ir.to_proto(trace(by_name["target"], saved.model.spec, ORT_FP32)), feeds))
    move_weights(model, weights)
    save_graph(model, folder / "target.onnx")
    onnx.checker.check_model(str(folder / "target.onnx"))
    gate = quantize.check_quantized(plain, quantize.pictures(folder, graphs, spec, judged, steps))
    return gate | {"clips": len(measured), "frames": len(judged.poses), "steps": quantize.STEPS}
