"""A file that answers otherwise is found out."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from snt_zoo.errors import ExportError
from snt_zoo.networks.derived import DerivedModel
from snt_zoo.networks.export.agreement import BATCHES, check, compare, shipped_images
from snt_zoo.networks.export.deployed import Deployed
from snt_zoo.networks.model_folder import LoadedModel
from tests.conftest import TINY, MakeSupernet
from tests.networks.export.making import loaded


@pytest.fixture
def given(make_supernet: MakeSupernet) -> LoadedModel:
    return loaded(DerivedModel.inherit(make_supernet(TINY["nas_bench_201"])).eval())


class Asked:
    """The network itself, with an error that comes when it is told to."""

    def __init__(self, given: LoadedModel) -> None:
        self.deployed = Deployed(given.model)
        self.batches: list[int] = []
        self.off = 0.0
        self.from_batch = 1

    def __call__(self, images: np.ndarray) -> np.ndarray:
        self.batches.append(len(images))
        with torch.no_grad():
            answers = self.deployed(torch.from_numpy(images)).numpy()
        return answers + (self.off if len(images) >= self.from_batch else 0.0)


def test_every_size_of_batch_is_asked(given: LoadedModel) -> None:
    asked = Asked(given)
    sources = shipped_images()[:5]
    found = check(asked, given, sources)
    assert (found.images, found.top) == (5, 1.0)
    assert set(asked.batches) == set(BATCHES)


@pytest.mark.parametrize("from_batch", BATCHES)
def test_an_error_in_any_batch_is_an_error(given: LoadedModel, from_batch: int) -> None:
    asked = Asked(given)
    asked.off, asked.from_batch = 1e-3, from_batch
    with pytest.raises(ExportError, match=r"differs by 1\.0e-03"):
        check(asked, given, shipped_images()[:4])


def test_what_is_no_number_is_an_error(given: LoadedModel) -> None:
    asked = Asked(given)
    asked.off = float("nan")
    assert compare(asked, given, shipped_images()[:2]).largest == 1
    with pytest.raises(ExportError, match="shape"):
        check(lambda images: np.zeros((len(images), 3)), given, shipped_images()[:2])
