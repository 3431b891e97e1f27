"""The probe is the logistic regression that it says, and leaves the sketch as it was."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
import torch
from sklearn.linear_model import LogisticRegression

from snt_zoo.data import ImageDataset
from snt_zoo.encoders import probe as module
from snt_zoo.encoders.probe import STRENGTHS, Probe, fit_probe
from snt_zoo.encoders.sketch import Sample, sketch
from tests.encoders.making import cheap_backbone


@pytest.fixture(scope="module")
def drawn(digits: ImageDataset) -> Sample:
    return Sample.of(digits, cheap_backbone())


@pytest.fixture(scope="module")
def probe(digits: ImageDataset, drawn: Sample) -> Probe:
    return fit_probe(digits, drawn)


def part(data: ImageDataset, classes: int, train: int | None = None) -> ImageDataset:
    """Only the first classes, whose names stay."""
    splits = [s.subset((s.labels < classes).nonzero().flatten()) for s in (data.train, data.val, data.test)]
    splits[0] = splits[0].subset(torch.arange(len(splits[0]))[:train])
    return ImageDataset("part", data.class_names[: max(classes, 2)], *splits)


def test_one_pass_serves_sketch_and_probe(digits: ImageDataset, drawn: Sample) -> None:
    assert len(drawn.indices) == len(drawn.features) == len(drawn.labels) <= 512
    assert drawn.features.shape[1] == drawn.backbone.dim  # not projected
    assert torch.equal(digits.train.labels[drawn.indices], drawn.labels)
    again = drawn.backbone.features(digits.train.subset(drawn.indices).tensor(drawn.backbone.size))
    torch.testing.assert_close(again, drawn.features)
    alone, shared = sketch(digits, backbone=cheap_backbone()), sketch(digits, sample=drawn)
    assert torch.equal(alone.means, shared.means) and torch.equal(alone.covariances, shared.covariances)
    assert alone.backbone == shared.backbone and torch.equal(alone.samples, shared.samples)


def test_it_is_the_regression_of_its_strength(digits: ImageDataset, drawn: Sample) -> None:
    """Against scikit-learn run to convergence on features that are standardised outside."""
    probe = fit_probe(digits, drawn, max_images=len(drawn.indices))
    assert probe.images == len(drawn.indices)
    x = drawn.features.double()
    mean, std = x.mean(0), x.std(0, correction=0).clamp_min(1e-4)
    exact = LogisticRegression(C=1 / (probe.strength * len(x)), max_iter=5000, tol=1e-8)
    exact.fit(((x - mean) / std).numpy(), drawn.labels.numpy())
    features = drawn.backbone.features(digits.val.tensor(drawn.backbone.size))
    expected = exact.predict_proba(((features.double() - mean) / std).numpy())
    np.testing.assert_allclose(
        probe.logits(features).softmax(1).numpy(), expected, atol=0.05
    )  # it stops early


def test_its_accuracy_is_what_its_weights_give(digits: ImageDataset, drawn: Sample, probe: Probe) -> None:
    features = drawn.backbone.features(digits.val.tensor(drawn.backbone.size))
    found = (probe.logits(features).argmax(1) == digits.val.labels).float().mean()
    assert probe.val_accuracy == pytest.approx(float(found), abs=1e-6)
    assert probe.val_accuracy > 0.8
    assert probe.images == len(digits.train) and probe.strength in STRENGTHS
    assert set(probe.to_json()) == {"backbone", "val_accuracy", "images", "seconds"}


def test_validation_chooses_the_strength(
    digits: ImageDataset, drawn: Sample, monkeypatch: pytest.MonkeyPatch
) -> None:
    options = {"max_images": 512}
    chosen = fit_probe(digits, drawn, **options)
    accuracies = {}
    for strength in STRENGTHS:
        monkeypatch.setattr(module, "STRENGTHS", (strength,))
        accuracies[strength] = fit_probe(digits, drawn, **options).val_accuracy
    # Begun elsewhere, a regression ends a little elsewhere: an image or two.
    assert chosen.val_accuracy >= max(accuracies.values()) - 2 / len(digits.val)


def test_it_repeats_to_the_bit_and_keeps_to_its_bounds(digits: ImageDataset, drawn: Sample) -> None:
    first, again = (fit_probe(digits, drawn, max_images=700, seed=3) for _ in range(2))
    assert torch.equal(first.weight, again.weight) and torch.equal(first.bias, again.bias)
    assert first.images == 700
    ticks = itertools.count()
    rushed = fit_probe(digits, drawn, seconds=1.0, timer=lambda: float(next(ticks)))
    assert rushed.images == len(drawn.indices) and rushed.strength == STRENGTHS[0]


def test_two_classes_and_classes_without_an_image(digits: ImageDataset) -> None:
    two = part(digits, 2)
    drawn = Sample.of(two, cheap_backbone())
    assert fit_probe(two, drawn).val_accuracy > 0.95
    # The validation part has classes that the training images lack.
    lacking = ImageDataset("lacking", digits.class_names, part(digits, 3).train, digits.val, digits.test)
    probe = fit_probe(lacking, Sample.of(lacking, cheap_backbone()))
    assert probe.weight.shape == (10, 96) and torch.isfinite(probe.bias).all()
    features = cheap_backbone().features(digits.val.tensor(16))
    assert set(probe.logits(features).argmax(1).tolist()) == {0, 1, 2}
    assert 0.2 < probe.val_accuracy < 0.4
