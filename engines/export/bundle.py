"""`scd export`: a checkpoint becomes a bundle, with every gate passed before the folder appears."""

from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

from engines.core.bundle import SCHEMA_VERSION, write_facts
from engines.core.errors import MissingExtra, ScdError
from engines.core.recipe import parse
from engines.core.report import Report
from engines.media.output import atomic

if TYPE_CHECKING:
    from engines.export.graphs import Graph
    from engines.train.checkpoint import Checkpoint

WEIGHTS = "weights.data"


def io_of(graph: "Graph", model: Any) -> dict[str, Any]:
    """File, and tensors by name with shape (names for dynamic axes) and dtype."""

    def tensors(values: Any) -> dict[str, Any]:
        return {v.name: {"shape": [d.dim_param or d.dim_value for d in v.type.tensor_type.shape.dim], "dtype": "float32"} for v in values}

    return {"file": f"{graph.name}.onnx", "inputs": tensors(model.graph.input), "outputs": tensors(model.graph.output)}


def real_inputs(data: Path, size: tuple[int, int]) -> tuple[Any, Any]:
    """A held-out picture and its pose picture from a data set, for parity on what a clip really feeds."""
    from engines.pose.draw import DrawStyle, draw_pose
    from engines.train.frames import load_clips

    clip = load_clips(data, "val", size)[0]
    return clip.frames[0], draw_pose(clip.points[0], clip.points_size, size, DrawStyle())


def export_bundle(checkpoint: Path, out: Path, overwrite: bool, data: Path | None, report: Report) -> dict[str, Any]:
    """Write the bundle of an SCD checkpoint to `out`. `data`: a data set whose held-out frames serve as real parity inputs.

    Weights are rounded to float16 first, so parity compares the same model on both sides. Returns bundle.json.
    """
    try:
        import onnxscript  # noqa: F401
        import torch  # noqa: F401
    except ImportError as error:
        raise MissingExtra("scd export", "train") from error
    from engines.train import checkpoint as checkpoints

    found = checkpoints.need(checkpoint, "scd", "--checkpoint")
    with atomic(out, overwrite) as temporary:
        temporary.mkdir()
        return write_graphs(found, temporary, data, report)


def load_rounded(found: "Checkpoint") -> tuple[Any, Any, Any]:
    """(recipe, SCD, autoencoder) of a checkpoint, weights as float16 will hold them."""
    from engines.train.checkpoint import under
    from engines.train.recipe import ScdRecipe
    from engines.train.scd import build_autoencoder, build_scd

    recipe = parse(ScdRecipe, found.facts["recipe"], str(found.folder))
    weights = found.weights()
    model = build_scd(found.facts["recipe"]["model"], under("scd", weights), found.folder)
    autoencoder = build_autoencoder(found.facts["autoencoder"], under("autoencoder", weights), found.folder)
    return recipe, model.half().float(), autoencoder.half().float()


def write_graphs(found: "Checkpoint", folder: Path, data: Path | None, report: Report) -> dict[str, Any]:
    import onnx

    from engines.export.graphs import bundle_graphs, export_graph
    from engines.export.parity import gates, real_feeds
    from engines.export.weights import WeightStore, move_weights

    recipe, model, autoencoder = load_rounded(found)
    graphs, store, described = bundle_graphs(model, autoencoder), WeightStore(WEIGHTS), {}
    with report.stage("export graphs", len(graphs)) as bar:
        for graph in graphs:
            proto = export_graph(graph, recipe.model)
            described[graph.name] = io_of(graph, proto)
            move_weights(proto, store)
            onnx.save(proto, str(folder / f"{graph.name}.onnx"))
            bar.advance(1)
    (folder / WEIGHTS).write_bytes(bytes(store.data))
    real = real_feeds(graphs, *real_inputs(data, recipe.model.size)) if data else {}
    parity = {}
    with report.stage("check parity", len(graphs)) as bar:
        for graph in graphs:
            onnx.checker.check_model(str(folder / f"{graph.name}.onnx"))
            parity[graph.name] = gates(graph, folder / f"{graph.name}.onnx", real.get(graph.name))
            bar.advance(1)
    facts = bundle_facts(found, recipe, model.unet.sites, described, parity)
    write_facts(folder, facts)
    return facts


def bundle_facts(found: "Checkpoint", recipe: Any, sites: Any, graphs: dict[str, Any], parity: dict[str, Any]) -> dict[str, Any]:
    motion, sampling = recipe.model.motion, recipe.sampling
    longest = motion.max_frames if motion else sampling.window
    if sampling.window > longest:
        raise ScdError(f"the recipe's window of {sampling.window} frames is longer than the motion modules' {longest}", "lower sampling.window")
    return {
        "schema_version": SCHEMA_VERSION, "name": recipe.name, "kind": "scd-v" if motion else "scd-i", "flavour": "ort-cpu",
        "size": list(recipe.model.size),
        "latents": {"channels": recipe.model.unet.latent_channels, "downscale": recipe.model.downscale, "scaling_factor": 1.0},
        "window": {"min": 1, "max": longest, "default": sampling.window, "overlap": sampling.overlap},
        "schedule": asdict(recipe.schedule), "sampling": {"steps": sampling.steps, "guidance": sampling.guidance},
        "sites": [asdict(site) for site in sites], "graphs": graphs, "parity": parity, "licence": "Apache-2.0",
        "provenance": {"step": found.step, "data": found.facts["data"], "recipe": found.facts["recipe"], "trained_on": "synthetic people of scd prepare-data"},
    }  # fmt: skip
