from __future__ import annotations

import io
import pickle
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from snt_zoo.data import npy_archive, open_dataset
from snt_zoo.errors import (
    DatasetError,
    EmptySplitError,
    LabelError,
    OversizedImageError,
    SntZooError,
    TooFewClassesError,
    TooFewImagesError,
    UnknownFormatError,
)
from tests.data.making import npz_arrays, pixels, write_npz

from .cases import ReaderTestCase


class TestNpz(ReaderTestCase):
    name = "npz"
    makes_splits = False

    def make(self, folder: Path, monkeypatch: pytest.MonkeyPatch) -> str:
        return str(write_npz(folder / "blobs.npz", class_names=np.array(["a", "b", "c"])))


class TestNpzOfTrainOnly(ReaderTestCase):
    name = "npz"

    def make(self, folder: Path, monkeypatch: pytest.MonkeyPatch) -> str:
        colour = pixels(30, 9, 7, 3)
        gone = dict.fromkeys(["val_images", "val_labels", "test_images", "test_labels"])
        return str(write_npz(folder / "blobs.npz", train_images=colour, **gone))


def test_pixels_and_labels_are_the_arrays(tmp_path: Path) -> None:
    arrays = npz_arrays()
    dataset = open_dataset(write_npz(tmp_path / "x.npz"))
    for part, split in (("train", dataset.train), ("val", dataset.val), ("test", dataset.test)):
        grey = torch.from_numpy(arrays[f"{part}_images"])[:, None]
        assert torch.equal(split.tensor(8), grey.expand(-1, 3, -1, -1))
        assert split.labels.tolist() == arrays[f"{part}_labels"][:, 0].tolist()
    assert dataset.class_names == ("0", "1", "2")
    assert dataset.name == "x"


@pytest.mark.parametrize("dtype", [np.int8, np.uint64, ">i4", np.float32])
@pytest.mark.parametrize("column", [False, True])
def test_labels_of_any_whole_number_type(tmp_path: Path, dtype: Any, column: bool) -> None:
    labels = (np.arange(30) % 3).astype(dtype)
    labels = labels[:, None] if column else labels
    dataset = open_dataset(write_npz(tmp_path / "x.npz", train_labels=labels))
    assert dataset.train.labels.tolist() == [i % 3 for i in range(30)]


@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64])
def test_unit_floats_become_eight_bits(tmp_path: Path, dtype: Any) -> None:
    images = pixels(30, 8, 8)
    path = write_npz(tmp_path / "x.npz", train_images=(images / 255).astype(dtype))
    difference = open_dataset(path).train.tensor(8)[:, 0].numpy().astype(int) - images
    assert np.abs(difference).max() <= (0 if dtype != np.float16 else 1)


def test_layouts_in_memory_do_not_matter(tmp_path: Path) -> None:
    images = pixels(30, 8, 8, 3)
    a = open_dataset(write_npz(tmp_path / "x.npz", train_images=images))
    b = open_dataset(write_npz(tmp_path / "y.npz", train_images=np.asfortranarray(images)))
    one = open_dataset(write_npz(tmp_path / "z.npz", train_images=images[..., :1]))
    assert a.fingerprint == b.fingerprint
    assert torch.equal(one.train.tensor(8)[:, 2], torch.from_numpy(images[..., 0]))


def test_a_validation_part_of_no_rows_is_made(tmp_path: Path) -> None:
    empty = {"val_images": np.zeros((0, 8, 8), np.uint8), "val_labels": np.zeros((0, 1), np.uint8)}
    dataset = open_dataset(write_npz(tmp_path / "x.npz", **empty))
    assert len(dataset.train) + len(dataset.val) == 30
    assert len(dataset.val) == 6


def test_images_of_each_split_may_differ_in_size(tmp_path: Path) -> None:
    dataset = open_dataset(write_npz(tmp_path / "x.npz", test_images=pixels(30, 13, 9, 3)))
    assert dataset.test.tensor(8).shape == dataset.val.tensor(8).shape


