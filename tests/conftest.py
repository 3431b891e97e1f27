"""Fixtures that several rooms' tests share: small real images and tiny networks."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
import torch

from snt_zoo.data import ImageDataset
from snt_zoo.data.opening import read_raw
from snt_zoo.data.reader import ReadOptions
from snt_zoo.data.splits import HELD_OUT, stratified_split
from snt_zoo.networks.supernet import NetworkConfig, Supernet

if TYPE_CHECKING:
    from snt_zoo.zoo import Zoo

SAMPLES = Path(__file__).parent / "samples"

os.environ["SNT_ZOO_CACHE"] = "0"  # what a test computes was not computed by another
os.environ["SNT_ZOO_OUTCOMES"] = "0"  # nor does what one run came to move what another is told
torch.set_num_threads(1)  # repeats to the bit whatever the machine, and never fights another test run


@pytest.fixture(scope="session", autouse=True)
def _an_epoch_is_one_pass() -> Iterator[None]:
    """On the few images of a test an epoch would be many passes; see `snt_zoo.search.stage.LEAST_STEPS`."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("snt_zoo.search.stage.LEAST_STEPS", 1)
        yield


def parted_digits() -> ImageDataset:
    """scikit-learn's 1,797 handwritten digits, 8 × 8 pixels: real images that ship with a dependency.

    Parted at random: some tests need a tiny network to be better on them than a small probe, or worse.
    """
    raw = read_raw("sklearn:digits", ReadOptions())
    whole = raw.splits["train"]
    generator = torch.Generator().manual_seed(0)
    parts = stratified_split(whole.labels, (HELD_OUT, HELD_OUT), generator=generator)
    return ImageDataset(raw.name, raw.class_names, *map(whole.subset, parts))


@pytest.fixture(scope="session")
def digits() -> ImageDataset:
    """See `parted_digits`."""
    return parted_digits()


@pytest.fixture(scope="session")
def few_digits(digits: ImageDataset) -> ImageDataset:
    """The first 200, 60 and 60 of them: enough to train a tiny network in a second."""
    return ImageDataset(
        "few-digits",
        digits.class_names,
        digits.train.subset(torch.arange(200)),
        digits.val.subset(torch.arange(60)),
        digits.test.subset(torch.arange(60)),
    )


TINY = {
    "nas_bench_201": NetworkConfig("nas_bench_201", {"channels": 4, "stem_stride": 2}, 10, 16),
    "nas_bench_201/partial": NetworkConfig(
        "nas_bench_201", {"channels": 4, "stem_stride": 2, "partial_channels": 2}, 10, 16
    ),
    "darts": NetworkConfig("darts", {"channels": 4, "cells": 3, "stem_multiplier": 1}, 10, 16),
    "darts, partial": NetworkConfig(
        "darts", {"channels": 4, "cells": 3, "stem_multiplier": 1, "partial_channels": 2}, 10, 16
    ),
    "mobile": NetworkConfig("mobile", {"width": 10, "depth": 33, "halvings": 3, "features": 16}, 10, 16),
}


MakeSupernet = Callable[..., Supernet]


@pytest.fixture
def make_supernet() -> MakeSupernet:
    """Builds a supernet whose alphas are spread out, so that its genotype is no accident of ties."""

    def make(config: NetworkConfig, *, seed: int = 0) -> Supernet:
        generator = torch.Generator().manual_seed(seed)
        net = Supernet.create(config, generator=generator)
        with torch.no_grad():
            for alpha in net.alphas.values():
                alpha.normal_(0.0, 1.0, generator=generator)
        return net

    return make


@pytest.fixture(scope="session")
def zoo(tmp_path_factory: pytest.TempPathFactory) -> Zoo:
    """The starter zoo that ships; not to be changed."""
    from snt_zoo.zoo import Zoo

    return Zoo.open(tmp_path_factory.mktemp("home"))
