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

import importlib
from typing import TYPE_CHECKING, Any

from snt_zoo.version import __version__

if TYPE_CHECKING:
    from snt_zoo.data import ImageDataset, open_dataset
    from snt_zoo.errors import SntZooError
    from snt_zoo.networks.derived import DerivedModel
    from snt_zoo.networks.ensemble import Ensemble
    from snt_zoo.networks.genotype import Genotype
    from snt_zoo.networks.model_folder import load_model
    from snt_zoo.networks.starting import starting_supernet
    from snt_zoo.networks.supernet import Supernet
    from snt_zoo.search.budget import Budget
    from snt_zoo.zoo import Match, QueryResult, Zoo

_HOMES = {
    "Budget": "snt_zoo.search.budget",
    "DerivedModel": "snt_zoo.networks.derived",
    "Ensemble": "snt_zoo.networks.ensemble",
    "Genotype": "snt_zoo.networks.genotype",
    "ImageDataset": "snt_zoo.data",
    "Match": "snt_zoo.zoo",
    "QueryResult": "snt_zoo.zoo",
    "SntZooError": "snt_zoo.errors",
    "Supernet": "snt_zoo.networks.supernet",
    "Zoo": "snt_zoo.zoo",
    "load_model": "snt_zoo.networks.model_folder",
    "open_dataset": "snt_zoo.data",
    "starting_supernet": "snt_zoo.networks.starting",
}

__all__ = [
    "Budget",
    "DerivedModel",
    "Ensemble",
    "Genotype",
    "ImageDataset",
    "Match",
    "QueryResult",
    "SntZooError",
    "Supernet",
    "Zoo",
    "__version__",
    "load_model",
    "open_dataset",
    "starting_supernet",
]


def __getattr__(name: str) -> Any:
    if name in _HOMES:
        return getattr(importlib.import_module(_HOMES[name]), name)
    raise AttributeError(f"module 'snt_zoo' has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted(__all__)
