"""The shallow network over the deep features of the same step is the whole network; over those of another step it is not."""

import pytest

torch = pytest.importorskip("torch")

from engines.core.sites import kv_names  # noqa: E402
from engines.core.specs import deep_channels, shallow_sites  # noqa: E402
from engines.export.flops import flop  # noqa: E402
from engines.export.graphs import Graph, bundle_graphs  # noqa: E402
from engines.export.torch_twin import torch_sessions  # noqa: E402
from engines.model.autoencoder import Autoencoder  # noqa: E402
from engines.model.scd import SCD  # noqa: E402
from tests.model.stable import stable_scd, stable_vae  # noqa: E402
from tests.model.tiny import AUTOENCODER, tiny_scd  # noqa: E402


def graphs_of(layout: str, motion: bool) -> tuple[SCD, dict[str, Graph]]:
    model = (tiny_scd if layout == "mini" else stable_scd)(motion)
    graphs = bundle_graphs(model, Autoencoder(AUTOENCODER) if layout == "mini" else stable_vae())  # type: ignore[arg-type]
    return model, {graph.name: graph for graph in graphs}


@pytest.mark.parametrize("layout", ["mini", "stable-diffusion"])
@pytest.mark.parametrize("motion", [False, True])
def test_shallow_equals_whole_at_the_same_step(layout: str, motion: bool) -> None:
    model, graphs = graphs_of(layout, motion)
    sessions = torch_sessions(list(graphs.values()))
    for name in [name for name in ("target", "target_video") if name in graphs]:
        feeds = {key: tensor.numpy() for key, tensor in graphs[name].inputs.items()}
        whole = sessions[name].run(feeds)
        assert whole["deep"].shape[:3] == (2, 3, deep_channels(model.spec))
        outer = {key: feeds[key] for key in graphs[f"{name}_shallow"].inputs if key != "deep"}
        same = sessions[f"{name}_shallow"].run(outer | {"deep": whole["deep"]})["prediction"]
        assert abs(same - whole["prediction"]).max() < 1e-5
        other = sessions[f"{name}_shallow"].run(outer | {"deep": whole["deep"] + 1})["prediction"]
        assert abs(other - whole["prediction"]).max() > 1e-2


def test_shallow_takes_the_outer_sites_alone_and_works_less() -> None:
    model, graphs = graphs_of("stable-diffusion", motion=False)
    outer = [name for name in graphs["target_shallow"].inputs if name.startswith("ref_")]
    assert outer == kv_names(shallow_sites(model.spec))
    assert 0 < len(outer) < len(kv_names(model.unet.sites))
    assert flop(graphs["target_shallow"]) < flop(graphs["target"])


def test_work_is_counted_a_frame_and_a_condition() -> None:
    """By hand: the pose encoder's first convolution of the mini layout alone has 2 x 9 x 12 x 8 operations at 16 x 32 places."""
    _, graphs = graphs_of("mini", motion=False)
    conv = graphs["pose"].module
    assert flop(graphs["pose"]) == sum(
        2 * layer.weight[0].numel() * layer.weight.shape[0] * places
        for layer, places in zip(conv_layers(conv), conv_places(conv), strict=True)
    )


def conv_layers(module: torch.nn.Module) -> list[torch.nn.Conv2d]:
    return [part for part in module.modules() if isinstance(part, torch.nn.Conv2d)]


def conv_places(module: torch.nn.Module) -> list[int]:
    """Output places of each convolution on one picture, found by running it."""
    places: list[int] = []
    hooks = [layer.register_forward_hook(lambda _m, _i, out: places.append(out[0, 0].numel())) for layer in conv_layers(module)]
    module(torch.zeros(1, 3, 64, 32))
    for hook in hooks:
        hook.remove()
    return places
