"""`scd export`: a checkpoint becomes a bundle, with every gate passed before the folder appears."""

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from engines.core.bundle import read_bundle, write_facts
from engines.core.errors import MissingExtra, ScdError, UsageError
from engines.core.report import Report
from engines.export.plans import build_plans, check_possible, tensorrt_flavours
from engines.export.request import ExportRequest, check_request
from engines.media.output import atomic
from engines.sessions.builders import MODULES

if TYPE_CHECKING:
    from engines.core.specs import ModelSpec
    from engines.export.graphs import Graph
    from engines.export.weights import WeightFile
    from engines.model.loading import SavedModel

LARGE = 200e6  # parameters above which graphs are tried on fewer frames


def load(request: ExportRequest) -> "SavedModel":
    """The model of any kind of checkpoint."""
    from engines.model import moore, pretrained
    from engines.model.loading import load_model

    path = Path(request.checkpoint)
    if pretrained.is_hub_id(request.checkpoint):
        path = pretrained.from_hub(request.checkpoint, pretrained.HUB_FILES)
    if (request.vae or request.image_encoder) and not moore.is_moore(path):
        flag = "--vae" if request.vae else "--image-encoder"
        raise UsageError(f"{flag} is for the files of Moore-AnimateAnyone, and {path} has none", "leave it out")
    if pretrained.is_diffusers(path):
        saved = pretrained.load_stable_diffusion(path, request.size or pretrained.MADE_FOR)
    elif moore.is_moore(path):
        saved = moore.load_moore(path, moore.Parts(request.vae, request.image_encoder), request.size)
    else:
        saved = load_model(path, request.size)
    return pretrained.add_motion(saved, request.motion_adapter) if request.motion_adapter else saved


def export_bundle(request: ExportRequest, report: Report) -> dict[str, Any]:
    """Write the bundle, and engines for the TensorRT flavours; returns bundle.json and their figures.

    Weights are rounded to float16, or those of the network to int8, first, so parity compares the same model on both sides.
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
        if not any(flavour in MODULES for flavour in flavours):
            return facts
        return facts | {"engines": build_plans(read_bundle(temporary), spec, flavours, request.targets, report)}


def write_bundle(saved: "SavedModel", folder: Path, request: ExportRequest, report: Report) -> "tuple[dict[str, Any], ModelSpec]":
    """Weights, graphs in every dialect asked for, gates, bundle.json. The model is free when this returns."""
    from engines.export.facts import OWN_LICENCE, bundle_facts
    from engines.export.graphs import bundle_graphs
    from engines.export.parity import real_feeds
    from engines.export.samples import held_out_samples
    from engines.export.torch_twin import saved_spec
    from engines.export.weights import write_weights
    from engines.export.writing import Writing, model_tensors, round_to_half, round_to_int8
    from engines.model.checkpoint import WEIGHTS
    from engines.sessions.memory import give_back

    if saved.facts.get("licence", OWN_LICENCE) != OWN_LICENCE:
        report.note(f"licence of these weights: {saved.facts['licence']}")
    saved_spec(saved, request.frames)  # refuses frames that the model cannot take
    round_to_half(saved.model, saved.autoencoder)
    int8 = round_to_int8(saved.model) if request.weights == "int8" else {}
    graphs = bundle_graphs(saved.model, saved.autoencoder)
    if request.precision == "int8" and {"target_video", "picture"} & {graph.name for graph in graphs}:
        raise ScdError("int8 is not made for models of Stable Diffusion's size", "leave --precision int8 out")
    with report.stage("write weights", 1) as bar:
        weights = write_weights(folder / WEIGHTS, model_tensors(saved, int8))
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
