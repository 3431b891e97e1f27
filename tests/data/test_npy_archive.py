"""An archive that would take memory for nothing is refused by its headers, in one line."""

from __future__ import annotations

import io
import struct
import tracemalloc
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from snt_zoo.data import npy_archive, open_dataset
from snt_zoo.data.npy_archive import open_archive
from snt_zoo.errors import DatasetError, LabelError, OversizedImageError
from tests.data.making import npz_arrays, write_npz

Member = tuple[bytes, int]
"""The beginning of a member, and how many zero bytes follow."""


def header(descr: str, shape: tuple[int, ...]) -> bytes:
    file = io.BytesIO()
    np.lib.format.write_array_header_1_0(file, {"descr": descr, "fortran_order": False, "shape": shape})
    return file.getvalue()


def archive(path: Path, members: Mapping[str, Member]) -> Path:
    """A good file with some members in place of its own."""
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as target:
        for name, array in npz_arrays().items():
            if name not in members:
                file = io.BytesIO()
                np.save(file, array)
                target.writestr(f"{name}.npy", file.getvalue())
        for name, (start, zeros) in members.items():
            with target.open(f"{name}.npy", "w") as stream:
                stream.write(start)
                for _ in range(0, zeros, 2**20):
                    stream.write(bytes(min(zeros, 2**20)))
    return path


BOMBS: dict[str, tuple[Mapping[str, Member], type[DatasetError], str]] = {
    "names without size": ({"class_names": (header("<U0", (10**8,)), 0)}, DatasetError, "damaged"),
    "bytes without size": ({"class_names": (header("|S0", (10**8,)), 0)}, DatasetError, "damaged"),
    "images without size": ({"train_images": (header("|V0", (10**9, 8, 8)), 0)}, DatasetError, "damaged"),
    "more names than images": (
        {"class_names": (header("|S1", (2**25,)), 2**25)},
        LabelError,
        "33,554,432 names of .* for 90 images",
    ),
    "names as long as books": ({"class_names": (header("<U9999999", (3,)), 2**27)}, LabelError, "at most"),
    "labels of other images": (
        {"train_labels": (header("<i8", (2**23,)), 2**26)},
        LabelError,
        "30 images but 8388608 labels",
    ),
    "a type that holds no images": (
        {"train_images": (header("<c16", (2**16, 8, 8)), 2**26)},
        DatasetError,
        "must be uint8",
    ),
    "a header without end": (
        {"train_images": (b"\x93NUMPY\x02\x00" + struct.pack("<I", 2**26) + b"{", 2**26)},
        DatasetError,
        "cannot read",
    ),
    "images that shrink to nothing": (
        {
            "train_images": (header("|u1", (2**19, 32, 32)), 2**29),
            "train_labels": (header("|u1", (2**19,)), 2**19),
        },
        OversizedImageError,
        "0.5 GiB, more than 250 times as much: if they are meant",
    ),
}


@pytest.mark.parametrize(("members", "error", "message"), BOMBS.values(), ids=BOMBS)
def test_a_bomb_is_refused_before_memory_is_spent(
    members: Mapping[str, Member], error: type[DatasetError], message: str, tmp_path: Path
) -> None:
    path = archive(tmp_path / "x.npz", members)
    assert path.stat().st_size < 2_000_000
    tracemalloc.start()
    try:
        with pytest.raises(error, match=message) as refused:
            open_dataset(path)
        assert tracemalloc.get_traced_memory()[1] < 10 * 2**20
    finally:
        tracemalloc.stop()
    assert "\n" not in str(refused.value)


def test_what_is_small_or_not_packed_may_be_even(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    blank = {"train_images": np.zeros((5000, 32, 32), np.uint8), "train_labels": np.arange(5000) % 3}
    arrays: dict[str, Any] = {**npz_arrays(), **blank}
    packed = tmp_path / "packed.npz"
    np.savez_compressed(packed, **arrays)
    assert len(open_dataset(packed).train) == 5000
    monkeypatch.setattr(npy_archive, "SMALL_BYTES", 2**20)
    with pytest.raises(OversizedImageError, match=r"numpy\.savez, uncompressed"):
        open_dataset(packed)
    assert len(open_dataset(write_npz(tmp_path / "plain.npz", **blank)).train) == 5000


@pytest.mark.parametrize(
    ("name", "remedy"),
    [
        ("class_names", "store names as strings, class_names=numpy.array(names, dtype=str)"),
        ("train_images", "store images as one uint8 array"),
        ("val_labels", "store labels as whole numbers"),
    ],
)
def test_objects_are_refused_with_what_to_store_instead(name: str, remedy: str, tmp_path: Path) -> None:
    objects = np.array(["a", "b", "c"] * 10, dtype=object)
    with pytest.raises(DatasetError, match="never unpickled") as refused:
        open_dataset(write_npz(tmp_path / "x.npz", **{name: objects}))
    assert remedy in str(refused.value)
    assert "\n" not in str(refused.value)


@pytest.mark.parametrize("ending", ["\n", "\r\n", "\u2028", "\x85"])
def test_names_become_one_line(ending: str, tmp_path: Path) -> None:
    names = np.array([f"cat{ending}", f"big{ending}dog", "an owl"])
    assert open_dataset(write_npz(tmp_path / "x.npz", class_names=names)).class_names == (
        "cat",
        "big dog",
        "an owl",
    )
    names = np.array([f"cat{ending}", "cat", "owl"])
    with pytest.raises(LabelError, match="write each name on one line"):
        open_dataset(write_npz(tmp_path / "x.npz", class_names=names))


def test_an_array_is_read_as_it_was_written(tmp_path: Path) -> None:
    path = write_npz(tmp_path / "x.npz")
    with open_archive(path) as opened:
        headers = [opened.header(name, instead="") for name in opened.names]
        found = opened.read(headers)
    for name, array in npz_arrays().items():
        assert np.array_equal(found[name], array)
