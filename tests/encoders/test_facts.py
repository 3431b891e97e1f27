from __future__ import annotations

import torch

from snt_zoo.data import ImageDataset
from snt_zoo.encoders.facts import FACTS, facts
from snt_zoo.encoders.sketch import sketch
from tests.encoders.making import cheap_backbone, random_sketch, relabelled


def test_facts_are_numbers_whatever_the_number_of_classes() -> None:
    for classes in (1, 2, 200, 1000):
        found = facts(random_sketch(classes))
        assert found.shape == (len(FACTS),) and bool(found.isfinite().all())


def test_the_order_of_images_and_classes_does_not_matter(few_digits: ImageDataset) -> None:
    other = relabelled(few_digits, torch.arange(199, -1, -1), list(range(9, -1, -1)))
    left, right = (facts(sketch(data, backbone=cheap_backbone())) for data in (few_digits, other))
    assert torch.allclose(left, right, atol=1e-2)


def test_a_dataset_whose_classes_lie_apart_looks_easier() -> None:
    made = random_sketch(5)
    near, far = (
        type(made)(
            **{
                **{k: v for k, v in vars(made).items() if k in made.__dataclass_fields__},
                "means": f * made.means,
            }
        )
        for f in (0.1, 1.0)
    )
    margin = FACTS.index("margin")
    assert facts(near)[margin] < facts(far)[margin]
