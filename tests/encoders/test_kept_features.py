"""Features that were kept are those that would be computed, and are asked for by content."""

from __future__ import annotations

import time
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from snt_zoo.data import ImageDataset, Rendering, Split
from snt_zoo.encoders.backbone import Backbone
from snt_zoo.encoders.kept_features import features_of, name_task
from snt_zoo.encoders.sketch import Sample, sketch
from snt_zoo.formats import tensor_cache
from tests.encoders.making import cheap_backbone
from tests.encoders.test_sketch_format import equal

WHITE = Rendering()


@pytest.fixture(autouse=True)
def _cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(tensor_cache.SWITCH, "1")
    monkeypatch.setattr(tensor_cache.platformdirs, "user_cache_dir", lambda *_: str(tmp_path))


class Looks:
    """A backbone that counts the images that it sees."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.count = 0
        original = Backbone.features

        def features(backbone: Backbone, images: torch.Tensor) -> torch.Tensor:
            self.count += len(images)
            return original(backbone, images)

        monkeypatch.setattr(Backbone, "features", features)


@pytest.fixture
def looks(monkeypatch: pytest.MonkeyPatch) -> Looks:
    return Looks(monkeypatch)


def asked(split: Split, rendering: Rendering = WHITE, backbone: Backbone | None = None) -> torch.Tensor:
    return features_of(backbone or cheap_backbone(), split, rendering, timer=time.perf_counter)[0]


def test_the_same_images_are_looked_at_once(digits: ImageDataset, looks: Looks) -> None:
    split = digits.train.subset(torch.arange(200))
    told: list[tuple[int, int]] = []
    first, pace = features_of(
        cheap_backbone(),
        split,
        WHITE,
        timer=time.perf_counter,
        on_progress=lambda done, total: told.append((done, total)),
    )
    again, kept_pace = features_of(cheap_backbone(), split, WHITE, timer=lambda: 0.0)
    assert torch.equal(first, again) and looks.count == 200
    assert torch.equal(first, cheap_backbone().features(split.tensor(16)))
    assert pace == kept_pace > 0 and told == [(128, 200), (200, 200)]


def test_other_images_another_order_rendering_or_weights_are_looked_at(
    digits: ImageDataset, looks: Looks
) -> None:
    split = digits.train.subset(torch.arange(50))
    asked(split)
    other = cheap_backbone()
    with torch.no_grad():
        next(other.network.parameters()).mul_(2)  # of the same id
    for how in (
        lambda: asked(split.subset(torch.arange(49, -1, -1))),
        lambda: asked(digits.train.subset(torch.arange(1, 51))),
        lambda: asked(split, Rendering("black")),
        lambda: asked(split, backbone=other),
        lambda: asked(split, backbone=replace(cheap_backbone(), id="cheap@96")),
    ):
        before = looks.count
        how()
        assert looks.count == before + 50


def test_a_second_sketch_looks_at_nothing(digits: ImageDataset, looks: Looks) -> None:
    first = Sample.of(digits, cheap_backbone())
    seen = looks.count
    again = Sample.of(digits, cheap_backbone())
    assert looks.count == seen > 0
    assert torch.equal(again.indices, first.indices) and torch.equal(again.features, first.features)
    assert again.pace == first.pace > 0  # by which a budget is shared out
    assert equal(sketch(digits, sample=again), sketch(digits, sample=first))


def test_a_task_is_its_images_labels_and_rendering(digits: ImageDataset) -> None:
    train, val = digits.train.subset(torch.arange(9)), digits.val.subset(torch.arange(9))
    names = {
        name_task(digits, train, val),
        name_task(digits, val, train),
        name_task(digits, train, val.subset(torch.arange(8))),
        name_task(digits, Split(train.images, train.labels.flip(0)), val),
        name_task(replace(digits, rendering=Rendering("black")), train, val),
        name_task(replace(digits, class_names=(*digits.class_names, "none")), train, val),
    }
    assert len(names) == 6
    assert name_task(replace(digits, name="other"), train, val) in names
