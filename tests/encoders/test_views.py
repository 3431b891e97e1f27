from __future__ import annotations

import torch

from snt_zoo.data import ImageDataset
from snt_zoo.encoders.sketch import Sample, sketch
from snt_zoo.encoders.views import FEW_VIEWS, WHOLE, first_of_each, view_sketch, views
from tests.encoders.making import cheap_backbone


def test_of_many_classes_there_are_many_views_and_each_is_a_task() -> None:
    labels = torch.arange(15).repeat_interleave(24)
    found = {view.name: view for view in views(labels)}
    assert len(found) >= 15 and set(FEW_VIEWS) <= found.keys()
    for view in found.values():
        assert torch.equal(torch.unique(labels[view.rows]), view.classes) and len(view.classes) >= 2
    assert len(found[WHOLE].rows) == len(labels)
    assert torch.bincount(labels[found["n5"].rows]).tolist() == [5] * 15
    assert not set(found["half0"].rows.tolist()) & set(found["half1"].rows.tolist())
    assert not set(found["classes-half0"].classes.tolist()) & set(found["classes-half1"].classes.tolist())
    assert len(found["classes5-0"].classes) == 5


def test_of_few_classes_there_are_fewer() -> None:
    names = [view.name for view in views(torch.tensor([0, 0, 0, 1, 1, 1]))]
    assert names == [WHOLE, "n2"]


def test_labels_of_a_view_count_from_nought() -> None:
    view = next(v for v in views(torch.arange(8).repeat(6)) if v.name == "classes5-0")
    inside, labels = view.relabelled(torch.arange(8).repeat(2))
    assert len(inside) == 10 and set(labels.tolist()) == set(range(5))
    assert torch.equal(view.classes[labels], torch.arange(8).repeat(2)[inside])


def test_the_sketch_of_a_view_is_of_its_classes(few_digits: ImageDataset) -> None:
    sample = Sample.of(few_digits, cheap_backbone())
    whole = sketch(few_digits, sample=sample)
    features, _, _ = sample.projected()
    found = {v.name: view_sketch(v, features, sample.labels, whole) for v in views(sample.labels)}
    assert found[WHOLE] is whole
    part = found["classes5-0"]
    assert len(part.class_names) == 5 and set(part.class_names) < set(whole.class_names)
    number = whole.class_names.index(part.class_names[0])
    assert torch.allclose(part.means[0], whole.means[number], atol=1e-3)
    assert found["n5"].counts.tolist() == [5] * 10


def test_the_first_of_each_class_are_as_many_of_each() -> None:
    labels = torch.arange(5).repeat_interleave(30)
    rows = first_of_each(labels, 20)
    assert torch.bincount(labels[rows]).tolist() == [4] * 5 and rows[:4].tolist() == [0, 1, 2, 3]
    assert len(first_of_each(torch.arange(100).repeat_interleave(3), 20)) == 200
