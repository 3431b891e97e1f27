from __future__ import annotations

import os
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from snt_zoo.data import open_dataset
from snt_zoo.data.signatures import readable_formats
from snt_zoo.errors import (
    DatasetError,
    EmptySplitError,
    LabelError,
    OversizedImageError,
    TooFewClassesError,
    TooFewImagesError,
    UnreadableImageError,
)
from tests.data.making import pixels, write_class_folders

from .cases import ReaderTestCase


class TestFolder(ReaderTestCase):
    name = "folder"

    def make(self, folder: Path, monkeypatch: pytest.MonkeyPatch) -> str:
        return str(write_class_folders(folder / "pets"))


class TestFolderWithSplits(ReaderTestCase):
    name = "folder"
    makes_splits = False

    def make(self, folder: Path, monkeypatch: pytest.MonkeyPatch) -> str:
        for seed, part in enumerate(("Training", "valid", "testing")):
            write_class_folders(folder / "pets" / part, seed=seed, each=3)
        return str(folder / "pets")


def _write(path: Path, content: bytes = b"", *, seed: int = 0) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    if content:
        path.write_bytes(content)
    else:
        Image.fromarray(pixels(9, 9, 3, seed=seed)).save(path)
    return path


def test_every_image_is_read_once_under_its_own_label(tmp_path: Path) -> None:
    root = write_class_folders(tmp_path / "pets", ("a", "b", "c"), each=10)
    dataset = open_dataset(root)
    seen = []
    for split in (dataset.train, dataset.val, dataset.test):
        # 10 × 12 is squashed to 10 × 10; Pillow's own resize is the oracle.
        for image, label in zip(split.tensor(10), split.labels.tolist(), strict=True):
            seen.append((image.permute(1, 2, 0).numpy().tobytes(), dataset.class_names[label]))
    expected = [
        (np.asarray(Image.open(path).resize((10, 10), Image.Resampling.BILINEAR)).tobytes(), path.parent.name)
        for path in root.rglob("*.png")
    ]
    assert sorted(seen) == sorted(expected)


def test_what_is_found_does_not_depend_on_the_order_of_writing(tmp_path: Path) -> None:
    first = write_class_folders(tmp_path / "one" / "pets")
    paths = sorted(first.rglob("*.png"), reverse=True)
    for path in paths:
        copy = tmp_path / "two" / path.relative_to(tmp_path / "one")
        copy.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(path, copy)
    a, b = open_dataset(first), open_dataset(tmp_path / "two" / "pets")
    assert a.fingerprint == b.fingerprint
    assert torch.equal(a.test.tensor(8), b.test.tensor(8))


def test_classes_are_sorted_as_people_count(tmp_path: Path) -> None:
    names = ("item10", "item2", "Item1", "b", "A")
    dataset = open_dataset(write_class_folders(tmp_path, names, each=3))
    assert dataset.class_names == ("A", "b", "Item1", "item2", "item10")


def test_all_image_suffixes_are_read_and_others_passed_over(tmp_path: Path) -> None:
    suffixes = ("png", "jpg", "JPEG", "bmp", "gif", "webp", "tif", "tiff", "ppm")
    for number, suffix in enumerate(suffixes):
        for name in ("a", "b"):
            _write(tmp_path / name / f"{number}.{suffix}", seed=number)
    Image.fromarray(pixels(9, 9)).save(tmp_path / "a" / "grey.pgm")
    for name in (".DS_Store", "Thumbs.db", "notes.txt", ".hidden.png", "a/.cache/x.png"):
        _write(tmp_path / "a" / name, b"no image")
    _write(tmp_path / ".git" / "x.png", b"no image")
    _write(tmp_path / "__MACOSX" / "a" / "._0.png", b"no image")
    _write(tmp_path / "preview.png", b"lies in no class folder")
    dataset = open_dataset(tmp_path)
    assert dataset.class_names == ("a", "b")
    total = sum(map(len, (dataset.train, dataset.val, dataset.test)))
    assert total == 2 * len(suffixes) + 1
    dataset.train.tensor(8)


def test_images_are_known_by_their_content_too(tmp_path: Path) -> None:
    for name in ("a", "b"):
        for number, suffix in enumerate((".jfif", ".JPE", "", ".jpg_large", ".2024")):
            path = _write(tmp_path / name / "x.jpg", seed=number)
            path.rename(tmp_path / name / f"IMG_{number}{suffix}")
        _write(tmp_path / name / "README", b"text")
    dataset = open_dataset(tmp_path)
    assert sum(map(len, (dataset.train, dataset.val, dataset.test))) == 10
    assert dataset.passed_over == {"no_image": ("a/README", "b/README")}
    dataset.train.tensor(8)


