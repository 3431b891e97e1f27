from __future__ import annotations

from pathlib import Path

import pytest

from snt_zoo.data import ImageDataset, open_dataset
from snt_zoo.errors import DatasetError, EmptySplitError
from tests.data.making import write_class_folders, write_image


def _sizes(data: ImageDataset) -> tuple[int, int, int]:
    return len(data.train), len(data.val), len(data.test)


@pytest.mark.parametrize(
    ("names", "sizes"),
    [
        (("training_set", "test_set"), (14, 2, 16)),
        (("Training Data", "Test Data"), (14, 2, 16)),
        (("train2017", "val2017"), (14, 16, 2)),
        (("train", "dev", "test"), (16, 16, 16)),
        (("train", "eval"), (14, 16, 2)),
        (("train", "dev", "eval"), (16, 16, 16)),
        (("train", "valid", "evaluation"), (16, 16, 16)),
        (("train_images", "holdout"), (14, 2, 16)),
        (("trn", "tst"), (14, 2, 16)),
        (("TRAIN", "Validation_Set", "TestSet"), (16, 16, 16)),
    ],
)
def test_splits_by_many_names(tmp_path: Path, names: tuple[str, ...], sizes: tuple[int, int, int]) -> None:
    for seed, name in enumerate(names):
        write_class_folders(tmp_path / name, seed=seed)
    data = open_dataset(tmp_path)
    assert data.class_names == ("cat", "dog")
    assert _sizes(data) == sizes
    assert not data.passed_over


def test_loose_images_beside_the_classes_of_each_split(tmp_path: Path) -> None:
    for seed, name in enumerate(("train", "test")):
        write_class_folders(tmp_path / name, seed=seed)
        write_image(tmp_path / name / "preview.png")
    write_image(tmp_path / "montage.png")
    write_class_folders(tmp_path / "extra", ("emu",))
    data = open_dataset(tmp_path)
    assert _sizes(data) == (14, 2, 16)
    assert data.passed_over["loose"] == ("montage.png", "train/preview.png", "test/preview.png")
    assert len(data.passed_over["beside_splits"]) == 8


def test_loose_images_beside_the_classes(tmp_path: Path) -> None:
    write_class_folders(tmp_path)
    write_image(tmp_path / "preview.png")
    assert open_dataset(tmp_path).passed_over == {"loose": ("preview.png",)}


def test_a_class_with_images_and_subfolders_may_be_called_train(tmp_path: Path) -> None:
    write_class_folders(tmp_path, ("bus", "train", "tram"))
    write_image(tmp_path / "train" / "2024" / "x.png")
    assert open_dataset(tmp_path).class_names == ("bus", "train", "tram")


def test_numbered_tests_may_be_classes(tmp_path: Path) -> None:
    for name in ("test 1", "test 2", "test 3"):
        write_class_folders(tmp_path / name, ("images",))
    assert open_dataset(tmp_path).class_names == ("test 1", "test 2", "test 3")


def test_outputs_beside_the_splits(tmp_path: Path) -> None:
    for name in ("train", "test"):
        write_class_folders(tmp_path / name)
    (tmp_path / "runs" / "photos-1").mkdir(parents=True)
    (tmp_path / "runs" / "photos-1" / "model.safetensors").write_bytes(b"x")
    assert open_dataset(tmp_path).passed_over == {"system": ("runs/",)}


def test_links_from_one_split_into_another_are_not_entered(tmp_path: Path) -> None:
    for seed, name in enumerate(("train", "test")):
        write_class_folders(tmp_path / name, seed=seed)
    (tmp_path / "train" / "cat" / "more").symlink_to(tmp_path / "test" / "cat")
    (tmp_path / "train" / "dog" / "all").symlink_to(tmp_path / "test")
    data = open_dataset(tmp_path)
    assert _sizes(data) == (14, 2, 16)
    assert data.passed_over == {"link": ("train/cat/more/", "train/dog/all/")}


def test_splits_may_be_made_of_links(tmp_path: Path) -> None:
    for seed, name in enumerate(("a", "b")):
        write_class_folders(tmp_path / "all" / name, seed=seed)
    for split, part in (("train", "a"), ("test", "b")):
        for name in ("cat", "dog"):
            (tmp_path / split / name).mkdir(parents=True)
            for index in range(8):
                link = tmp_path / split / name / f"{index}.png"
                link.symlink_to(tmp_path / "all" / part / name / f"{index}.png")
    data = open_dataset(tmp_path)
    assert _sizes(data) == (14, 2, 16)
    assert not data.links_out


def test_two_folders_for_one_split(tmp_path: Path) -> None:
    for name in ("train", "train2017"):
        write_class_folders(tmp_path / name)
    with pytest.raises(DatasetError, match="two folders for train, train and train2017"):
        open_dataset(tmp_path)


def test_a_split_for_testing_alone(tmp_path: Path) -> None:
    write_class_folders(tmp_path / "test_set")
    with pytest.raises(EmptySplitError, match="none for train"):
        open_dataset(tmp_path)
