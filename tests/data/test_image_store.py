from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from snt_zoo.data import Split, open_dataset
from snt_zoo.data.image_store import (
    WHOLE_FILE_LIMIT,
    digest_bytes,
    digest_file,
    quick_digest_file,
    sides,
)
from snt_zoo.data.stores import ArrayStore, EncodedStore

from .making import write_class_folders

HALF = WHOLE_FILE_LIMIT // 2
JPEG = b"\xff\xd8\xff\xe0"


@pytest.fixture
def of(tmp_path: Path) -> Callable[..., bytes]:
    """The digest of a file with some content."""
    path = tmp_path / "x"

    def digest(content: bytes, how: Callable[[Path], bytes] = digest_file) -> bytes:
        path.write_bytes(content)
        return how(path)

    return digest


def test_a_long_compressed_file_is_named_by_its_ends_and_length(of: Callable[..., bytes]) -> None:
    head = JPEG + b"a" * (HALF - len(JPEG))
    base = of(head + b"b" * 100 + b"c" * HALF)
    assert of(JPEG + b"x" + head[5:] + b"b" * 100 + b"c" * HALF) != base
    assert of(head + b"b" * 100 + b"c" * (HALF - 1) + b"x") != base
    assert of(head + b"b" * 101 + b"c" * HALF) != base
    assert of(head + b"x" * 100 + b"c" * HALF) == base  # what lies between is not read


@pytest.mark.parametrize("length", [0, 100, WHOLE_FILE_LIMIT, 3 * WHOLE_FILE_LIMIT + 5])
def test_any_other_file_is_named_by_all_of_it(length: int, of: Callable[..., bytes]) -> None:
    content = bytes(i % 251 for i in range(length))
    assert of(content) == digest_bytes(content)


@pytest.mark.parametrize("suffix", ["bmp", "ppm", "tif", "png"])
def test_images_that_differ_in_the_middle_alone_have_two_names(suffix: str, tmp_path: Path) -> None:
    """As scans with black margins do: head, tail and length are the same where nothing is compressed."""
    paths = []
    for level in (100, 101):
        content = np.zeros((500, 500, 3), np.uint8)
        content[250, 250] = level
        content[200:300, 200:300, 1] = np.random.default_rng(0).integers(0, 256, (100, 100))
        paths.append(tmp_path / f"{level}.{suffix}")
        Image.fromarray(content).save(paths[-1])
    assert digest_file(paths[0]) != digest_file(paths[1])


@pytest.mark.parametrize("length", [1, 5_000, 12_288])
def test_the_quick_digest_of_a_small_file_is_its_digest(length: int, of: Callable[..., bytes]) -> None:
    content = bytes(i % 251 for i in range(length))
    assert of(content, quick_digest_file) == digest_bytes(content)


def test_a_quick_digest_takes_twelve_kilobytes(tmp_path: Path) -> None:
    content = np.random.default_rng(0).integers(0, 256, 4 * 2**20, dtype=np.uint8)
    path = tmp_path / "x"
    path.write_bytes(content.tobytes())
    base = quick_digest_file(path)
    counted = Path("/proc/self/io")
    if counted.exists():
        before = counted.read_bytes()
        quick_digest_file(path)
        read = [int(raw.split()[1]) for raw in (before, counted.read_bytes())]
        assert 3 * 4096 <= read[1] - read[0] < 4 * 4096  # the count itself is read as well
    for place in (0, len(content) // 2, len(content) - 1):
        changed = content.copy()
        changed[place] ^= 1
        path.write_bytes(changed.tobytes())
        assert quick_digest_file(path) != base
    path.write_bytes(content.tobytes() + b"x")
    assert quick_digest_file(path) != base


def test_images_that_share_a_quick_digest_are_told_apart_where_it_counts(tmp_path: Path) -> None:
    """Only their order among themselves is then not by content."""
    paths = []
    for row in (100, 400):  # neither at the ends nor in the middle
        content = np.zeros((500, 500, 3), np.uint8)
        content[row] = 255
        paths.append(tmp_path / f"{row}.bmp")
        Image.fromarray(content).save(paths[-1])
    split = Split(EncodedStore(paths), torch.tensor([0, 1]))
    assert len(set(split.quick_digests(torch.arange(2)))) == 1
    assert len(set(split.digests())) == 2
    assert split.by_content(torch.tensor([1, 0]), seed=3).tolist() == [0, 1]
    assert split.subset(torch.tensor([1, 0])).digests() == split.digests()[::-1]


def test_opening_and_ordering_photographs_reads_little_of_them(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Made splits put every image into an order by content."""
    write_class_folders(tmp_path)
    for path in tmp_path.rglob("*.png"):
        with path.open("ab") as file:
            file.truncate(4 * 2**20)  # what follows the image's end is no part of it
    counted = Path("/proc/self/io")
    if not counted.exists():
        pytest.skip("this system does not count what a process reads")
    images = len(list(tmp_path.rglob("*.png")))
    # By which the rendering is chosen: it decodes up to 64 images, of any dataset.
    monkeypatch.setattr("snt_zoo.data.opening._LOOKS", 0)
    before = int(counted.read_bytes().split()[1])
    data = open_dataset(tmp_path)
    data.train.by_content(torch.arange(len(data.train)), seed=0)
    assert (int(counted.read_bytes().split()[1]) - before) / images < 50_000


def test_sides_are_told_without_decoding(tmp_path: Path) -> None:
    paths = []
    for number, size in enumerate([(40, 30), (20, 90), (31, 31)]):
        paths.append(tmp_path / f"{number}.png")
        Image.new("RGB", size).save(paths[-1])
    paths.append(tmp_path / "3.png")
    paths[-1].write_bytes(b"no image")
    files = EncodedStore(paths)
    assert sides(files, torch.tensor([2, 0, 1, 3])) == [31, 30, 20, 0]
    split = Split(files, torch.zeros(4, dtype=torch.int64))
    assert split.side() == 30
    assert split.subset(torch.tensor([0, 1])).side() == 30
    assert Split(ArrayStore(torch.zeros(5, 28, 20, dtype=torch.uint8)), torch.zeros(5)).side() == 20


def test_a_store_that_cannot_tell_has_no_side() -> None:
    class Plain:
        def __len__(self) -> int:
            return 3

        def read(self, indices: torch.Tensor, size: int) -> torch.Tensor:
            raise AssertionError("nothing must be decoded")

    assert Split(Plain(), torch.zeros(3)).side() == 0
