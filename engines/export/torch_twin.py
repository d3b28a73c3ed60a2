"""The run-time pipeline on torch modules: goldens, and the eager twin of the bench."""

from pathlib import Path

from engines.core.bundle import LatentSpec, WindowSpec
from engines.export.graphs import Graph, bundle_graphs
from engines.generate.pipeline import Pipeline, PipelineSpec
from engines.model.loading import SavedModel, load_model
from engines.model.torch_session import TorchSession


def torch_sessions(graphs: list[Graph]) -> dict[str, TorchSession]:
    """A torch-backed session for each graph, by name."""
    return {graph.name: TorchSession(graph.module, list(graph.inputs), graph.outputs) for graph in graphs}


def saved_spec(saved: SavedModel) -> PipelineSpec:
    """What the pipeline must know of a checkpoint's model."""
    spec, sampling = saved.model.spec, saved.sampling
    longest = spec.motion.max_frames if spec.motion else sampling.window
    window = WindowSpec(min=1, max=longest, default=sampling.window, overlap=sampling.overlap)
    latents = LatentSpec(channels=spec.unet.latent_channels, downscale=spec.downscale, scaling_factor=1.0)
    return PipelineSpec(spec.size, latents, window, saved.schedule, sampling.shared_noise)


def open_torch_pipeline(checkpoint: Path) -> Pipeline:
    """The pipeline of a checkpoint in torch eager, float32."""
    saved = load_model(checkpoint)
    return Pipeline(saved_spec(saved), torch_sessions(bundle_graphs(saved.model, saved.autoencoder)))
