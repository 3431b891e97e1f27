from __future__ import annotations

import doctest
import importlib
import pkgutil
from pathlib import Path

import pytest

import snt_zoo.data
from snt_zoo.data import open_dataset
from snt_zoo.errors import DatasetError, DatasetNotFoundError, SntZooError, UnknownFormatError

from .making import write_class_folders, write_npz

MODULES = [module.name for module in pkgutil.walk_packages(snt_zoo.data.__path__, "snt_zoo.data.")]


@pytest.mark.parametrize("ref", ["nowhere", "no/where.npz", "C:\\data", "", "~/no/where", "a\0b"])
def test_a_path_that_leads_nowhere_says_what_a_dataset_is(ref: str) -> None:
    with pytest.raises(DatasetError) as caught:
        open_dataset(ref)
    if "\0" not in ref:
        assert isinstance(caught.value, DatasetNotFoundError)
        assert "no such file or folder" in str(caught.value)
        assert "prefix hf:, torchvision:, sklearn:" in str(caught.value)


@pytest.mark.parametrize("name", ["data.zip", "data.csv", "data"])
def test_a_file_of_another_type_is_refused(tmp_path: Path, name: str) -> None:
    (tmp_path / name).write_text("x")
    with pytest.raises(UnknownFormatError, match=r"not in a format that snt-zoo reads.*unpack"):
        open_dataset(tmp_path / name)


def test_paths_may_be_of_any_kind(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_npz(tmp_path / "x.npz")
    write_class_folders(tmp_path / "odd:name")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOME", str(tmp_path))
    for ref in (tmp_path / "x.npz", "x.npz", "~/x.npz", "odd:name"):
        assert open_dataset(ref).num_classes >= 2


def test_other_options_are_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="'refuse' or 'skip', got 'ignore'"):
        open_dataset(tmp_path, on_bad_image="ignore")  # type: ignore[arg-type]


def test_a_loop_of_links_is_an_error_of_ours(tmp_path: Path) -> None:
    (tmp_path / "a").symlink_to(tmp_path / "b")
    (tmp_path / "b").symlink_to(tmp_path / "a")
    with pytest.raises(SntZooError):
        open_dataset(tmp_path / "a")


@pytest.mark.parametrize("name", MODULES)
def test_examples_in_the_docs_run(name: str) -> None:
    assert doctest.testmod(importlib.import_module(name)).failed == 0
