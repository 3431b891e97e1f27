"""What looks is chosen by the size of the images, the time and the limits."""

from __future__ import annotations

import pytest
import torch

from snt_zoo.data import ImageDataset, Split
from snt_zoo.data.stores import ArrayStore
from snt_zoo.encoders import looking
from snt_zoo.encoders.backbone import get_backbone
from snt_zoo.encoders.looking import LOOKS, PHOTOGRAPHS, choose_look


def dataset(side: int, count: int = 100) -> ImageDataset:
    pixels = torch.zeros(1, side, side, dtype=torch.uint8).expand(count, side, side)
    split = Split(ArrayStore(pixels), torch.arange(count) % 2)
    return ImageDataset("made", ("a", "b"), split, split, split)


@pytest.fixture
def paced(monkeypatch: pytest.MonkeyPatch) -> None:
    """10 ms an image at 160 pixels, on every machine."""
    monkeypatch.setattr(looking, "_pace", lambda timer: (0.01, 160))


def test_small_images_are_looked_at_as_by_the_sketch() -> None:
    assert choose_look(dataset(PHOTOGRAPHS - 1)) == "mobilenet_v2"
    assert choose_look(dataset(PHOTOGRAPHS - 1), seconds=100.0) == "mobilenet_v2"


def test_photographs_are_looked_at_by_the_best_where_time_does_not_count() -> None:
    assert choose_look(dataset(PHOTOGRAPHS)) == "efficientnet_lite0@288"
    assert [get_backbone(name).size for name in LOOKS] == [288, 224, 160, 128, 96]


@pytest.mark.parametrize(
    ("seconds", "size"),
    [(9.8, 288), (9.6, 224), (5.9, 224), (5.8, 160), (3.0, 160), (2.9, 128), (0.1, 96)],
)
def test_less_time_means_fewer_pixels(paced: None, seconds: float, size: int) -> None:
    assert choose_look(dataset(200), seconds=seconds) == f"efficientnet_lite0@{size}"


def test_reading_counts_and_so_does_the_number_of_images(paced: None) -> None:
    data = dataset(200)
    assert choose_look(data, seconds=10.0, reading=0.02) == "efficientnet_lite0@160"
    assert choose_look(data, seconds=10.0, images=3000) == "efficientnet_lite0@96"


def test_limits_rule_looks_out(paced: None) -> None:
    data = dataset(200)
    assert choose_look(data, allowed=lambda name: name.endswith("@128")) == "efficientnet_lite0@128"
    assert choose_look(data, seconds=1e-6, allowed=lambda name: False) == "mobilenet_v2"
