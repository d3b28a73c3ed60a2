"""The run-time pipeline on torch modules: goldens, and the eager twin of the bench."""

from collections.abc import Sequence
from pathlib import Path

from engines.core.bundle import LatentSpec, WindowSpec
from engines.core.errors import ScdError
from engines.core.sites import kv_names
from engines.core.specs import shallow_sites
from engines.export.graphs import Graph, bundle_graphs
from engines.generate.pipeline import Pipeline, PipelineSpec
from engines.model.loading import SavedModel, load_model
from engines.model.torch_session import TorchSession


def torch_sessions(graphs: Sequence[Graph]) -> dict[str, TorchSession]:
    """A torch-backed session for each graph, by name."""
    return {graph.name: TorchSession(graph.module, list(graph.inputs), graph.outputs) for graph in graphs}


def saved_spec(saved: SavedModel, frames: tuple[int, int, int] | None = None) -> PipelineSpec:
    """What the pipeline must know of a checkpoint's model. `frames`: least, usual and most of a window, instead of the model's own.

    ScdError for models that a bundle cannot hold.
    """
    spec, sampling = saved.model.spec, saved.sampling
    if spec.condition != "attention":
        raise ScdError(
            f"a model of the condition '{spec.condition}' is a baseline of the paper's Table 2 and becomes no bundle",
            "export an SCD or a Reference-Net model; docs/make_ablation.py samples the baselines",
        )
    longest = spec.motion.max_frames if spec.motion else sampling.window
    least, usual, most = frames or (1, sampling.window, longest)
    if spec.motion and most > longest:
        raise ScdError(f"the motion modules see at most {longest} frames, not {most}", f"give --frames that end with {longest} or less")
    if usual > most:
        raise ScdError(f"a window of {usual} frames is longer than the motion modules' {most}", "give less with --frames")
    window = WindowSpec(min=least, max=most, default=usual, overlap=min(sampling.overlap, usual // 4 if frames else usual - 1))
    latents = LatentSpec(channels=spec.unet.latent_channels, downscale=spec.downscale, scaling_factor=1.0)
    outer = tuple(kv_names(shallow_sites(spec)))
    side = spec.picture.size if spec.picture else 0
    return PipelineSpec(spec.size, latents, window, saved.schedule, sampling.shared_noise, outer, spec.posed, side)


def open_torch_pipeline(checkpoint: Path) -> Pipeline:
    """The pipeline of a checkpoint in torch eager, float32."""
    saved = load_model(checkpoint)
    return Pipeline(saved_spec(saved), torch_sessions(bundle_graphs(saved.model, saved.autoencoder)))
