from __future__ import annotations

from pathlib import Path

import pytest
from sklearn.datasets import load_digits

from snt_zoo.data import open_dataset
from snt_zoo.errors import DatasetNotFoundError

from .cases import ReaderTestCase


class TestScikitLearn(ReaderTestCase):
    name = "sklearn"

    def make(self, folder: Path, monkeypatch: pytest.MonkeyPatch) -> str:
        return "sklearn:digits"


def test_all_digits_are_there_scaled_to_eight_bits() -> None:
    dataset = open_dataset("sklearn:Digits")
    splits = (dataset.train, dataset.val, dataset.test)
    assert sum(map(len, splits)) == 1797
    mean = sum(float(split.tensor(8)[:, 0].double().sum()) for split in splits) / (1797 * 64)
    assert mean == pytest.approx(load_digits().images.mean() * 255 / 16, abs=0.1)
    assert max(int(split.tensor(8).max()) for split in splits) == 255


def test_another_name_is_refused() -> None:
    with pytest.raises(DatasetNotFoundError, match="'faces', only digits"):
        open_dataset("sklearn:faces")
