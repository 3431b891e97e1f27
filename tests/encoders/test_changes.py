from __future__ import annotations

import pytest
import torch

from snt_zoo.data import ImageDataset
from snt_zoo.encoders.changes import CHANGES, changed


def test_no_change_is_the_dataset_itself(few_digits: ImageDataset) -> None:
    assert changed(few_digits, "") is few_digits


@pytest.mark.parametrize("name", sorted(CHANGES))
def test_a_change_keeps_shape_labels_and_order_and_names_itself(name: str, few_digits: ImageDataset) -> None:
    made = changed(few_digits, name)
    assert made.name == f"few-digits/{name}" and torch.equal(made.val.labels, few_digits.val.labels)
    before, after = few_digits.val.tensor(16), made.val.tensor(16)
    assert after.dtype == torch.uint8 and after.shape == before.shape
    assert torch.equal(after[3:5], made.val.read(torch.tensor([3, 4]), 16))
    assert made.val.digests()[0] != few_digits.val.digests()[0]


def test_what_changes_do() -> None:
    images = torch.randint(
        0, 256, (2, 3, 16, 16), dtype=torch.uint8, generator=torch.Generator().manual_seed(0)
    )
    grey = CHANGES["grey"](images)
    assert torch.equal(grey[:, 0], grey[:, 1]) and abs(float(grey.float().mean() - images.float().mean())) < 5
    assert torch.equal(CHANGES["inverted"](CHANGES["inverted"](images)), images)
    assert CHANGES["blurred"](images).float().std() < images.float().std()
