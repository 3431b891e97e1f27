"""What a network says of its dataset survives saving, and copies are told."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

from snt_zoo.data import ImageDataset, Rendering, open_dataset
from snt_zoo.errors import ModelFolderError
from snt_zoo.networks.trained_on import FILE, SeenImages, TrainedOn, shared_images
from tests.data.making import write_class_folders


@pytest.fixture
def data(tmp_path: Path) -> ImageDataset:
    return open_dataset(write_class_folders(tmp_path / "data", each=20))


def test_it_is_read_as_it_was_written(data: ImageDataset, tmp_path: Path) -> None:
    data = replace(data, rendering=Rendering("black", 12))
    known = TrainedOn.of(data)
    assert known.seen is not None
    save_file(dict(known.seen.tensors()), tmp_path / FILE)
    again = TrainedOn.read(known.to_json(), tmp_path)
    assert (again.fingerprint, again.rendering) == (data.fingerprint, Rendering("black", 12))
    assert again.seen is not None
    for split, val, count in (
        (data.train, True, len(data.train)),
        (data.val, True, len(data.val)),
        (data.val, False, 0),
        (data.test, True, 0),
    ):
        assert int(again.seen.among(split, val=val).sum()) == count


def test_a_folder_of_an_earlier_release_tells_nothing(tmp_path: Path) -> None:
    found = TrainedOn.read({}, tmp_path)
    assert (found.fingerprint, found.rendering, found.seen) == ("", Rendering(), None)


@pytest.mark.parametrize(
    "tensors",
    [
        {"train": torch.zeros(3)},
        {"train": torch.zeros(3), "val": torch.zeros(3, dtype=torch.int64)},
        {"train": torch.zeros(3, 1, dtype=torch.int64), "val": torch.zeros(3, dtype=torch.int64)},
        None,
    ],
)
def test_a_damaged_file_is_refused(tensors: dict[str, torch.Tensor] | None, tmp_path: Path) -> None:
    if tensors is None:
        (tmp_path / FILE).write_bytes(b"\xff" * 100)
    else:
        save_file(tensors, tmp_path / FILE)
    with pytest.raises(ModelFolderError, match="save the model again") as refused:
        SeenImages.read(tmp_path)
    assert "\n" not in str(refused.value)


def test_copies_in_several_parts_are_counted(data: ImageDataset) -> None:
    assert shared_images(data) == ()
    some = data.train.subset(torch.arange(3))
    (told,) = shared_images(replace(data, test=some))
    assert "3 of 3 test images are training or validation images as well, and 0 of" in told
    (told,) = shared_images(replace(data, val=some))
    assert "0 of" in told
    assert "3 of 3 validation images are training images" in told