@pytest.mark.skipif("HEIF" in readable_formats(), reason="HEIC is read here")
def test_heic_is_counted_where_it_cannot_be_read(tmp_path: Path) -> None:
    write_class_folders(tmp_path)
    _write(tmp_path / "cat" / "IMG_1.HEIC", b"content")
    _write(tmp_path / "cat" / "IMG_2", b"\0\0\0\x18ftypheic\0\0\0\0mif1heic")
    assert open_dataset(tmp_path).passed_over == {"other_format": ("cat/IMG_1.HEIC", "cat/IMG_2")}
    _write(tmp_path / "emu" / "IMG_3.heic", b"content")
    with pytest.raises(TooFewImagesError, match=r"'emu' has no image that .*snt-zoo\[heic\]"):
        open_dataset(tmp_path)


def test_images_in_deeper_folders_belong_to_their_class(tmp_path: Path) -> None:
    write_class_folders(tmp_path, each=3)
    _write(tmp_path / "cat" / "2024" / "may" / "x.png")
    dataset = open_dataset(tmp_path)
    labels = torch.cat([dataset.train.labels, dataset.val.labels, dataset.test.labels])
    assert labels.bincount().tolist() == [4, 3]


def test_a_class_name_may_be_spelt_in_either_unicode_form(tmp_path: Path) -> None:
    write_class_folders(tmp_path / "train", ("caf\u00e9", "th\u00e9"))
    write_class_folders(tmp_path / "test", ("cafe\u0301", "the\u0301"), seed=1)
    dataset = open_dataset(tmp_path)
    assert dataset.class_names == ("caf\u00e9", "th\u00e9")
    assert dataset.test.labels.bincount().tolist() == [8, 8]


def test_a_class_may_be_called_train(tmp_path: Path) -> None:
    dataset = open_dataset(write_class_folders(tmp_path, ("bus", "test", "train")))
    assert dataset.class_names == ("bus", "test", "train")


def test_loops_of_links_end_and_mix_no_classes(tmp_path: Path) -> None:
    root = write_class_folders(tmp_path / "pets", each=4)
    (root / "cat" / "up").symlink_to(root)
    (root / "cat" / "self").symlink_to(root / "cat")
    (root / "cat" / "other").symlink_to(root / "dog")
    (root / "dog" / "a").mkdir()
    (root / "dog" / "a" / "b").symlink_to(root / "dog" / "a")
    (root / "dog" / "linked.png").symlink_to(_write(tmp_path / "elsewhere.png", seed=99))
    dataset = open_dataset(root)
    labels = torch.cat([dataset.train.labels, dataset.val.labels, dataset.test.labels])
    assert labels.bincount().tolist() == [4, 5]


def test_missing_splits_are_taken_from_train_only(tmp_path: Path) -> None:
    write_class_folders(tmp_path / "train", each=20)
    write_class_folders(tmp_path / "test", each=5, seed=1)
    dataset = open_dataset(tmp_path)
    assert (len(dataset.train), len(dataset.val), len(dataset.test)) == (34, 6, 10)


BAD_FILES = {
    "empty.png": b"\0",
    "text.jpg": b"this is text",
    "page.gif": b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n",
}


@pytest.mark.parametrize("name", BAD_FILES)
def test_an_unreadable_file_is_refused_by_name_or_skipped(tmp_path: Path, name: str) -> None:
    write_class_folders(tmp_path)
    _write(tmp_path / "cat" / name, BAD_FILES[name])
    with pytest.raises(UnreadableImageError, match=rf"cat.{name}.*--on-bad-image skip"):
        open_dataset(tmp_path)
    dataset = open_dataset(tmp_path, on_bad_image="skip")
    assert dataset.skipped == (str(Path("cat") / name),)
    dataset.train.tensor(8)


def test_a_truncated_jpeg_is_named_when_read_and_skipped_at_open(tmp_path: Path) -> None:
    write_class_folders(tmp_path)
    whole = _write(tmp_path / "big.jpg")
    Image.fromarray(pixels(200, 200, 3)).save(whole)
    for name in ("cat", "dog"):  # one for each class, to be sure that train holds one
        for index in range(9):
            _write(tmp_path / name / f"cut{index}.jpg", whole.read_bytes()[:5000])
    dataset = open_dataset(tmp_path)  # a header tells nothing of it
    with pytest.raises(UnreadableImageError, match=r"cut\d.jpg.*truncated"):
        dataset.train.tensor(16)
    skipping = open_dataset(tmp_path, on_bad_image="skip")
    assert len(skipping.skipped) == 18
    skipping.train.tensor(16)


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="no pipes here")
def test_a_pipe_or_a_broken_link_does_not_hang(tmp_path: Path) -> None:
    write_class_folders(tmp_path)
    os.mkfifo(tmp_path / "cat" / "pipe.png")
    with pytest.raises(UnreadableImageError, match="not a regular file"):
        open_dataset(tmp_path)
    (tmp_path / "cat" / "pipe.png").unlink()
    (tmp_path / "cat" / "gone.png").symlink_to(tmp_path / "nowhere.png")
    with pytest.raises(UnreadableImageError, match=r"gone\.png"):
        open_dataset(tmp_path)
    assert len(open_dataset(tmp_path, on_bad_image="skip").skipped) == 1


