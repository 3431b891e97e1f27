"""What looks is chosen by the size of the images, the time and the limits."""

from __future__ import annotations

import pytest
import torch

from snt_zoo.data import ImageDataset, Split
from snt_zoo.data.stores import ArrayStore
from snt_zoo.encoders import looking
from snt_zoo.encoders.backbone import get_backbone
from snt_zoo.encoders.looking import LOOKS, PHOTOGRAPHS, choose_looks


def dataset(side: int, count: int = 100) -> ImageDataset:
    pixels = torch.zeros(1, side, side, dtype=torch.uint8).expand(count, side, side)
    split = Split(ArrayStore(pixels), torch.arange(count) % 2)
    return ImageDataset("made", ("a", "b"), split, split, split)


@pytest.fixture
def paced(monkeypatch: pytest.MonkeyPatch) -> None:
    """10 ms an image at 160 pixels, on every machine."""
    monkeypatch.setattr(looking, "pace", lambda name, timer: 0.01)


def test_small_images_are_looked_at_as_by_the_sketch() -> None:
    assert choose_looks(dataset(PHOTOGRAPHS - 1)) == ("mobilenet_v2",)
    assert choose_looks(dataset(PHOTOGRAPHS - 1), seconds=100.0) == ("mobilenet_v2",)


def test_photographs_are_looked_at_by_the_best_where_time_does_not_count() -> None:
    assert choose_looks(dataset(PHOTOGRAPHS)) == LOOKS[0]
    assert choose_looks(dataset(PHOTOGRAPHS), most=1) == ("efficientnet_lite0@288",)
    assert [get_backbone(looks[0]).size for looks in LOOKS] == [288, 288, 224, 160, 128, 96]


@pytest.mark.parametrize(
    ("seconds", "place"), [(21.6, 0), (21.4, 1), (9.8, 1), (9.6, 2), (5.8, 3), (3.0, 3), (2.9, 4), (0.1, 5)]
)
def test_less_time_means_fewer_pixels(paced: None, seconds: float, place: int) -> None:
    assert choose_looks(dataset(200), seconds=seconds) == LOOKS[place]


def test_reading_counts_and_so_does_the_number_of_images(paced: None) -> None:
    data = dataset(200)
    assert choose_looks(data, seconds=10.0, reading=0.02) == ("efficientnet_lite0@160",)
    assert choose_looks(data, seconds=10.0, images=3000) == ("efficientnet_lite0@96",)


def test_limits_rule_looks_out(paced: None) -> None:
    data = dataset(200)
    assert choose_looks(data, allowed=lambda looks: looks[0].endswith("@128")) == ("efficientnet_lite0@128",)
    assert choose_looks(data, seconds=1e-6, allowed=lambda looks: False) == ("mobilenet_v2",)
