from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from snt_zoo.encoders.distances import get_distance
from snt_zoo.encoders.target import Target
from snt_zoo.errors import DatasetError, IndexMismatchError, NoMatchError, RegistryError
from snt_zoo.registry import Registry
from snt_zoo.registry.catalog.filters import Filter
from snt_zoo.registry.remote.asking import retrieve
from snt_zoo.registry.remote.registry import RemoteRegistry
from tests.registry.making import sketch


@pytest.mark.parametrize("options", [{}, {"distance": "mean-feature"}, {"where": Filter(name="leaves")}])
def test_the_answer_is_that_of_a_registry_here(
    registry: Registry, remote: RemoteRegistry, options: dict[str, Any]
) -> None:
    target = Target(sketch(seed=1))
    here, there = (retrieve(one, target, k=5, **options) for one in (registry, remote))
    assert there.matches == here.matches
    assert (there.ranked_by, there.close) == (here.ranked_by, here.close)
    assert there.seconds.keys() == here.seconds.keys()


def test_what_cannot_be_answered_is_told_as_here(registry: Registry, remote: RemoteRegistry) -> None:
    for place in (registry, remote):
        with pytest.raises(NoMatchError):
            retrieve(place, Target(sketch()), k=5, where=Filter(max_params=1))
        with pytest.raises(IndexMismatchError):
            retrieve(place, Target(sketch(backbone="other/gauss-64")), k=5)
        with pytest.raises(DatasetError):
            retrieve(place, Target(sketch()), k=5, distance="logme")


def test_a_distance_of_ones_own_and_the_hub_are_ranked_here_alone(
    remote: RemoteRegistry, tmp_path: Path
) -> None:
    with pytest.raises(RegistryError, match="a service ranks its own"):
        retrieve(remote, Target(sketch()), k=5, distance=get_distance("class-ot"))
