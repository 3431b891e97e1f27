"""Tiny networks to export."""

from __future__ import annotations

from dataclasses import replace

import torch

from snt_zoo.networks.derived import DerivedModel
from snt_zoo.networks.ensemble import Ensemble
from snt_zoo.networks.evaluate import Model
from snt_zoo.networks.model_folder import LoadedModel
from tests.conftest import TINY, MakeSupernet


def loaded(model: Model) -> LoadedModel:
    """A network as if it had been loaded."""
    return LoadedModel(
        model,
        tuple(f"class {i}" for i in range(10)),
        "a source",
        {"val": 0.5, "test": 0.25},
        {"a source": "MIT", "photos": "CC-BY-4.0"},
    )


def ensemble(make_supernet: MakeSupernet) -> Ensemble:
    """Two networks of different spaces and sizes."""
    configs = (TINY["nas_bench_201"], replace(TINY["mobile"], input_size=24))
    members = [DerivedModel.inherit(make_supernet(config)).eval() for config in configs]
    return Ensemble(members, torch.tensor([0.7, 0.4])).eval()
