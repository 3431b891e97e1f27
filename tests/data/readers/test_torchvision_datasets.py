from __future__ import annotations

import struct
from pathlib import Path

import numpy as np
import pytest
import torch
import torchvision
from PIL import Image

from snt_zoo.data import open_dataset
from snt_zoo.data.readers.torchvision_datasets import _SOURCES
from snt_zoo.errors import DatasetNotFoundError, ReaderUnavailableError
from tests.data.making import pixels

from .cases import ReaderTestCase


def _write_idx(path: Path, content: np.ndarray) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    head = struct.pack(f">BBBB{content.ndim}I", 0, 0, 8, content.ndim, *content.shape)
    path.write_bytes(head + content.tobytes())


def _mnist_cache(folder: Path, monkeypatch: pytest.MonkeyPatch) -> dict[str, np.ndarray]:
    """Files such as torchvision has after a download of MNIST, of random images."""
    monkeypatch.setattr("platformdirs.user_cache_dir", lambda name: str(folder / name))
    raw = folder / "snt-zoo" / "torchvision" / "MNIST" / "raw"
    images = {}
    for seed, (part, count) in enumerate((("train", 60), ("t10k", 20))):
        images[part] = pixels(count, 28, 28, seed=seed)
        _write_idx(raw / f"{part}-images-idx3-ubyte", images[part])
        _write_idx(raw / f"{part}-labels-idx1-ubyte", (np.arange(count) % 10).astype(np.uint8))
    return images


class TestTorchvision(ReaderTestCase):
    name = "torchvision"

    def make(self, folder: Path, monkeypatch: pytest.MonkeyPatch) -> str:
        _mnist_cache(folder, monkeypatch)
        return "torchvision:mnist"


def test_the_cached_files_are_what_is_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    images = _mnist_cache(tmp_path, monkeypatch)
    dataset = open_dataset("torchvision:MNIST")
    assert torch.equal(dataset.test.tensor(28)[:, 1], torch.from_numpy(images["t10k"]))
    assert dataset.class_names[3] == "3 - three"
    assert len(dataset.train) + len(dataset.val) == 60


def test_folders_of_images_are_found_by_their_samples(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("platformdirs.user_cache_dir", lambda name: str(tmp_path / name))
    base = tmp_path / "snt-zoo" / "torchvision" / "eurosat" / "2750"
    for number, name in enumerate(("Forest", "River")):
        (base / name).mkdir(parents=True)
        for index in range(6):
            content = pixels(9, 9, 3, seed=10 * number + index)
            Image.fromarray(content).save(base / name / f"{index}.jpg")
    dataset = open_dataset("torchvision:EuroSAT")
    assert dataset.class_names == ("Forest", "River")
    assert [len(s) for s in (dataset.train, dataset.val, dataset.test)] == [8, 2, 2]


def test_an_unknown_name_lists_what_there_is() -> None:
    with pytest.raises(DatasetNotFoundError, match=r"'mnits'; there are MNIST.*CIFAR10"):
        open_dataset("torchvision:mnits")


def test_a_failed_download_says_what_to_do_on_one_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def fail(*args: object, **kwargs: object) -> None:
        print("Downloading …")  # noqa: T201  # as torchvision may: it must not reach stdout
        raise OSError("Name or service not known\nand much more")

    monkeypatch.setattr("platformdirs.user_cache_dir", lambda name: str(tmp_path / name))
    monkeypatch.setattr("torchvision.datasets.cifar.download_and_extract_archive", fail)
    with pytest.raises(ReaderUnavailableError, match=r"CIFAR10: Name or.*check the network") as e:
        open_dataset("torchvision:cifar-10")
    assert "\n" not in str(e.value)
    assert capsys.readouterr().out == ""


def test_torchvision_has_every_set_that_is_offered() -> None:
    for name, source in _SOURCES.items():
        assert hasattr(torchvision.datasets, source.cls)
        assert source.cls.casefold() == name
        assert "train" in source.splits
