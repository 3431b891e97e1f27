"""From labelled pictures to a dataset."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from snt_zoo.data import open_dataset
from tests.data.making import pixels
from zoo.making.dataset import PARTS, Picture, fitted, make, on_white, parts_of, shrunk, without_copies


def pictures(count: int = 60, labels: tuple[str, ...] = ("a", "b"), side: int = 12) -> list[Picture]:
    """Noise of its own, of two classes; two neighbours are a group."""
    return [
        Picture(pixels(side, side, 3, seed=i), labels[i % len(labels)], f"group {i // 4}")
        for i in range(count)
    ]


@pytest.mark.parametrize("folders", [False, True])
def test_what_is_written_is_a_dataset_with_whole_groups_in_each_part(tmp_path: Path, folders: bool) -> None:
    found = pictures(400)
    row = make(found, tmp_path / "set", folders=folders, split="by group")
    data = open_dataset(tmp_path / ("set" if folders else "set.npz"))
    assert data.class_names == ("a", "b") and data.made == ()
    assert (len(data.train), len(data.val), len(data.test)) == tuple(row[part] for part in PARTS)
    assert sum(row[part] for part in PARTS) == row["images_found"] == 400
    assert json.loads((tmp_path / "set.json").read_text("utf-8")) == row and row["split"] == "by group"
    assert row["per_class"]["a"][0] + row["per_class"]["b"][0] == row["train"]
    for part in PARTS:
        assert 0.8 < row[part] / (400 * {"train": 0.7, "val": 0.1, "test": 0.2}[part]) < 1.2
    if not folders:
        arrays = np.load(tmp_path / "set.npz")
        where = {image.tobytes(): part for part in PARTS for image in arrays[f"{part}_images"]}
        part_of = parts_of(found)
        assert all(where[picture.pixels.tobytes()] == part_of[picture.group] for picture in found)


def test_a_copy_goes_and_one_with_two_labels_goes_with_its_original() -> None:
    one, two, three = (pixels(16, 16, seed=i) for i in range(3))
    removed: Counter[str] = Counter()
    brighter = np.clip(three.astype(int) + 1, 0, 255).astype(np.uint8)
    found = [
        Picture(one, "a", "1"),
        Picture(one, "a", "2"),
        Picture(two, "a", "3"),
        Picture(two, "b", "4"),
        Picture(three, "a", "5"),
        Picture(brighter, "a", "6"),
        Picture(np.full((16, 16), 7, dtype=np.uint8), "a", "7"),
    ]
    assert [p.group for p in without_copies(found, removed, near=False)] == ["1", "5", "6"]
    assert removed == {"exact copies": 2, "two labels": 1, "blank": 1}
    removed = Counter()
    smooth = np.asarray(Image.fromarray(three).resize((64, 64), Image.Resampling.BOX))
    alike = [Picture(smooth, "a", "1"), Picture(smooth[::-1], "a", "2"), Picture(smooth // 2, "a", "3")]
    assert [p.group for p in without_copies(alike, removed, near=True)] == ["1", "2"]
    assert removed["near copies"] == 1


def test_a_class_is_cut_to_its_most_and_one_with_few_images_left_out(tmp_path: Path) -> None:
    found = [*pictures(400), Picture(pixels(12, 12, 3, seed=1000), "rare", "one")]
    row = make(found, tmp_path / "set", most=50)
    assert set(row["per_class"]) == {"a", "b"} and row["removed"]["classes with few images"] == 1
    assert all(abs(sum(counts) - 50) <= 2 for counts in row["per_class"].values())
    assert all(min(counts) > 0 for counts in row["per_class"].values())
    with pytest.raises(SystemExit, match="none of 1 pictures"):
        make(found[-1:], tmp_path / "empty")


def test_every_class_has_images_in_each_part_and_what_is_most_of_one_trains() -> None:
    noise = pixels(4, 4)
    sizes = {"rare": [3, 1, 1, 1, 2], "common": [50, *[5] * 18], "shared": [2] * 10}
    found = [
        Picture(noise, label, f"{label if label != 'shared' else 'common'} {number}")
        for label, groups in sizes.items()
        for number, size in enumerate(groups)
        for _ in range(size)
    ]
    parts = parts_of(found)
    assert parts == parts_of(found[::-1])
    assert parts["common 0"] == parts["rare 0"] == "train"
    for label in sizes:
        held = [parts[picture.group] for picture in found if picture.label == label]
        assert set(held) == set(PARTS) and held.count("train") >= len(held) / 2, label


def test_transparency_becomes_white_and_pixel_art_grows_by_whole_factors() -> None:
    clear = Image.new("RGBA", (10, 6), (255, 0, 0, 0))
    clear.putpixel((0, 0), (255, 0, 0, 255))
    square = fitted(on_white(clear), 32)
    assert square.shape == (32, 32, 3)
    red = (square == (255, 0, 0)).all(axis=2)
    assert red.sum() == 9 and (square[~red] == 255).all()  # 3 × 3 for one pixel, 30 × 18 in the middle
    assert red[7:10, 1:4].all()
    assert fitted(on_white(clear, grey=True), 8).shape == (8, 8)
    photo = Image.fromarray(pixels(100, 200, 3))
    assert shrunk(photo, 50).shape == (50, 100, 3) and shrunk(photo, 500).shape == (100, 200, 3)
