"""What every distance must do, as one test case: a new one gets all of it by a subclass."""

from __future__ import annotations

from dataclasses import replace
from typing import Any, ClassVar

import pytest
import torch

from snt_zoo.encoders.distances import DatasetDistance, Source, get_distance, list_distances
from snt_zoo.encoders.sketch import Sketch
from snt_zoo.encoders.target import Target
from snt_zoo.errors import IndexMismatchError
from snt_zoo.networks.supernet import NetworkConfig, Supernet
from tests.encoders.making import random_sketch

TINY = NetworkConfig("nas_bench_201", {"channels": 2, "stem_stride": 2}, 10, 16)


def tiny_supernet(seed: int) -> Supernet:
    """A network of a few hundred weights."""
    return Supernet.create(TINY, generator=torch.Generator().manual_seed(seed))


def sources(own: Sketch) -> list[Source]:
    """The dataset itself, one like it, and two of noise."""
    near = replace(own, name="near", means=own.means + 0.02)
    noise = [replace(random_sketch(k, seed=k, name=f"noise {k}"), backbone=own.backbone) for k in (3, 30)]
    sketches = [own, near, *noise]
    return [
        Source(f"id {i}", made, lambda i=i: tiny_supernet(i))  # type: ignore[misc]
        for i, made in enumerate(sketches)
    ]


class DistanceCase:
    """Subclass it, and say which distance and what it promises."""

    name: ClassVar[str]
    options: ClassVar[dict[str, Any]] = {}
    level: ClassVar[str]
    sees: ClassVar[bool] = True
    """Whether its answer depends on how alike the datasets are."""
    couples: ClassVar[bool] = False

    @pytest.fixture
    def distance(self) -> DatasetDistance:
        return get_distance(self.name, **self.options)

    def test_it_is_found_by_name(self, distance: DatasetDistance) -> None:
        assert distance.name == self.name
        assert self.name in list_distances()

    def test_every_source_has_an_answer_of_one_level(self, distance: DatasetDistance, target: Target) -> None:
        candidates = sources(target.sketch)
        found = distance(target, candidates)
        assert len(found) == len(candidates)
        assert {answer.level for answer in found} == {self.level}
        for answer, source in zip(found, candidates, strict=True):
            assert 0 <= answer.distance < float("inf")
            assert (answer.transport is not None) == self.couples
            if answer.transport is not None:
                shape = (len(target.sketch.class_names), len(source.sketch.class_names))
                assert answer.transport.coupling.shape == shape
        assert distance(target, []) == []

    def test_asking_again_and_in_another_order_changes_nothing(
        self, distance: DatasetDistance, target: Target
    ) -> None:
        candidates = sources(target.sketch)
        first = [answer.distance for answer in distance(target, candidates)]
        back = [answer.distance for answer in distance(target, candidates[::-1])]
        assert back[::-1] == pytest.approx(first, rel=1e-9, abs=1e-9)

    def test_the_same_data_are_nearest(self, distance: DatasetDistance, target: Target) -> None:
        if not self.sees:
            pytest.skip("it does not look at the target's sketch")
        own, near, *noise = [answer.distance for answer in distance(target, sources(target.sketch))]
        assert own == pytest.approx(0.0, abs=1e-5)
        assert own < near < min(noise)

    def test_other_backbones_are_refused(self, distance: DatasetDistance, target: Target) -> None:
        foreign = Source("foreign", replace(target.sketch, backbone="another"))
        with pytest.raises(IndexMismatchError, match="sketch both with the same one"):
            distance(target, [foreign])
