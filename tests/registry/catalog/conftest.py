"""A catalog of random facts."""

from __future__ import annotations

import random
from pathlib import Path

import numpy as np
import pytest

from snt_zoo.registry import BundleConfig
from snt_zoo.registry.catalog.catalog import Catalog
from snt_zoo.registry.catalog.records import Record
from tests.registry.making import config_data, network, source

LICENCES = ("MIT", "mit", "CC-BY-4.0", "cc-by-sa-4.0")


SOURCES = ("fonts", "font_thai", "icons", "a[b]c", "x*y")


@pytest.fixture(scope="module")
def shelf(tmp_path_factory: pytest.TempPathFactory) -> tuple[Catalog, list[tuple[Record, BundleConfig]]]:
    """A catalog of 60 bundles with random facts."""
    catalog = Catalog(tmp_path_factory.mktemp("filters") / "catalog.sqlite", locate=Path)
    catalog.prepare()
    draw = random.Random(0)
    net = network()
    held = []
    for number in range(60):
        data = config_data(
            net,
            name=f"n{number % 7}",
            licence=draw.choice(LICENCES),
            tags=draw.sample(["x", "y", "n1"], draw.randint(0, 3)),
            metrics={
                "val_accuracy": draw.choice([None, 0.25, 0.5]),
                "test_accuracy": draw.choice([None, 0.25, 0.75]),
                **({"ece": draw.random()} if number % 2 else {}),
            },
        )
        names = draw.sample(SOURCES, draw.randint(1, 2))
        data["training"]["datasets"] = [source(name, source=f"hf:{name}/1") for name in names]
        config = BundleConfig.from_data(data)
        record = Record.of(
            config,
            id=f"n{number % 7}-{number:08x}",
            digest=f"{number:064x}",
            encoder="e",
            added_at="2026-11-01T00:00:00+00:00",
            path=Path(f"n{number % 7}-{number:08x}"),
            size=draw.choice([10, 20, 30]),
        )
        catalog.insert(record, np.ones((1, 4), dtype=np.float32) / 2, config=config)
        held.append((record, config))
    return catalog, held
