from __future__ import annotations

import torch

from snt_zoo.data import ImageDataset
from snt_zoo.encoders.sketch import sketch
from snt_zoo.encoders.target import Target
from tests.encoders.making import cheap_backbone
from tests.encoders.test_sketch_format import equal


def test_a_dataset_comes_with_its_sketch_and_the_images_of_it(few_digits: ImageDataset) -> None:
    target = Target.of(few_digits, cheap_backbone())
    assert target.data is few_digits and target.sample is not None
    assert equal(target.sketch, sketch(few_digits, backbone=cheap_backbone()))
    drawn = few_digits.train.labels[target.sample.indices]
    assert torch.equal(torch.bincount(drawn), torch.bincount(few_digits.train.labels))  # few enough for all


def test_a_sketch_is_all_that_was_given(few_digits: ImageDataset) -> None:
    made = sketch(few_digits, backbone=cheap_backbone())
    target = Target.of(made)
    assert target.sketch is made and target.data is None is target.sample
    assert Target.of(target) is target
