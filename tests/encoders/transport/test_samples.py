"""One side of a distance between samples: what it takes of a sketch, and what it computes once."""

from __future__ import annotations

import dataclasses

import pytest
import torch

from snt_zoo.data import ImageDataset
from snt_zoo.encoders.sketch import sketch
from snt_zoo.encoders.transport import LabelledSamples, class_distance, dataset_distance
from snt_zoo.errors import IndexMismatchError, TensorError
from tests.encoders.making import cheap_backbone, random_sketch
from tests.encoders.transport.making import cloud


def test_a_sketch_brings_its_samples_and_its_classes(digits: ImageDataset) -> None:
    made = sketch(digits, backbone=cheap_backbone())
    side = LabelledSamples.of_sketch(made, samples=60)
    assert len(side.labels) == 60 and torch.bincount(side.labels).tolist() == [6] * 10
    torch.testing.assert_close(side.frequencies, made.frequencies)
    assert dataset_distance(made, made, method="exact", samples=60).distance == pytest.approx(0, abs=1e-6)
    other = random_sketch(4)
    twin = dataclasses.replace(other, backbone=made.backbone)
    by_class = dataset_distance(made, twin, method="class")
    assert by_class.distance == pytest.approx(class_distance(made, twin).distance, rel=1e-6)
    # A class of which no sample was kept is there by its mean.
    assert len(LabelledSamples.of_sketch(other).labels) == 4
    with pytest.raises(IndexMismatchError, match="same backbone"):
        dataset_distance(made, other)


def test_a_prepared_source_pays_for_itself_once() -> None:
    source = cloud(30, 3, seed=1)
    dataset_distance(cloud(20, 2, seed=2), source, method="entropic")
    kept = dict(source._self_terms)
    dataset_distance(cloud(20, 2, seed=3), source, method="entropic")
    assert source._self_terms == kept and len(kept) == 1
    dataset_distance(cloud(20, 2, seed=3), source, method="entropic", epsilon=0.7)
    assert len(source._self_terms) == 2


def test_features_that_do_not_fit_are_refused() -> None:
    x = torch.randn(4, 3)
    with pytest.raises(TensorError, match="expected features"):
        LabelledSamples.of_features(x, torch.zeros(3, dtype=torch.int64))
    with pytest.raises(TensorError, match="renumber"):
        LabelledSamples.of_features(x, torch.tensor([0, 0, 2, 2]))
    with pytest.raises(TensorError, match="K class names"):
        LabelledSamples.of_features(x, torch.tensor([0, 0, 1, 1]), class_names=["a"])