RAGGED = np.empty(30, dtype=object)
RAGGED[:] = [pixels(8, 8)] * 30
WRONG: list[tuple[str, dict[str, Any], type[SntZooError], str]] = [
    ("no images", {"train_images": None}, UnknownFormatError, "lacks train_images.*MedMNIST"),
    ("no labels", {"train_labels": None}, UnknownFormatError, "lacks train_labels"),
    ("val alone", {"val_labels": None}, LabelError, "no val_labels: add the labels"),
    ("val labels", {"val_images": None}, LabelError, "no val_images"),
    ("objects", {"train_images": RAGGED}, DatasetError, "never unpickled; store"),
    ("flat", {"train_images": pixels(30, 64)}, DatasetError, r"must be \(n, h, w\) or"),
    ("volumes", {"train_images": pixels(30, 8, 8, 8)}, DatasetError, r"must be \(n, h, w\) or"),
    ("first", {"train_images": pixels(30, 3, 8, 8)}, DatasetError, "move the channels last"),
    ("alpha", {"train_images": pixels(30, 8, 8, 4)}, DatasetError, r"\(30, 8, 8, 4\)"),
    ("no area", {"train_images": pixels(30, 0, 8)}, DatasetError, "images with pixels"),
    ("int16", {"train_images": pixels(30, 8, 8).astype(np.int16)}, DatasetError, "to uint8"),
    ("floats", {"train_images": pixels(30, 8, 8) * 1.0}, DatasetError, r"must lie in \[0, 1\]"),
    ("nan", {"train_images": np.full((30, 8, 8), np.nan)}, DatasetError, r"must lie in \[0, 1\]"),
    ("complex", {"train_images": np.zeros((30, 8, 8), complex)}, DatasetError, "to uint8"),
    ("text", {"train_labels": np.array(["a", "b", "c"] * 10)}, LabelError, "number the classes"),
    ("fraction", {"train_labels": np.full(30, 0.5)}, LabelError, "fractions or NaN"),
    ("nan label", {"train_labels": np.full(30, np.nan)}, LabelError, "fractions or NaN"),
    ("several", {"train_labels": np.zeros((30, 14), int)}, LabelError, "several labels"),
    ("scalar", {"train_labels": np.array(3)}, LabelError, r"must be \(n,\) or \(n, 1\)"),
    ("short", {"train_labels": np.arange(29) % 3}, LabelError, "30 images but 29 labels in train"),
    ("negative", {"train_labels": np.arange(30) % 3 - 1}, LabelError, "labels from -1 to 1"),
    ("huge", {"train_labels": np.full(30, 2**62)}, LabelError, "count the classes from 0"),
    ("large", {"train_labels": np.arange(30) * 10**6}, LabelError, "without gaps"),
    ("range", {"class_names": np.array(["a", "b"])}, LabelError, "labels must go from 0 to 1"),
    ("names", {"class_names": np.zeros((2, 2))}, LabelError, "list of strings"),
    ("name objects", {"class_names": np.array(["a", None])}, DatasetError, "never unpickled"),
    ("gap", {"train_labels": np.arange(30) % 3 * 2}, TooFewImagesError, "0 of '3'|none of them"),
    ("unused", {"class_names": np.array(list("abcd"))}, TooFewImagesError, "it has 0 of 'd'"),
    ("not in train", {"train_labels": np.arange(30) % 2}, TooFewImagesError, "none of them in"),
]


@pytest.mark.parametrize(("changes", "error", "message"), [w[1:] for w in WRONG], ids=[w[0] for w in WRONG])
def test_a_wrong_file_is_refused_with_its_remedy(
    tmp_path: Path, changes: dict[str, Any], error: type[SntZooError], message: str
) -> None:
    with pytest.raises(error, match=message) as caught:
        open_dataset(write_npz(tmp_path / "x.npz", **changes))
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("part", ["train", "test"])
def test_an_empty_split_is_refused(tmp_path: Path, part: str) -> None:
    empty = {f"{part}_images": np.zeros((0, 8, 8), np.uint8), f"{part}_labels": np.zeros(0, int)}
    with pytest.raises(EmptySplitError, match=f"{part} split that holds no image: fill it"):
        open_dataset(write_npz(tmp_path / "x.npz", **empty))