def test_an_oversized_image_is_refused_or_skipped(tmp_path: Path) -> None:
    write_class_folders(tmp_path)
    _write(tmp_path / "cat" / "large.png")
    Image.new("L", (40, 30)).save(tmp_path / "cat" / "large.png")
    with pytest.raises(OversizedImageError, match=r"large.png has 40 × 30 pixels.*1,000"):
        open_dataset(tmp_path, max_pixels=1000)
    skipping = open_dataset(tmp_path, max_pixels=1000, on_bad_image="skip")
    assert skipping.skipped == (str(Path("cat") / "large.png"),)


def test_a_file_that_vanishes_after_opening_is_named(tmp_path: Path) -> None:
    dataset = open_dataset(write_class_folders(tmp_path))
    for path in tmp_path.rglob("*.png"):
        path.unlink()
    with pytest.raises(UnreadableImageError, match="png"):
        dataset.train.tensor(8)
    with pytest.raises(UnreadableImageError, match="open the dataset again"):
        dataset.train.images.split.images.digests(torch.arange(1))


class TestWrongFolders:
    def test_no_class_folders(self, tmp_path: Path) -> None:
        _write(tmp_path / "x.png")
        with pytest.raises(LabelError, match="no class folders: put the images of each class"):
            open_dataset(tmp_path)

    def test_nothing_at_all(self, tmp_path: Path) -> None:
        with pytest.raises(EmptySplitError, match="no class folders with images"):
            open_dataset(tmp_path)
        (tmp_path / "a").mkdir()
        (tmp_path / "b").mkdir()
        with pytest.raises(EmptySplitError):
            open_dataset(tmp_path)

    def test_one_class(self, tmp_path: Path) -> None:
        with pytest.raises(TooFewClassesError, match="only 'cat'"):
            open_dataset(write_class_folders(tmp_path, ("cat",)))

    @pytest.mark.parametrize("each", [0, 1])
    def test_a_class_of_too_few(self, tmp_path: Path, each: int) -> None:
        write_class_folders(tmp_path)
        write_class_folders(tmp_path, ("emu",), each=each)
        with pytest.raises(TooFewImagesError, match=rf"it has {each} of 'emu': add images"):
            open_dataset(tmp_path)

    def test_a_class_that_train_lacks(self, tmp_path: Path) -> None:
        write_class_folders(tmp_path / "train")
        write_class_folders(tmp_path / "val", ("cat", "emu"))
        with pytest.raises(LabelError, match=r"val has the class 'emu', which train lacks"):
            open_dataset(tmp_path)

    def test_a_class_without_images_in_train(self, tmp_path: Path) -> None:
        write_class_folders(tmp_path / "train")
        (tmp_path / "train" / "emu").mkdir()
        write_class_folders(tmp_path / "val", ("cat", "emu"))
        with pytest.raises(TooFewImagesError, match=r"none of them in train: in all 8 of 'emu'"):
            open_dataset(tmp_path)

    @pytest.mark.parametrize("with_classes", [False, True])
    def test_an_empty_split(self, tmp_path: Path, with_classes: bool) -> None:
        write_class_folders(tmp_path / "train")
        write_class_folders(tmp_path / "val", ("cat", "dog") if with_classes else (), each=0)
        (tmp_path / "val").mkdir(exist_ok=True)
        with pytest.raises(EmptySplitError, match=r"val holds no image.*remove it so that a split"):
            open_dataset(tmp_path)

    def test_a_split_without_labels(self, tmp_path: Path) -> None:
        write_class_folders(tmp_path / "train")
        _write(tmp_path / "test" / "1.png")
        with pytest.raises(LabelError, match="images without class folders"):
            open_dataset(tmp_path)

    def test_no_train(self, tmp_path: Path) -> None:
        write_class_folders(tmp_path / "val")
        with pytest.raises(EmptySplitError, match="none for train"):
            open_dataset(tmp_path)

    def test_two_folders_for_one_split(self, tmp_path: Path) -> None:
        for name in ("train", "val", "valid"):
            write_class_folders(tmp_path / name)
        with pytest.raises(DatasetError, match="two folders for val"):
            open_dataset(tmp_path)
