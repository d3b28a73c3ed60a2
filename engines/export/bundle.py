"""`scd export`: a checkpoint becomes a bundle, with every gate passed before the folder appears."""

from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from engines.core.bundle import SCHEMA_VERSION, write_facts
from engines.core.errors import MissingExtra, ScdError, UsageError
from engines.core.report import Report
from engines.media.output import atomic

if TYPE_CHECKING:
    from engines.export.graphs import Graph
    from engines.export.weights import WeightFile
    from engines.model.loading import SavedModel

Precision = Literal["fp32", "int8"]


def io_of(graph: "Graph", model: Any) -> dict[str, Any]:
    """File, and tensors by name with shape (names for dynamic axes) and dtype."""

    def tensors(values: Any) -> dict[str, Any]:
        return {v.name: {"shape": [d.dim_param or d.dim_value for d in v.type.tensor_type.shape.dim], "dtype": "float32"} for v in values}

    return {"file": f"{graph.name}.onnx", "inputs": tensors(model.graph.input), "outputs": tensors(model.graph.output)}


def export_bundle(
    checkpoint: Path, out: Path, overwrite: bool, data: Path | None, report: Report, precision: Precision = "fp32"
) -> dict[str, Any]:
    """Write the bundle of an SCD checkpoint to `out`. `data`: a data set whose held-out frames serve as real parity inputs and,
    with int8, to measure ranges.

    Weights are rounded to float16 first, so parity compares the same model on both sides. Returns bundle.json.
    """
    if precision == "int8" and data is None:
        raise UsageError("int8 needs real inputs to measure ranges on", "name a data set of scd prepare-data with --data")
    try:
        import onnxscript  # noqa: F401
        import torch  # noqa: F401
    except ImportError as error:
        raise MissingExtra("scd export", "train") from error
    from engines.model.loading import load_model

    saved = load_model(checkpoint)
    with atomic(out, overwrite) as temporary:
        temporary.mkdir()
        return write_graphs(saved, temporary, data, report, precision)


def write_graphs(saved: "SavedModel", folder: Path, data: Path | None, report: Report, precision: Precision) -> dict[str, Any]:
    import onnx

    from engines.export.graphs import bundle_graphs, export_graph
    from engines.export.parity import gates, real_feeds
    from engines.export.samples import held_out_samples
    from engines.export.weights import move_weights, weight_file
    from engines.model.checkpoint import WEIGHTS, prefixed

    model, autoencoder = saved.model.half().float(), saved.autoencoder.half().float()  # as float16 will hold them
    graphs, described = bundle_graphs(model, autoencoder), {}
    tensors = prefixed("scd", model.state_dict()) | prefixed("autoencoder", autoencoder.state_dict())
    weights = weight_file(WEIGHTS, {name: tensor.half().numpy() for name, tensor in tensors.items()})
    with report.stage("export graphs", len(graphs)) as bar:
        for graph in graphs:
            proto = export_graph(graph, model.spec)
            described[graph.name] = io_of(graph, proto)
            move_weights(proto, weights)
            onnx.save(proto, str(folder / f"{graph.name}.onnx"))
            bar.advance(1)
    (folder / WEIGHTS).write_bytes(weights.data)
    real = {}
    if data:
        (sample,) = held_out_samples(data, model.spec.size, clips=1, frames=1)
        real = real_feeds(graphs, sample.picture, sample.poses[0])
    parity = {}
    with report.stage("check parity", len(graphs)) as bar:
        for graph in graphs:
            onnx.checker.check_model(str(folder / f"{graph.name}.onnx"))
            parity[graph.name] = gates(graph, folder / f"{graph.name}.onnx", real.get(graph.name))
            bar.advance(1)
    if precision == "int8" and data:
        with report.stage("int8 target graph", 1) as bar:
            parity["target"]["int8"] = quantize_target(saved, folder, graphs, weights, data)
            bar.advance(1)
    described["target"]["precision"] = precision
    facts = bundle_facts(saved, described, parity)
    write_facts(folder, facts)
    return facts


def quantize_target(saved: "SavedModel", folder: Path, graphs: "list[Graph]", weights: "WeightFile", data: Path) -> dict[str, Any]:
    """Write the int8 target graph over the float one, which has passed its gates. Returns the figures of its own gate."""
    import onnx

    from engines.export import quantize
    from engines.export.graphs import export_graph
    from engines.export.torch_twin import saved_spec
    from engines.export.weights import move_weights

    spec, steps = saved_spec(saved), saved.sampling.steps
    *others, judged = quantize.samples_for(spec, data)
    measured = others or [judged]
    plain = quantize.pictures(folder, graphs, spec, judged, steps)
    feeds = quantize.calibration_feeds(folder, graphs, spec, measured)
    (target,) = (graph for graph in graphs if graph.name == "target")
    proto = quantize.quantized(export_graph(target, saved.model.spec), feeds)
    move_weights(proto, weights)
    path = folder / "target.onnx"
    onnx.save(proto, str(path))
    onnx.checker.check_model(str(path))
    gate = quantize.check_quantized(plain, quantize.pictures(folder, graphs, spec, judged, steps))
    return gate | {"clips": len(measured), "frames": len(judged.poses), "steps": quantize.STEPS}


def shareable(recipe: dict[str, Any]) -> dict[str, Any]:
    """The recipe with the names of its folders alone: where they lay concerns one machine."""
    return recipe | {key: Path(recipe[key]).name for key in ("data", "autoencoder", "initial")}


def bundle_facts(saved: "SavedModel", graphs: dict[str, Any], parity: dict[str, Any]) -> dict[str, Any]:
    from engines.export.torch_twin import saved_spec

    spec, sampling, recipe = saved_spec(saved), saved.sampling, saved.facts["recipe"]
    window, kind = spec.window, "scd-v" if saved.model.spec.motion else "scd-i"
    if window.default > window.max:
        raise ScdError(
            f"the recipe's window of {window.default} frames is longer than the motion modules' {window.max}", "lower sampling.window"
        )
    return {
        "schema_version": SCHEMA_VERSION, "name": saved.facts["name"], "kind": kind, "flavour": "ort-cpu",
        "size": list(spec.size),
        "latents": asdict(spec.latents), "window": asdict(window), "schedule": asdict(spec.schedule),
        "sampling": {"steps": sampling.steps, "guidance": sampling.guidance, "shared_noise": sampling.shared_noise},
        "sites": [asdict(site) for site in saved.model.unet.sites], "graphs": graphs, "parity": parity, "licence": "Apache-2.0",
        "provenance": {
            "step": saved.facts["step"], "data": saved.facts["data"], "trained_on": "synthetic people (scd prepare-data)",
            "recipe": shareable(recipe), "autoencoder": saved.facts["autoencoder"],
        },
    }  # fmt: skip