def test_one_class_is_refused(tmp_path: Path) -> None:
    zeros = {f"{part}_labels": np.zeros(30, int) for part in ("train", "val", "test")}
    with pytest.raises(TooFewClassesError, match="at least two classes"):
        open_dataset(write_npz(tmp_path / "x.npz", **zeros))
    with pytest.raises(TooFewClassesError, match="only 'a'"):
        open_dataset(write_npz(tmp_path / "y.npz", class_names=np.array(["a"]), **zeros))


class _Canary:
    """Leaves a file behind when it is unpickled."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[Any, ...]:
        return Path.touch, (self.path,)


def test_nothing_is_ever_unpickled(tmp_path: Path) -> None:
    mark = tmp_path / "unpickled"
    evil = np.empty(1, dtype=object)
    evil[0] = _Canary(mark)
    pickle.loads(pickle.dumps(evil))
    assert mark.exists()  # the canary sings
    mark.unlink()
    for key in ("train_images", "test_labels", "class_names", "something_else"):
        path = write_npz(tmp_path / f"{key}.npz", **{key: evil})
        if key == "something_else":
            open_dataset(path)  # not of the layout: not even looked at
        else:
            with pytest.raises(DatasetError, match="never unpickled"):
                open_dataset(path)
        assert not mark.exists()


def _with_header(shape: tuple[int, ...], *, content: bytes = b"") -> bytes:
    """An .npy whose header claims a shape of uint8, whatever follows."""
    file = io.BytesIO()
    header = {"descr": "|u1", "fortran_order": False, "shape": shape}
    np.lib.format.write_array_header_1_0(file, header)
    return file.getvalue() + content


def _zip(path: Path, members: dict[str, bytes]) -> Path:
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in members.items():
            archive.writestr(f"{name}.npy", content)
    return path


def test_a_header_that_claims_too_much_is_refused_before_memory_is_spent(tmp_path: Path) -> None:
    labels = _with_header((10,), content=bytes(10))
    for shape in ((2**50, 32, 32), (-1, 32, 32)):
        images = _with_header(shape, content=bytes(100))
        path = _zip(tmp_path / "x.npz", {"train_images": images, "train_labels": labels})
        with pytest.raises(DatasetError, match=r"damaged.*claims the shape"):
            open_dataset(path)


def test_a_zip_bomb_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(npy_archive, "MAX_ARRAY_BYTES", 2**20)
    images = _with_header((2048, 32, 32), content=bytes(2048 * 1024))
    labels = _with_header((2048,), content=bytes(2048))
    path = _zip(tmp_path / "x.npz", {"train_images": images, "train_labels": labels})
    assert path.stat().st_size < 10_000
    with pytest.raises(OversizedImageError, match="more than the limit"):
        open_dataset(path)


def test_large_images_are_refused(tmp_path: Path) -> None:
    with pytest.raises(OversizedImageError, match=r"8 × 8 pixels.*store them smaller"):
        open_dataset(write_npz(tmp_path / "x.npz"), max_pixels=63)


def test_a_file_that_is_no_zip_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "x.npz"
    for content in (b"", b"no zip at all", b"PK\3\4 and no more"):
        path.write_bytes(content)
        with pytest.raises(UnknownFormatError, match=r"no \.npz file, or is damaged"):
            open_dataset(path)


@given(data=st.data())
@settings(max_examples=150, deadline=None, suppress_health_check=list(HealthCheck))
def test_damage_of_any_kind_gives_an_error_of_ours(
    data: st.DataObject, tmp_path_factory: pytest.TempPathFactory
) -> None:
    path = write_npz(tmp_path_factory.getbasetemp() / "damaged.npz")
    content = bytearray(path.read_bytes())
    for _ in range(data.draw(st.integers(1, 4))):
        position = data.draw(st.integers(0, len(content) - 1))
        content[position] = data.draw(st.integers(0, 255))
    path.write_bytes(content[: data.draw(st.integers(1, len(content)) | st.just(len(content)))])
    try:
        open_dataset(path)
    except SntZooError as error:
        assert "\n" not in str(error)
