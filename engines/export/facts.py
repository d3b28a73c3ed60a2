"""What bundle.json says of an exported model."""

from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

from engines.core.bundle import SCHEMA_VERSION
from engines.core.specs import crossing_sites
from engines.export.torch_twin import saved_spec
from engines.model.loading import SavedModel

if TYPE_CHECKING:
    from engines.export.request import ExportRequest
    from engines.export.writing import Writing

MINI_DATA = "synthetic people (scd prepare-data)"
OWN_LICENCE = "Apache-2.0"


def shareable(recipe: dict[str, Any]) -> dict[str, Any]:
    """The recipe with the names of its folders alone: where they lay concerns one machine."""
    return recipe | {key: Path(recipe[key]).name for key in ("data", "autoencoder", "initial")}


def bundle_facts(saved: SavedModel, writing: "Writing", request: "ExportRequest") -> dict[str, Any]:
    spec, sampling, facts = saved_spec(saved, request.frames), saved.sampling, saved.facts
    window, kind = spec.window, "scd-v" if saved.model.spec.motion else "scd-i"
    recipe = shareable(facts["recipe"]) | {"model": asdict(saved.model.spec), "schedule": saved.schedule.to_json()}
    recipe["sampling"] = asdict(sampling)
    return {
        "schema_version": SCHEMA_VERSION, "name": facts["name"], "kind": kind, "flavour": "ort-cpu", "size": list(spec.size),
        "task": facts.get("task", "animate"), "laid": facts["recipe"].get("batching", {}).get("laid", False),
        "latents": asdict(spec.latents), "window": asdict(window), "schedule": asdict(spec.schedule),
        "sampling": {key: getattr(sampling, key) for key in ("steps", "guidance", "shared_noise", "distilled", "strength")},
        "sites": [asdict(site) for site in crossing_sites(saved.model.spec)],
        "graphs": writing.graphs, "flavours": writing.flavours, "parity": writing.parity, "licence": facts.get("licence", OWN_LICENCE),
        "provenance": {
            "step": facts["step"], "data": facts["data"], "trained_on": facts.get("trained_on", MINI_DATA), "recipe": recipe,
            "autoencoder": facts["autoencoder"],
        },
    }  # fmt: skip
