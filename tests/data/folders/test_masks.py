from __future__ import annotations

import os
from pathlib import Path

import pytest

from snt_zoo.data.folders.masks import part_masks


def _masks(*names: str, folder: str = "photos/cat") -> list[str]:
    paths = [str(Path(folder, name)) for name in names]
    images, masks = part_masks(paths, folder)
    assert sorted(images + masks) == sorted(paths)
    return [os.path.relpath(path, folder) for path in masks]


@pytest.mark.parametrize(
    "mask",
    [
        "x_mask.png", "x-mask.png", "x.mask.png", "x mask.png", "mask_x.png", "x_MASK.png",
        "x_mask_1.png", "x_masks.png", "x_seg.png", "x_segmentation.png", "x_gt.png", "x_thumb.jpg",
        "x_labels.png", "masks/x.png", "image_masks/x.png", "masks/x_mask.png", "SegmentationClass/x.png",
        "ground truth/x.png",
    ],
)  # fmt: skip
def test_what_is_named_like_an_image_and_like_a_mask(mask: str) -> None:
    assert _masks("x.jpg", "y.jpg", mask) == [mask]


def test_images_and_masks_in_folders_of_their_own() -> None:
    assert _masks("images/1.png", "images/2.png", "masks/1.png", "masks/2.png") == [
        "masks/1.png",
        "masks/2.png",
    ]


def test_several_masks_of_one_image() -> None:
    names = ("benign (1).png", "benign (1)_mask.png", "benign (1)_mask_1.png", "benign (2).png")
    assert _masks(*names) == ["benign (1)_mask.png", "benign (1)_mask_1.png"]


@pytest.mark.parametrize(
    "names",
    [
        ("x_mask.png", "y_mask.png"),  # of nothing that is here
        ("masks/1.png", "masks/2.png"),
        ("with_mask_1.png", "with_mask_2.png", "1-with-mask.png"),
        ("mask.png", "1.png"),
        ("unmask_x.png", "x.png"),
        ("x_masked_man.png", "x.png"),
        ("x.png", "x.jpg"),
    ],
)
def test_other_images_stay(names: tuple[str, ...]) -> None:
    assert _masks(*names) == []


def test_a_class_may_be_called_mask() -> None:
    assert _masks("1.png", "2.png", "more/3.png", folder="photos/masks") == []
    assert _masks("mask_1.png", "mask_2.png", folder="photos/mask") == []
