"""A sketch is small, does not depend on order, and survives a file."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from safetensors.torch import save

from snt_zoo.data import ImageDataset, Split
from snt_zoo.data.stores import ArrayStore
from snt_zoo.encoders.bounds import SIZE_LIMIT
from snt_zoo.encoders.embedding import embed
from snt_zoo.encoders.projection import project
from snt_zoo.encoders.sketch import COVARIANCE_DIM, Sketch, sketch
from tests.encoders.making import cheap_backbone, relabelled
from tests.encoders.test_shrinkage import oas_by_hand
from tests.encoders.test_sketch_format import equal


def test_the_order_of_the_images_changes_nothing(digits: ImageDataset) -> None:
    first = sketch(digits, backbone=cheap_backbone())
    for seed in range(3):
        order = torch.randperm(len(digits.train), generator=torch.Generator().manual_seed(seed))
        again = sketch(relabelled(digits, order, range(10)), backbone=cheap_backbone())
        torch.testing.assert_close(again.means, first.means, atol=2e-3, rtol=0)  # float16's last bit
        torch.testing.assert_close(again.covariances, first.covariances, atol=1e-3, rtol=2e-3)
        assert torch.equal(again.counts, first.counts)


def test_the_order_of_the_classes_only_renumbers_them(digits: ImageDataset) -> None:
    first = sketch(digits, backbone=cheap_backbone())
    classes = [3, 1, 4, 0, 5, 9, 2, 6, 8, 7]
    again = sketch(relabelled(digits, torch.arange(len(digits.train)), classes), backbone=cheap_backbone())
    assert again.class_names == tuple(first.class_names[i] for i in classes)
    torch.testing.assert_close(again.means, first.means[classes], atol=2e-3, rtol=0)
    torch.testing.assert_close(embed(again), embed(first), atol=1e-3, rtol=0)


def test_the_same_seed_draws_the_same_images(digits: ImageDataset) -> None:
    backbone = cheap_backbone()
    assert equal(sketch(digits, backbone=backbone), sketch(digits, backbone=backbone))
    assert not equal(sketch(digits, backbone=backbone), sketch(digits, backbone=backbone, seed=1))


def test_moments_equal_those_of_all_images_where_all_are_drawn(digits: ImageDataset) -> None:
    part = ImageDataset(
        "part", digits.class_names, digits.train.subset(torch.arange(150)), digits.val, digits.test
    )
    backbone = cheap_backbone()
    made = sketch(part, backbone=backbone)
    features = project(backbone.features(part.train.tensor(backbone.size))).double().numpy()
    labels = part.train.labels.numpy()
    own = [features[labels == k] for k in range(10)]
    means = np.stack([x.mean(0) for x in own])
    np.testing.assert_allclose(made.means.numpy(), means, atol=2e-3)
    for k, x in enumerate(own):
        expected = oas_by_hand(x[:, :COVARIANCE_DIM])
        np.testing.assert_allclose(made.covariances[k].numpy(), expected, atol=1e-3)


def many_classes(classes: int, each: int, name_length: int) -> ImageDataset:
    count = classes * each
    pixels = torch.randint(0, 256, (count, 8, 8), generator=torch.Generator().manual_seed(0)).to(torch.uint8)
    split = Split(ArrayStore(pixels), torch.arange(count) % classes)
    names = tuple(f"{i:05d}" + "ß" * name_length for i in range(classes))
    return ImageDataset("many", names, split, split, split)


@pytest.mark.parametrize(
    ("classes", "each", "name_length"), [(2, 400, 3), (46, 20, 9), (97, 4, 0), (1200, 2, 60)]
)
def test_a_sketch_stays_under_200_kilobytes(classes: int, each: int, name_length: int) -> None:
    made = sketch(many_classes(classes, each, name_length), backbone=cheap_backbone())
    assert len(save(made.to_tensors(), metadata={"sketch": made.to_meta()})) <= SIZE_LIMIT
    assert len(made.class_names) == min(classes, 1000)
    assert len(made.stored_roots.packed) == (len(made.class_names) if classes <= 96 else 1)
    assert equal(Sketch.from_tensors(made.to_tensors(), made.to_meta()), made)
