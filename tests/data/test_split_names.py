from __future__ import annotations

import pytest

from snt_zoo.data.split_names import split_name, split_within

NAMES = {
    "train": "train Training TRN training_set train-set trainset train2017 Training_Data dataset_train",
    "val": "val valid validation dev Eval development evaluation_set val2017 valset dev_data val_v2",
    "test": "test Testing tst tests test_set testset TestImages test1 hold-out held_out holdout imgs_test",
}


@pytest.mark.parametrize(("split", "name"), [(s, n) for s, names in NAMES.items() for n in names.split()])
def test_names_of_splits(split: str, name: str) -> None:
    assert split_name(name) == split
    assert split_name(name.replace("_", " ")) == split


@pytest.mark.parametrize(
    "name",
    [
        "cat",
        "invalid",
        "trainer",
        "steam train",
        "contest",
        "latest",
        "data",
        "set",
        "",
        "2017",
        "é",
        "devil",
    ],
)
def test_other_names(name: str) -> None:
    assert split_name(name) is None


@pytest.mark.parametrize(
    ("name", "found"),
    [
        ("train", ("train", "")),
        ("trainA", ("train", "a")),
        ("seg_test", ("test", "seg")),
        ("seg_pred", ("none", "seg")),
        ("train_cat", ("train", "cat")),
        ("ILSVRC2012_img_val", ("val", "ilsvrc")),
        ("invalid", None),
        ("cat", None),
    ],
)
def test_a_split_within_a_name(name: str, found: tuple[str, str] | None) -> None:
    assert split_within(name) == found
