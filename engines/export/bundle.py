"""`scd export`: a checkpoint becomes a bundle, with every gate passed before the folder appears."""

from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

from engines.core.bundle import SCHEMA_VERSION, write_facts
from engines.core.errors import MissingExtra, ScdError
from engines.core.manifest import read_manifest
from engines.core.report import Report
from engines.media.fit import fit_and_pad
from engines.media.images import read_image
from engines.media.output import atomic
from engines.pose.files import load_track

if TYPE_CHECKING:
    from engines.export.graphs import Graph
    from engines.model.loading import SavedModel


def io_of(graph: "Graph", model: Any) -> dict[str, Any]:
    """File, and tensors by name with shape (names for dynamic axes) and dtype."""

    def tensors(values: Any) -> dict[str, Any]:
        return {v.name: {"shape": [d.dim_param or d.dim_value for d in v.type.tensor_type.shape.dim], "dtype": "float32"} for v in values}

    return {"file": f"{graph.name}.onnx", "inputs": tensors(model.graph.input), "outputs": tensors(model.graph.output)}


def real_inputs(data: Path, size: tuple[int, int]) -> tuple[Any, Any]:
    """A held-out picture and its pose picture from a data set, for parity on what a clip really feeds."""
    from engines.pose.draw import DrawStyle, draw_pose

    held_out = read_manifest(data, "val")
    if not held_out:
        raise ScdError(f"{data} holds no clips of the split 'val'", "make a larger data set with scd prepare-data")
    track = load_track(data / held_out[0].keypoints)
    picture = fit_and_pad(read_image(data / held_out[0].frame_path(0)), size, "edge")[0]
    return picture, draw_pose(track.points[0], track.size, size, DrawStyle())


def export_bundle(checkpoint: Path, out: Path, overwrite: bool, data: Path | None, report: Report) -> dict[str, Any]:
    """Write the bundle of an SCD checkpoint to `out`. `data`: a data set whose held-out frames serve as real parity inputs.

    Weights are rounded to float16 first, so parity compares the same model on both sides. Returns bundle.json.
    """
    try:
        import onnxscript  # noqa: F401
        import torch  # noqa: F401
    except ImportError as error:
        raise MissingExtra("scd export", "train") from error
    from engines.model.loading import load_model

    saved = load_model(checkpoint)
    with atomic(out, overwrite) as temporary:
        temporary.mkdir()
        return write_graphs(saved, temporary, data, report)


def write_graphs(saved: "SavedModel", folder: Path, data: Path | None, report: Report) -> dict[str, Any]:
    import onnx

    from engines.export.graphs import bundle_graphs, export_graph
    from engines.export.parity import gates, real_feeds
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
    real = real_feeds(graphs, *real_inputs(data, model.spec.size)) if data else {}
    parity = {}
    with report.stage("check parity", len(graphs)) as bar:
        for graph in graphs:
            onnx.checker.check_model(str(folder / f"{graph.name}.onnx"))
            parity[graph.name] = gates(graph, folder / f"{graph.name}.onnx", real.get(graph.name))
            bar.advance(1)
    facts = bundle_facts(saved, described, parity)
    write_facts(folder, facts)
    return facts


def bundle_facts(saved: "SavedModel", graphs: dict[str, Any], parity: dict[str, Any]) -> dict[str, Any]:
    spec, sampling, recipe = saved.model.spec, saved.sampling, saved.facts["recipe"]
    longest = spec.motion.max_frames if spec.motion else sampling.window
    if sampling.window > longest:
        raise ScdError(
            f"the recipe's window of {sampling.window} frames is longer than the motion modules' {longest}", "lower sampling.window"
        )
    return {
        "schema_version": SCHEMA_VERSION, "name": saved.facts["name"], "kind": "scd-v" if spec.motion else "scd-i", "flavour": "ort-cpu",
        "size": list(spec.size),
        "latents": {"channels": spec.unet.latent_channels, "downscale": spec.downscale, "scaling_factor": 1.0},
        "window": {"min": 1, "max": longest, "default": sampling.window, "overlap": sampling.overlap},
        "schedule": asdict(saved.schedule), "sampling": {"steps": sampling.steps, "guidance": sampling.guidance},
        "sites": [asdict(site) for site in saved.model.unet.sites], "graphs": graphs, "parity": parity, "licence": "Apache-2.0",
        "provenance": {
            "step": saved.facts["step"], "data": saved.facts["data"], "trained_on": "synthetic people (scd prepare-data)",
            "recipe": recipe, "autoencoder": saved.facts["autoencoder"],
        },
    }  # fmt: skip
