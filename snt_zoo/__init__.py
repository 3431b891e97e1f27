"""snt-zoo: a zoo of pretrained supernets.

Given labelled images it finds the supernet that was trained on the most similar data, and adapts both its
weights and its architecture to the task.

    import snt_zoo
    zoo = snt_zoo.Zoo.open()
    data = snt_zoo.open_dataset("photos/")
    matches = zoo.query(data, k=5)
    result = zoo.finetune("auto", data, budget="10m")
    result.save("out/")

Names are imported when they are first used, so that `import snt_zoo` costs nothing.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from snt_zoo.exports import exports
from snt_zoo.threads import settle
from snt_zoo.version import __version__

settle()  # here, as it counts only before torch is loaded

if TYPE_CHECKING:
    from snt_zoo.data import ImageDataset, open_dataset
    from snt_zoo.encoders.distances import list_distances
    from snt_zoo.errors import SntZooError
    from snt_zoo.networks.derived import DerivedModel
    from snt_zoo.networks.ensemble import Ensemble
    from snt_zoo.networks.genotype import Genotype
    from snt_zoo.networks.model_folder import load_model
    from snt_zoo.networks.spaces import list_spaces
    from snt_zoo.networks.starting import starting_supernet
    from snt_zoo.networks.supernet import Supernet
    from snt_zoo.registry.catalog.filters import Bound, Filter
    from snt_zoo.registry.retrieval import Match, QueryResult
    from snt_zoo.search.adapting.result import FinetuneResult
    from snt_zoo.search.budget import Budget
    from snt_zoo.search.recipe import Recipe
    from snt_zoo.search.searchers import list_searchers
    from snt_zoo.workflows.export import export_model
    from snt_zoo.zoo import Zoo

_HOMES = {
    "Bound": "snt_zoo.registry.catalog.filters",
    "Budget": "snt_zoo.search.budget",
    "DerivedModel": "snt_zoo.networks.derived",
    "Ensemble": "snt_zoo.networks.ensemble",
    "Filter": "snt_zoo.registry.catalog.filters",
    "FinetuneResult": "snt_zoo.search.adapting.result",
    "Genotype": "snt_zoo.networks.genotype",
    "ImageDataset": "snt_zoo.data",
    "Match": "snt_zoo.registry.retrieval",
    "QueryResult": "snt_zoo.registry.retrieval",
    "Recipe": "snt_zoo.search.recipe",
    "SntZooError": "snt_zoo.errors",
    "Supernet": "snt_zoo.networks.supernet",
    "Zoo": "snt_zoo.zoo",
    "export_model": "snt_zoo.workflows.export",
    "list_distances": "snt_zoo.encoders.distances",
    "list_searchers": "snt_zoo.search.searchers",
    "list_spaces": "snt_zoo.networks.spaces",
    "load_model": "snt_zoo.networks.model_folder",
    "open_dataset": "snt_zoo.data",
    "starting_supernet": "snt_zoo.networks.starting",
}

__all__ = [
    "Bound",
    "Budget",
    "DerivedModel",
    "Ensemble",
    "Filter",
    "FinetuneResult",
    "Genotype",
    "ImageDataset",
    "Match",
    "QueryResult",
    "Recipe",
    "SntZooError",
    "Supernet",
    "Zoo",
    "__version__",
    "export_model",
    "list_distances",
    "list_searchers",
    "list_spaces",
    "load_model",
    "open_dataset",
    "starting_supernet",
]

__getattr__, __dir__ = exports(__name__, _HOMES, "__version__")
