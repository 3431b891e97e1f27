from __future__ import annotations

from dataclasses import replace

import torch

from benchmarks.learned_space.set_encoder import SetEncoder, SketchBatch
from snt_zoo.data import ImageDataset
from snt_zoo.encoders.sketch import sketch
from tests.encoders.making import cheap_backbone, random_sketch


def _encoder() -> SetEncoder:
    torch.manual_seed(0)
    encoder = SetEncoder().eval()
    encoder.standardise(SketchBatch.of([random_sketch(5), random_sketch(9, seed=1)]))
    return encoder


def test_a_vector_has_unit_length_for_2_to_1000_classes() -> None:
    encoder = _encoder()
    for classes in (2, 1000):
        vector = encoder(SketchBatch.of([random_sketch(classes)]))
        assert vector.shape == (1, 48)
        assert torch.allclose(vector.norm(dim=1), torch.ones(1), atol=1e-5)


def test_the_order_of_classes_and_samples_does_not_matter(few_digits: ImageDataset) -> None:
    made = sketch(few_digits, backbone=cheap_backbone())
    k, m = (
        torch.arange(9, -1, -1),
        torch.randperm(len(made.samples), generator=torch.Generator().manual_seed(0)),
    )
    other = replace(
        made,
        counts=made.counts[k],
        means=made.means[k],
        covariances=made.covariances[k],
        samples=made.samples[m],
        sample_labels=9 - made.sample_labels[m],
    )
    encoder = _encoder()
    assert torch.allclose(encoder(SketchBatch.of([made])), encoder(SketchBatch.of([other])), atol=1e-4)


def test_what_stands_beside_a_sketch_does_not_matter() -> None:
    encoder, one, wide = _encoder(), random_sketch(4), random_sketch(40, seed=2)
    alone = encoder(SketchBatch.of([one]))[0]
    assert torch.allclose(encoder(SketchBatch.of([one, wide]))[0], alone, atol=1e-5)
