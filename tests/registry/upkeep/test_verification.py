"""`verify` as a whole."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
import torch

from snt_zoo.encoders.embedding import MOMENTS
from snt_zoo.encoders.sketch import Sketch
from snt_zoo.errors import NotInRegistryError
from snt_zoo.registry import Registry
from tests.registry.making import snapshot


def test_a_good_registry_has_no_problems(registry: Registry, shapes: str) -> None:
    before = snapshot(registry)
    seen: list[tuple[int, int]] = []
    found = registry.verify(on_bundle=lambda done, all: seen.append((done, all)))
    assert (found.ok, found.bundles, found.problems) == (True, 3, ())
    assert seen == [(1, 3), (2, 3), (3, 3)]
    assert found.to_json() == {"ok": True, "bundles": 3, "problems": []}
    assert registry.verify(shapes).bundles == 1
    assert registry.verify(repair=True).problems == ()
    assert snapshot(registry) == before
    with pytest.raises(NotInRegistryError):
        registry.verify("nobody")


def test_what_is_under_way_is_no_problem(good: Path, registry: Registry) -> None:
    """A look without the lock may see another process's add half done; then it looks again."""
    seen = []

    def look(one: Sketch) -> torch.Tensor:
        # Within an add: its copy is in incoming/, and nothing is listed yet.
        seen.append(Registry.open(registry.home).verify().problems)
        return MOMENTS.embed(one)

    Registry.open(registry.home, encoder=replace(MOMENTS, embed=look)).add(good)
    assert seen == [()]
