"""What was said of a shortlist is said again without a solver."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path

import pytest

from snt_zoo import Zoo
from snt_zoo.encoders.distances import get_distance
from snt_zoo.encoders.target import Target
from snt_zoo.formats import tensor_cache
from snt_zoo.registry.catalog.filters import Filter
from snt_zoo.registry.kept_ranking import kept_nearest
from snt_zoo.registry.ranking import KeptCoupling, Nearest, nearest_sources, shortlist


def told(found: Iterable[Nearest]) -> list[Nearest]:
    """With what is kept of a coupling."""
    return [replace(one, coupling=KeptCoupling(one.coupling.matches)) for one in found if one.coupling]


def test_it_is_what_is_measured(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    zoo = Zoo.open(tmp_path / "home")
    monkeypatch.setenv(tensor_cache.SWITCH, "1")
    monkeypatch.setattr(tensor_cache.platformdirs, "user_cache_dir", lambda *_: str(tmp_path))
    records = zoo.list()
    target = Target(zoo.registry.sketches(records[0].id)[0])
    found = shortlist(zoo.registry, target, 5, where=Filter())
    measure = get_distance("class-ot")
    expected = told(nearest_sources(target, found, measure))
    assert told(kept_nearest(target, found, measure)) == expected

    asked = 0

    def count(*given: object) -> list[object]:
        nonlocal asked
        asked += 1
        return []

    monkeypatch.setattr("snt_zoo.registry.kept_ranking.nearest_sources", count)
    assert told(kept_nearest(target, found, measure)) == expected and asked == 0
    other = Target(zoo.registry.sketches(records[1].id)[0])
    for how in ((target, found[:4]), (target, found[::-1]), (other, found)):
        assert kept_nearest(*how, measure) == []  # one is missing, so nothing is kept
        kept_nearest(*how, measure)
    assert asked == 6
