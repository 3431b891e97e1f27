"""Crafted supernets among those of the starter zoo, whose own sources are asked about."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch

from benchmarks.hubs import MOST, clusters, crafted
from snt_zoo.encoders.predictor_file import shipped_predictor
from snt_zoo.encoders.sketch import Sketch
from snt_zoo.encoders.transport import class_distances
from snt_zoo.registry import read_header
from snt_zoo.registry.starter import starter_bundles


@pytest.fixture(scope="module")
def sources() -> list[Sketch]:
    found = {each.name: each for path in starter_bundles() for each in read_header(path)[1]}
    return [found[name] for name in sorted(found)]


def test_no_crafted_sketch_is_nearer_than_the_own_and_none_near_everything(sources: list[Sketch]) -> None:
    made = crafted(sources)
    for number, sketch in enumerate(sources[::4]):
        near = [each.distance for each in class_distances(sketch, [*made.values(), *sources])]
        own = near[len(made) + 4 * number]
        assert own < 0.5 * min(near[: len(made)])
        honest = sorted(near[len(made) :])
        assert honest[2] < max(near[: len(made)])  # zeros are far from everything


def test_a_card_that_claims_the_most_is_not_predicted_to_be_the_best_everywhere(
    sources: list[Sketch],
) -> None:
    predictor = shipped_predictor()
    assert predictor is not None
    mean = crafted(sources)["the mean"]
    first = 0
    for sketch in sources[::4]:
        near = {
            each.name: d.distance for each, d in zip(sources, class_distances(sketch, sources), strict=True)
        }
        own = min(near.values())
        (crafty,) = class_distances(sketch, [mean])
        said = predictor.predict(
            sketch, [*predictor.networks, MOST], [own] * len(predictor.networks) + [crafty.distance]
        )
        assert said is not None
        *honest, liar, _ = [one.accuracy for one in said]
        assert 0 < liar < 1
        first += liar > max(honest)
    assert first == 0
    # Claims are bounded: what is beyond the most adds nothing.
    more = replace(MOST, digest="more", params=10**15, macs=10**18, sources=10**9)
    said = predictor.predict(sources[0], [MOST, more], [1.0, 1.0])
    assert said is not None and said[0].accuracy == pytest.approx(said[1].accuracy)


def test_clusters_are_centres_of_what_lies_around() -> None:
    points = torch.cat([torch.full((5, 2), 0.0), torch.full((5, 2), 10.0)])
    assert sorted(clusters(points, 2)[:, 0].tolist()) == [0.0, 10.0]
