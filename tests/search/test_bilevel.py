from __future__ import annotations

import torch

from snt_zoo.data import ImageDataset
from snt_zoo.search.bilevel import bilevel_parts
from snt_zoo.search.recipe import Recipe


def test_weights_and_alphas_learn_from_separate_images(digits: ImageDataset) -> None:
    weights, alphas = bilevel_parts(digits.train, Recipe(alpha_share=0.5), seed=0)
    assert len(weights) + len(alphas) == len(digits.train)
    assert abs(len(weights) - len(alphas)) <= digits.num_classes
    whole = torch.cat([weights.tensor(8), alphas.tensor(8)]).flatten(1)
    assert torch.equal(
        whole.unique(dim=0), digits.train.tensor(8).flatten(1).unique(dim=0)
    )  # together they are the training split
    assert set(weights.labels.tolist()) == set(alphas.labels.tolist()) == set(range(10))


def test_one_image_a_class_trains_both(digits: ImageDataset) -> None:
    first = torch.stack([(digits.train.labels == label).nonzero()[0, 0] for label in range(10)])
    split = digits.train.subset(first)
    weights, alphas = bilevel_parts(split, Recipe(), seed=0)
    assert weights is split and alphas is split
