"""Images of a split as they came."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from PIL import Image

from snt_zoo.data import ImageDataset, Split, decode_image, open_dataset
from snt_zoo.data.originals import originals
from snt_zoo.errors import DatasetError


def test_files_are_paths_and_arrays_are_png(tmp_path: Path, few_digits: ImageDataset) -> None:
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
        for i in range(10):
            Image.effect_noise((9, 7), 50).save(tmp_path / name / f"{i}.png")
    data = open_dataset(tmp_path)
    found = originals(data.train, 100)
    assert len(found) == len(data.train)
    assert all(isinstance(source, str | Path) and Path(source).is_file() for source in found)
    few = originals(few_digits.test, 7)
    assert 0 < len(few) <= 7
    step = -(-len(few_digits.test) // 7)
    wanted = few_digits.test.read(torch.arange(0, len(few_digits.test), step), 8)
    assert torch.equal(torch.stack([decode_image(source, size=8) for source in few]), wanted)


def test_a_store_of_neither_is_refused(few_digits: ImageDataset) -> None:
    class Made:
        def __len__(self) -> int:
            return 1

        def read(self, indices: torch.Tensor, size: int) -> torch.Tensor:
            return torch.zeros(len(indices), 3, size, size, dtype=torch.uint8)

    with pytest.raises(DatasetError, match="Made"):
        originals(Split(Made(), torch.zeros(1, dtype=torch.int64)), 1)
