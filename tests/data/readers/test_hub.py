"""With a stand-in for the package `datasets`, which is an extra and need not be installed."""

from __future__ import annotations

import io
import sys
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
import torch
from PIL import Image

from snt_zoo.data import open_dataset
from snt_zoo.errors import (
    DatasetError,
    DatasetNotFoundError,
    LabelError,
    ReaderUnavailableError,
    UnreadableImageError,
)
from tests.data.making import pixels

from .cases import ReaderTestCase


@dataclass
class _Image:
    decode: bool = True


@dataclass
class _ClassLabel:
    names: list[str]


@dataclass
class _Rows:
    """The part of `datasets.Dataset` that the reader uses."""

    columns: dict[str, list[Any]]
    features: dict[str, Any]

    def __len__(self) -> int:
        return len(next(iter(self.columns.values())))

    def select_columns(self, names: list[str]) -> _Rows:
        return replace(self, columns={name: self.columns[name] for name in names})

    def cast_column(self, name: str, feature: Any) -> _Rows:
        return replace(self, features={**self.features, name: feature})

    def __getitem__(self, key: int | slice) -> dict[str, Any]:
        for name in self.columns:
            kind = self.features[name]
            assert not (isinstance(kind, _Image) and kind.decode), "would be decoded by datasets"
        return {name: values[key] for name, values in self.columns.items()}


def _rows(count: int, *, classes: int = 3, seed: int = 0) -> _Rows:
    cells = []
    for index in range(count):
        file = io.BytesIO()
        Image.fromarray(pixels(9, 7, 3, seed=1000 * seed + index)).save(file, "PNG")
        cells.append({"bytes": file.getvalue(), "path": None})
    labels = [index % classes for index in range(count)]
    columns: dict[str, list[Any]] = {
        "id": list(range(count)),
        "group": [0] * count,
        "kind": labels,
        "picture": cells,
    }
    features = {
        "id": "int64",
        "group": _ClassLabel(["all", "none"]),
        "kind": _ClassLabel([f"kind {i}" for i in range(classes)]),
        "picture": _Image(),
    }
    return _Rows(columns, features)


def _install(monkeypatch: pytest.MonkeyPatch, load: Callable[[str, str | None], dict[str, _Rows]]) -> None:
    package = ModuleType("datasets")
    package.Image = _Image  # type: ignore[attr-defined]
    package.ClassLabel = _ClassLabel  # type: ignore[attr-defined]
    package.load_dataset = load  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "datasets", package)


def _offer(monkeypatch: pytest.MonkeyPatch, **parts: _Rows) -> None:
    _install(monkeypatch, lambda name, config: parts)


class TestHub(ReaderTestCase):
    name = "hf"

    def make(self, folder: Path, monkeypatch: pytest.MonkeyPatch) -> str:
        _offer(monkeypatch, train=_rows(30), validation=_rows(9, seed=1), unlabelled=_rows(3))
        return "hf:someone/blobs"


def test_name_and_configuration_are_passed_on(monkeypatch: pytest.MonkeyPatch) -> None:
    asked = []

    def load(name: str, config: str | None) -> dict[str, _Rows]:
        asked.append((name, config))
        return {"train": _rows(30)}

    _install(monkeypatch, load)
    assert open_dataset("hf:someone/blobs").name == "someone/blobs"
    open_dataset("hf:someone/blobs:fine")
    assert asked == [("someone/blobs", None), ("someone/blobs", "fine")]


def test_the_plainest_name_of_a_split_is_taken(monkeypatch: pytest.MonkeyPatch) -> None:
    _offer(monkeypatch, train_small=_rows(3), train_images=_rows(6), train=_rows(30), dev=_rows(9, seed=1))
    dataset = open_dataset("hf:blobs")
    assert len(dataset.train) + len(dataset.test) == 30
    assert len(dataset.val) == 9


def test_columns_are_found_by_type_and_the_finest_classes_taken(monkeypatch: pytest.MonkeyPatch) -> None:
    _offer(monkeypatch, train=_rows(30))
    dataset = open_dataset("hf:blobs")
    assert dataset.class_names == ("kind 0", "kind 1", "kind 2")


def test_a_test_part_without_labels_counts_as_none(monkeypatch: pytest.MonkeyPatch) -> None:
    hidden = _rows(9, seed=2)
    hidden.columns["kind"] = [-1] * 9
    _offer(monkeypatch, train=_rows(30), test=hidden)
    dataset = open_dataset("hf:blobs")
    assert len(dataset.train) + len(dataset.val) + len(dataset.test) == 30


def test_bad_images_are_skipped_when_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    rows = _rows(30)
    rows.columns["picture"][4] = {"bytes": b"no image", "path": None}
    rows.columns["picture"][7] = {"bytes": None, "path": "/nowhere.png"}
    rows.columns["picture"][8] = None
    _offer(monkeypatch, train=rows)
    dataset = open_dataset("hf:blobs", on_bad_image="skip")
    assert dataset.skipped == ("train[4]", "train[7]", "train[8]")
    assert len(dataset.train) + len(dataset.val) + len(dataset.test) == 27
    with pytest.raises(UnreadableImageError):
        whole = open_dataset("hf:blobs")
        torch.cat([split.tensor(8) for split in (whole.train, whole.val, whole.test)])


def test_a_missing_package_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "datasets", None)
    with pytest.raises(ReaderUnavailableError, match=r"pip install 'snt-zoo\[hf\]'"):
        open_dataset("hf:blobs")


@pytest.mark.parametrize(
    ("raised", "expected", "message"),
    [
        (FileNotFoundError("not on the Hub"), DatasetNotFoundError, "no dataset 'blobs'"),
        (ConnectionError("no\nroute"), ReaderUnavailableError, "blobs: no; check the network"),
        (ValueError("Config name is missing"), ReaderUnavailableError, "NAME:CONFIG"),
    ],
)
def test_what_goes_wrong_on_the_way_is_told(
    monkeypatch: pytest.MonkeyPatch, raised: Exception, expected: type[Exception], message: str
) -> None:
    def load(name: str, config: str | None) -> dict[str, _Rows]:
        raise raised

    _install(monkeypatch, load)
    with pytest.raises(expected, match=message):
        open_dataset("hf:blobs")


def test_what_is_no_classification_of_images_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    _offer(monkeypatch, train=replace(_rows(30), features={"id": "int64", "kind": "string"}))
    with pytest.raises(DatasetError, match="no column of images, its columns are id, kind"):
        open_dataset("hf:blobs")
    _offer(monkeypatch, train=replace(_rows(30), features={"id": "int64", "picture": _Image()}))
    with pytest.raises(LabelError, match="type ClassLabel"):
        open_dataset("hf:blobs")
    _offer(monkeypatch, test=_rows(30))
    with pytest.raises(DatasetError, match="no training split, it has test"):
        open_dataset("hf:blobs")
    rows = _rows(30)
    rows.columns["kind"][3] = None
    _offer(monkeypatch, train=rows)
    with pytest.raises(LabelError, match="without a class"):
        open_dataset("hf:blobs")
